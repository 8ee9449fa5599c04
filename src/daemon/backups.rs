//! The daily backup, beside the work.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::backup::Daily;
use crate::clock::Micros;

/// How often the clock is looked at: it may jump, and a laptop may sleep.
const LOOK: Duration = Duration::from_secs(30);
/// After a backup that failed, the next try.
const RETRY: Duration = Duration::from_secs(60 * 60);

/// Takes a backup whenever one is due, until `shutdown`. One that is under way at the stop is dropped; its half file is
/// taken away by the next.
pub async fn backups(daily: Daily, shutdown: CancellationToken) {
    let started = daily.source.clock.now();
    let mut not_before = Micros(i64::MIN);
    loop {
        let wait = async {
            tokio::time::sleep(LOOK).await;
            let now = daily.source.clock.now();
            let due = daily.due(started).await;
            let is_due = matches!(due, Ok(Some(due)) if due <= now) && not_before <= now;
            if is_due && let Err(failure) = daily.run().await {
                tracing::warn!("backup.failed {failure}");
                not_before = now.plus(RETRY);
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = wait => {}
        }
    }
}
