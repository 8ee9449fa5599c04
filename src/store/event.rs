//! The events of tickets: append-only, numbered in the order of commits, ids and codes only.

use sqlx::Row;

use super::{Counter, Error, Tx};
use crate::clock::Micros;
use crate::ticket::{EventNumber, LogEntryId, OutboxId, TicketId};

/// Who did it, from where, because of what. Every command and every event carries one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// `system`, `contact:1`, `account:2`, `uid:0`.
    pub actor: String,
    /// `mail`, `command`, `api`, `console`, `config`.
    pub origin: &'static str,
    /// What set it off, such as `arrival:12`.
    pub operation: String,
}

impl Cause {
    pub fn system(operation: impl Into<String>) -> Cause {
        Cause { actor: "system".into(), origin: "mail", operation: operation.into() }
    }
}

/// What happened to a ticket; the names are part of the contract with readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    Opened,
    EntryAdded,
    StatusChanged,
    Reopened,
    Assigned,
    TypeChanged,
    Merged,
    Deleted,
    Restored,
    Edited,
    AnswerQueued,
    DeliveryFailed,
    MailRetried,
    MailCancelled,
    InvalidKept,
    InvalidSettled,
    ErrorKept,
    ErrorSettled,
    BounceRecorded,
    BounceResolved,
    LoopReset,
}

impl Happened {
    pub fn as_str(self) -> &'static str {
        match self {
            Happened::Opened => "opened",
            Happened::EntryAdded => "entry_added",
            Happened::StatusChanged => "status_changed",
            Happened::Reopened => "reopened",
            Happened::Assigned => "assigned",
            Happened::TypeChanged => "type_changed",
            Happened::Merged => "merged",
            Happened::Deleted => "deleted",
            Happened::Restored => "restored",
            Happened::Edited => "edited",
            Happened::AnswerQueued => "answer_queued",
            Happened::DeliveryFailed => "delivery_failed",
            Happened::MailRetried => "mail_retried",
            Happened::MailCancelled => "mail_cancelled",
            Happened::InvalidKept => "invalid_kept",
            Happened::InvalidSettled => "invalid_settled",
            Happened::ErrorKept => "error_kept",
            Happened::ErrorSettled => "error_settled",
            Happened::BounceRecorded => "bounce_recorded",
            Happened::BounceResolved => "bounce_resolved",
            Happened::LoopReset => "loop_reset",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Event {
    pub ticket: Option<TicketId>,
    pub log_entry: Option<LogEntryId>,
    pub happened: Happened,
    /// Codes and ids, such as `open>closed`; never words.
    pub detail: String,
}

impl Event {
    /// Of a ticket, not of one of its entries.
    pub fn of(ticket: Option<TicketId>, happened: Happened, detail: impl Into<String>) -> Event {
        Event { ticket, log_entry: None, happened, detail: detail.into() }
    }
}

impl Tx {
    /// Appends an event under the desk lock and gives its number.
    pub async fn append_event(
        &mut self,
        event: &Event,
        cause: &Cause,
        at: Micros,
    ) -> Result<EventNumber, Error> {
        let number = self.draw(Counter::Event).await?;
        let query = sqlx::query(
            "INSERT INTO ticket_event (number, ticket_id, log_entry_id, kind, detail, actor, origin, operation, at_us) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(number)
        .bind(event.ticket.map(|t| t.0))
        .bind(event.log_entry.map(|e| e.0))
        .bind(event.happened.as_str())
        .bind(&event.detail)
        .bind(&cause.actor)
        .bind(cause.origin)
        .bind(&cause.operation)
        .bind(at.0);
        self.later(query)?;
        Ok(EventNumber(number))
    }

    /// Where a reader of the events stands, and the last event that there is. Numbers below it are committed: they are
    /// drawn under the desk lock.
    pub async fn events_behind(&mut self, cursor: &str) -> Result<(EventNumber, EventNumber), Error> {
        let query = sqlx::query("SELECT number FROM event_cursor WHERE name = $1").bind(cursor);
        let from = self.maybe_row(query).await?.map(|row| row.try_get(0)).transpose()?.unwrap_or(0);
        let last = self.row(sqlx::query("SELECT coalesce(max(number), 0) FROM ticket_event")).await?;
        Ok((EventNumber(from), EventNumber(last.try_get(0)?)))
    }

    /// A reader has done with the events up to this one.
    pub async fn set_cursor(&mut self, cursor: &str, upto: EventNumber) -> Result<(), Error> {
        let query = sqlx::query(
            "INSERT INTO event_cursor (name, number) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET number = excluded.number",
        );
        self.execute(query.bind(cursor).bind(upto.0)).await.map(drop)
    }

    /// The mails that were given up between two events, each once, and how far that reaches: `limit` events at most.
    pub async fn failed_deliveries(
        &mut self,
        (from, upto): (EventNumber, EventNumber),
        limit: i64,
    ) -> Result<(Vec<OutboxId>, EventNumber), Error> {
        let query = sqlx::query(
            "SELECT number, detail FROM ticket_event WHERE number > $1 AND number <= $2 AND kind = $3 \
             ORDER BY number LIMIT $4",
        );
        let query = query.bind(from.0).bind(upto.0).bind(Happened::DeliveryFailed.as_str()).bind(limit);
        let rows = self.rows(query).await?;
        let is_all = (rows.len() as i64) < limit;
        let (mut mails, mut reached) = (vec![], upto);
        for row in &rows {
            let detail: String = row.try_get(1)?;
            let mail = detail.strip_prefix("outbox:").and_then(|id| id.parse().ok()).map(OutboxId);
            mails.extend(mail.filter(|mail| !mails.contains(mail)));
            if !is_all {
                reached = EventNumber(row.try_get(0)?);
            }
        }
        Ok((mails, reached))
    }

    /// The events of a ticket, oldest first.
    pub async fn events_of(&mut self, ticket: TicketId) -> Result<Vec<StoredEvent>, Error> {
        let query = sqlx::query(
            "SELECT number, log_entry_id, kind, detail, actor, origin, operation, at_us FROM ticket_event \
             WHERE ticket_id = $1 ORDER BY number",
        );
        let rows = self.rows(query.bind(ticket.0)).await?;
        rows.iter()
            .map(|row| {
                Ok(StoredEvent {
                    number: EventNumber(row.try_get(0)?),
                    log_entry: row.try_get::<Option<i64>, _>(1)?.map(LogEntryId),
                    kind: row.try_get(2)?,
                    detail: row.try_get(3)?,
                    actor: row.try_get(4)?,
                    origin: row.try_get(5)?,
                    operation: row.try_get(6)?,
                    at: Micros(row.try_get(7)?),
                })
            })
            .collect()
    }
}

#[derive(Clone, Debug)]
pub struct StoredEvent {
    pub number: EventNumber,
    pub log_entry: Option<LogEntryId>,
    pub kind: String,
    pub detail: String,
    pub actor: String,
    pub origin: String,
    pub operation: String,
    pub at: Micros,
}
