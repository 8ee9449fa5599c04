//! Is the store there? One voice for all loops: the trouble is told once, with its end, however many loops meet it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::alert::{self, Alerts};
use crate::clock::{Micros, Pulse};
use crate::failure::Failure;
use crate::store::{Error, Ping, Store};

const LOOK: Duration = Duration::from_secs(5);
/// How long it may take to say why it does not answer.
const WHY: Duration = Duration::from_secs(4);
/// How long it may take to write a row. A server that is cut off in silence would keep us waiting for many minutes.
const ANSWER: Duration = Duration::from_secs(10);
/// An absence shorter than this stands in the log alone.
const WORTH_AN_ALERT: Duration = Duration::from_secs(30);

/// What is wrong with the store at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub since: Micros,
    pub words: String,
}

/// Cheap to clone.
#[derive(Clone, Default)]
pub struct StoreWatch(Arc<Mutex<Option<Trouble>>>);

impl StoreWatch {
    /// `None`: as far as is known it can be read and written.
    pub fn trouble(&self) -> Option<Trouble> {
        self.0.lock().expect("nobody panics while holding it").clone()
    }

    /// Whether this failure of a loop is the store's trouble, which has been told.
    pub fn has_told(&self, failure: &Failure) -> bool {
        failure.kind.is_store_away() && self.trouble().is_some()
    }

    /// Looks again and again whether a row can be written, until `stop`.
    pub(super) async fn run(self, alerts: Alerts, pulse: Pulse, stop: CancellationToken) {
        let mut failing: Option<(Instant, Failure)> = None;
        while !stop.is_cancelled() {
            pulse.beat();
            let looked = match tokio::time::timeout(ANSWER, alerts.store.require_writable()).await {
                Ok(looked) => looked,
                Err(_) => Err(why_silent(&alerts.store).await),
            };
            match (looked, failing.take()) {
                // The daemon comes to its end.
                (Err(Error::Behind(_)), _) => {}
                (Ok(()), None) => {}
                (Ok(()), Some((begun, failure))) => self.over(&alerts, begun.elapsed(), &failure).await,
                (Err(error), Some((begun, _))) => failing = Some((begun, error.into())),
                (Err(error), None) => {
                    let failure = Failure::from(error);
                    tracing::error!(
                        store.failure = failure.kind.word(),
                        "store.failing {failure}. {} Mail waits where it is; all goes on by itself",
                        failure.kind.advice()
                    );
                    self.set(Some(Trouble { since: alerts.clock.now(), words: failure.to_string() }));
                    failing = Some((Instant::now(), failure));
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// What could not be written while it lasted is written now.
    async fn over(&self, alerts: &Alerts, lasted: Duration, failure: &Failure) {
        let since = self.trouble().map_or_else(|| alerts.clock.now(), |trouble| trouble.since);
        self.set(None);
        tracing::info!("store.works_again after {} s", lasted.as_secs());
        if lasted < WORTH_AN_ALERT {
            return;
        }
        let alarm = alert::alarm(failure, since);
        for alarm in [Some(&alarm), None] {
            if let Err(error) = alerts.keep("store:failing", alarm).await {
                tracing::warn!("daemon.alert_failed {error}");
            }
        }
    }

    fn set(&self, trouble: Option<Trouble>) {
        *self.0.lock().expect("nobody panics while holding it") = trouble;
    }
}

/// A pool waits for a server that refuses; a plain connection says so.
async fn why_silent(store: &Store) -> Error {
    match store.ping(WHY).await {
        Ping::Away(error) => error,
        Ping::Answers | Ping::Silent => {
            Error::Unreachable(format!("it does not answer within {} s", ANSWER.as_secs()))
        }
    }
}
