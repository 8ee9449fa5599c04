//! Which messages of a folder may be taken in at all (M5). Two kinds stay where they are: what lay there when maildesk was
//! told to start from now, known again by its key where the server gives it another number; and mail that is suddenly
//! unknown, of which a person has to say what it is.
//!
//! New mail is told from old by its number, as long as numbers hold. Where the account is another one, or mail that stays
//! there was renumbered, it is told by its age: a burst after a downtime arrived after the last good round; of a restored
//! or moved mailbox most arrived long before that, when it would have been seen.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::Intake;
use super::source::{Item, Listing, Peeked, Source};
use super::work::Work;
use crate::clock::Micros;
use crate::config::{Handled, Start};
use crate::failure::Failure;
use crate::mail::{self, Message};
use crate::store::arrival::{ArrivalState, NewArrival, Place};
use crate::store::journal::MailKey;
use crate::store::{BeforeStart, FolderRow, MailboxRow, Unknown};
use crate::ticket::ArrivalId;

/// Fewer unknown messages are never held back.
const SUSPICIOUS: usize = 20;
/// Mail that arrived so long before the last good round would have been listed by it, whatever the clocks say.
const LEEWAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Messages that are looked at together, and written with one commit.
const PEEKED_TOGETHER: usize = 500;
/// Stands for the number of a message that was put back and whose new one is not known yet.
pub const ADRIFT: i64 = -1;

/// A folder that was opened.
#[derive(Clone, Copy)]
pub(super) struct Opened<'a> {
    pub mailbox: &'a MailboxRow,
    pub place: &'a Place,
    pub listing: &'a Listing,
}

/// What may be done with a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// What is left in `Work::unknown` is taken in.
    Goes {
        before_start: u64,
    },
    Held,
}

impl Intake {
    /// Takes what stays at the source out of `work.unknown`.
    pub(super) async fn admit<S: Source>(
        &self,
        opened: Opened<'_>,
        work: &mut Work,
        source: &mut S,
    ) -> Result<Admission, Failure> {
        let Opened { mailbox, place, listing } = opened;
        let folder = self.desk.store.read().await?.folder(mailbox.id, &place.folder).await?;
        let is_from_now = match &folder {
            None => mailbox.spec.start == Start::Now,
            Some(folder) => folder.unknown == Some(Unknown::Now),
        };
        if is_from_now {
            let stays = std::mem::take(&mut work.unknown);
            self.write_before_start(place, &stays).await?;
            self.fill_keys(place, &listing.items, source).await?;
            return Ok(Admission::Goes { before_start: stays.len() as u64 });
        }
        let Some(folder) = folder else {
            let mut tx = self.desk.store.write().await?;
            tx.set_folder(place, true).await?;
            tx.commit().await?;
            return Ok(Admission::Goes { before_start: 0 });
        };
        if !folder.is_keyed && folder.place == *place {
            self.fill_keys(place, &listing.items, source).await?;
        }
        if work.unknown.is_empty() && folder.place == *place {
            return Ok(Admission::Goes { before_start: 0 });
        }
        let look = self.look(opened, &folder, &work.unknown, source).await?;
        if !look.claimed.is_empty() {
            self.renumber(place, &look.claimed, listing).await?;
            let claimed: HashSet<&str> = look.claimed.iter().map(|(_, id)| id.as_str()).collect();
            work.unknown.retain(|item| !claimed.contains(item.source_id.as_str()));
        }
        if folder.unknown != Some(Unknown::All)
            && may_be_old(mailbox, &folder, place)
            && let Some(suspicion) = self.suspicion(mailbox, &look, listing.items.len(), work).await?
        {
            self.hold(mailbox, place, &suspicion).await?;
            return Ok(Admission::Held);
        }
        if folder.place != *place {
            let mut tx = self.desk.store.write().await?;
            tx.set_folder(place, true).await?;
            tx.commit().await?;
        }
        Ok(Admission::Goes { before_start: 0 })
    }

    /// All of a folder was taken in: what was said of its unknown mail is done.
    pub(super) async fn settle_admitted(&self, place: &Place) -> Result<(), Failure> {
        let folder = self.desk.store.read().await?.folder(place.mailbox, &place.folder).await?;
        if folder.is_some_and(|f| f.unknown == Some(Unknown::All)) {
            let mut tx = self.desk.store.write().await?;
            tx.set_unknown(place, None).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// With one commit, so that what arrives from now on is new whatever happens next. The keys come after it.
    async fn write_before_start(&self, place: &Place, items: &[Item]) -> Result<(), Failure> {
        let now = self.clock.now();
        let rows: Vec<NewArrival> = items
            .iter()
            .map(|item| NewArrival {
                source_id: item.source_id.clone(),
                state: ArrivalState::BeforeStart,
                announced_size: item.size,
                size: 0,
                digest: vec![],
                envelope_to: String::new(),
                received: now,
                is_silent: false,
            })
            .collect();
        let mut tx = self.desk.store.write().await?;
        tx.insert_arrivals(place, &rows, now).await?;
        tx.add_shown(place.mailbox, rows.len() as i64).await?;
        tx.set_folder(place, false).await?;
        tx.set_unknown(place, None).await?;
        tx.commit().await?;
        tracing::info!(mailbox.id = place.mailbox.0, "intake.before_start messages={}", rows.len());
        Ok(())
    }

    /// The keys of what stays there; an earlier round may have been cut off before it had them all.
    async fn fill_keys<S: Source>(
        &self,
        place: &Place,
        items: &[Item],
        source: &mut S,
    ) -> Result<(), Failure> {
        let rows = self.desk.store.read().await?.before_start(place.mailbox, &place.folder).await?;
        let keyless = rows.iter().filter(|row| is_at(row, place) && row.key.is_empty());
        let keyless: HashMap<&str, ArrivalId> = keyless.map(|row| (row.source_id.as_str(), row.id)).collect();
        let items: Vec<Item> =
            items.iter().filter(|item| keyless.contains_key(item.source_id.as_str())).cloned().collect();
        for part in items.chunks(PEEKED_TOGETHER) {
            let peeked = self.peek(part, source).await?;
            let mut tx = self.desk.store.write().await?;
            for one in peeked {
                if let Some(id) = keyless.get(one.source_id.as_str()) {
                    tx.set_key(*id, &one.key, one.received).await?;
                }
            }
            tx.commit().await?;
        }
        let mut tx = self.desk.store.write().await?;
        tx.set_folder(place, true).await?;
        Ok(tx.commit().await?)
    }

    async fn peek<S: Source>(&self, items: &[Item], source: &mut S) -> Result<Vec<Seen>, Failure> {
        let peeked = source.peek(items).await?;
        peeked.into_iter().map(|one| self.seen(one)).collect()
    }

    fn seen(&self, peeked: Peeked) -> Result<Seen, Failure> {
        let unread = |e| Failure::temporary("cannot read a message's headers").because(e);
        let message = mail::parse(&mail::scan(&mut &peeked.headers[..]).map_err(unread)?);
        let key = MailKey::of_headers(&message, &self.desk.keys).key;
        let received = peeked.received.or_else(|| message.delivered()).or(message.date);
        Ok(Seen { source_id: peeked.source_id, key, received, dated: oldest(received, &message) })
    }

    /// Looks at the unknown mail of a folder as far as needed: all of it where numbers have changed, for it may be mail
    /// that stays there; else, where it is most of the folder, at a sample.
    async fn look<S: Source>(
        &self,
        Opened { place, listing, .. }: Opened<'_>,
        folder: &FolderRow,
        unknown: &[Item],
        source: &mut S,
    ) -> Result<Look, Failure> {
        let is_moved = folder.place != *place;
        let adrift = self.adrift(place, listing, is_moved).await?;
        let mut look = Look::default();
        let looked_at: Vec<Item> = match is_moved || !adrift.is_empty() {
            true => unknown.to_vec(),
            false => return Ok(look),
        };
        let mut waiting: HashMap<Vec<u8>, Vec<ArrivalId>> = HashMap::new();
        for row in adrift.into_iter().rev() {
            waiting.entry(row.key).or_default().push(row.id);
        }
        for part in looked_at.chunks(PEEKED_TOGETHER) {
            for seen in self.peek(part, source).await? {
                match waiting.get_mut(&seen.key).and_then(Vec::pop) {
                    Some(id) => look.claimed.push((id, seen.source_id)),
                    None => look.seen.push(seen),
                }
            }
        }
        Ok(look)
    }

    /// What stays there, and is not listed under the number that we have.
    async fn adrift(
        &self,
        place: &Place,
        listing: &Listing,
        is_moved: bool,
    ) -> Result<Vec<BeforeStart>, Failure> {
        let listed: HashSet<&str> = listing.items.iter().map(|item| item.source_id.as_str()).collect();
        let mut tx = self.desk.store.read().await?;
        // Numbers under a validity hold as long as it does; those of POP3 and names of files may change at any time.
        let mut rows = match is_moved || place.validity == 0 {
            true => tx.before_start(place.mailbox, &place.folder).await?,
            false => tx.before_start_at(&Place { validity: ADRIFT, ..place.clone() }).await?,
        };
        rows.retain(|row| {
            let is_here = is_at(row, place) && listed.contains(row.source_id.as_str());
            !is_here && !row.key.is_empty()
        });
        Ok(rows)
    }

    async fn renumber(
        &self,
        place: &Place,
        claimed: &[(ArrivalId, String)],
        listing: &Listing,
    ) -> Result<(), Failure> {
        let sizes: HashMap<&str, u64> =
            listing.items.iter().map(|item| (item.source_id.as_str(), item.size)).collect();
        let mut tx = self.desk.store.write().await?;
        for (id, source_id) in claimed {
            let size = sizes.get(source_id.as_str()).copied().unwrap_or_default();
            tx.renumber_arrival(*id, place, source_id, size).await?;
        }
        tx.commit().await?;
        tracing::info!(
            mailbox.id = place.mailbox.0,
            "intake.before_start_renumbered messages={}",
            claimed.len()
        );
        Ok(())
    }

    /// Whether the unknown mail is old mail that has come back under other numbers, or from elsewhere.
    async fn suspicion(
        &self,
        mailbox: &MailboxRow,
        look: &Look,
        listed: usize,
        work: &Work,
    ) -> Result<Option<Suspicion>, Failure> {
        let unknown = work.unknown.len();
        if look.seen.is_empty() || unknown < SUSPICIOUS || unknown * 2 <= listed {
            return Ok(None);
        }
        let Some(last_ok) = mailbox.last_ok else { return Ok(None) };
        let mut tx = self.desk.store.read().await?;
        let Some(newest) = tx.newest_arrival(mailbox.id).await? else { return Ok(None) };
        let since = Micros(last_ok.min(newest).0 - LEEWAY.as_micros() as i64);
        let is_old = |seen: &&Seen| seen.dated.is_none_or(|at| at < since);
        let old: Vec<&Seen> = look.seen.iter().filter(is_old).collect();
        let keys: Vec<Vec<u8>> = old.iter().map(|seen| seen.key.clone()).collect();
        // Mail that the mailbox has shown under other numbers is no surprise: it is known again once its bytes are here (B10).
        let known = tx.count_known_keys(mailbox.id, &keys).await?;
        let old = old.len() - known.min(old.len());
        let is_suspicious = old >= SUSPICIOUS && old * 2 > listed;
        Ok(is_suspicious.then_some(Suspicion { listed, unknown, old, since }))
    }

    async fn hold(&self, mailbox: &MailboxRow, place: &Place, of: &Suspicion) -> Result<(), Failure> {
        let name = &mailbox.spec.name;
        let words = format!(
            "mailbox {name:?} waits: of {} messages in folder {:?} {} are unknown, and about {} of them arrived before {}, \
             when it was last read. Nothing of them is taken in or touched. Say what they are: `maildesk mailbox resume \
             {name}` takes all of it in, `maildesk mailbox resume {name} --from-now` leaves what lies there where it is",
            of.listed,
            place.folder,
            of.unknown,
            of.old,
            of.since.rfc3339(),
        );
        let mut tx = self.desk.store.write().await?;
        tx.set_unknown(place, Some(Unknown::Held)).await?;
        tx.hold_mailbox(mailbox.id).await?;
        self.desk.alerts.state_in(&mut tx, &held_alert(mailbox), Some(&words)).await?;
        Ok(tx.commit().await?)
    }
}

/// Whether old mail may lie in a folder without our knowing: in another account, or where handled mail stays and has
/// other numbers now. While its numbers hold, whatever is unknown has come since, whenever it was written.
fn may_be_old(mailbox: &MailboxRow, folder: &FolderRow, place: &Place) -> bool {
    let is_other_account = folder.place.epoch != place.epoch;
    let is_renumbered = folder.place.validity != place.validity;
    is_other_account || is_renumbered && mailbox.spec.handled != Handled::Delete
}

/// The alert that stands while a mailbox is held.
pub fn held_alert(mailbox: &MailboxRow) -> String {
    format!("mailbox:{}:unknown", mailbox.id)
}

/// The earlier of when it arrived and when it says that it was written.
fn oldest(received: Option<Micros>, message: &Message) -> Option<Micros> {
    received.into_iter().chain(message.date).min()
}

fn is_at(row: &BeforeStart, place: &Place) -> bool {
    row.epoch == place.epoch && row.validity == place.validity
}

/// A message that was looked at.
struct Seen {
    source_id: String,
    key: Vec<u8>,
    received: Option<Micros>,
    /// The older of arrival and Date.
    dated: Option<Micros>,
}

/// What a look at the unknown mail of a folder showed.
#[derive(Default)]
struct Look {
    /// What stays there, and its new number.
    claimed: Vec<(ArrivalId, String)>,
    /// The others.
    seen: Vec<Seen>,
}

struct Suspicion {
    listed: usize,
    unknown: usize,
    old: usize,
    since: Micros,
}
