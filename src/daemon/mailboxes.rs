//! A supervised task for each mailbox: a round, a pause, the next round. A mailbox that fails backs off; the others go on.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::space::in_room;
use super::{Works, pipes};
use crate::config::Protocol;
use crate::store::MailboxRow;
use crate::ticket::MailboxId;

/// How often the list of mailboxes is read anew: they are added, edited and held while we run.
const LOOK: Duration = Duration::from_secs(2);

/// Keeps one task running for each mailbox that is to be read.
pub(super) async fn run(works: Works, shutdown: CancellationToken) {
    let mut tasks = JoinSet::new();
    let mut running: HashMap<MailboxId, (i64, CancellationToken)> = HashMap::new();
    loop {
        match works.mailboxes_to_read().await {
            Ok(mailboxes) => {
                running.retain(|id, (version, stop)| {
                    let is_as_it_was = mailboxes.iter().any(|m| m.id == *id && m.version == *version);
                    if !is_as_it_was {
                        stop.cancel();
                    }
                    is_as_it_was && !stop.is_cancelled()
                });
                for mailbox in mailboxes {
                    running.entry(mailbox.id).or_insert_with(|| {
                        let stop = shutdown.child_token();
                        match mailbox.spec.protocol {
                            Protocol::Pipe => {
                                tasks.spawn(pipes::rounds(works.clone(), mailbox.clone(), stop.clone()))
                            }
                            _ => tasks.spawn(rounds(works.clone(), mailbox.clone(), stop.clone())),
                        };
                        (mailbox.version, stop)
                    });
                }
            }
            Err(e) => tracing::warn!("daemon.mailboxes_unread {e}"),
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// Round after round. A round that is under way at the stop ends by itself: its batches are short.
async fn rounds(works: Works, mailbox: MailboxRow, stop: CancellationToken) {
    let mut failures = 0;
    while !stop.is_cancelled() {
        let polled = tokio::select! {
            // Dropping a round in mid-flight is safe at any await: it is what a crash would do.
            () = stop.cancelled() => return,
            polled = in_room(&works, works.poll(&mailbox)) => polled,
        };
        let pause = match polled {
            Ok(report) => {
                failures = 0;
                if report.fates.total() > 0 {
                    works.wake.notify_one();
                }
                if report.is_cut_short {
                    Duration::ZERO
                } else {
                    Duration::from_secs(mailbox.spec.interval_s)
                }
            }
            Err(failure) => {
                tracing::warn!(mailbox.name = mailbox.spec.name, "intake.round_failed {failure}");
                failures += 1;
                failure.pause(failures)
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
