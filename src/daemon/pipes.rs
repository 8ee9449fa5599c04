//! Mailboxes that an MTA fills: what it brings is decided at once, and nothing is asked of any server.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Works;
use super::mailbox::LONGEST_BATCH;
use super::space::in_room;
use crate::clock::Pulse;
use crate::store::MailboxRow;

/// How often the store is asked for mail that a `deliver` has kept past the daemon, while that was starting.
const LOOK: Duration = Duration::from_secs(2);

/// Round after round, each when there is something to decide.
pub(super) async fn rounds(works: Works, mailbox: MailboxRow, pulse: Pulse, stop: CancellationToken) {
    let mut delivered = works.delivered.subscribe();
    let mut failures = 0;
    while !stop.is_cancelled() {
        pulse.rest(LONGEST_BATCH);
        let polled = tokio::select! {
            () = stop.cancelled() => return,
            polled = in_room(&works, works.poll(&mailbox)) => polled,
        };
        let mut pause = None;
        match polled {
            Ok(report) => {
                failures = 0;
                if report.fates.total() > 0 {
                    works.wake.notify_one();
                }
            }
            Err(failure) => {
                if !works.store_watch.has_told(&failure) {
                    tracing::warn!(mailbox.name = mailbox.spec.name, "intake.round_failed {failure}");
                }
                failures += 1;
                pause = Some(failure.pause(failures));
            }
        }
        pulse.rest(pause.unwrap_or(LONGEST_BATCH));
        let more = async {
            match pause {
                None => {
                    while !matches!(works.intake.has_pending(mailbox.id).await, Ok(true)) {
                        // Either will do: somebody has told, or it is time to look.
                        drop(tokio::time::timeout(LOOK, delivered.changed()).await);
                        pulse.progress();
                    }
                }
                Some(pause) => tokio::time::sleep(pause).await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = more => {}
        }
    }
}
