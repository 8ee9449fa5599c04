//! A ticket with all that was said on it: its entries, who belongs to it, what happened.

use serde::Serialize;

use super::super::{Error, Tx};
use crate::mail::{Encoding, Span};
use crate::store::ticket::Receiver;
use crate::ticket::{ArrivalId, ContactId, LogEntryId, TicketId};

#[derive(Clone, Debug, Serialize)]
pub struct EntryLine {
    pub id: LogEntryId,
    /// Another than the one that is shown where this one was merged into it.
    pub ticket: TicketId,
    /// inbound, automatic, bounce, outbound or note.
    pub kind: String,
    pub author: String,
    pub author_name: String,
    pub subject: String,
    pub body: String,
    pub body_truncated: bool,
    pub message_id: Option<String>,
    /// Whom it went to, or who was told of it.
    pub receivers: Vec<Receiver>,
    pub code: String,
    pub arrival: Option<ArrivalId>,
    /// The date that the mail bears.
    pub sent: Option<String>,
    pub created: String,
    pub attachments: Vec<AttachmentLine>,
}

#[derive(Clone, Debug, Serialize)]
pub struct AttachmentLine {
    pub position: i64,
    pub name: String,
    pub content_type: String,
    pub size: i64,
    pub inline: bool,
}

#[derive(Clone, Debug, Serialize)]
pub struct ParticipantLine {
    pub address: String,
    /// contact, receiver, cc or accepted.
    pub how: String,
    pub contact: Option<ContactId>,
    pub name: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct EventLine {
    pub number: i64,
    pub kind: String,
    pub detail: String,
    pub log_entry: Option<LogEntryId>,
    pub actor: String,
    pub origin: String,
    pub operation: String,
    pub at: String,
}

/// Where an attachment's bytes lie.
#[derive(Clone, Debug)]
pub struct AttachmentPlace {
    pub name: String,
    pub size: u64,
    pub arrival: ArrivalId,
    pub span: Span,
}

impl Tx {
    /// The entries of a ticket and of those that were merged into it, oldest first.
    pub async fn list_entries(&mut self, ticket: TicketId) -> Result<Vec<EntryLine>, Error> {
        let mut tickets = vec![ticket];
        let mut at = 0;
        while let Some(target) = tickets.get(at).copied() {
            let query = sqlx::query("SELECT id FROM ticket WHERE merged_into = $1 ORDER BY id DESC");
            tickets.extend(self.lines(query.bind(target.0), |row| Ok(TicketId(row.int()?))).await?);
            at += 1;
        }
        let mut entries = vec![];
        for ticket in tickets {
            entries.extend(self.entries_of(ticket).await?);
        }
        entries.sort_by_key(|entry| entry.id);
        Ok(entries)
    }

    async fn entries_of(&mut self, ticket: TicketId) -> Result<Vec<EntryLine>, Error> {
        let query = sqlx::query(
            "SELECT id, kind, author_address, author_name, subject, body, body_truncated, message_id, receivers, code, \
             arrival_id, sent_us, created_us FROM log_entry WHERE ticket_id = $1 ORDER BY id DESC",
        );
        let read = |row: &mut super::Reader<'_>| {
            Ok(EntryLine {
                id: LogEntryId(row.int()?),
                ticket,
                kind: row.text()?,
                author: row.text()?,
                author_name: row.text()?,
                subject: row.text()?,
                body: row.text()?,
                body_truncated: row.flag()?,
                message_id: Some(row.text()?).filter(|id| !id.is_empty()),
                receivers: row.json()?,
                code: row.text()?,
                arrival: row.maybe_int()?.map(ArrivalId),
                sent: row.maybe_when()?,
                created: row.when()?,
                attachments: vec![],
            })
        };
        let mut entries = self.lines(query.bind(ticket.0), read).await?;
        let query = sqlx::query(
            "SELECT a.log_entry_id, a.position, a.name, a.content_type, a.size, a.is_inline FROM attachment a \
             JOIN log_entry e ON e.id = a.log_entry_id WHERE e.ticket_id = $1 \
             ORDER BY a.log_entry_id DESC, a.position DESC",
        );
        let read = |row: &mut super::Reader<'_>| {
            let entry = LogEntryId(row.int()?);
            let attachment = AttachmentLine {
                position: row.int()?,
                name: row.text()?,
                content_type: row.text()?,
                size: row.int()?,
                inline: row.flag()?,
            };
            Ok((entry, attachment))
        };
        for (id, attachment) in self.lines(query.bind(ticket.0), read).await? {
            if let Ok(at) = entries.binary_search_by_key(&id, |entry| entry.id) {
                entries[at].attachments.push(attachment);
            }
        }
        Ok(entries)
    }

    pub async fn list_participants(&mut self, ticket: TicketId) -> Result<Vec<ParticipantLine>, Error> {
        let query = sqlx::query(
            "SELECT p.address, p.how, p.contact_id, coalesce(c.name, '') FROM participant p \
             LEFT JOIN contact c ON c.id = p.contact_id WHERE p.ticket_id = $1 \
             ORDER BY p.number DESC, p.address DESC",
        );
        self.lines(query.bind(ticket.0), |row| {
            Ok(ParticipantLine {
                address: row.text()?,
                how: row.text()?,
                contact: row.maybe_int()?.map(ContactId),
                name: row.text()?,
            })
        })
        .await
    }

    pub async fn list_events(&mut self, ticket: TicketId) -> Result<Vec<EventLine>, Error> {
        let events = self.events_of(ticket).await?;
        let line = |event: crate::store::StoredEvent| EventLine {
            number: event.number.0,
            kind: event.kind,
            detail: event.detail,
            log_entry: event.log_entry,
            actor: event.actor,
            origin: event.origin,
            operation: event.operation,
            at: event.at.rfc3339(),
        };
        Ok(events.into_iter().map(line).collect())
    }

    pub async fn attachment(&mut self, entry: LogEntryId, position: i64) -> Result<AttachmentPlace, Error> {
        let query = sqlx::query(
            "SELECT name, size, arrival_id, raw_offset, raw_length, encoding FROM attachment \
             WHERE log_entry_id = $1 AND position = $2",
        );
        let row = self.maybe_row(query.bind(entry.0).bind(position)).await?;
        let row = row.ok_or_else(|| Error::Missing(format!("attachment {position} of entry #{entry}")))?;
        let mut row = super::Reader::new(&row);
        let (name, size, arrival) = (row.text()?, row.whole()?, ArrivalId(row.int()?));
        let (offset, length, word) = (row.whole()?, row.whole()?, row.text()?);
        let encoding = word.parse::<Encoding>();
        let encoding = encoding.map_err(|()| Error::Corrupt(format!("transfer encoding {word:?}")))?;
        Ok(AttachmentPlace { name, size, arrival, span: Span { offset, length, encoding } })
    }
}
