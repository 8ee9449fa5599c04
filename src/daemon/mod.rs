//! The process on one screen: what it starts, and in which order it stops.

mod health;
mod mailboxes;
mod notify;
mod works;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::control::{self, Handler};
use crate::failure::Failure;
use crate::outbound::Report;
use crate::store::Hold;
use crate::telemetry::Metrics;
use crate::web::{self, Ask, Sight};

use health::Vitals;

pub use works::Works;

/// How often the daemon looks for alerts to tell, and whether the desk is still its own.
const LOOK: Duration = Duration::from_secs(5);

/// Where others reach the daemon.
pub struct Front {
    pub listener: UnixListener,
    pub handler: Handler,
    /// Health and metrics; `None`: nowhere.
    pub web: Option<SocketAddr>,
}

/// Runs until `shutdown`: first what an earlier life left undecided, then mailboxes, outbound queue, commands, alerts.
/// Stops in order: no new command and no new round, what is in hand ends, the last mail under way ends.
pub async fn run(
    works: Works,
    front: Front,
    hold: &mut Hold,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    // Whatever goes wrong from here on, the tasks of the process come to their end.
    let _stop = shutdown.clone().drop_guard();
    let vitals = Vitals::new(works.clone());
    let mut tasks = JoinSet::new();
    // Before the work of an earlier life, which may take its time: systemd waits for this one word only so long.
    tasks.spawn(notify::run(vitals.clone(), shutdown.clone()));
    tasks.spawn(web(front.web, works.metrics.clone(), vitals.clone(), shutdown.clone()));
    let fates = works.decide_pending().await?;
    tracing::info!(decided = fates.total(), "daemon.started");
    tasks.spawn(control::serve(front.listener, shutdown.clone(), front.handler));
    tasks.spawn(mailboxes::run(works.clone(), shutdown.clone()));
    tasks.spawn(send(works.clone(), shutdown.clone()));
    tasks.spawn(tell(works.clone(), shutdown.clone()));
    let lost = tokio::select! {
        lost = watch(hold, &vitals, shutdown.clone()) => lost,
        // None of them ends by itself: without one the desk would look alive and do nothing.
        ended = tasks.join_next() => match shutdown.is_cancelled() {
            true => Ok(()),
            false => {
                tracing::error!("daemon.task_broke_off {ended:?}");
                Err(Failure::temporary("a task of the daemon broke off; its words stand in the log"))
            }
        },
    };
    shutdown.cancel();
    while let Some(ended) = tasks.join_next().await {
        if let Err(e) = ended {
            tracing::error!("daemon.task_broke_off {e}");
        }
    }
    tracing::info!("daemon.stopped");
    lost
}

/// Health and metrics, if they are asked for anywhere.
async fn web(address: Option<SocketAddr>, metrics: Metrics, vitals: Vitals, shutdown: CancellationToken) {
    let Some(address) = address else { return shutdown.cancelled().await };
    let ask: Ask = Arc::new(move || {
        let vitals = vitals.clone();
        Box::pin(async move { vitals.health().await })
    });
    web::run(address, Sight { ask, metrics }, shutdown).await;
}

async fn send(works: Works, shutdown: CancellationToken) {
    let (states, wake) = (works.clone(), works.wake.clone());
    let heard = move |report: &Report| {
        let (works, report) = (states.clone(), report.clone());
        works.heard.lock().expect("nobody panics while holding it").push(report);
    };
    works.outbound().run(shutdown, wake, heard).await;
}

/// Relays that fail or work again become alerts; alerts become mails.
async fn tell(works: Works, shutdown: CancellationToken) {
    loop {
        let reports = std::mem::take(&mut *works.heard.lock().expect("nobody panics while holding it"));
        for report in reports {
            if let Err(e) = works.state_relays(&report).await {
                tracing::warn!("daemon.alert_failed {e}");
            }
        }
        match works.desk.tell_alerts().await {
            Ok(0) => {}
            Ok(_) => works.wake.notify_one(),
            Err(e) => tracing::warn!("daemon.alert_failed {e}"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Ends when `shutdown` comes; a desk that is no longer ours shuts the daemon down itself.
async fn watch(hold: &mut Hold, vitals: &Vitals, shutdown: CancellationToken) -> Result<(), Failure> {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
        if let Err(e) = hold.check().await {
            tracing::error!("daemon.desk_lost {e}");
            vitals.desk_lost();
            shutdown.cancel();
            return Err(e.into());
        }
    }
}

/// What the outbound queue said since the last look.
pub(crate) type Heard = Arc<std::sync::Mutex<Vec<Report>>>;
