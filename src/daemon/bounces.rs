//! Bounce mailboxes come first (A6): what is due together with one waits for it, but not for one that hangs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::{Clock, Micros};
use crate::ticket::MailboxId;

/// The others wait so long for a bounce mailbox, counted from when it was due.
const PATIENCE: Duration = Duration::from_secs(30);

/// When each bounce mailbox is due, or was due whose round is under way.
#[derive(Clone, Default)]
pub(super) struct Bounces(Arc<watch::Sender<HashMap<MailboxId, Micros>>>);

impl Bounces {
    pub(super) fn set_due(&self, mailbox: MailboxId, due: Micros) {
        self.0.send_modify(|dues| {
            dues.insert(mailbox, due);
        });
    }

    pub(super) fn forget(&self, mailbox: MailboxId) {
        self.0.send_modify(|dues| {
            dues.remove(&mailbox);
        });
    }

    /// Waits until no bounce mailbox that was due by then is still to be read.
    pub(super) async fn wait(&self, due: Micros, clock: &Clock) {
        let mut changes = self.0.subscribe();
        loop {
            let now = clock.now();
            let with_us = changes
                .borrow_and_update()
                .values()
                .filter(|d| d.0 <= due.0)
                .map(|d| d.plus(PATIENCE))
                .max_by_key(|d| d.0);
            let Some(end) = with_us.filter(|end| end.0 > now.0) else { return };
            let left = Duration::from_micros((end.0 - now.0).unsigned_abs()).min(PATIENCE);
            tokio::select! {
                // The sender lives as long as we do.
                _ = changes.changed() => {}
                () = tokio::time::sleep(left) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn at(seconds: i64) -> Micros {
        Micros::from_seconds(1_795_348_800 + seconds)
    }

    #[tokio::test]
    async fn what_is_due_with_a_bounce_mailbox_waits_for_it_at_most_30_seconds() {
        let (bounces, clock) = (Bounces::default(), Clock::fixed(at(0)));
        let waits = |due: Micros| bounces.wait(due, &clock).now_or_never().is_none();
        assert!(!waits(at(0)), "there is none");
        bounces.set_due(MailboxId(1), at(0));
        bounces.set_due(MailboxId(2), at(5));
        assert!(!waits(at(-1)), "due before it");
        assert!(waits(at(0)) && waits(at(7)));
        bounces.set_due(MailboxId(1), at(600));
        assert!(!waits(at(0)) && waits(at(5)), "the second is still to be read");
        clock.set(at(34));
        assert!(waits(at(34)));
        clock.set(at(35));
        assert!(!waits(at(35)), "it hangs");
        bounces.set_due(MailboxId(2), at(35));
        let waiting = bounces.wait(at(35), &clock);
        let (clock, other) = (clock.clone(), bounces.clone());
        let reading = async move {
            tokio::task::yield_now().await;
            clock.set(at(36));
            other.forget(MailboxId(2));
        };
        let both = async { tokio::join!(waiting, reading) };
        tokio::time::timeout(Duration::from_secs(5), both).await.expect("woken when it is read");
    }
}
