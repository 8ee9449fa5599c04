//! What is sent when: each relay by one connection at a time, a few relays beside each other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::record::Counts;
use super::visit::{Stopped, Visit};
use super::{Deadlines, RelayBook, RelaySettings};
use crate::clock::{Clock, Pulse};
use crate::failure::{Failure, Kind};
use crate::lease::{Lease, Leases};
use crate::store::Store;
use crate::store::delivery::Sender;
use crate::telemetry::Metrics;
use crate::ticket::RelayId;

/// Relays that are served at the same time; each holds a connection and a mail's literal bytes.
const RELAYS_AT_ONCE: usize = 32;
/// Connections to one host at a time, of all daemons together and whatever number of accounts there is on it: providers
/// count by address.
const CONNECTIONS_PER_HOST: usize = 2;
/// Mails that are sent in one visit where other daemons may wait for the connection.
const TURN: i64 = 200;
/// How long the queue sleeps where nobody wakes it: other processes queue mail too.
const NAP: Duration = Duration::from_secs(5);
/// How long a relay rests after a failure of the store.
const PAUSE: Duration = Duration::from_secs(60);
/// How long a mail under way may take after the call to stop. Cut later, it may be sent twice.
const GRACE: Duration = Duration::from_secs(20);

/// Where the active relays come from, asked anew each time: they are edited while we run.
pub type Relays = Arc<dyn Fn() -> BoxFuture<'static, Result<RelayBook, Failure>> + Send + Sync>;

/// The sender of a desk's mail.
#[derive(Clone)]
pub struct Outbound {
    pub store: Store,
    pub clock: Clock,
    /// By them claims are ours, and connections to a host.
    pub leases: Leases,
    pub relays: Relays,
    pub deadlines: Deadlines,
    pub metrics: Metrics,
}

/// What a pass did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Recipients.
    pub sent: u64,
    pub deferred: u64,
    pub failed: u64,
    /// Relays that took mail, or at least spoke about it.
    pub working: Vec<RelayId>,
    /// Relays through which nothing goes, and why: for an alert.
    pub failing: Vec<RelayFailure>,
}

/// Why nothing goes through a relay.
#[derive(Clone, Debug)]
pub struct RelayFailure {
    pub relay: RelayId,
    pub kind: Kind,
    pub words: String,
}

/// How a relay is served.
#[derive(Clone)]
struct Terms {
    limit: i64,
    stop: CancellationToken,
    /// After a failure of the store: sending on, with outcomes that cannot be recorded, would send mails twice.
    pause: Duration,
}

/// What serving one relay did.
struct Served {
    relay: RelayId,
    counts: Counts,
    /// `None`: there was nothing to send after all.
    health: Option<Result<(), RelayFailure>>,
}

impl Report {
    fn add(&mut self, served: Served) {
        self.sent += served.counts.sent;
        self.deferred += served.counts.deferred;
        self.failed += served.counts.failed;
        match served.health {
            Some(Ok(())) => self.working.push(served.relay),
            Some(Err(failure)) => self.failing.push(failure),
            None => {}
        }
    }
}

/// Relays being served at this moment, each by a task of its own: a slow one holds up nobody but itself.
#[derive(Default)]
struct Running {
    tasks: JoinSet<Served>,
    by_task: HashMap<Id, RelayId>,
    relays: HashMap<RelayId, Visiting>,
}

/// Where a visit goes to.
struct Visiting {
    host: String,
    slot: Option<Lease>,
}

/// Other daemons have all the connections that a host may have.
struct NoneLeft;

impl Running {
    fn may_start(&self, host: &str) -> bool {
        self.relays.len() < RELAYS_AT_ONCE
            && self.relays.values().filter(|v| v.host == host).count() < CONNECTIONS_PER_HOST
    }

    /// A visit that has ended, and the connection that it had among all daemons.
    async fn next(&mut self) -> Option<(Served, Option<Lease>)> {
        let (id, ended) = match self.tasks.join_next_with_id().await? {
            Ok((id, served)) => (id, Ok(served)),
            Err(error) => (error.id(), Err(error)),
        };
        let relay = self.by_task.remove(&id)?;
        let visiting = self.relays.remove(&relay)?;
        Some((ended.unwrap_or_else(|error| broken_off(relay, &error)), visiting.slot))
    }

    fn start(
        &mut self,
        relay: RelayId,
        visiting: Visiting,
        visit: impl Future<Output = Served> + Send + 'static,
    ) {
        self.relays.insert(relay, visiting);
        self.by_task.insert(self.tasks.spawn(visit).id(), relay);
    }
}

/// A fault of ours on one visit: what it had in hand is found by the next one.
fn broken_off(relay: RelayId, error: &tokio::task::JoinError) -> Served {
    let words = format!("relay {relay}: the visit broke off: {error}");
    tracing::error!(relay.id = relay.0, "outbound.visit_broke_off {error}");
    let failure = RelayFailure { relay, kind: Kind::BrokeOff, words };
    Served { relay, counts: Counts::default(), health: Some(Err(failure)) }
}

impl Outbound {
    pub fn new(store: Store, clock: Clock, leases: Leases, relays: Relays) -> Outbound {
        let (deadlines, metrics) = (Deadlines::default(), Metrics::default());
        Outbound { store, clock, leases, relays, deadlines, metrics }
    }

    /// Sends what is due now, once: up to `limit` mails of each relay.
    pub async fn pass(&self, limit: i64) -> Result<Report, Failure> {
        let (mut running, mut served, mut report) = (Running::default(), HashSet::new(), Report::default());
        let terms = Terms { limit, stop: CancellationToken::new(), pause: Duration::ZERO };
        loop {
            self.start_due(&mut running, &mut served, &terms).await?;
            match running.next().await {
                Some((done, slot)) => {
                    self.free(slot).await;
                    report.add(done);
                }
                None => return Ok(report),
            }
        }
    }

    /// Sends until `shutdown`. `wake` is told when mail was queued; `told` hears what each visit to a relay did.
    pub async fn run(
        self,
        shutdown: CancellationToken,
        wake: Arc<Notify>,
        pulse: Pulse,
        told: impl Fn(&Report) + Send,
    ) {
        let mut running = Running::default();
        let mut is_unread = false;
        let terms = Terms { limit: i64::MAX, stop: shutdown.clone(), pause: PAUSE };
        let sending = async {
            loop {
                // A relay that failed or is done may be served again as soon as something is due there.
                let mut served = HashSet::new();
                pulse.beat();
                match self.start_due(&mut running, &mut served, &terms).await {
                    Err(failure) if !is_unread => {
                        is_unread = true;
                        tracing::warn!(%failure, "outbound.queue_unread");
                    }
                    tried => is_unread = tried.is_err(),
                }
                let nap = self.nap().await;
                tokio::select! {
                    () = wake.notified() => {}
                    () = tokio::time::sleep(nap) => {}
                    Some((done, slot)) = running.next(), if !running.relays.is_empty() => {
                        self.free(slot).await;
                        tell(done, &told);
                    }
                }
            }
        };
        // A store that is away would keep it waiting; the mails under way are not a part of it.
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = sending => {}
        }
        pulse.rest(GRACE);
        // The process is about to give back all that it holds, the connections too.
        let rest = async {
            while let Some((done, _)) = running.next().await {
                tell(done, &told);
            }
        };
        if tokio::time::timeout(GRACE, rest).await.is_err() {
            tracing::warn!("outbound.mail_cut_off it is taken up again at the next start");
        }
    }

    /// Until the next mail is due, but never long.
    async fn nap(&self) -> Duration {
        let next = async { self.store.read().await?.next_due().await };
        match next.await {
            Ok(Some(due)) => {
                let left = u64::try_from(due.0 - self.clock.now().0).unwrap_or_default();
                // Due already, and not started: its relay is busy or unknown.
                Duration::from_micros(left).clamp(Duration::from_millis(500), NAP)
            }
            Ok(None) | Err(_) => NAP,
        }
    }

    async fn start_due(
        &self,
        running: &mut Running,
        served: &mut HashSet<RelayId>,
        terms: &Terms,
    ) -> Result<(), Failure> {
        let due = self.store.read().await?.relays_due(self.sender(&self.leases.owner())).await?;
        let due: Vec<RelayId> =
            due.into_iter().filter(|id| !running.relays.contains_key(id) && !served.contains(id)).collect();
        if due.is_empty() {
            return Ok(());
        }
        let book = (self.relays)().await?;
        for id in due {
            let settings = book.get(&id).cloned();
            let host = settings.as_ref().map(|s| s.host.to_lowercase()).unwrap_or_default();
            if running.may_start(&host) {
                let Ok(slot) = self.slot(&host).await? else { continue };
                served.insert(id);
                // Others wait for the connection.
                let limit = if slot.is_some() { terms.limit.min(TURN) } else { terms.limit };
                let (outbound, terms) = (self.clone(), Terms { limit, ..terms.clone() });
                let visit = async move { outbound.serve(id, settings, terms).await };
                running.start(id, Visiting { host, slot }, visit);
            }
        }
        Ok(())
    }

    /// One of the connections to a host that all daemons have together. `Ok(None)`: nobody else is at work, and none is
    /// needed. `Err`: there is none left.
    async fn slot(&self, host: &str) -> Result<Result<Option<Lease>, NoneLeft>, Failure> {
        if self.leases.length().is_none() || !self.leases.has_joined() {
            return Ok(Ok(None));
        }
        let slots = (1..=CONNECTIONS_PER_HOST).map(|n| format!("host:{host}:{n}"));
        let slots: Vec<String> = slots.filter(|name| self.leases.held(name).is_none()).collect();
        let taken = self.leases.take(&slots, 1).await?.pop();
        Ok(taken.map(Some).ok_or(NoneLeft))
    }

    async fn free(&self, slot: Option<Lease>) {
        if let Some(lease) = slot
            && let Err(e) = self.leases.give_back(&lease).await
        {
            tracing::warn!("lease.kept {e}");
        }
    }

    pub(super) fn sender<'a>(&self, owner: &'a str) -> Sender<'a> {
        Sender { owner, now: self.clock.now() }
    }

    /// Sends a relay's mails that are due, over one connection.
    async fn serve(&self, id: RelayId, settings: Option<RelaySettings>, terms: Terms) -> Served {
        let mut visit = Visit::new(self);
        let ended = match &settings {
            Some(relay) => visit.send_all(relay, terms.limit, &terms.stop).await,
            // Perhaps its password cannot be unsealed, and soon can.
            None => Err(Stopped::Relay(
                Failure::permanent("it cannot be used: `maildesk doctor` says why").kind(Kind::Settings),
            )),
        };
        let (session, counts, is_used) = (visit.session.take(), visit.counts, visit.is_used);
        if let Some(session) = session {
            session.quit().await;
        }
        let name = settings.map_or_else(|| id.to_string(), |relay| relay.name);
        let health = match ended {
            Ok(()) => is_used.then_some(Ok(())),
            Err(Stopped::Relay(failure)) => {
                let words = self.relay_failed(id, &name, &failure).await;
                Some(Err(RelayFailure { relay: id, kind: failure.kind, words }))
            }
            Err(Stopped::Store(error)) => {
                tracing::warn!(relay = name, %error, "outbound.store_failed sending rests");
                tokio::select! {
                    () = terms.stop.cancelled() => {}
                    () = tokio::time::sleep(terms.pause) => {}
                }
                None
            }
        };
        Served { relay: id, counts, health }
    }

    /// Defers what is due at a relay; gives the words for people.
    async fn relay_failed(&self, id: RelayId, name: &str, failure: &Failure) -> String {
        let words = format!("relay {name:?}: {failure}");
        match self.defer_relay(id, name, &words).await {
            Ok(mails) => tracing::warn!(relay = name, mails, "outbound.relay_failed {words}"),
            Err(error) => {
                tracing::warn!(relay = name, %error, "outbound.store_failed while the relay fails, too: {words}")
            }
        }
        words
    }
}

fn tell(done: Served, told: &impl Fn(&Report)) {
    let mut report = Report::default();
    report.add(done);
    told(&report);
}
