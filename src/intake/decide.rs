//! Steps 2 to 5: parse, look up, decide, apply. Message by message in order of arrival, inside one transaction for the
//! batch, so that a reply sees its parent of the same batch.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;

use super::Intake;
use super::fates::{Decided, Fates};
use super::keep::{Held, Kept};
use super::lookup::{Asked, InHand, Sight, Touched, look_up, look_up_all, look_up_asked};
use super::pace::{Paced, Paces};
use super::parsed::Parsed;
use super::scan::{Scanned, ScannedBatch, Scanning};
use super::told::Told;
use crate::crash;
use crate::desk::apply::{Applied, Applying};
use crate::desk::review::too_big_alert;
use crate::failure::Failure;
use crate::mail::Message;
use crate::store::arrival::{Of, Pending};
use crate::store::journal::{Fate, MailKey, NewJournal};
use crate::store::{Counter, Error, Tx};
use crate::ticket::{ArrivalId, EventNumber, MailboxId};
use crate::triage::{self, Clues, Code, Decision, Rules, Step};

/// Messages that are decided with one commit when they are taken from the store.
pub(super) const STORED_BATCH: i64 = 50;
/// Before the first one.
const NONE: ArrivalId = ArrivalId(0);

impl Intake {
    /// Decides what is kept and not decided: at start what nobody else has, first thing in a round that of its mailbox. After an
    /// unclean stop the messages go one by one, each marked as in hand before it is parsed, so that a poisonous one is
    /// found out (M10).
    pub async fn decide_pending(&self, of: Of, one_by_one: bool) -> Result<Fates, Failure> {
        let mut fates = Fates::default();
        let mut last = None;
        if one_by_one {
            let mut tx = self.desk.store.write().await?;
            for id in self.spared.all() {
                tx.let_go_of(id).await?;
            }
            tx.count_deaths(of).await?;
            // What an MTA brings meanwhile is not of an earlier life.
            last = tx.pending_arrivals(of, NONE, i64::MAX).await?.last().map(|pending| pending.id);
            tx.commit().await?;
            self.spared.clear();
        }
        let limit = if one_by_one { 1 } else { STORED_BATCH };
        let mut after = NONE;
        while let Some(mut page) = self.next_pending(of, after, limit).await? {
            // Somebody else is to go on, or nobody: what is kept is decided first thing then.
            if self.leaving.is_cancelled() {
                break;
            }
            if one_by_one && last.is_none_or(|last| page[0].id > last) {
                break;
            }
            let end = page[page.len() - 1].id;
            if self.settings.is_shadow {
                page.retain(|pending| pending.is_shadow);
            }
            let kept = page.into_iter().map(|pending| Kept { pending, bytes: Held::Store }).collect();
            // Before any is in hand: what waits for the scanner has killed nobody.
            let batch = Box::pin(self.scan(kept)).await?;
            let in_hand = batch.scanned.first().map(|one| one.kept.pending.id).filter(|_| one_by_one);
            if let Some(id) = in_hand {
                let mut tx = self.desk.store.write().await?;
                tx.take_in_hand(id).await?;
                tx.commit().await?;
            }
            let decided = match (Box::pin(self.decide_scanned(batch.scanned, true)).await, in_hand) {
                (Err(failure), Some(id)) if failure.kind.is_store_away() => {
                    self.spare(id).await;
                    return Err(failure);
                }
                (decided, _) => decided?,
            };
            fates.merge(&decided.fates);
            // What has tries left has them at once; what waits for the scanner is passed by.
            after = decided.waiting.first().map_or(end, |id| ArrivalId(id.0 - 1));
        }
        Ok(fates)
    }

    /// The store has failed on a message that is in hand, and nobody has died of it: that is no try (M10). Said at once, for
    /// this process may end; and once more before the deaths are counted, for the store may be away.
    async fn spare(&self, id: ArrivalId) {
        self.spared.add(id);
        let let_go = async {
            let mut tx = self.desk.store.write().await?;
            tx.let_go_of(id).await?;
            tx.commit().await
        };
        if let Err(e) = let_go.await {
            tracing::debug!(arrival.id = id.0, "intake.stays_in_hand {e}");
        }
    }

    /// The next messages that are kept and not decided; `None`: there are none, or none can be decided now.
    async fn next_pending(
        &self,
        of: Of,
        after: ArrivalId,
        limit: i64,
    ) -> Result<Option<Vec<Pending>>, Failure> {
        if self.scanning.as_ref().is_some_and(Scanning::holds_all) {
            return Ok(None);
        }
        let page = self.desk.store.read().await?.pending_arrivals(of, after, limit).await?;
        Ok((!page.is_empty()).then_some(page))
    }

    /// Whether a message of this mailbox is kept that could be decided now.
    pub async fn has_pending(&self, of: MailboxId) -> Result<bool, Failure> {
        let is_put_off = |pending: &Pending| self.scanning.as_ref().is_some_and(|s| s.is_put_off(pending.id));
        let mut after = NONE;
        while let Some(page) = self.next_pending(Of::Mailbox(of), after, STORED_BATCH).await? {
            if !page.iter().all(is_put_off) {
                return Ok(true);
            }
            after = page[page.len() - 1].id;
        }
        Ok(false)
    }

    /// Decides a batch of kept messages. `is_owed`: their source is still to be told.
    /// First all together, with few trips to the store; where anything of it fails, one by one, each with a savepoint, so
    /// that the one that fails is found out and the others go on.
    pub(super) async fn decide(&self, batch: Vec<Kept>, is_owed: bool) -> Result<Decided, Failure> {
        // On the heap: a round's future is deep as it is.
        let ScannedBatch { scanned, unscanned } = Box::pin(self.scan(batch)).await?;
        let decided = Box::pin(self.decide_scanned(scanned, is_owed)).await?;
        Ok(Decided { unscanned, ..decided })
    }

    async fn decide_scanned(&self, batch: Vec<Scanned>, is_owed: bool) -> Result<Decided, Failure> {
        // On the heap, as the scan.
        let parsed = Box::pin(self.look_up_senders(self.parse(batch).await?)).await?;
        let (shadows, parsed): (Vec<Parsed>, Vec<Parsed>) =
            parsed.into_iter().partition(|p| p.pending.is_shadow);
        let in_shadow = self.decide_in_shadow(shadows).await?;
        if parsed.is_empty() {
            return Ok(in_shadow);
        }
        let mut decided = self.decide_live(parsed, is_owed).await?;
        decided.fates.merge(&in_shadow.fates);
        Ok(decided)
    }

    async fn decide_live(&self, parsed: Vec<Parsed>, is_owed: bool) -> Result<Decided, Failure> {
        if parsed.iter().all(|p| p.message.is_some()) {
            match caught(self.decide_batch(&parsed, is_owed, Manner::Together)).await {
                Ok(decided) => return Ok(decided),
                Err(e @ (Error::Unavailable(_) | Error::TakenOver(_))) => return Err(e.into()),
                Err(e) => tracing::warn!("intake.batch_taken_apart {e}"),
            }
        }
        Ok(self.decide_batch(&parsed, is_owed, Manner::Apart).await?)
    }

    async fn decide_batch(&self, parsed: &[Parsed], is_owed: bool, manner: Manner) -> Result<Decided, Error> {
        let mut tx = self.desk.store.desk().await?;
        let rules = tx.load_rules().await?;
        let ids: Vec<ArrivalId> = parsed.iter().map(|p| p.pending.id).collect();
        // Another round may have decided some of them since they were kept.
        let still_kept = tx.still_kept(&ids).await?;
        let parsed: Vec<&Parsed> = parsed.iter().filter(|p| still_kept.contains(&p.pending.id)).collect();
        let round = Deciding { rules: &rules, is_owed };
        let mut decided = Decided::default();
        match manner {
            Manner::Together => self.decide_together(&mut tx, round, &parsed, &mut decided).await?,
            Manner::Apart => {
                for one in parsed {
                    crash::point("decide.before_apply");
                    match self.decide_or_set_aside(&mut tx, round, one).await? {
                        Some(settled) => decided.add(settled),
                        None => decided.waiting.push(one.pending.id),
                    }
                    crash::point("decide.after_apply");
                }
            }
        }
        crash::point("decide.before_commit");
        tx.commit().await?;
        crash::point("decide.after_commit");
        self.tell(&decided.told);
        Ok(decided)
    }

    /// Clues are looked up for the whole batch before any of it is written. A message that may have to see something of
    /// the batch itself (its parent, its first copy) asks again.
    async fn decide_together(
        &self,
        tx: &mut Tx,
        round: Deciding<'_>,
        parsed: &[&Parsed],
        decided: &mut Decided,
    ) -> Result<(), Error> {
        let readable = parsed.iter().filter_map(|p| Some((&p.pending, p.message.as_ref()?, InHand::of(p))));
        let readable: Vec<(&Pending, &Message, InHand)> = readable.collect();
        let asked: Vec<Asked> =
            readable.iter().map(|(_, m, hand)| Asked::of(m, hand, round.rules, &self.desk.keys)).collect();
        let as_of = EventNumber(tx.last_drawn(Counter::Event));
        let messages: Vec<(&Asked, &InHand)> =
            asked.iter().zip(&readable).map(|(asked, (_, _, in_hand))| (asked, in_hand)).collect();
        let found = look_up_all(tx, &messages, round.rules, as_of).await?;
        let paced = |((pending, message, _), clues)| Paced { pending, message, clues };
        let paced: Vec<Paced> = readable.iter().map(|(p, m, h)| (*p, *m, h)).zip(&found).map(paced).collect();
        let mut paces = Paces::of(tx, &paced, round.rules, &self.desk.keys).await?;
        let mut touched = Touched::default();
        for ((asked, clues), (pending, message, in_hand)) in asked.iter().zip(found).zip(&readable) {
            crash::point("decide.before_apply");
            let as_of = EventNumber(tx.last_drawn(Counter::Event));
            let mut clues = match touched.concerns(asked, &clues) {
                true => look_up_asked(tx, (asked, in_hand), round.rules, as_of).await?,
                false => Clues { as_of, ..clues },
            };
            clues.pace = paces.pace(tx, Paced { pending, message, clues: &clues }).await?;
            let number = tx.draw_decision().await?;
            let decision = triage::decide(message, round.rules, &clues);
            let settling = Settling { round, pending, message, clues: &clues, number };
            let settled = self.settle(tx, settling, decision).await?;
            paces.add(Paced { pending, message, clues: &clues }, &settled.0);
            touched.add(asked, &settled.1.stands);
            decided.add(settled);
            crash::point("decide.after_apply");
        }
        paces.write(tx, self).await
    }

    /// `None`: it has failed, and has tries left.
    async fn decide_or_set_aside(
        &self,
        tx: &mut Tx,
        round: Deciding<'_>,
        one: &Parsed,
    ) -> Result<Option<(Decision, Told)>, Error> {
        let pending = &one.pending;
        let Some(message) = &one.message else { return self.set_aside_or_wait(tx, round, pending).await };
        tx.savepoint().await?;
        // The release is part of it: writes that waited come out with it, and so does what the engine has against them.
        let ended = caught(async {
            let settled = self.decide_one(tx, round, one, message).await?;
            tx.release_savepoint().await?;
            Ok(settled)
        });
        match ended.await {
            Ok(settled) => Ok(Some(settled)),
            // The store is in trouble, not the message: nothing of the batch is decided, and none has a try more.
            Err(e) if e.is_temporary() => Err(e),
            Err(e) => {
                tracing::error!(arrival.id = pending.id.0, "intake.apply_failed {e}");
                tx.rollback_to_savepoint().await?;
                self.set_aside_or_wait(tx, round, pending).await
            }
        }
    }

    /// One message: clues, decision, rows.
    async fn decide_one(
        &self,
        tx: &mut Tx,
        round: Deciding<'_>,
        one: &Parsed,
        message: &Message,
    ) -> Result<(Decision, Told), Error> {
        let as_of = EventNumber(tx.last_drawn(Counter::Event));
        let (pending, in_hand) = (&one.pending, InHand::of(one));
        let mut clues = look_up(tx, message, &in_hand, self.sight(round, as_of)).await?;
        let paced = Paced { pending, message, clues: &clues };
        let mut paces = Paces::of(tx, &[paced], round.rules, &self.desk.keys).await?;
        clues.pace = paces.pace(tx, paced).await?;
        let number = tx.draw_decision().await?;
        let decision = triage::decide(message, round.rules, &clues);
        let settling = Settling { round, pending, message, clues: &clues, number };
        let settled = self.settle(tx, settling, decision).await?;
        paces.add(Paced { pending, message, clues: &clues }, &settled.0);
        paces.write(tx, self).await?;
        Ok(settled)
    }

    fn sight<'a>(&'a self, round: Deciding<'a>, as_of: EventNumber) -> Sight<'a> {
        Sight { rules: round.rules, keys: &self.desk.keys, as_of }
    }

    async fn settle(
        &self,
        tx: &mut Tx,
        it: Settling<'_>,
        decision: Decision,
    ) -> Result<(Decision, Told), Error> {
        let decision = if it.pending.is_too_big { self.too_big(tx, it.pending).await? } else { decision };
        let key = MailKey::of(it.message, &it.pending.digest, &self.desk.keys);
        let applying = Applying {
            pending: it.pending,
            message: it.message,
            decision: &decision,
            rules: it.round.rules,
            clues: it.clues,
            key: &key,
            number: it.number,
        };
        let applied = self.desk.apply(tx, &applying).await?;
        if it.pending.is_mail_held {
            tx.hold_mail_of(it.number)?;
        }
        let Applied { ticket, log_entry, .. } = applied;
        let clues_json = serde_json::to_string(it.clues)?;
        let journal = NewJournal {
            arrival: it.pending.id,
            number: it.number,
            decision: &decision,
            clues_json: &clues_json,
            fate: Fate { ticket, log_entry },
        };
        tx.insert_journal(&journal, self.clock.now()).await?;
        tx.settle_arrival(it.pending.id, &key, it.round.is_owed).await?;
        let told = Told::new(it.pending, &decision, applied, &key);
        Ok((decision, told))
    }

    /// A message that an MTA has brought, over its mailbox's limit (B2): it has no source to stay at.
    async fn too_big(&self, tx: &mut Tx, pending: &Pending) -> Result<Decision, Error> {
        let told = format!(
            "a message of {} bytes is over the limit of its mailbox and is kept undecided: `maildesk error list` shows it, \
             `maildesk error retry` decides it, `maildesk error discard` lets it go",
            pending.size
        );
        self.desk.alerts.state_in(tx, &too_big_alert(pending.id), Some(&told)).await?;
        let reason = format!("{} bytes, over the mailbox's limit; they are here", pending.size);
        Ok(Decision { reason: reason.clone(), ..set_aside(Code::TooBig, reason) })
    }

    /// The parser or the desk died of this message: a try more, and after the last one an error ticket with its bytes.
    async fn set_aside_or_wait(
        &self,
        tx: &mut Tx,
        round: Deciding<'_>,
        pending: &Pending,
    ) -> Result<Option<(Decision, Told)>, Error> {
        tx.count_try(pending.id).await?;
        if pending.tries + 1 < self.settings.tries {
            return Ok(None);
        }
        let number = tx.draw_decision().await?;
        let message = Message::default();
        let clues = Clues { mailbox: Some(pending.mailbox), ..Clues::none() };
        let settling = Settling { round, pending, message: &message, clues: &clues, number };
        let times = (pending.tries + 1).min(self.settings.tries);
        let saw = format!("failed {times} times: it could not be parsed, or not be written");
        Ok(Some(self.settle(tx, settling, set_aside(Code::Poison, saw)).await?))
    }
}

/// Messages that this process had in hand when the store failed.
#[derive(Clone, Debug, Default)]
pub struct Spared(Arc<Mutex<Vec<ArrivalId>>>);

impl Spared {
    fn ids(&self) -> MutexGuard<'_, Vec<ArrivalId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<ArrivalId> {
        self.ids().clone()
    }

    fn add(&self, id: ArrivalId) {
        self.ids().push(id);
    }

    fn clear(&self) {
        self.ids().clear();
    }
}

/// How a batch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// All or nothing.
    Together,
    /// A savepoint for each message.
    Apart,
}

/// What the messages of a batch share.
#[derive(Clone, Copy)]
struct Deciding<'a> {
    rules: &'a Rules,
    /// Their source is still to be told.
    is_owed: bool,
}

/// What is written for one decided message.
struct Settling<'a> {
    round: Deciding<'a>,
    pending: &'a Pending,
    message: &'a Message,
    clues: &'a Clues,
    number: EventNumber,
}

/// A panic in the midst of it counts as a failure of this one message; what it wrote is rolled back by the caller.
async fn caught<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let ended = AssertUnwindSafe(work).catch_unwind().await;
    ended.unwrap_or_else(|_| Err(Error::Corrupt("the desk panicked; its words stand above".into())))
}

/// An error ticket that no rule of triage had a say in, for what intake saw.
pub(super) fn set_aside(code: Code, saw: impl Into<String>) -> Decision {
    let seen = Step { rule: "set_aside".to_owned(), evidence: saw.into(), verdict: code.as_str().to_owned() };
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
        trust: None,
        trace: vec![seen],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failure_of_the_message() {
        let failed = caught(async { if true { panic!("on purpose") } else { Ok(()) } }).await;
        assert!(matches!(failed, Err(Error::Corrupt(_))));
        assert_eq!(caught(async { Ok(1) }).await.unwrap(), 1);
    }
}
