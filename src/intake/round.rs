//! One round over one mailbox: list, fetch what is new, keep, decide, acknowledge, balance.
//!
//! New mail is what the source lists less what `arrival` knows: never a flag, a date or a high-water mark.

use std::collections::HashMap;

use super::Intake;
use super::acknowledge::{LetGo, Owed};
use super::admit::{Admission, Opened};
use super::balance::Balance;
use super::decide::{Fates, STORED_BATCH};
use super::keep::{Keeping, Kept};
use super::leave::{Left, Why};
use super::share::Share;
use super::source::{Bytes, Fetched, Handled, Item, Listing, SPOOL_FROM, SessionLimit, Source};
use crate::config;
use crate::crash;
use crate::failure::{Failure, Kind};
use crate::store::MailboxRow;
use crate::store::arrival::{ArrivalState, Known, Of, Place};
use crate::ticket::ArrivalId;

/// Messages in one batch, however small they are.
const BATCH_MESSAGES: usize = 200;
/// Of a message that is too big, the headers that are kept.
const HEADERS_LIMIT: usize = 64 << 10;
/// Rounds in which a server may refuse to give a message, before that is an error ticket.
const REFUSALS: i64 = 5;
/// Memory counts a spooled message as this much.
const SPOOLED_COST: u64 = SPOOL_FROM;

/// What a round did.
#[derive(Clone, Debug, Default)]
pub struct RoundReport {
    pub listed: u64,
    pub fetched: u64,
    pub vanished: u64,
    pub left: u64,
    pub acknowledged: u64,
    /// Lay there before the start, and stays there.
    pub before_start: u64,
    /// Most of a folder is suddenly unknown: the mailbox waits for a person.
    pub is_held: bool,
    pub fates: Fates,
    pub balance: Balance,
    /// The session had its fill, and another one is to go on.
    pub is_cut: bool,
    /// There was no room for more, or the mailbox is wanted elsewhere: what is left at the source is taken in later.
    pub is_cut_short: bool,
}

impl RoundReport {
    /// What a further session of the same round did.
    pub fn add(&mut self, session: RoundReport) {
        // Each session lists what is still there, so the first one listed most.
        self.listed = self.listed.max(session.listed);
        self.fetched += session.fetched;
        self.vanished += session.vanished;
        self.left += session.left;
        self.acknowledged += session.acknowledged;
        self.before_start += session.before_start;
        self.is_held |= session.is_held;
        self.fates.merge(&session.fates);
        self.balance = session.balance;
        self.is_cut = session.is_cut;
        self.is_cut_short |= session.is_cut_short;
    }
}

/// What to do with the messages of a listing.
#[derive(Default)]
pub(super) struct Work {
    /// Not known under this identity; `admit` says what becomes of them.
    pub unknown: Vec<Item>,
    new: Vec<Item>,
    /// Known under this identity with another announced size, or let go before by a source that may have given the
    /// identity to another message: the bytes decide.
    resized: Vec<(Item, Known)>,
    /// With the arrival that it has already, where it had vanished.
    too_big: Vec<(Item, Option<ArrivalId>)>,
    /// Left at the source before, and wanted now: the limit was raised, or an admin asked for it. Or it had vanished, and is
    /// there again.
    wanted: Vec<(Item, Known)>,
    /// Decided in shadow, and still there now that the mailbox is live.
    shadows: Vec<(Item, Known)>,
}

impl Work {
    /// Leaves to another session what is more than this one may take, beside what it owes. Whether anything was left.
    fn cut(&mut self, limit: SessionLimit, owed: usize) -> bool {
        let mut messages = limit.messages.saturating_sub(owed);
        let mut bytes = limit.bytes;
        let mut is_cut = false;
        let mut fits = |item: &Item| {
            let fits = messages > 0 && bytes > 0;
            messages = messages.saturating_sub(1);
            bytes = bytes.saturating_sub(item.size);
            is_cut |= !fits;
            fits
        };
        self.wanted.retain(|(item, _)| fits(item));
        self.resized.retain(|(item, _)| fits(item));
        self.new.retain(&mut fits);
        is_cut
    }
}

impl Intake {
    /// One round, of one session. Any failure ends it; what was kept by then is decided in the next one.
    pub async fn round<S: Source>(
        &self,
        mailbox: &MailboxRow,
        mut source: S,
    ) -> Result<RoundReport, Failure> {
        let Ended { mut report, refused, at_close } = self.round_on(mailbox, &mut source).await?;
        if !at_close.is_empty() {
            // Dropped without a word, it deletes nothing.
            self.desk.store.require_lease().await?;
        }
        source.close().await?;
        crash::point("ack.after_close");
        report.acknowledged += at_close.len() as u64;
        self.confirm(&at_close, "").await?;
        report.balance = self.check_balance(mailbox).await?;
        refused.map_or(Ok(report), Err)
    }

    /// One round on a session that stays open, of a source that confirms at once.
    pub async fn open_round<S: Source>(
        &self,
        mailbox: &MailboxRow,
        source: &mut S,
    ) -> Result<RoundReport, Failure> {
        let Ended { mut report, refused, .. } = self.round_on(mailbox, source).await?;
        report.balance = self.check_balance(mailbox).await?;
        refused.map_or(Ok(report), Err)
    }

    async fn round_on<S: Source>(&self, mailbox: &MailboxRow, source: &mut S) -> Result<Ended, Failure> {
        let mut report = RoundReport {
            fates: Box::pin(self.decide_pending(Of::Mailbox(mailbox.id), false)).await?,
            ..RoundReport::default()
        };
        let owing = ArrivalState::AckPending;
        let left_over = self.desk.store.read().await?.arrivals_in(mailbox.id, owing).await?;
        let folders = source.folders();
        let is_unread = |p: &Place| p.epoch != mailbox.epoch || !folders.contains(&p.folder);
        self.drop_stale(&left_over, is_unread, "its folder is not read, or in another account").await?;
        let (mut refused, mut at_close, mut not_given) = (None, vec![], None);
        for folder in folders {
            let seen = Seen {
                left_over: &left_over,
                at_close: &mut at_close,
                not_given: &mut not_given,
                report: &mut report,
            };
            match Box::pin(self.folder_round(mailbox, folder, source, seen)).await {
                Ok(()) if report.is_held => break,
                Ok(()) => {}
                // One folder is missing or closed to us: the others are read all the same.
                Err(failure) if source.is_usable() && !failure.kind.is_store_away() => {
                    refused.get_or_insert(failure);
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(Ended { report, refused: refused.or(not_given), at_close })
    }

    async fn folder_round<S: Source>(
        &self,
        mailbox: &MailboxRow,
        folder: String,
        source: &mut S,
        Seen { left_over, at_close, not_given, report }: Seen<'_>,
    ) -> Result<(), Failure> {
        self.desk.store.require_life()?;
        let listing = source.open(&folder).await?;
        report.listed += listing.items.len() as u64;
        let place = Place { mailbox: mailbox.id, epoch: mailbox.epoch, folder, validity: listing.validity };
        let is_renumbered = |p: &Place| p.is_renumbered_by(&place);
        self.drop_stale(left_over, is_renumbered, "the source has renumbered its messages").await?;
        let (is_shadow, handled) = (mailbox.spec.mode == config::Mode::Shadow, handled_of(mailbox));
        let owed = match is_shadow {
            true => vec![],
            false => {
                // Flagged \Deleted by us, perhaps, and not yet expunged. What was to be moved is left to whoever flagged it.
                let half = if handled == Handled::Delete { source.half_removed() } else { &[] };
                let held = listing.items.iter().map(|i| &i.source_id).chain(half).map(String::as_str);
                self.take_up(&place, held, left_over).await?
            }
        };
        let limit = mailbox.spec.size_limit_bytes;
        let mut work = self.sort(&place, &listing, limit, source.may_give_ids_again()).await?;
        let opened = Opened { mailbox, place: &place, listing: &listing };
        match self.admit(opened, &mut work, source).await? {
            Admission::Held => {
                report.is_held = true;
                return Ok(());
            }
            Admission::Goes { before_start } => report.before_start += before_start,
        }
        work.divide(limit, is_shadow);
        report.is_cut |= source.session_limit().is_some_and(|limit| work.cut(limit, owed.len()));
        let mut folder_round = FolderRound {
            intake: self,
            place: &place,
            limit,
            handled,
            owed,
            confirmed: vec![],
            at_close,
            refused: None,
            not_given,
            is_shadow,
            report,
        };
        Box::pin(folder_round.run(source, work)).await?;
        if !is_shadow {
            self.settle_gone(&place, &listing).await?;
        }
        self.settle_admitted(&place).await
    }

    /// A round over a mailbox that an MTA fills: what it has brought is decided. Nobody is to be told.
    pub async fn round_of_pipe(&self, mailbox: &MailboxRow) -> Result<RoundReport, Failure> {
        let fates = Box::pin(self.decide_pending(Of::Mailbox(mailbox.id), false)).await?;
        let balance = self.check_balance(mailbox).await?;
        Ok(RoundReport {
            listed: fates.total(),
            fetched: fates.total(),
            fates,
            balance,
            ..RoundReport::default()
        })
    }

    /// Fetches a batch when there is memory for it.
    async fn fetch<S: Source>(
        &self,
        source: &mut S,
        batch: &[Item],
    ) -> Result<(Vec<Fetched>, Share), Failure> {
        self.desk.store.require_life()?;
        let bytes = batch.iter().map(|item| item.size.min(SPOOLED_COST)).sum();
        self.shares.fetch(bytes, source.fetch(batch)).await
    }

    /// What of a listing is new, resized or too big.
    async fn sort(
        &self,
        place: &Place,
        listing: &Listing,
        limit: u64,
        may_give_ids_again: bool,
    ) -> Result<Work, Failure> {
        let ids: Vec<&str> = listing.items.iter().map(|i| i.source_id.as_str()).collect();
        let known = self.desk.store.read().await?.known_arrivals(place, &ids).await?;
        let asked_for = self.desk.store.read().await?.asked_for().await?;
        let refused = self.desk.store.read().await?.refused().await?;
        let known: HashMap<&str, &Known> = known.iter().map(|k| (k.source_id.as_str(), k)).collect();
        let mut work = Work::default();
        for item in &listing.items {
            match known.get(item.source_id.as_str()) {
                None => work.unknown.push(item.clone()),
                Some(k) if k.state == ArrivalState::Shadow => work.shadows.push((item.clone(), (*k).clone())),
                Some(k) if k.state == ArrivalState::ShadowKept => {}
                Some(k) if k.state == ArrivalState::Refused => work.wanted.push((item.clone(), (*k).clone())),
                Some(k) if k.state == ArrivalState::Vanished => match item.size > limit {
                    true => work.too_big.push((item.clone(), Some(k.id))),
                    false => work.wanted.push((item.clone(), (*k).clone())),
                },
                Some(k) if k.state == ArrivalState::Left => {
                    if item.size <= limit && !refused.contains(&k.id) || asked_for.contains(&k.id) {
                        work.wanted.push((item.clone(), (*k).clone()));
                    }
                }
                Some(k) if k.announced_size != item.size && k.state != ArrivalState::BeforeStart => {
                    work.resized.push((item.clone(), (*k).clone()));
                }
                Some(k) if may_give_ids_again && k.is_acknowledged_once() => {
                    work.resized.push((item.clone(), (*k).clone()));
                }
                Some(_) => {}
            }
        }
        Ok(work)
    }
}

/// How a round ended, before its session does.
struct Ended {
    report: RoundReport,
    /// What the source would not do for one folder, or for one message.
    refused: Option<Failure>,
    /// The source confirms these with its `close`.
    at_close: Vec<ArrivalId>,
}

/// What the folders of a round share.
struct Seen<'a> {
    /// What an earlier life still owes the source.
    left_over: &'a [(Place, Known)],
    /// The source confirms these with its `close`.
    at_close: &'a mut Vec<ArrivalId>,
    not_given: &'a mut Option<Failure>,
    report: &'a mut RoundReport,
}

impl Work {
    /// What was admitted is taken in, or left where it is too big. In shadow mode nothing else is done.
    fn divide(&mut self, limit: u64, is_shadow: bool) {
        if is_shadow {
            *self = Work { unknown: std::mem::take(&mut self.unknown), ..Work::default() };
        }
        for item in std::mem::take(&mut self.unknown) {
            match item.size > limit {
                true => self.too_big.push((item, None)),
                false => self.new.push(item),
            }
        }
    }
}

/// The round over one folder.
struct FolderRound<'a> {
    intake: &'a Intake,
    place: &'a Place,
    limit: u64,
    handled: Handled,
    /// Decided, and the source is still to be told.
    owed: Vec<Owed>,
    /// The source has confirmed; to be written with the next commit.
    confirmed: Vec<ArrivalId>,
    /// The source confirms these with its `close`.
    at_close: &'a mut Vec<ArrivalId>,
    /// The source has refused to let mail go: nothing more is asked of it in this round, but mail is still taken in.
    refused: Option<Failure>,
    /// A message that the source would not give: told at the end of the round, for the others go on.
    not_given: &'a mut Option<Failure>,
    /// The mailbox is in shadow mode.
    is_shadow: bool,
    report: &'a mut RoundReport,
}

impl FolderRound<'_> {
    async fn run<S: Source>(&mut self, source: &mut S, mut work: Work) -> Result<(), Failure> {
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
        if let Bytes::Refused(words) = message.bytes {
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

fn handled_of(mailbox: &MailboxRow) -> Handled {
    match mailbox.spec.handled {
        config::Handled::Delete => Handled::Delete,
        config::Handled::Move => Handled::Move(mailbox.spec.move_to.clone()),
        config::Handled::Seen => Handled::Seen,
    }
}

impl Kept {
    fn id(&self) -> ArrivalId {
        self.pending.id
    }
}

/// Batches bounded by bytes and by count, in order.
pub fn batches(items: Vec<Item>, bytes: u64) -> Vec<Vec<Item>> {
    let mut batches: Vec<Vec<Item>> = vec![];
    let mut weight = 0;
    for item in items {
        let cost = item.size.min(SPOOLED_COST);
        match batches.last_mut() {
            Some(batch) if weight + cost <= bytes && batch.len() < BATCH_MESSAGES => batch.push(item),
            _ => {
                batches.push(vec![item]);
                weight = 0;
            }
        }
        weight += cost;
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_bounded_by_bytes_and_by_count() {
        let item = |n: usize, size| Item { source_id: n.to_string(), size };
        let sizes = |items: Vec<Item>| batches(items, 100).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(vec![]), Vec::<usize>::new());
        assert_eq!(sizes(vec![item(1, 60), item(2, 40), item(3, 1), item(4, 500), item(5, 1)]), [2, 1, 1, 1]);
        assert_eq!(sizes((0..450).map(|n| item(n, 0)).collect()), [200, 200, 50]);
    }

    #[test]
    fn a_session_takes_no_more_than_it_may() {
        let new = |sizes: &[u64]| Work {
            new: sizes.iter().map(|size| Item { source_id: String::new(), size: *size }).collect(),
            ..Work::default()
        };
        let limit = SessionLimit { messages: 3, bytes: 100 };
        for (sizes, owed, taken, is_cut) in [
            (&[1, 1, 1][..], 0, 3, false),
            (&[1, 1, 1, 1], 0, 3, true),
            (&[1, 1], 2, 1, true),
            (&[1], 5, 0, true),
            (&[], 5, 0, false),
            (&[60, 40, 1], 0, 2, true),
            // One that is larger than all of a session may be is taken alone.
            (&[500, 1], 0, 1, true),
        ] {
            let mut work = new(sizes);
            assert_eq!((work.cut(limit, owed), work.new.len()), (is_cut, taken), "{sizes:?}, {owed}");
        }
    }
}
