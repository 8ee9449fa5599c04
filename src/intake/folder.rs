//! The round over one folder: what is new is fetched, kept and decided, and what is decided let go.

use super::Intake;
use super::acknowledge::{LetGo, Owed};
use super::decide::STORED_BATCH;
use super::keep::{Keeping, Kept};
use super::leave::{Left, Why};
use super::round::RoundReport;
use super::source::{Bytes, Fetched, Handled, Item, Source};
use super::work::{Work, batches};
use crate::failure::{Failure, Kind};
use crate::store::arrival::{ArrivalState, Known, Place};
use crate::ticket::ArrivalId;

/// Of a message that is too big, the headers that are kept.
const HEADERS_LIMIT: usize = 64 << 10;
/// Rounds in which a server may refuse to give a message, before that is an error ticket.
const REFUSALS: i64 = 5;

/// The round over one folder.
pub(super) struct FolderRound<'a> {
    pub intake: &'a Intake,
    pub place: &'a Place,
    pub limit: u64,
    pub handled: Handled,
    /// Decided, and the source is still to be told.
    pub owed: Vec<Owed>,
    /// The source has confirmed; to be written with the next commit.
    pub confirmed: Vec<ArrivalId>,
    /// The source confirms these with its `close`.
    pub at_close: &'a mut Vec<ArrivalId>,
    /// The source has refused to let mail go: nothing more is asked of it in this round, but mail is still taken in.
    pub refused: Option<Failure>,
    /// A message that the source would not give: told at the end of the round, for the others go on.
    pub not_given: &'a mut Option<Failure>,
    /// The mailbox is in shadow mode.
    pub is_shadow: bool,
    pub report: &'a mut RoundReport,
}

impl FolderRound<'_> {
    pub async fn run<S: Source>(&mut self, source: &mut S, mut work: Work) -> Result<(), Failure> {
        // Older than what is new: a reply finds its parent.
        Box::pin(self.out_of_shadow(&mut work)).await?;
        for (item, known) in &work.too_big {
            if self.has_room() {
                Box::pin(self.leave(source, item, *known)).await?;
            }
        }
        for (item, known) in &work.wanted {
            if self.has_room() {
                self.intake.pulse.progress();
                Box::pin(self.take_in_left(source, item, known)).await?;
            }
        }
        let (new, resized) = if self.has_room() { (work.new, work.resized) } else { (vec![], vec![]) };
        let new = new.into_iter().chain(self.renumbered(source, resized).await?);
        let mut batches = batches(new.collect(), self.intake.settings.batch_bytes).into_iter();
        let mut in_hand = match batches.next() {
            Some(first) => Some(self.intake.fetch(source, &first).await?),
            None => None,
        };
        // The next batch is on the wire while this one is decided; the source is told of the last one in between.
        while let Some((fetched, share)) = in_hand {
            if !self.has_room() {
                break;
            }
            self.intake.pulse.progress();
            let next = batches.next();
            let owed = std::mem::take(&mut self.owed);
            let confirmed = std::mem::take(&mut self.confirmed);
            let (intake, handled, mut refused) = (self.intake, self.handled.clone(), self.refused.take());
            let on_the_wire = async {
                let told = acknowledge(intake, source, (&owed, &handled), &mut refused).await?;
                let fetched = match &next {
                    Some(batch) => Some(intake.fetch(source, batch).await?),
                    None => None,
                };
                Ok::<_, Failure>((told, fetched))
            };
            let deciding = async {
                let decided = Box::pin(self.take_in(fetched, &confirmed)).await;
                drop(share);
                decided
            };
            let (wire, decided) = tokio::join!(on_the_wire, deciding);
            self.refused = refused;
            self.owed = decided?;
            let (told, next_fetched) = wire?;
            self.note(told);
            in_hand = next_fetched;
        }
        let owed = std::mem::take(&mut self.owed);
        let told = acknowledge(self.intake, source, (&owed, &self.handled), &mut self.refused).await?;
        self.note(told);
        self.intake.confirm(&std::mem::take(&mut self.confirmed), "").await?;
        self.refused.take().map_or(Ok(()), Err)
    }

    fn note(&mut self, told: LetGo) {
        if told.holds_after_close {
            self.at_close.extend(told.arrivals);
        } else {
            self.report.acknowledged += told.arrivals.len() as u64;
            self.confirmed.extend(told.arrivals);
        }
    }

    /// Asked before anything is taken in. Where there is none, or somebody else is to go on, what is in hand is ended in
    /// good order.
    fn has_room(&mut self) -> bool {
        let is_wanted_elsewhere = self.intake.leaving.is_cancelled();
        self.report.is_cut_short |= is_wanted_elsewhere || self.intake.space.shortage().is_some();
        !self.report.is_cut_short
    }

    /// Keeps and decides one batch; gives what the source may let go.
    async fn take_in(
        &mut self,
        fetched: Vec<Fetched>,
        confirmed: &[ArrivalId],
    ) -> Result<Vec<Owed>, Failure> {
        self.report.fetched += fetched.len() as u64;
        let mut source_ids: Vec<String> = Vec::with_capacity(fetched.len());
        source_ids.extend(fetched.iter().filter(|f| has_come(&f.bytes)).map(|f| f.source_id.clone()));
        for message in &fetched {
            if let Bytes::Refused(words) = &message.bytes {
                let item = Item { source_id: message.source_id.clone(), size: message.announced_size };
                self.not_given.get_or_insert(not_given(&item, words));
            }
        }
        let keeping = if self.is_shadow { Keeping::Shadow } else { Keeping::Live };
        let batch = self.intake.keep(self.place, fetched, confirmed, keeping).await?;
        self.report.vanished += batch.vanished as u64;
        let owed =
            batch.kept.iter().zip(source_ids).map(|(kept, source_id)| Owed { arrival: kept.id(), source_id });
        let owed: Vec<Owed> = owed.collect();
        let decided = self.intake.decide(batch.kept, true).await?;
        self.report.fates.merge(&decided.fates);
        if self.is_shadow {
            return Ok(vec![]);
        }
        Ok(owed.into_iter().filter(|o| !decided.is_waiting(o.arrival)).collect())
    }

    /// A message over the size limit stays where it is, and its headers tell of it (B2).
    async fn leave<S: Source>(
        &mut self,
        source: &mut S,
        item: &Item,
        known: Option<ArrivalId>,
    ) -> Result<(), Failure> {
        let Some(headers) = source.fetch_headers(item, HEADERS_LIMIT).await? else { return Ok(()) };
        let big = Left { item, headers, known, why: Why::TooBig };
        if self.is_shadow {
            let fates = self.intake.leave_in_shadow(self.place, &big).await?;
            self.report.fates.merge(&fates);
            return Ok(());
        }
        if let Some(fates) = self.intake.leave(self.place, &big).await? {
            self.report.left += 1;
            self.report.fates.merge(&fates);
        }
        Ok(())
    }

    /// What was decided in shadow and is still there is decided anew, for good (M5).
    async fn out_of_shadow(&mut self, work: &mut Work) -> Result<(), Failure> {
        let shadows = std::mem::take(&mut work.shadows);
        let (mut again, mut other) = (vec![], vec![]);
        for (item, known) in shadows {
            match item.size == known.announced_size {
                // Only its headers are here.
                true if known.digest.is_empty() && item.size > self.limit => {
                    work.too_big.push((item, Some(known.id)));
                }
                true if known.digest.is_empty() => work.wanted.push((item, known)),
                true => again.push(Owed { arrival: known.id, source_id: item.source_id }),
                false => other.push((item, known.id)),
            }
        }
        // Its number is another message's now.
        if !other.is_empty() {
            let mut tx = self.intake.desk.store.write().await?;
            for (_, id) in &other {
                tx.retire_source_id(*id).await?;
            }
            tx.commit().await?;
        }
        for (item, _) in other.into_iter().rev() {
            match item.size > self.limit {
                true => work.too_big.push((item, None)),
                false => work.new.insert(0, item),
            }
        }
        for owed in again.chunks(STORED_BATCH as usize) {
            let decided = self.intake.decide_shadows(owed).await?;
            self.report.fates.merge(&decided.fates);
            let is_decided = |o: &&Owed| !decided.is_waiting(o.arrival);
            self.owed.extend(owed.iter().filter(is_decided).cloned());
        }
        Ok(())
    }

    /// A message that was left at the source is taken in after all.
    async fn take_in_left<S: Source>(
        &mut self,
        source: &mut S,
        item: &Item,
        known: &Known,
    ) -> Result<(), Failure> {
        let fetched = source.fetch(std::slice::from_ref(item)).await?;
        let Some(message) = fetched.into_iter().next() else { return Ok(()) };
        let words = match &message.bytes {
            Bytes::Refused(words) => Some(words.clone()),
            // Nor did it come when it was asked for before; and it is listed all the same.
            Bytes::Gone if matches!(known.state, ArrivalState::Vanished | ArrivalState::Refused) => {
                Some("nothing comes when it is asked for".to_owned())
            }
            _ => None,
        };
        if let Some(words) = words {
            // On the heap: this is seldom, and a round's future is large as it is.
            return Box::pin(self.refuse(source, (item, known), words)).await;
        }
        self.report.fetched += 1;
        let Some(kept) = self.intake.keep_left(known.id, message).await? else { return Ok(()) };
        let decided = self.intake.decide(vec![kept], true).await?;
        self.report.fates.merge(&decided.fates);
        if !decided.is_waiting(known.id) {
            self.owed.push(Owed { arrival: known.id, source_id: item.source_id.clone() });
        }
        Ok(())
    }

    /// The source has once more not given a message. After some rounds it is left there, and nobody asks any more.
    async fn refuse<S: Source>(
        &mut self,
        source: &mut S,
        (item, known): (&Item, &Known),
        words: String,
    ) -> Result<(), Failure> {
        let mut tx = self.intake.desk.store.write().await?;
        let rounds = tx.mark_refused(known.id).await?;
        tx.commit().await?;
        // An admin has asked for one that was left before: it is left again.
        if rounds < REFUSALS - 1 && known.state != ArrivalState::Left {
            self.not_given.get_or_insert(not_given(item, &words));
            return Ok(());
        }
        let headers = match source.fetch_headers(item, HEADERS_LIMIT).await {
            Ok(headers) => headers.unwrap_or_default(),
            // They are refused, too.
            Err(failure) if matches!(failure.kind, Kind::Refused | Kind::NotUnderstood) => vec![],
            Err(failure) => return Err(failure),
        };
        let left = Left { item, headers, known: Some(known.id), why: Why::Refused(words) };
        if let Some(fates) = Box::pin(self.intake.leave(self.place, &left)).await? {
            self.report.left += 1;
            self.report.fates.merge(&fates);
        }
        Ok(())
    }

    /// The source announces another size under a known identity, or lists again what it had let go. The same bytes: the
    /// same message. Others: a new one, which takes over the identity.
    async fn renumbered<S: Source>(
        &mut self,
        source: &mut S,
        resized: Vec<(Item, Known)>,
    ) -> Result<Vec<Item>, Failure> {
        let mut new = vec![];
        for (item, known) in resized {
            let fetched = source.fetch(std::slice::from_ref(&item)).await?;
            let Some(message) = fetched.into_iter().next() else { continue };
            // Gone meanwhile: the next round does not list it.
            let Some(digest) = super::keep::digest(message)? else { continue };
            if digest == known.digest {
                self.same_again(&item, &known, source.may_give_ids_again()).await?;
                continue;
            }
            self.give_up(&known).await?;
            match item.size > self.limit {
                true => self.leave(source, &item, None).await?,
                false => new.push(item),
            }
        }
        Ok(new)
    }

    /// The message is the one that is known. Where its source had confirmed that it let it go, it is told once more; if
    /// that does not help either, the message is left alone.
    async fn same_again(
        &mut self,
        item: &Item,
        known: &Known,
        may_give_ids_again: bool,
    ) -> Result<(), Failure> {
        let mut tx = self.intake.desk.store.write().await?;
        tx.set_announced_size(known.id, item.size).await?;
        if may_give_ids_again && known.is_acknowledged_once() {
            tx.owe_again(known.id, "told twice: the source still had it after it had confirmed").await?;
            self.owed.push(Owed { arrival: known.id, source_id: item.source_id.clone() });
        }
        Ok(tx.commit().await?)
    }

    /// The identity of a known message is another message's now: what is still owed under it must not be carried out.
    async fn give_up(&mut self, known: &Known) -> Result<(), Failure> {
        self.owed.retain(|owed| owed.arrival != known.id);
        let mut tx = self.intake.desk.store.write().await?;
        tx.retire_source_id(known.id).await?;
        let words = "dropped: the source has given its number to another message";
        tx.mark_acknowledged(&[known.id], words, self.intake.clock.now()).await?;
        Ok(tx.commit().await?)
    }
}

/// Tells the source what may go, unless it has refused that before.
async fn acknowledge<S: Source>(
    intake: &Intake,
    source: &mut S,
    (owed, handled): (&[Owed], &Handled),
    refused: &mut Option<Failure>,
) -> Result<LetGo, Failure> {
    let nothing = LetGo { arrivals: vec![], holds_after_close: false };
    if refused.is_some() {
        return Ok(nothing);
    }
    match intake.acknowledge(source, owed, handled).await {
        Err(failure) if source.is_usable() && !failure.kind.is_store_away() => {
            *refused = Some(failure);
            Ok(nothing)
        }
        told => told,
    }
}

fn has_come(bytes: &Bytes) -> bool {
    !matches!(bytes, Bytes::Gone | Bytes::Refused(_))
}

fn not_given(item: &Item, words: &str) -> Failure {
    let Item { source_id, size } = item;
    let words =
        format!("message {source_id} of {size} bytes: the server lists it and will not give it: {words}");
    Failure::temporary(words).kind(Kind::Refused)
}

impl Kept {
    fn id(&self) -> ArrivalId {
        self.pending.id
    }
}
