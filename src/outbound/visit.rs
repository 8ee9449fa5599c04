//! One visit to a relay: its due mails, one after the other, over one connection.

use std::collections::HashSet;
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::record::Counts;
use super::reply::Reply;
use super::session::Session;
use super::smtp::{Delivery, Said, Transaction};
use super::{Outbound, RelaySettings, folder};
use crate::config::RelayKind;
use crate::crash;
use crate::failure::Failure;
use crate::store::Error;
use crate::store::delivery::{Attempt, Claimed};
use crate::ticket::OutboxId;

/// Mails that are looked up at once.
const BATCH: i64 = 100;

/// Why a visit ended early.
pub enum Stopped {
    /// Nothing goes through the relay.
    Relay(Failure),
    /// The store does not answer as it should; what was not recorded is found by the next visit.
    Store(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Stopped {
        Stopped::Store(error)
    }
}

pub struct Visit<'a> {
    outbound: &'a Outbound,
    pub session: Option<Session>,
    pub counts: Counts,
    /// The relay has spoken about a mail, so it works.
    pub is_used: bool,
}

/// What became of a mail's transaction, in the words of `Outbound::settle`.
type Settled = (Vec<(String, Said)>, Reply);

impl<'a> Visit<'a> {
    pub fn new(outbound: &'a Outbound) -> Visit<'a> {
        Visit { outbound, session: None, counts: Counts::default(), is_used: false }
    }

    pub async fn send_all(
        &mut self,
        relay: &RelaySettings,
        limit: i64,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        // What was in hand once is not taken up again in this visit, whatever became of it.
        let mut seen: HashSet<OutboxId> = HashSet::new();
        loop {
            let left = limit.saturating_sub(seen.len() as i64);
            let owner = self.outbound.leases.owner();
            let mut tx = self.outbound.store.read().await?;
            // Those that are still due although they were in hand stand in front, and must not fill the batch.
            let batch = BATCH.min(left).saturating_add(seen.len() as i64);
            let due = tx.due(relay.id, self.outbound.sender(&owner), batch).await?;
            drop(tx);
            let fresh: Vec<OutboxId> =
                due.into_iter().filter(|id| !seen.contains(id)).take(BATCH.min(left) as usize).collect();
            if fresh.is_empty() {
                return Ok(());
            }
            for id in fresh {
                if stop.is_cancelled() {
                    return Ok(());
                }
                seen.insert(id);
                self.send(id, relay).await?;
            }
        }
    }

    /// Sends one mail, if it is ours to send.
    async fn send(&mut self, id: OutboxId, relay: &RelaySettings) -> Result<(), Stopped> {
        if relay.kind == RelayKind::Smtp {
            // Before the mail is claimed: a relay that is away is no attempt at this mail.
            self.open_session(relay).await?;
        }
        crash::point("send.before_start");
        let outbound = self.outbound;
        let mut tx = outbound.store.write().await?;
        let Some(mail) = tx.claim(id, outbound.sender(&outbound.leases.owner())).await? else {
            return Ok(());
        };
        if mail.recipients.is_empty() {
            tx.record(&mail, &[], outbound.clock.now()).await?;
            return Ok(tx.commit().await?);
        }
        let attempt = tx.start_attempt(&mail, &relay.name, outbound.clock.now()).await?;
        tx.commit().await?;
        crash::point("send.after_start");
        let (settled, failure) = match relay.kind {
            RelayKind::Smtp => self.over_smtp(&mail, attempt, relay).await,
            RelayKind::Folder => self.write_file(&mail, relay).await,
        };
        let Some(settled) = settled else {
            tracing::warn!(outbox.id = id.0, relay = relay.name, "outbound.mail_taken_over");
            return Ok(());
        };
        crash::point("send.before_outcome");
        let outcomes = outbound.settle(&mail, attempt, relay, settled).await?;
        crash::point("send.after_outcome");
        self.counts.add(&outcomes);
        match failure {
            Some(failure) => Err(Stopped::Relay(failure)),
            None => {
                self.is_used = true;
                Ok(())
            }
        }
    }

    async fn open_session(&mut self, relay: &RelaySettings) -> Result<&mut Session, Stopped> {
        let usable = match self.session.take() {
            Some(session) if !session.is_broken => session,
            _ => Session::open(relay, self.outbound.deadlines).await.map_err(Stopped::Relay)?,
        };
        Ok(self.session.insert(usable))
    }

    /// `None`: the mail belongs to somebody else by now. The failure, if any, is the relay's as a whole.
    async fn over_smtp(
        &mut self,
        mail: &Claimed,
        attempt: Attempt,
        relay: &RelaySettings,
    ) -> (Option<Settled>, Option<Failure>) {
        // A second time where the connection had died of idleness; a new one is never stale.
        for _ in 0..2 {
            let outbound = self.outbound;
            let session = match self.open_session(relay).await {
                Ok(session) => session,
                Err(Stopped::Relay(failure)) => return relay_failed(mail, failure),
                Err(Stopped::Store(error)) => return relay_failed(mail, error.into()),
            };
            let delivery = Delivery::new(&outbound.store, mail, attempt);
            match delivery.run(session).await {
                Transaction::Ended { said, end } => return (Some((said, end)), None),
                Transaction::Lost => return (None, None),
                Transaction::Relay(failure) => return relay_failed(mail, failure),
                Transaction::Stale => session.is_broken = true,
            }
        }
        relay_failed(mail, Failure::temporary("the server closes each connection at the first mail"))
    }

    async fn write_file(
        &mut self,
        mail: &Claimed,
        relay: &RelaySettings,
    ) -> (Option<Settled>, Option<Failure>) {
        match folder::write(&self.outbound.store, Path::new(&relay.host), mail).await {
            Ok(()) => {
                let reply =
                    Reply { code: 250, enhanced: "2.0.0".into(), words: "written to the folder".into() };
                (Some((all(mail, Said::Sent, &reply), reply)), None)
            }
            Err(failure) if failure.is_temporary() => relay_failed(mail, failure),
            // Its bytes are gone: this mail's failure, not the folder's.
            Err(failure) => {
                let reply = Reply::none(failure.to_string());
                (Some((all(mail, Said::Refused, &reply), reply)), None)
            }
        }
    }
}

fn all(mail: &Claimed, said: impl Fn(Reply) -> Said, reply: &Reply) -> Vec<(String, Said)> {
    mail.recipients.iter().map(|r| (r.address.clone(), said(reply.clone()))).collect()
}

/// This mail's recipients wait like all others of the relay.
fn relay_failed(mail: &Claimed, failure: Failure) -> (Option<Settled>, Option<Failure>) {
    let reply = Reply::none(failure.to_string());
    (Some((all(mail, Said::Deferred, &reply), reply)), Some(failure))
}
