//! What a decision asks the store. Each look-up sees what was born at `as_of` or before, so that a decision can be made
//! again later without seeing the message itself or what came after it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};

use sqlx::Row;
use sqlx::any::AnyRow;

use super::ticket::TicketRow;
use super::tx::BindKey;
use super::{Error, Tx};
use crate::mail::subject::TagLine;
use crate::mail::{Address, MessageId};
use crate::ticket::{ArrivalId, ContactId, EventNumber, LogEntryId, OutboxId, Status, TicketId, TypeId};
use crate::triage::Act;
use crate::triage::clues::{Copy, OurMail, TagVerdict, TicketClue};

/// Copies that are looked at; a mail that comes more often than this is the same mail all the same.
const MAX_COPIES: i64 = 20;

impl Tx {
    /// Earlier copies of a mail (B10), oldest first. One that was decided anew (`error retry`) was an error until then.
    pub async fn copies_of(
        &mut self,
        key: &[u8],
        digest: &[u8],
        this: ArrivalId,
        as_of: EventNumber,
    ) -> Result<Vec<Copy>, Error> {
        let query = sqlx::query(
            "SELECT a.id, a.digest, CASE WHEN j.number <= $3 THEN j.act ELSE 'error' END, \
             CASE WHEN j.number <= $3 THEN j.ticket_id END, CASE WHEN j.number <= $3 THEN j.log_entry_id END, \
             j.settled_number FROM arrival a LEFT JOIN journal j ON j.arrival_id = a.id \
             LEFT JOIN error_ticket e ON e.arrival_id = a.id AND e.code = 'unreadable' \
             WHERE a.mail_key = $1 AND a.id <> $2 AND (j.number <= $3 OR e.number <= $3) \
             ORDER BY coalesce(e.number, j.number) LIMIT $4",
        );
        let rows = self.rows(query.bind(key).bind(this.0).bind(as_of.0).bind(MAX_COPIES)).await?;
        rows.iter().map(|row| copy_of(row, digest, as_of)).collect()
    }

    /// Mails of ours, and whom each was sent to.
    pub async fn our_mails(
        &mut self,
        ids: &[OutboxId],
        as_of: EventNumber,
    ) -> Result<HashMap<OutboxId, OurMail>, Error> {
        let text = "SELECT o.id, o.message_id, o.ticket_id, o.log_entry_id, o.purpose, r.address FROM outbox o \
                    LEFT JOIN outbox_recipient r ON r.outbox_id = o.id WHERE o.number <= $1 AND o.id IN ({})";
        let mut found: HashMap<OutboxId, OurMail> = HashMap::new();
        for row in self.rows_about(text, as_of, ids, (1, |query, id| query.bind(id.0))).await? {
            let id = OutboxId(row.try_get(0)?);
            let mail = match found.entry(id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(our_mail_of(id, &row)?),
            };
            let recipient: Option<String> = row.try_get(5)?;
            mail.recipients.extend(recipient.as_deref().and_then(Address::parse));
        }
        for mail in found.values_mut() {
            // Not the engine's order, which goes by the locale: stored clues are the same everywhere.
            mail.recipients.sort_by(|a, b| a.as_str().cmp(b.as_str()));
            mail.recipients.dedup();
        }
        Ok(found)
    }

    /// Whether tag lines hold: ticket and entry agree, and the word is one that the ticket has or had. In their order.
    pub async fn tag_verdicts(
        &mut self,
        tags: &[&TagLine],
        as_of: EventNumber,
    ) -> Result<Vec<TagVerdict>, Error> {
        let text = "SELECT column1, (SELECT count(*) FROM log_entry e WHERE e.id = column3 AND e.ticket_id = t.id \
                    AND e.number <= $1), h.tag FROM ({}) AS asked JOIN ticket t ON t.id = column2 AND t.number <= $1 \
                    LEFT JOIN tag_history h ON h.ticket_id = t.id AND h.number <= $1";
        let asked: Vec<(i64, &TagLine)> = (0..).zip(tags.iter().copied()).collect();
        let bind: BindKey<(i64, &TagLine)> =
            |query, (nth, tag)| query.bind(*nth).bind(tag.ticket.0).bind(tag.log_entry.0);
        let mut verdicts = vec![TagVerdict::NoSuchTicket; tags.len()];
        for row in self.rows_about(text, as_of, &asked, (3, bind)).await? {
            let nth = row.try_get::<i64, _>(0)? as usize;
            let word: Option<String> = row.try_get(2)?;
            // Compared here: SQLite's lower() knows ASCII only, PostgreSQL's what the database's locale knows.
            let is_its_word = word.is_some_and(|w| w.to_lowercase() == tags[nth].word.to_lowercase());
            verdicts[nth] = match (row.try_get::<i64, _>(1)?, verdicts[nth]) {
                (0, _) => TagVerdict::OtherEntry,
                (_, TagVerdict::Holds) => TagVerdict::Holds,
                _ if is_its_word => TagVerdict::Holds,
                _ => TagVerdict::OtherWord,
            };
        }
        Ok(verdicts)
    }

    /// The ticket that came to have a tag of the system before this one.
    pub async fn ticket_of_predecessor(
        &mut self,
        tag: &str,
        as_of: EventNumber,
    ) -> Result<Option<TicketId>, Error> {
        // `+ 0`: by the tag, not along the tickets until one bears it.
        let query = sqlx::query("SELECT min(ticket_id + 0) FROM tag_history WHERE tag = $1 AND number <= $2");
        let row = self.row(query.bind(tag).bind(as_of.0)).await?;
        Ok(row.try_get::<Option<i64>, _>(0)?.map(TicketId))
    }

    /// Of these keys, those that an arrival bears that was decided.
    pub async fn known_mail_keys(&mut self, keys: &[&[u8]]) -> Result<HashSet<Vec<u8>>, Error> {
        let text = "SELECT mail_key FROM arrival WHERE id > $1 AND mail_key IN ({})";
        let bind: BindKey<&[u8]> = |query, key| query.bind(key.to_vec());
        let rows = self.rows_about(text, EventNumber(0), keys, (1, bind)).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// The entries that bear a Message-ID, by its hash, oldest first.
    pub async fn entries_of_hashes(
        &mut self,
        hashes: &[&[u8]],
        as_of: EventNumber,
    ) -> Result<HashMap<Vec<u8>, Vec<(LogEntryId, TicketId)>>, Error> {
        let text = "SELECT id_hash, id, ticket_id FROM log_entry WHERE number <= $1 AND id_hash IN ({})";
        let bind: BindKey<&[u8]> = |query, hash| query.bind(hash.to_vec());
        let mut found: HashMap<Vec<u8>, Vec<_>> = HashMap::new();
        for row in self.rows_about(text, as_of, hashes, (1, bind)).await? {
            let entry = (LogEntryId(row.try_get(1)?), TicketId(row.try_get(2)?));
            found.entry(row.try_get(0)?).or_default().push(entry);
        }
        for entries in found.values_mut() {
            entries.sort_by_key(|(id, _)| id.0);
            entries.dedup();
        }
        Ok(found)
    }

    /// The contacts that addresses belonged to.
    pub async fn contacts_as_of(
        &mut self,
        addresses: &[&Address],
        as_of: EventNumber,
    ) -> Result<HashMap<Address, ContactId>, Error> {
        let text = "SELECT address, contact_id FROM contact_address WHERE number <= $1 AND address IN ({})";
        let bind: BindKey<&Address> = |query, address| query.bind(address.to_string());
        let mut found = HashMap::new();
        for row in self.rows_about(text, as_of, addresses, (1, bind)).await? {
            let address: String = row.try_get(0)?;
            let known = addresses.iter().find(|a| a.as_str() == address);
            found.extend(known.map(|a| (*a).clone()).zip(Some(ContactId(row.try_get(1)?))));
        }
        Ok(found)
    }

    /// Tickets as a decision sees them, merges followed; `None` where one was not yet born. In the order asked.
    pub async fn ticket_clues(
        &mut self,
        asked: &[TicketAsked<'_>],
        as_of: EventNumber,
    ) -> Result<Vec<Option<TicketClue>>, Error> {
        if asked.is_empty() {
            return Ok(vec![]);
        }
        let born = self.tickets_then(asked, as_of).await?;
        let mut then = HashMap::new();
        for ask in asked {
            let Some(resolved) = resolved(ask.ticket, &born, as_of) else { continue };
            if let Entry::Vacant(new) = then.entry(resolved) {
                let mut ticket = TicketThen::of(&born[&resolved]);
                if as_of.0 < self.last_event().await? {
                    self.undo_later_events(resolved, &mut ticket, as_of).await?;
                }
                new.insert(ticket);
            }
        }
        let belonging: Vec<Option<Belonging<'_>>> = asked
            .iter()
            .map(|ask| {
                let resolved = resolved(ask.ticket, &born, as_of)?;
                Some(Belonging { ticket: resolved, assignee: then[&resolved].assignee, ask })
            })
            .collect();
        let members = self.memberships(&belonging, as_of).await?;
        let clue = |(nth, belonging): (usize, &Option<Belonging<'_>>)| {
            let Belonging { ticket: resolved, ask, .. } = belonging.as_ref()?;
            let ticket = &then[resolved];
            Some(TicketClue {
                id: ask.ticket,
                resolved: *resolved,
                type_id: ticket.type_id,
                status: ticket.status,
                is_deleted: ticket.is_deleted,
                sender_is: members.get(&nth).cloned(),
            })
        };
        Ok(belonging.iter().enumerate().map(clue).collect())
    }

    /// The tickets asked for and those that they were merged into, as they stand now, if they were born then.
    async fn tickets_then(
        &mut self,
        asked: &[TicketAsked<'_>],
        as_of: EventNumber,
    ) -> Result<HashMap<TicketId, TicketRow>, Error> {
        let mut born: HashMap<TicketId, TicketRow> = HashMap::new();
        let mut wanted: BTreeSet<TicketId> = asked.iter().map(|a| a.ticket).collect();
        while !wanted.is_empty() {
            let ids: Vec<TicketId> = std::mem::take(&mut wanted).into_iter().collect();
            for ticket in self.tickets_ahead(&ids).await? {
                if ticket.number <= as_of {
                    wanted.extend(ticket.merged_into.filter(|target| !born.contains_key(target)));
                    born.insert(ticket.id, ticket);
                }
            }
            wanted.retain(|id| !born.contains_key(id));
        }
        Ok(born)
    }

    async fn last_event(&mut self) -> Result<i64, Error> {
        match self.last_drawn(super::Counter::Event) {
            0 => Ok(self
                .row(sqlx::query("SELECT value FROM counter WHERE name = 'event'"))
                .await?
                .try_get(0)?),
            last => Ok(last),
        }
    }

    /// Takes back what happened to a ticket after `as_of`, newest first: each event says `old>new`.
    async fn undo_later_events(
        &mut self,
        id: TicketId,
        ticket: &mut TicketThen,
        as_of: EventNumber,
    ) -> Result<(), Error> {
        let query = sqlx::query(
            "SELECT kind, detail FROM ticket_event WHERE ticket_id = $1 AND number > $2 ORDER BY number DESC",
        );
        for row in self.rows(query.bind(id.0).bind(as_of.0)).await? {
            let (kind, detail): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let before = detail.split_once('>').map_or("", |(old, _)| old);
            match kind.as_str() {
                "status_changed" | "reopened" => {
                    ticket.status = Status::parse(before).unwrap_or(ticket.status)
                }
                "type_changed" => ticket.type_id = before.parse().unwrap_or(ticket.type_id),
                "assigned" => ticket.assignee = before.parse().ok(),
                "deleted" => ticket.is_deleted = false,
                "restored" => ticket.is_deleted = true,
                _ => {}
            }
        }
        Ok(())
    }

    /// How senders belong to tickets (B5), by their place in the list.
    async fn memberships(
        &mut self,
        asked: &[Option<Belonging<'_>>],
        as_of: EventNumber,
    ) -> Result<HashMap<usize, String>, Error> {
        let with_sender = asked.iter().enumerate().filter_map(|(nth, belonging)| {
            let belonging = belonging.as_ref()?;
            Some((nth, belonging, belonging.ask.sender?))
        });
        let with_sender: Vec<(usize, &Belonging<'_>, &Address)> = with_sender.collect();
        let text = "SELECT column1, how FROM ({}) AS asked JOIN participant p ON p.ticket_id = column2 \
                    AND p.number <= $1 AND (p.address = column3 OR p.contact_id = column4) \
                    ORDER BY column1, p.number, p.address";
        let bind: BindKey<(usize, &Belonging<'_>, &Address)> = |query, (nth, belonging, sender)| {
            let query = query.bind(*nth as i64).bind(belonging.ticket.0).bind(sender.to_string());
            query.bind(belonging.ask.contact.map(|c| c.0))
        };
        let mut members = HashMap::new();
        for row in self.rows_about(text, as_of, &with_sender, (4, bind)).await? {
            members.entry(row.try_get::<i64, _>(0)? as usize).or_insert(row.try_get(1)?);
        }
        for (nth, belonging, sender) in with_sender {
            let Some(assignee) = belonging.assignee else { continue };
            if let Entry::Vacant(free) = members.entry(nth) {
                let text = "SELECT count(*) FROM account_address WHERE account_id = $1 AND address = $2";
                let query = sqlx::query(text).bind(assignee).bind(sender.as_str());
                if self.row(query).await?.try_get::<i64, _>(0)? > 0 {
                    free.insert("assignee".to_owned());
                }
            }
        }
        Ok(members)
    }
}

/// A ticket that a message names, and who sent the message.
#[derive(Clone, Copy, Debug)]
pub struct TicketAsked<'a> {
    pub ticket: TicketId,
    pub sender: Option<&'a Address>,
    pub contact: Option<ContactId>,
}

/// Whether the sender belongs to this ticket.
struct Belonging<'a> {
    /// The ticket asked for, merges followed.
    ticket: TicketId,
    assignee: Option<i64>,
    ask: &'a TicketAsked<'a>,
}

/// Follows the merges that had happened by then.
fn resolved(id: TicketId, born: &HashMap<TicketId, TicketRow>, as_of: EventNumber) -> Option<TicketId> {
    let mut ticket = born.get(&id)?;
    while let Some(target) = ticket.merged_into.filter(|_| ticket.merged_number <= as_of) {
        ticket = born.get(&target)?;
    }
    Some(ticket.id)
}

fn our_mail_of(outbox: OutboxId, row: &AnyRow) -> Result<OurMail, Error> {
    let (message_id, purpose): (String, String) = (row.try_get(1)?, row.try_get(4)?);
    Ok(OurMail {
        outbox,
        message_id: MessageId::parse(&message_id)
            .ok_or_else(|| Error::Corrupt(format!("Message-ID of outbox {outbox}")))?,
        ticket: row.try_get::<Option<i64>, _>(2)?.map(TicketId),
        log_entry: row.try_get::<Option<i64>, _>(3)?.map(LogEntryId),
        recipients: vec![],
        is_to_team: !matches!(purpose.as_str(), "answer" | "auto_answer"),
    })
}

/// What of a ticket can change.
struct TicketThen {
    type_id: TypeId,
    status: Status,
    is_deleted: bool,
    assignee: Option<i64>,
}

impl TicketThen {
    fn of(row: &TicketRow) -> TicketThen {
        TicketThen {
            type_id: row.type_id,
            status: row.status,
            is_deleted: row.is_deleted,
            assignee: row.assignee.map(|a| a.0),
        }
    }
}

fn copy_of(row: &AnyRow, digest: &[u8], as_of: EventNumber) -> Result<Copy, Error> {
    let act: String = row.try_get(2)?;
    let is_settled_later = row.try_get::<Option<i64>, _>(5)?.is_some_and(|n| n > as_of.0);
    let ticket = if is_settled_later { None } else { row.try_get::<Option<i64>, _>(3)? };
    let log_entry = if is_settled_later { None } else { row.try_get::<Option<i64>, _>(4)? };
    Ok(Copy {
        arrival: ArrivalId(row.try_get(0)?),
        ticket: ticket.map(TicketId),
        log_entry: log_entry.map(LogEntryId),
        act: Act::parse(&act).ok_or_else(|| Error::Corrupt(format!("journal act {act:?}")))?,
        is_same_body: row.try_get::<Vec<u8>, _>(1)? == digest,
    })
}
