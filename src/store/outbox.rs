//! Mail that maildesk owes the world: queued by the desk, looked at, tried again and cancelled by people.
//! What its sender does with it stands in `delivery`.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::lease::is_live;
use super::{Error, Tx};
use crate::clock::Micros;
use crate::mail::compose::Composed;
use crate::mail::{Address, MessageId};
use crate::ticket::{ContactId, EventNumber, LogEntryId, OutboxId, RelayId, TicketId};

/// What a mail is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Notification,
    Forward,
    AutoAnswer,
    Answer,
    Notice,
    Alert,
}

impl Purpose {
    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::Notification => "notification",
            Purpose::Forward => "forward",
            Purpose::AutoAnswer => "auto_answer",
            Purpose::Answer => "answer",
            Purpose::Notice => "notice",
            Purpose::Alert => "alert",
        }
    }
}

impl Purpose {
    /// Its recipients are the team's own; contacts are looked up for the others.
    pub fn is_to_team(self) -> bool {
        matches!(self, Purpose::Notification | Purpose::Notice | Purpose::Alert)
    }
}

/// A composed mail on its way into the queue. Its id was drawn before: it is part of its Message-ID and return path.
#[derive(Clone, Debug)]
pub struct NewOutbox<'a> {
    pub id: OutboxId,
    pub purpose: Purpose,
    pub ticket: Option<TicketId>,
    pub log_entry: Option<LogEntryId>,
    /// Without one it waits: nobody sends it.
    pub relay: Option<RelayId>,
    pub message_id: &'a MessageId,
    /// `None` is the null sender of RFC 5321 §4.5.5.
    pub return_path: Option<&'a Address>,
    pub sender: &'a Address,
    pub subject: &'a str,
    pub composed: &'a Composed,
    /// What caused it, such as `arrival:12:notification`; the same operation queues nothing twice.
    pub operation: &'a str,
    pub number: EventNumber,
    pub recipients: &'a [NewRecipient],
    /// The key of the loop breaker for which it waits in hold.
    pub held_by: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub struct NewRecipient {
    pub address: Address,
    pub name: String,
    pub contact: Option<ContactId>,
}

#[derive(Clone, Debug)]
pub struct OutboxRow {
    pub id: OutboxId,
    pub purpose: String,
    pub ticket: Option<TicketId>,
    pub log_entry: Option<LogEntryId>,
    pub relay: Option<RelayId>,
    pub message_id: String,
    pub return_path: String,
    pub sender: String,
    pub subject: String,
    pub size: i64,
    pub operation: String,
    pub state: String,
    pub next: Micros,
    pub created: Micros,
    pub recipients: Vec<RecipientRow>,
}

#[derive(Clone, Debug)]
pub struct RecipientRow {
    pub address: String,
    pub name: String,
    pub contact: Option<ContactId>,
    pub state: String,
    pub attempts: i64,
    pub next: Micros,
    pub code: i64,
    pub enhanced: String,
    pub words: String,
    pub settled: Option<Micros>,
}

const OUTBOX_COLUMNS: &str = "id, purpose, ticket_id, log_entry_id, relay_id, message_id, return_path, sender, subject, \
     size, operation, state, next_us, created_us";

impl Tx {
    /// Queues a mail. An operation queues one mail: a second one is `Taken`, at the latest with the commit.
    pub async fn enqueue(&mut self, new: &NewOutbox<'_>, now: Micros) -> Result<(), Error> {
        if new.recipients.is_empty() {
            return Err(Error::Corrupt(format!("outbox mail {} has no recipient", new.id)));
        }
        self.insert_outbox(new, now)?;
        for who in new.recipients {
            self.insert_recipient(new.id, who, now)?;
        }
        Ok(())
    }

    /// Whether an operation has queued a mail.
    pub async fn is_queued(&mut self, operation: &str) -> Result<bool, Error> {
        let query = sqlx::query("SELECT count(*) FROM outbox WHERE operation = $1");
        Ok(self.row(query.bind(operation)).await?.try_get::<i64, _>(0)? > 0)
    }

    fn insert_outbox(&mut self, new: &NewOutbox<'_>, now: Micros) -> Result<(), Error> {
        let query = sqlx::query(
            "INSERT INTO outbox (id, purpose, ticket_id, log_entry_id, relay_id, message_id, return_path, \
             sender, subject, literal, segments, size, digest, operation, state, held_by, number, next_us, created_us) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $18)",
        )
        .bind(new.id.0)
        .bind(new.purpose.as_str())
        .bind(new.ticket.map(|t| t.0))
        .bind(new.log_entry.map(|e| e.0))
        .bind(new.relay.map(|r| r.0))
        .bind(new.message_id.as_str())
        .bind(new.return_path.map_or("", Address::as_str))
        .bind(new.sender.as_str())
        .bind(new.subject)
        .bind(new.composed.literal.as_slice())
        .bind(serde_json::to_string(&new.composed.segments)?)
        .bind(i64::try_from(new.composed.size).unwrap_or(i64::MAX))
        .bind(new.composed.digest.as_slice())
        .bind(new.operation)
        .bind(if new.held_by.is_some() { "held" } else { "queued" })
        .bind(new.held_by.unwrap_or_default())
        .bind(new.number.0)
        .bind(now.0);
        self.later(query)
    }

    fn insert_recipient(&mut self, id: OutboxId, who: &NewRecipient, now: Micros) -> Result<(), Error> {
        let query = sqlx::query(
            "INSERT INTO outbox_recipient (outbox_id, address, name, contact_id, state, next_us) \
             VALUES ($1, $2, $3, $4, 'queued', $5) ON CONFLICT DO NOTHING",
        );
        let contact = who.contact.map(|c| c.0);
        self.later(query.bind(id.0).bind(who.address.as_str()).bind(&who.name).bind(contact).bind(now.0))
    }

    /// A mail of the queue with its recipients; its attempts are `attempts_of`.
    pub async fn outbox_show(&mut self, id: OutboxId) -> Result<OutboxRow, Error> {
        let sql = format!("SELECT {OUTBOX_COLUMNS} FROM outbox WHERE id = $1");
        let row = self.maybe_row(sqlx::query(AssertSqlSafe(sql)).bind(id.0)).await?;
        let mut mail = outbox_of(&row.ok_or_else(|| Error::Missing(format!("outbox mail {id}")))?)?;
        let query = sqlx::query(
            "SELECT address, name, contact_id, state, attempts, next_us, code, enhanced, words, settled_us \
             FROM outbox_recipient WHERE outbox_id = $1 ORDER BY address",
        );
        let rows = self.rows(query.bind(id.0)).await?;
        mail.recipients = rows.iter().map(recipient_of).collect::<Result<_, _>>()?;
        Ok(mail)
    }

    /// Sends it again to everybody whom it did not reach, at once and with the patience of a new mail; ends a hold.
    pub async fn retry(&mut self, id: OutboxId, now: Micros) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE outbox_recipient SET state = 'queued', attempts = 0, next_us = $1, settled_us = NULL \
             WHERE outbox_id = $2 AND state IN ('queued', 'deferred', 'failed')",
        );
        if self.execute(query.bind(now.0).bind(id.0)).await? == 0 {
            let mail = self.outbox_show(id).await?;
            return Err(Error::InUse(format!("outbox mail {id} is {}: nothing is left to send", mail.state)));
        }
        let query = sqlx::query(
            "UPDATE outbox SET state = 'queued', next_us = $1, version = version + 1 WHERE id = $2",
        );
        self.execute(query.bind(now.0).bind(id.0)).await.map(drop)
    }

    /// Sends it to nobody any more. Refused while nobody can know whether it is out already.
    pub async fn cancel(&mut self, id: OutboxId, now: Micros) -> Result<(), Error> {
        // The fence goes up: an attempt under way finds it changed, and holds its final dot back for good.
        let sql = format!(
            "UPDATE outbox SET state = 'cancelled', fence = fence + 1, lease_owner = '', version = version + 1 \
             WHERE id = $1 AND state IN ('queued', 'held') AND NOT ({} \
             AND EXISTS (SELECT 1 FROM outbox_attempt a WHERE a.outbox_id = outbox.id AND a.fence = outbox.fence \
             AND a.state = 'dot_sent'))",
            is_live(self.engine, "outbox.lease_owner")
        );
        if self.execute(sqlx::query(AssertSqlSafe(sql)).bind(id.0)).await? == 0 {
            let mail = self.outbox_show(id).await?;
            return Err(Error::InUse(match mail.state.as_str() {
                "queued" | "held" => {
                    format!("outbox mail {id} is being sent at this moment: look again in a minute")
                }
                state => format!("outbox mail {id} is {state} already"),
            }));
        }
        let query = sqlx::query(
            "UPDATE outbox_recipient SET state = 'cancelled', settled_us = $1 \
             WHERE outbox_id = $2 AND state IN ('queued', 'deferred')",
        );
        self.execute(query.bind(now.0).bind(id.0)).await.map(drop)
    }
}

fn outbox_of(row: &AnyRow) -> Result<OutboxRow, Error> {
    Ok(OutboxRow {
        id: OutboxId(row.try_get(0)?),
        purpose: row.try_get(1)?,
        ticket: row.try_get::<Option<i64>, _>(2)?.map(TicketId),
        log_entry: row.try_get::<Option<i64>, _>(3)?.map(LogEntryId),
        relay: row.try_get::<Option<i64>, _>(4)?.map(RelayId),
        message_id: row.try_get(5)?,
        return_path: row.try_get(6)?,
        sender: row.try_get(7)?,
        subject: row.try_get(8)?,
        size: row.try_get(9)?,
        operation: row.try_get(10)?,
        state: row.try_get(11)?,
        next: Micros(row.try_get(12)?),
        created: Micros(row.try_get(13)?),
        recipients: Vec::new(),
    })
}

fn recipient_of(row: &AnyRow) -> Result<RecipientRow, Error> {
    Ok(RecipientRow {
        address: row.try_get(0)?,
        name: row.try_get(1)?,
        contact: row.try_get::<Option<i64>, _>(2)?.map(ContactId),
        state: row.try_get(3)?,
        attempts: row.try_get(4)?,
        next: Micros(row.try_get(5)?),
        code: row.try_get(6)?,
        enhanced: row.try_get(7)?,
        words: row.try_get(8)?,
        settled: row.try_get::<Option<i64>, _>(9)?.map(Micros),
    })
}
