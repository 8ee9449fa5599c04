//! A supervised task for each mailbox (`mailbox.rs`): they are added, edited, held and taken away while we run.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::bounces::Bounces;
use super::mailbox::Reading;
use super::{Works, pipes};
use crate::clock::Pulse;
use crate::config::Protocol;
use crate::schedule::dice;
use crate::store::MailboxRow;
use crate::ticket::MailboxId;

/// How often the list of mailboxes is read anew.
const LOOK: Duration = Duration::from_secs(2);
/// Mailboxes that are due together begin over so long for each of them, so that 500 do not call at one instant.
const APART: Duration = Duration::from_millis(50);

/// A mailbox that has its task.
struct Running {
    version: i64,
    is_bounce: bool,
    stop: CancellationToken,
    task: Id,
}

/// Keeps one task running for each mailbox that is to be read.
pub(super) async fn run(works: Works, pulse: Pulse, shutdown: CancellationToken) {
    let mut tasks = JoinSet::new();
    let mut running: HashMap<MailboxId, Running> = HashMap::new();
    let bounces = Bounces::default();
    'looks: loop {
        pulse.beat();
        match works.to_read().await {
            Ok(mailboxes) => {
                running.retain(|id, task| {
                    let is_as_it_was = |(m, is_bounce): &(MailboxRow, bool)| {
                        m.id == *id && m.version == task.version && *is_bounce == task.is_bounce
                    };
                    let stays = mailboxes.iter().any(is_as_it_was);
                    if !stays {
                        task.stop.cancel();
                        bounces.forget(*id);
                    }
                    stays
                });
                let window = APART.saturating_mul(u32::try_from(mailboxes.len()).unwrap_or(u32::MAX));
                for (mailbox, is_bounce) in mailboxes {
                    running.entry(mailbox.id).or_insert_with(|| {
                        let (id, version, stop) = (mailbox.id, mailbox.version, shutdown.child_token());
                        if is_bounce {
                            bounces.set_due(id, works.clock.now());
                        }
                        let spread = if is_bounce { Duration::ZERO } else { window.mul_f64(dice(id.0, 0)) };
                        let bounces = (bounces.clone(), is_bounce);
                        let task =
                            tasks.spawn(keep(works.clone(), mailbox, (spread, bounces), stop.clone())).id();
                        Running { version, is_bounce, stop, task }
                    });
                }
            }
            Err(e) if works.store_watch.has_told(&e) => {}
            Err(e) => tracing::warn!("daemon.mailboxes_unread {e}"),
        }
        let mut look = pin!(tokio::time::sleep(LOOK));
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break 'looks,
                () = &mut look => break,
                Some(ended) = tasks.join_next_with_id(), if !tasks.is_empty() => {
                    let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
                    if let Err(e) = ended {
                        tracing::error!("daemon.task_broke_off {e}");
                    }
                    // One that broke off is begun anew with the next look.
                    running.retain(|_, task| task.task != id);
                }
            }
        }
    }
    pulse.rest(Duration::from_secs(60));
    while tasks.join_next().await.is_some() {}
}

/// The rounds over one mailbox, looked after.
async fn keep(
    works: Works,
    mailbox: MailboxRow,
    (spread, bounces): (Duration, (Bounces, bool)),
    stop: CancellationToken,
) {
    let name = format!("mailbox-{}", mailbox.id);
    let make = |pulse: Pulse, stop| {
        let (works, mailbox, bounces) = (works.with_pulse(pulse.clone()), mailbox.clone(), bounces.clone());
        async move {
            match mailbox.spec.protocol {
                Protocol::Pipe => pipes::rounds(works, mailbox, pulse, stop).await,
                _ => Reading::new(works, mailbox, (spread, bounces), (pulse, stop)).run().await,
            }
        }
    };
    works.tasks.keep(&name, stop, make).await;
}
