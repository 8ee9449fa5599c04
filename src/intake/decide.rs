//! Steps 2 to 5: parse, look up, decide, apply. Message by message in order of arrival, inside one transaction for the
//! batch with a savepoint each, so that a reply sees its parent of the same batch.

use std::collections::BTreeMap;
use std::io::BufReader;

use super::Intake;
use super::keep::{Held, Kept};
use super::lookup::{InHand, look_up};
use crate::crash;
use crate::desk::apply::{Applied, Applying};
use crate::failure::Failure;
use crate::mail::{self, Message, Skeleton};
use crate::store::arrival::{NewArrival, Pending, Place};
use crate::store::journal::{Fate, MailKey, NewJournal};
use crate::store::raw::RAW_CHUNK;
use crate::store::{Error, Tx};
use crate::ticket::{ArrivalId, EventNumber, MailboxId};
use crate::triage::{self, Clues, Code, Decision, Rules};

/// What became of messages: act and code, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fates(pub BTreeMap<(&'static str, &'static str), u64>);

impl Fates {
    pub fn count(&mut self, decision: &Decision) {
        *self.0.entry((decision.act.as_str(), decision.code.as_str())).or_default() += 1;
    }

    pub fn merge(&mut self, other: &Fates) {
        for (key, n) in &other.0 {
            *self.0.entry(*key).or_default() += n;
        }
    }

    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

/// What became of a batch.
#[derive(Default)]
pub(super) struct Decided {
    pub fates: Fates,
    /// Not decided yet: the parser died of them, and they have tries left.
    pub waiting: Vec<ArrivalId>,
}

/// Messages that are decided with one commit when they are taken from the store.
const STORED_BATCH: i64 = 50;

/// A message that is kept, and what it says; `None` where the parser died of it.
pub(super) struct Parsed {
    pending: Pending,
    message: Option<Message>,
}

impl Intake {
    /// Decides what is kept and not decided: all of it at start, first thing in a round that of its mailbox. After an
    /// unclean stop the messages go one by one, each marked as in hand before it is parsed, so that a poisonous one is
    /// found out (M10).
    pub async fn decide_pending(&self, of: Option<MailboxId>, one_by_one: bool) -> Result<Fates, Failure> {
        let mut fates = Fates::default();
        if one_by_one {
            let mut tx = self.desk.store.write().await?;
            tx.count_deaths().await?;
            tx.commit().await?;
        }
        loop {
            let limit = if one_by_one { 1 } else { STORED_BATCH };
            let mut tx = self.desk.store.read().await?;
            let pending = tx.pending_arrivals(of, limit).await?;
            drop(tx);
            if pending.is_empty() {
                return Ok(fates);
            }
            if one_by_one {
                let mut tx = self.desk.store.write().await?;
                tx.take_in_hand(pending[0].id).await?;
                tx.commit().await?;
            }
            let kept = pending.into_iter().map(|pending| Kept { pending, bytes: Held::Store }).collect();
            fates.merge(&self.decide(kept, true).await?.fates);
        }
    }

    /// Decides a batch of kept messages. `is_owed`: their source is still to be told.
    pub(super) async fn decide(&self, batch: Vec<Kept>, is_owed: bool) -> Result<Decided, Failure> {
        let parsed = self.parse(batch).await?;
        let mut tx = self.desk.store.desk().await?;
        let rules = tx.load_rules().await?;
        let ids: Vec<ArrivalId> = parsed.iter().map(|p| p.pending.id).collect();
        let still_kept = tx.still_kept(&ids).await?;
        let mut decided = Decided::default();
        for Parsed { pending, message } in parsed {
            // Another round has decided it since it was kept.
            if !still_kept.contains(&pending.id) {
                continue;
            }
            crash::point("decide.before_apply");
            let Some(message) = message else {
                self.set_aside_or_wait(&mut tx, &pending, &rules, &mut decided, is_owed).await?;
                continue;
            };
            tx.savepoint().await?;
            match self.decide_one(&mut tx, &pending, &message, &rules, is_owed).await {
                Ok(decision) => {
                    tx.release_savepoint().await?;
                    decided.fates.count(&decision);
                }
                // The store is in trouble, not the message: nothing of the batch is decided, and none has a try more.
                Err(e @ Error::Unavailable(_)) => return Err(e.into()),
                Err(e) => {
                    tracing::error!(arrival.id = pending.id.0, "intake.apply_failed: {e}");
                    tx.rollback_to_savepoint().await?;
                    self.set_aside_or_wait(&mut tx, &pending, &rules, &mut decided, is_owed).await?;
                }
            }
            crash::point("decide.after_apply");
        }
        crash::point("decide.before_commit");
        tx.commit().await?;
        crash::point("decide.after_commit");
        Ok(decided)
    }

    /// One message: clues, decision, rows.
    async fn decide_one(
        &self,
        tx: &mut Tx,
        pending: &Pending,
        message: &Message,
        rules: &Rules,
        is_owed: bool,
    ) -> Result<Decision, Error> {
        let as_of = EventNumber(tx.last_drawn(crate::store::Counter::Event));
        let number = tx.draw_decision().await?;
        let in_hand =
            InHand { arrival: pending.id, mailbox: pending.mailbox, digest: pending.digest.clone() };
        let clues = look_up(tx, message, &in_hand, rules, &self.desk.keys, as_of).await?;
        let decision = triage::decide(message, rules, &clues);
        self.settle(tx, Settling { pending, message, rules, clues: &clues, number, is_owed }, decision).await
    }

    async fn settle(&self, tx: &mut Tx, it: Settling<'_>, decision: Decision) -> Result<Decision, Error> {
        let key = MailKey::of(it.message, &it.pending.digest, &self.desk.keys);
        let applying = Applying {
            pending: it.pending,
            message: it.message,
            decision: &decision,
            rules: it.rules,
            clues: it.clues,
            key: &key,
            number: it.number,
        };
        let Applied { ticket, log_entry } = self.desk.apply(tx, &applying).await?;
        let clues_json = serde_json::to_string(it.clues)?;
        let journal = NewJournal {
            arrival: it.pending.id,
            number: it.number,
            decision: &decision,
            clues_json: &clues_json,
            fate: Fate { ticket, log_entry },
        };
        tx.insert_journal(&journal, self.clock.now()).await?;
        tx.settle_arrival(it.pending.id, &key, it.is_owed).await?;
        tracing::info!(
            arrival.id = it.pending.id.0,
            ticket.id = ticket.map(|t| t.0),
            "intake.decided act={} code={} message_id={}",
            decision.act.as_str(),
            decision.code.as_str(),
            key.message_id.as_ref().map_or("", |m| m.as_str()),
        );
        Ok(decision)
    }

    /// A message over the size limit: its headers are decided on, its bytes stay at the source (B2).
    pub(super) async fn leave(
        &self,
        place: &Place,
        arrival: NewArrival,
        headers: Vec<u8>,
    ) -> Result<Fates, Failure> {
        let now = self.clock.now();
        let skeleton = mail::scan(&mut &headers[..]).map_err(|e| Failure::temporary("headers").because(e))?;
        let message = mail::parse(&skeleton);
        let mut tx = self.desk.store.desk().await?;
        let rules = tx.load_rules().await?;
        let size = arrival.announced_size;
        let id = tx.insert_arrivals(place, &[arrival], now).await?[0];
        tx.add_shown(place.mailbox, 1).await?;
        let pending = tx.arrival(id).await?;
        let number = tx.draw_decision().await?;
        let clues = Clues { mailbox: Some(place.mailbox), ..Clues::none() };
        let key = MailKey::of(&message, id.0.to_string().as_bytes(), &self.desk.keys);
        let decision = set_aside(Code::TooBig);
        let applying = Applying {
            pending: &pending,
            message: &message,
            decision: &decision,
            rules: &rules,
            clues: &clues,
            key: &key,
            number,
        };
        let words = format!("{size} bytes, over the mailbox's limit; it stays at the source");
        self.desk.keep_error(&mut tx, &applying, &words, &headers).await?;
        let clues_json = serde_json::to_string(&clues).map_err(Error::from)?;
        let fate = Fate::default();
        let journal = NewJournal { arrival: id, number, decision: &decision, clues_json: &clues_json, fate };
        tx.insert_journal(&journal, now).await?;
        let told = format!(
            "a message of {size} bytes from {} is over the limit of its mailbox and stays at the source: \
             `maildesk error list` shows it, `maildesk error fetch` takes it in, `maildesk error discard` removes it",
            message.from.as_ref().map_or("an unknown sender", |f| f.address.as_str())
        );
        self.desk.alerts.state_in(&mut tx, &format!("too_big:{id}"), Some(&told)).await?;
        tx.commit().await?;
        let mut fates = Fates::default();
        fates.count(&decision);
        Ok(fates)
    }

    /// The parser or the desk died of this message: a try more, and after the last one an error ticket with its bytes.
    async fn set_aside_or_wait(
        &self,
        tx: &mut Tx,
        pending: &Pending,
        rules: &Rules,
        decided: &mut Decided,
        is_owed: bool,
    ) -> Result<(), Error> {
        tx.count_try(pending.id).await?;
        if pending.tries + 1 < self.settings.tries {
            decided.waiting.push(pending.id);
            return Ok(());
        }
        let number = tx.draw_decision().await?;
        let message = Message::default();
        let clues = Clues { mailbox: Some(pending.mailbox), ..Clues::none() };
        let settling = Settling { pending, message: &message, rules, clues: &clues, number, is_owed };
        decided.fates.count(&self.settle(tx, settling, set_aside(Code::Poison)).await?);
        Ok(())
    }

    /// Parses on a thread of its own; a panic there costs the message a try, and nothing else.
    async fn parse(&self, batch: Vec<Kept>) -> Result<Vec<Parsed>, Failure> {
        let mut unparsed = Vec::with_capacity(batch.len());
        for kept in batch {
            unparsed.push(match kept.bytes {
                Held::Store => (kept.pending.clone(), Ok(self.desk.store.skeleton(kept.pending.id).await?)),
                held => (kept.pending, Err(held)),
            });
        }
        let tries = self.settings.tries;
        let work = move || unparsed.into_iter().map(|one| parse_one(one, tries)).collect::<Vec<_>>();
        let work = tokio::task::spawn_blocking(work);
        work.await.map_err(|e| Failure::temporary("the parser's thread ended").because(e))
    }
}

/// What is written for one decided message.
struct Settling<'a> {
    pending: &'a Pending,
    message: &'a Message,
    rules: &'a Rules,
    clues: &'a Clues,
    number: EventNumber,
    is_owed: bool,
}

/// An error ticket that no rule had a say in.
fn set_aside(code: Code) -> Decision {
    Decision {
        kind: triage::Kind::Unreadable,
        act: triage::Act::Error,
        code,
        reason: code.words().to_owned(),
        type_id: None,
        ticket: None,
        follows: None,
        original: None,
        supersedes: vec![],
        effects: triage::Effects::default(),
        bounces: vec![],
        trace: vec![],
    }
}

fn parse_one((pending, bytes): (Pending, Result<Skeleton, Held>), tries: i64) -> Parsed {
    if pending.tries >= tries {
        return Parsed { pending, message: None };
    }
    let parse = || {
        let skeleton = match bytes {
            Ok(skeleton) => skeleton,
            Err(Held::Memory(bytes)) => mail::scan(&mut &bytes[..]).ok()?,
            Err(Held::Spool(file)) => mail::scan(&mut BufReader::with_capacity(RAW_CHUNK, file)).ok()?,
            Err(Held::Store) => return None,
        };
        Some(mail::parse(&skeleton))
    };
    let message = std::panic::catch_unwind(std::panic::AssertUnwindSafe(parse)).unwrap_or_default();
    Parsed { pending, message }
}
