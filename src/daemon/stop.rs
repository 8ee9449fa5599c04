//! How the daemon ends once it is told to: soon, whatever hangs at that moment, be it the store, a mailbox's server, a relay
//! or a command. What is dropped is safe at any await, as in a crash.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Works;

/// For a round under way, for the end of IDLE, for saying good-bye, for giving back the leases, each.
pub(super) const LEAVE: Duration = Duration::from_secs(3);
/// The tasks have ended by then, or are left as they are. Each has its own grace (`Care::grace`), which is shorter.
const STOP: Duration = Duration::from_secs(30);

/// Work that is dropped so long after the call to stop: `None`.
pub(super) async fn unless_told<T>(
    stop: &CancellationToken,
    leave: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = async { stop.cancelled().await; sleep(leave).await } => None,
    }
}

/// What is in hand comes to its end; then `last` is told, the task that renews the leases of the others; then these are
/// free.
pub(super) async fn stop(works: &Works, mut tasks: JoinSet<()>, last: CancellationToken) {
    let ends = async {
        loop {
            if tasks.len() <= 1 {
                last.cancel();
            }
            match tasks.join_next().await {
                None => break,
                Some(Ok(())) => {}
                Some(Err(e)) => tracing::error!("daemon.keeper_broke_off {e}"),
            }
        }
    };
    if timeout(STOP, ends).await.is_err() {
        let names: Vec<String> = works.tasks.health().into_iter().map(|task| task.name).collect();
        tracing::error!(task = names.join(", "), "daemon.task_stuck the process ends without it");
    }
    // Whoever goes on has all of it at once.
    match timeout(LEAVE, works.leases.leave()).await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => tracing::warn!("lease.kept {e}"),
        Err(_) => tracing::warn!("lease.kept the store does not answer"),
    }
}
