//! What a decision asks the store. Each look-up sees what was born at `as_of` or before, so that a decision can be made
//! again later without seeing the message itself or what came after it.

use std::collections::{HashMap, HashSet};

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::tx::placeholders;
use super::{Error, Tx};
use crate::mail::subject::TagLine;
use crate::mail::{Address, MessageId};
use crate::ticket::{ArrivalId, ContactId, EventNumber, LogEntryId, OutboxId, Status, TicketId, TypeId};
use crate::triage::Act;
use crate::triage::clues::{Copy, OurMail, TagVerdict, TicketClue};

/// Copies that are looked at; a mail that comes more often than this is the same mail all the same.
const MAX_COPIES: i64 = 20;
/// Keys in one IN list.
const KEYS_A_QUERY: usize = 200;

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

    /// A mail of ours, and whom it was sent to.
    pub async fn our_mail(&mut self, outbox: OutboxId, as_of: EventNumber) -> Result<Option<OurMail>, Error> {
        let query = sqlx::query(
            "SELECT message_id, ticket_id, log_entry_id, purpose FROM outbox WHERE id = $1 AND number <= $2",
        );
        let Some(row) = self.maybe_row(query.bind(outbox.0).bind(as_of.0)).await? else { return Ok(None) };
        let query = sqlx::query("SELECT address FROM outbox_recipient WHERE outbox_id = $1");
        let recipients = self.rows(query.bind(outbox.0)).await?;
        let mut recipients: Vec<String> =
            recipients.iter().map(|r| r.try_get(0)).collect::<Result<_, _>>()?;
        // Not the engine's order, which goes by the locale: stored clues are the same everywhere.
        recipients.sort();
        let message_id: String = row.try_get(0)?;
        let purpose: String = row.try_get(3)?;
        Ok(Some(OurMail {
            outbox,
            message_id: MessageId::parse(&message_id)
                .ok_or_else(|| Error::Corrupt(format!("Message-ID of outbox {outbox}")))?,
            ticket: row.try_get::<Option<i64>, _>(1)?.map(TicketId),
            log_entry: row.try_get::<Option<i64>, _>(2)?.map(LogEntryId),
            recipients: recipients.iter().filter_map(|a| Address::parse(a)).collect(),
            is_to_team: !matches!(purpose.as_str(), "answer" | "auto_answer"),
        }))
    }

    /// Whether a tag line holds: ticket and entry agree, and the word is one that the ticket has or had.
    pub async fn tag_verdict(&mut self, tag: &TagLine, as_of: EventNumber) -> Result<TagVerdict, Error> {
        let query = sqlx::query(
            "SELECT (SELECT count(*) FROM log_entry e WHERE e.id = $2 AND e.ticket_id = t.id AND e.number <= $3) \
             FROM ticket t WHERE t.id = $1 AND t.number <= $3",
        );
        let query = query.bind(tag.ticket.0).bind(tag.log_entry.0).bind(as_of.0);
        let Some(row) = self.maybe_row(query).await? else { return Ok(TagVerdict::NoSuchTicket) };
        if row.try_get::<i64, _>(0)? == 0 {
            return Ok(TagVerdict::OtherEntry);
        }
        // Compared here: SQLite's lower() knows ASCII only, PostgreSQL's what the database's locale knows.
        let query = sqlx::query("SELECT tag FROM tag_history WHERE ticket_id = $1 AND number <= $2");
        let word = tag.word.to_lowercase();
        for row in self.rows(query.bind(tag.ticket.0).bind(as_of.0)).await? {
            if row.try_get::<String, _>(0)?.to_lowercase() == word {
                return Ok(TagVerdict::Holds);
            }
        }
        Ok(TagVerdict::OtherWord)
    }

    /// The ticket that came to have a tag of the system before this one.
    pub async fn ticket_of_predecessor(
        &mut self,
        tag: &str,
        as_of: EventNumber,
    ) -> Result<Option<TicketId>, Error> {
        let query = sqlx::query("SELECT min(ticket_id) FROM tag_history WHERE tag = $1 AND number <= $2");
        let row = self.row(query.bind(tag).bind(as_of.0)).await?;
        Ok(row.try_get::<Option<i64>, _>(0)?.map(TicketId))
    }

    /// Of these keys, those that an arrival bears that was decided.
    pub async fn known_mail_keys(&mut self, keys: &[&[u8]]) -> Result<HashSet<Vec<u8>>, Error> {
        let mut known = HashSet::new();
        for part in keys.chunks(KEYS_A_QUERY) {
            let sql =
                format!("SELECT mail_key FROM arrival WHERE mail_key IN ({})", placeholders(1, part.len()));
            let query = part.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, key| query.bind(*key));
            for row in self.rows(query).await? {
                known.insert(row.try_get(0)?);
            }
        }
        Ok(known)
    }

    /// The entries that bear a Message-ID, by its hash, oldest first.
    pub async fn entries_of_hashes(
        &mut self,
        hashes: &[&[u8]],
        as_of: EventNumber,
    ) -> Result<HashMap<Vec<u8>, Vec<(LogEntryId, TicketId)>>, Error> {
        let mut found: HashMap<Vec<u8>, Vec<_>> = HashMap::new();
        for part in hashes.chunks(KEYS_A_QUERY) {
            let sql = format!(
                "SELECT id_hash, id, ticket_id FROM log_entry WHERE number <= $1 AND id_hash IN ({}) ORDER BY id",
                placeholders(2, part.len())
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(as_of.0);
            let query = part.iter().fold(query, |query, hash| query.bind(*hash));
            for row in self.rows(query).await? {
                let entry = (LogEntryId(row.try_get(1)?), TicketId(row.try_get(2)?));
                found.entry(row.try_get(0)?).or_default().push(entry);
            }
        }
        Ok(found)
    }

    /// The contacts that addresses belonged to.
    pub async fn contacts_as_of(
        &mut self,
        addresses: &[&Address],
        as_of: EventNumber,
    ) -> Result<HashMap<Address, ContactId>, Error> {
        let mut found = HashMap::new();
        for part in addresses.chunks(KEYS_A_QUERY) {
            let sql = format!(
                "SELECT address, contact_id FROM contact_address WHERE number <= $1 AND address IN ({})",
                placeholders(2, part.len())
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(as_of.0);
            let query = part.iter().fold(query, |query, address| query.bind(address.as_str()));
            for row in self.rows(query).await? {
                let address: String = row.try_get(0)?;
                let known = addresses.iter().find(|a| a.as_str() == address);
                found.extend(known.map(|a| (*a).clone()).zip(Some(ContactId(row.try_get(1)?))));
            }
        }
        Ok(found)
    }

    /// A ticket as a decision sees it, merges followed; `None` where it was not yet born.
    pub async fn ticket_clue(
        &mut self,
        id: TicketId,
        sender: Option<&Address>,
        contact: Option<ContactId>,
        as_of: EventNumber,
    ) -> Result<Option<TicketClue>, Error> {
        let mut resolved = id;
        let mut ticket = loop {
            let query = sqlx::query(
                "SELECT type_id, status, deleted, assignee_id, merged_into, coalesce(merged_number, 0) FROM ticket \
                 WHERE id = $1 AND number <= $2",
            );
            let Some(row) = self.maybe_row(query.bind(resolved.0).bind(as_of.0)).await? else {
                return Ok(None);
            };
            match row.try_get::<Option<i64>, _>(4)? {
                Some(target) if row.try_get::<i64, _>(5)? <= as_of.0 => resolved = TicketId(target),
                _ => break TicketThen::of(&row)?,
            }
        };
        if as_of.0 < self.last_event().await? {
            self.undo_later_events(resolved, &mut ticket, as_of).await?;
        }
        let sender_is = match sender {
            Some(address) => self.membership(resolved, &ticket, (address, contact), as_of).await?,
            None => None,
        };
        Ok(Some(TicketClue {
            id,
            resolved,
            type_id: ticket.type_id,
            status: ticket.status,
            is_deleted: ticket.is_deleted,
            sender_is,
        }))
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

    /// How a sender belongs to a ticket (B5).
    async fn membership(
        &mut self,
        id: TicketId,
        ticket: &TicketThen,
        (address, contact): (&Address, Option<ContactId>),
        as_of: EventNumber,
    ) -> Result<Option<String>, Error> {
        let query = sqlx::query(
            "SELECT how FROM participant WHERE ticket_id = $1 AND number <= $2 AND (address = $3 OR contact_id = $4) \
             ORDER BY number, address LIMIT 1",
        );
        let query = query.bind(id.0).bind(as_of.0).bind(address.as_str()).bind(contact.map(|c| c.0));
        if let Some(row) = self.maybe_row(query).await? {
            return Ok(Some(row.try_get(0)?));
        }
        let Some(assignee) = ticket.assignee else { return Ok(None) };
        let query =
            sqlx::query("SELECT count(*) FROM account_address WHERE account_id = $1 AND address = $2");
        let count: i64 = self.row(query.bind(assignee).bind(address.as_str())).await?.try_get(0)?;
        Ok((count > 0).then(|| "assignee".to_owned()))
    }
}

/// What of a ticket can change.
struct TicketThen {
    type_id: TypeId,
    status: Status,
    is_deleted: bool,
    assignee: Option<i64>,
}

impl TicketThen {
    fn of(row: &AnyRow) -> Result<TicketThen, Error> {
        let status: String = row.try_get(1)?;
        Ok(TicketThen {
            type_id: TypeId(row.try_get(0)?),
            status: Status::parse(&status)
                .ok_or_else(|| Error::Corrupt(format!("ticket status {status:?}")))?,
            is_deleted: row.try_get::<i64, _>(2)? != 0,
            assignee: row.try_get(3)?,
        })
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
