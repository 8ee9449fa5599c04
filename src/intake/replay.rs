//! A stored message decided again, silently: nothing is written and nothing is sent (M4). `explain --anew` shows it, and
//! `replay` holds what comes out against what was decided.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::Intake;
use super::decide::set_aside;
use super::lookup::{InHand, Sight, look_up};
use crate::failure::Failure;
use crate::mail::{self, Address, MailKeys, Message, Skeleton};
use crate::store::arrival::Pending;
use crate::store::journal::JournalRow;
use crate::store::{Error, Tx};
use crate::ticket::{ArrivalId, EventNumber};
use crate::triage::clues::SenderClue;
use crate::triage::{self, Clues, Code, Decision, Rules, questions};

/// What to decide on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grounds {
    /// The clues that were stored with the decision.
    Stored,
    /// What the store holds, without the message itself and all that came after it.
    AsOfThen,
}

/// A decision made again, under today's rules.
#[derive(Clone, Debug)]
pub struct Again {
    /// What was decided.
    pub row: JournalRow,
    pub message: Message,
    pub clues: Clues,
    pub decision: Decision,
}

impl Intake {
    pub async fn decide_again(&self, arrival: ArrivalId, grounds: Grounds) -> Result<Again, Failure> {
        let mut tx = self.desk.store.read().await?;
        let row = tx.journal_row(arrival).await?;
        let row = row.ok_or_else(|| Error::Missing(format!("decision about arrival {arrival}")))?;
        let stored = stored_clues(&row)?;
        if let Some(code) = undecidable(&row) {
            // What was seen of it is not there to be seen again.
            let decision =
                serde_json::from_str(&row.decision).unwrap_or_else(|_| set_aside(code, "no longer known"));
            return Ok(Again { row, message: Message::default(), clues: stored, decision });
        }
        let pending = tx.arrival(arrival).await?;
        let mut message = mail::parse(&self.desk.store.skeleton(arrival).await?);
        message.add_envelope(&pending.envelope_to);
        let rules = tx.load_rules().await?;
        let clues = match grounds {
            Grounds::Stored => stored,
            Grounds::AsOfThen => {
                self.look_up_again(&mut tx, (&row, &pending), (&message, stored), &rules).await?
            }
        };
        let decision = triage::decide(&message, &rules, &clues);
        Ok(Again { row, message, clues, decision })
    }

    /// As of the decision that the row holds. Neither the scanner nor DNS is asked again: what they said then stands.
    async fn look_up_again(
        &self,
        tx: &mut Tx,
        (row, pending): (&JournalRow, &Pending),
        (message, stored): (&Message, Clues),
        rules: &Rules,
    ) -> Result<Clues, Error> {
        let as_of = EventNumber(row.number.0 - 1);
        let sight = Sight { rules, keys: &self.desk.keys, as_of };
        let in_hand = InHand::again(pending, stored.scan);
        // What was counted then is counted on by now.
        Ok(Clues { pace: stored.pace, ..look_up(tx, message, &in_hand, sight).await? })
    }

    /// Decides the messages of these rows again by `rules`, from their stored clues. What the rules themselves say of a
    /// sender is today's, and where they ask for something else than was asked then, it is looked up as of then.
    pub async fn replay(&self, rows: Vec<JournalRow>, rules: &Arc<Rules>) -> Result<Vec<Replayed>, Failure> {
        let mut unread = Vec::with_capacity(rows.len());
        for row in rows {
            let ready = self.ready(&row).await?;
            unread.push((row, ready));
        }
        let (rules_there, keys) = (rules.clone(), self.desk.keys.clone());
        let work =
            move || unread.into_iter().map(|one| decide_one(one, &rules_there, &keys)).collect::<Vec<_>>();
        let decided = tokio::task::spawn_blocking(work).await;
        let decided = decided.map_err(|e| Failure::temporary("the parser's thread ended").because(e))?;
        let mut tx = self.desk.store.read().await?;
        let mut replayed = Vec::with_capacity(decided.len());
        for one in decided {
            replayed.push(match one {
                Step::Done(done) => *done,
                Step::AsksAnew(asking) => {
                    let Asking { row, pending, message, clues } = *asking;
                    let clues =
                        self.look_up_again(&mut tx, (&row, &pending), (&message, clues), rules).await?;
                    let decision = triage::decide(&message, rules, &clues);
                    held_against(Again { row, message, clues, decision })
                }
            });
        }
        Ok(replayed)
    }

    /// What a message is decided again from; in words why it cannot be.
    async fn ready(&self, row: &JournalRow) -> Result<Result<Ready, String>, Failure> {
        let clues = match stored_clues(row) {
            Ok(clues) => clues,
            Err(e) => return Ok(Err(e.to_string())),
        };
        if undecidable(row).is_some() {
            return Ok(Err(format!("set aside as {}: no rule has looked at it", row.code)));
        }
        let pending = self.desk.store.read().await?.arrival(row.arrival).await?;
        match self.desk.store.skeleton(row.arrival).await {
            Ok(skeleton) => Ok(Ok(Ready { pending, skeleton, clues })),
            Err(e) if e.is_temporary() => Err(e.into()),
            Err(e) => Ok(Err(e.to_string())),
        }
    }
}

/// What came of a message that was to be decided again.
#[derive(Clone, Debug)]
pub enum Replayed {
    /// As it was.
    Same,
    Differs(Box<Differing>),
    /// It is not decided again, for this reason.
    Left(ArrivalId, String),
}

/// A message that would be decided otherwise today.
#[derive(Clone, Debug)]
pub struct Differing {
    pub again: Again,
    pub before: Decision,
    /// `Decision::differs_in`.
    pub in_what: Vec<&'static str>,
}

struct Ready {
    pending: Pending,
    skeleton: Skeleton,
    clues: Clues,
}

enum Step {
    Done(Box<Replayed>),
    /// Today's rules ask for what the stored clues do not answer.
    AsksAnew(Box<Asking>),
}

struct Asking {
    row: JournalRow,
    pending: Pending,
    message: Message,
    clues: Clues,
}

fn decide_one((row, ready): (JournalRow, Result<Ready, String>), rules: &Rules, keys: &MailKeys) -> Step {
    let arrival = row.arrival;
    let left = |words| Step::Done(Box::new(Replayed::Left(arrival, words)));
    let Ready { pending, skeleton, mut clues } = match ready {
        Ok(ready) => ready,
        Err(words) => return left(words),
    };
    let Ok(mut message) = catch_unwind(AssertUnwindSafe(|| mail::parse(&skeleton))) else {
        return left("the parser panicked; its words stand above".into());
    };
    message.add_envelope(&pending.envelope_to);
    if asks_anew(&message, rules, keys, &clues) {
        return Step::AsksAnew(Box::new(Asking { row, pending, message, clues }));
    }
    if let Some(from) = message.from.as_ref().map(|f| &f.address) {
        clues.sender = sender_today(&clues.sender, from, rules);
    }
    let decision = triage::decide(&message, rules, &clues);
    Step::Done(Box::new(held_against(Again { row, message, clues, decision })))
}

fn sender_today(then: &SenderClue, from: &Address, rules: &Rules) -> SenderClue {
    SenderClue {
        contact: then.contact,
        is_team: rules.is_team(from),
        blocked_by: rules.blocked_by(from).map(str::to_owned),
    }
}

/// Whether the questions that rest on rules, or on how a report is read, are others than those that were answered. One
/// that found nothing then looks the same as one that was not asked, and is asked again.
fn asks_anew(message: &Message, rules: &Rules, keys: &MailKeys, clues: &Clues) -> bool {
    let asked = questions(message, rules, keys);
    let tag = asked.tag.as_ref().map(|t| (&t.word, t.ticket, t.log_entry));
    let answered = clues.tag.as_ref().map(|t| (&t.word, t.ticket, t.log_entry));
    let predecessor = clues.predecessor.as_ref().map(|p| &p.tag);
    let is_predecessor_other = match predecessor {
        Some(tag) => !asked.predecessor.contains(tag),
        None => !asked.predecessor.is_empty(),
    };
    let reported = asked.verp.or(asked.original).map(|token| token.outbox);
    tag != answered || is_predecessor_other || reported != clues.reported.as_ref().map(|mail| mail.outbox)
}

fn held_against(again: Again) -> Replayed {
    let before: Decision = match serde_json::from_str(&again.row.decision) {
        Ok(before) => before,
        Err(e) => {
            return Replayed::Left(again.row.arrival, format!("its stored decision cannot be read: {e}"));
        }
    };
    let in_what = before.differs_in(&again.decision);
    match in_what.is_empty() {
        true => Replayed::Same,
        false => Replayed::Differs(Box::new(Differing { again, before, in_what })),
    }
}

/// Set aside without a look into it: not here, or a danger to whoever parses it.
fn undecidable(row: &JournalRow) -> Option<Code> {
    Code::parse(&row.code).filter(|code| matches!(code, Code::TooBig | Code::Refused | Code::Poison))
}

fn stored_clues(row: &JournalRow) -> Result<Clues, Error> {
    if row.clues.is_empty() {
        return Err(Error::Missing(format!("evidence for arrival {}: it was erased", row.arrival)));
    }
    Ok(serde_json::from_str(&row.clues)?)
}
