//! The process on one screen: what it starts, and in which order it stops.

mod mailboxes;
mod pipes;
mod space;
mod works;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::control::{self, Handler};
use crate::failure::Failure;
use crate::outbound::Report;
use crate::store::Hold;

pub use works::Works;

/// How often the daemon looks for alerts to tell, and whether the desk is still its own.
const LOOK: Duration = Duration::from_secs(5);

/// Runs until `shutdown`: commands; what an earlier life left undecided; then mailboxes, outbound queue, alerts.
/// Stops in order: no new command and no new round, what is in hand ends, the last mail under way ends.
pub async fn run(
    works: Works,
    listener: UnixListener,
    handler: Handler,
    hold: &mut Hold,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    // Whatever goes wrong from here on, the tasks of the process come to their end.
    let _stop = shutdown.clone().drop_guard();
    let mut tasks = JoinSet::new();
    // What an earlier life left may take a while, and an MTA waits for an answer meanwhile.
    tasks.spawn(control::serve(listener, shutdown.clone(), handler));
    let fates = works.decide_pending().await?;
    tracing::info!("daemon.started decided_from_before={}", fates.total());
    tasks.spawn(mailboxes::run(works.clone(), shutdown.clone()));
    tasks.spawn(send(works.clone(), shutdown.clone()));
    tasks.spawn(space::watch(works.clone(), shutdown.clone()));
    tasks.spawn(tell(works.clone(), shutdown.clone()));
    let lost = tokio::select! {
        lost = watch(hold, shutdown.clone()) => lost,
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
async fn watch(hold: &mut Hold, shutdown: CancellationToken) -> Result<(), Failure> {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
        if let Err(e) = hold.check().await {
            tracing::error!("daemon.desk_lost {e}");
            shutdown.cancel();
            return Err(e.into());
        }
    }
}

/// What the outbound queue said since the last look.
pub(crate) type Heard = Arc<std::sync::Mutex<Vec<Report>>>;
