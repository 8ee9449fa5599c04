//! What relays said, as it is recorded: outcomes of recipients, the end of an attempt, a relay through which nothing goes.

use std::time::Duration;

use super::reply::Reply;
use super::retry;
use super::smtp::Said;
use super::{Outbound, RelaySettings};
use crate::clock::Micros;
use crate::desk::delivery::{self, GivenUp};
use crate::schedule::dice;
use crate::store::delivery::{Attempt, Claimed, Ended, Fate, Outcome, Sender};
use crate::store::{Error, Tx};
use crate::ticket::{OutboxId, RelayId};

/// How often an outcome is brought to a store that is not there, and how long is waited between: an outcome that is
/// lost sends a mail twice.
const RECORD_TRIES: u32 = 5;
const RECORD_PAUSE: Duration = Duration::from_secs(1);

/// Recipients by what became of them, and relays by whether anything goes through them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub sent: u64,
    pub deferred: u64,
    pub failed: u64,
}

impl Counts {
    pub fn add(&mut self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            match outcome.fate {
                Fate::Sent => self.sent += 1,
                Fate::Deferred(_) => self.deferred += 1,
                Fate::Failed => self.failed += 1,
            }
        }
    }
}

impl Outbound {
    /// Records the end of an attempt, and logs each recipient's fate. Nothing, if the mail is ours no more.
    pub(super) async fn settle(
        &self,
        mail: &Claimed,
        attempt: Attempt,
        relay: &RelaySettings,
        (said, end): (Vec<(String, Said)>, Reply),
    ) -> Result<Vec<Outcome>, Error> {
        let now = self.clock.now();
        let outcomes: Vec<Outcome> =
            said.iter().map(|(address, said)| outcome(mail, address, said, now)).collect();
        let ended = Ended {
            attempt,
            is_unknown: said.iter().any(|(_, said)| matches!(said, Said::Unknown(_))),
            code: end.code,
            words: &end.to_string(),
            outcomes: &outcomes,
        };
        let mut tries = 1;
        let is_ours = loop {
            match self.record_end(mail, &ended, now).await {
                Err(e) if e.is_temporary() && tries < RECORD_TRIES => {
                    tries += 1;
                    tokio::time::sleep(RECORD_PAUSE).await;
                }
                recorded => break recorded?,
            }
        };
        if !is_ours {
            tracing::warn!(
                outbox.id = mail.id.0,
                relay = relay.name,
                "outbound.mail_taken_over its outcome is not recorded"
            );
            return Ok(Vec::new());
        }
        for outcome in &outcomes {
            self.tell(mail, outcome, &relay.name, now);
        }
        Ok(outcomes)
    }

    async fn record_end(&self, mail: &Claimed, ended: &Ended<'_>, now: Micros) -> Result<bool, Error> {
        let mut tx = self.begin_for(ended.outcomes).await?;
        if !tx.end_attempt(mail, ended, now).await? {
            return Ok(false);
        }
        tell_failures(&mut tx, mail, ended.outcomes, now).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// A final failure is an event on the ticket, and events are written under the desk lock.
    async fn begin_for(&self, outcomes: &[Outcome]) -> Result<Tx, Error> {
        match outcomes.iter().any(|outcome| outcome.fate == Fate::Failed) {
            true => self.store.desk().await,
            false => self.store.write().await,
        }
    }

    /// Nothing goes through a relay: everything that is due there waits, with the same words. Gives the mails.
    pub(super) async fn defer_relay(&self, relay: RelayId, name: &str, words: &str) -> Result<u64, Error> {
        let now = self.clock.now();
        let owner = self.leases.owner();
        let sender = Sender { owner: &owner, now };
        let given_up = self.give_up_old((relay, name), words, sender).await?;
        let mut tx = self.store.write().await?;
        let next: Vec<(i64, Micros)> = tx
            .tries_due(relay, sender)
            .await?
            .into_iter()
            // One hour for all of them: they will share a connection again.
            .map(|tries| (tries, next_try(OutboxId(relay.0), tries, now)))
            .collect();
        let deferred = tx.defer_relay(relay, sender, &next, words).await?;
        tx.commit().await?;
        Ok(deferred + given_up)
    }

    /// Those that have waited long enough for this relay are given up, one by one: each is told on its ticket.
    async fn give_up_old(
        &self,
        (relay, name): (RelayId, &str),
        words: &str,
        sender: Sender<'_>,
    ) -> Result<u64, Error> {
        let now = sender.now;
        let born = Micros(now.0 - retry::PATIENCE.as_micros() as i64);
        let mut tx = self.store.read().await?;
        let old = tx.old_mails_due(relay, sender, retry::LEAST_TRIES - 1, born).await?;
        drop(tx);
        let mut count = 0;
        for id in old {
            let mut tx = self.store.desk().await?;
            let Some(mail) = tx.claim(id, sender).await? else { continue };
            let deferred = Said::Deferred(Reply::none(words));
            let outcomes: Vec<Outcome> =
                mail.recipients.iter().map(|r| outcome(&mail, &r.address, &deferred, now)).collect();
            if tx.record(&mail, &outcomes, now).await? {
                tell_failures(&mut tx, &mail, &outcomes, now).await?;
                tx.commit().await?;
                outcomes.iter().for_each(|outcome| self.tell(&mail, outcome, name, now));
                count += 1;
            }
        }
        Ok(count)
    }

    fn tell(&self, mail: &Claimed, outcome: &Outcome, relay: &str, now: Micros) {
        self.metrics.attempted(match outcome.fate {
            Fate::Sent => "sent",
            Fate::Deferred(_) => "deferred",
            Fate::Failed => "failed",
        });
        log(mail, outcome, relay, now);
    }
}

async fn tell_failures(tx: &mut Tx, mail: &Claimed, outcomes: &[Outcome], now: Micros) -> Result<(), Error> {
    for outcome in outcomes.iter().filter(|outcome| outcome.fate == Fate::Failed) {
        let given_up = GivenUp {
            outbox: mail.id,
            ticket: mail.ticket,
            log_entry: mail.log_entry,
            recipient: &outcome.address,
            code: outcome.code,
            words: &outcome.words,
        };
        delivery::failed(tx, &given_up, now).await?;
    }
    Ok(())
}

fn next_try(id: OutboxId, tries_before: i64, now: Micros) -> Micros {
    now.plus(retry::delay(tries_before + 1, dice(id.0, tries_before)))
}

fn outcome(mail: &Claimed, address: &str, said: &Said, now: Micros) -> Outcome {
    let before = mail.recipients.iter().find(|r| r.address == address).map_or(0, |r| r.attempts);
    let age = Duration::from_micros(u64::try_from(now.0 - mail.created.0).unwrap_or_default());
    let (fate, reply) = match said {
        Said::Sent(reply) => (Fate::Sent, reply),
        Said::Refused(reply) => (Fate::Failed, reply),
        Said::Deferred(reply) | Said::Unknown(reply) if retry::gives_up(before + 1, age) => {
            (Fate::Failed, reply)
        }
        Said::Deferred(reply) | Said::Unknown(reply) => {
            (Fate::Deferred(next_try(mail.id, before, now)), reply)
        }
    };
    let is_given_up = fate == Fate::Failed && !matches!(said, Said::Refused(_));
    let words = match is_given_up {
        true => format!("given up after {} tries: {}", before + 1, reply.words),
        false => reply.words.clone(),
    };
    Outcome { address: address.to_owned(), fate, code: reply.code, enhanced: reply.enhanced.clone(), words }
}

/// One line for each recipient and attempt, as Postfix writes them.
fn log(mail: &Claimed, outcome: &Outcome, relay: &str, now: Micros) {
    let tries = mail.recipients.iter().find(|r| r.address == outcome.address).map_or(0, |r| r.attempts) + 1;
    let to = outcome.address.as_str();
    let delay_ms = (now.0 - mail.created.0) / 1000;
    let class = match outcome.fate {
        Fate::Sent => "2.0.0",
        Fate::Deferred(_) => "4.0.0",
        Fate::Failed => "5.0.0",
    };
    let dsn = if outcome.enhanced.is_empty() { class } else { outcome.enhanced.as_str() };
    let (code, words) = (outcome.code, outcome.words.as_str());
    match outcome.fate {
        Fate::Sent => {
            tracing::info!(
                outbox.id = mail.id.0,
                to,
                relay,
                attempt = tries,
                delay_ms,
                dsn,
                "outbound.delivered"
            );
        }
        Fate::Deferred(next) => {
            let next = next.rfc3339();
            tracing::info!(
                outbox.id = mail.id.0,
                to,
                relay,
                attempt = tries,
                delay_ms,
                dsn,
                code,
                words,
                next,
                "outbound.deferred"
            );
        }
        Fate::Failed => {
            tracing::info!(
                outbox.id = mail.id.0,
                to,
                relay,
                attempt = tries,
                delay_ms,
                dsn,
                code,
                words,
                "outbound.failed"
            );
        }
    }
}
