//! A supervised task for each mailbox: a round, a pause, the next round. A mailbox that fails backs off; the others go on.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Works;
use crate::clock::Pulse;
use crate::store::MailboxRow;
use crate::ticket::MailboxId;

/// How often the list of mailboxes is read anew: they are added, edited and held while we run.
const LOOK: Duration = Duration::from_secs(2);
/// A round shows a sign of life with every batch. Servers have deadlines of their own on each command; this is for what
/// hangs elsewhere.
const LONGEST_BATCH: Duration = Duration::from_secs(60 * 60);

/// Keeps one task running for each mailbox that is to be read.
pub(super) async fn run(works: Works, pulse: Pulse, shutdown: CancellationToken) {
    let mut tasks = JoinSet::new();
    let mut running: HashMap<MailboxId, (i64, CancellationToken)> = HashMap::new();
    loop {
        pulse.beat();
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
                        tasks.spawn(keep(works.clone(), mailbox.clone(), stop.clone()));
                        (mailbox.version, stop)
                    });
                }
            }
            Err(e) => works.store_watch.warn("daemon.mailboxes_unread", &e),
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    pulse.rest(Duration::from_secs(60));
    while tasks.join_next().await.is_some() {}
}

/// The rounds over one mailbox, looked after.
async fn keep(works: Works, mailbox: MailboxRow, stop: CancellationToken) {
    let name = format!("mailbox-{}", mailbox.id);
    let make = |pulse: Pulse, stop| rounds(works.with_pulse(pulse.clone()), mailbox.clone(), pulse, stop);
    works.tasks.keep(&name, stop, make).await;
}

/// Round after round. A round that is under way at the stop is dropped.
async fn rounds(works: Works, mailbox: MailboxRow, pulse: Pulse, stop: CancellationToken) {
    let mut failures = 0;
    while !stop.is_cancelled() {
        pulse.rest(LONGEST_BATCH);
        let polled = tokio::select! {
            // Dropping a round in mid-flight is safe at any await: it is what a crash would do.
            () = stop.cancelled() => return,
            polled = works.poll(&mailbox) => polled,
        };
        let pause = match polled {
            Ok(report) => {
                failures = 0;
                if report.fates.total() > 0 {
                    works.wake.notify_one();
                }
                Duration::from_secs(mailbox.spec.interval_s)
            }
            Err(failure) => {
                works.store_watch.warn("intake.round_failed", &failure);
                failures += 1;
                failure.pause(failures)
            }
        };
        pulse.rest(pause);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
