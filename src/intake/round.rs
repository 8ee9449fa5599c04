//! One round over one mailbox: list, fetch what is new, keep, decide, acknowledge, balance.
//!
//! New mail is what the source lists less what `arrival` knows: never a flag, a date or a high-water mark.

use std::collections::HashMap;

use super::Intake;
use super::admit::{Admission, Opened};
use super::balance::Balance;
use super::fates::Fates;
use super::folder::FolderRound;
use super::share::Share;
use super::source::{Fetched, Handled, Item, Listing, Source};
use super::work::{SPOOLED_COST, Work};
use crate::config;
use crate::crash;
use crate::failure::Failure;
use crate::store::MailboxRow;
use crate::store::arrival::{ArrivalState, Known, Of, Place};
use crate::ticket::ArrivalId;

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
    pub(super) async fn fetch<S: Source>(
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

fn handled_of(mailbox: &MailboxRow) -> Handled {
    match mailbox.spec.handled {
        config::Handled::Delete => Handled::Delete,
        config::Handled::Move => Handled::Move(mailbox.spec.move_to.clone()),
        config::Handled::Seen => Handled::Seen,
    }
}
