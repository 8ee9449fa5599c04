//! The intake journal: what became of each message, and why.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Counter, Error, Tx};
use crate::clock::Micros;
use crate::mail::{MailKeys, Message, MessageId};
use crate::ticket::{ArrivalId, EventNumber, LogEntryId, TicketId, TypeId};
use crate::triage::{Act, Decision};

macro_rules! journal_columns {
    () => {
        "SELECT j.arrival_id, j.number, j.act, j.code, j.kind, j.type_id, j.ticket_id, j.log_entry_id, \
         coalesce(e.clues, ''), coalesce(e.trace, '') FROM journal j LEFT JOIN evidence e ON e.arrival_id = j.arrival_id"
    };
}

/// How a mail is told from others: what of it is remembered even when its words are erased.
#[derive(Clone, Debug)]
pub struct MailKey {
    pub message_id: Option<MessageId>,
    /// Keyed hash of Message-ID, From and Date, or where it has no Message-ID, of its bytes.
    pub key: Vec<u8>,
    /// Keyed hash of the Message-ID.
    pub id_hash: Option<Vec<u8>>,
}

impl MailKey {
    /// How the same mail is known again (B10): by Message-ID, From and Date; without a Message-ID by its bytes.
    pub fn of(message: &Message, digest: &[u8], keys: &MailKeys) -> MailKey {
        let from = message.from.as_ref().map_or("", |f| f.address.as_str());
        let date = message.date.map_or(i64::MIN, |d| d.0).to_le_bytes();
        let key = match &message.message_id {
            Some(id) => keys.hash(&[b"mail", id.as_str().as_bytes(), from.as_bytes(), &date]),
            None => keys.hash(&[b"bytes", digest]),
        };
        let id_hash = message.message_id.as_ref().map(|id| keys.hash(&[b"id", id.as_str().as_bytes()]));
        MailKey { message_id: message.message_id.clone(), key, id_hash }
    }

    /// The same from its headers alone; one without a Message-ID is known by From, Date and subject.
    pub fn of_headers(message: &Message, keys: &MailKeys) -> MailKey {
        let from = message.from.as_ref().map_or("", |f| f.address.as_str());
        let date = message.date.map_or([0; 8], |d| d.0.to_be_bytes());
        let stand_in = keys.hash(&[b"headers", from.as_bytes(), &date, message.subject.as_bytes()]);
        MailKey::of(message, &stand_in, keys)
    }
}

/// Where a message ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fate {
    pub ticket: Option<TicketId>,
    pub log_entry: Option<LogEntryId>,
}

/// A row of the journal, with the stored decision.
#[derive(Clone, Debug)]
pub struct JournalRow {
    pub arrival: ArrivalId,
    pub number: EventNumber,
    pub act: String,
    pub code: String,
    pub kind: String,
    pub type_id: Option<TypeId>,
    pub ticket: Option<TicketId>,
    pub log_entry: Option<LogEntryId>,
    /// JSON of the clues and of the decision as they were stored; empty once erased.
    pub clues: String,
    pub decision: String,
}

impl Tx {
    /// Draws the number of a decision: it may look at everything below.
    pub async fn draw_decision(&mut self) -> Result<EventNumber, Error> {
        self.draw(Counter::Event).await.map(EventNumber)
    }

    /// Writes what became of a message, its clues and trace, and the arrival's new state.
    pub async fn insert_journal(&mut self, entry: &NewJournal<'_>, now: Micros) -> Result<(), Error> {
        let decision = entry.decision;
        let query = sqlx::query(
            "INSERT INTO journal (arrival_id, number, kind, act, code, type_id, ticket_id, log_entry_id, \
             original_arrival_id, decided_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(entry.arrival.0)
        .bind(entry.number.0)
        .bind(decision.kind.as_str())
        .bind(decision.act.as_str())
        .bind(decision.code.as_str())
        .bind(decision.type_id.map(|t| t.0))
        .bind(entry.fate.ticket.map(|t| t.0))
        .bind(entry.fate.log_entry.map(|e| e.0))
        .bind(decision.original.map(|a| a.0))
        .bind(now.0);
        self.later(query)?;
        let query = sqlx::query("INSERT INTO evidence (arrival_id, clues, trace) VALUES ($1, $2, $3)")
            .bind(entry.arrival.0)
            .bind(entry.clues_json)
            .bind(serde_json::to_string(decision)?);
        self.later(query)?;
        for first in &decision.supersedes {
            self.supersede(*first, entry.arrival, entry.number).await?;
        }
        Ok(())
    }

    /// Ends the keeping of a message: its keys, and what its source is still owed: nothing where no account holds it.
    pub async fn settle_arrival(&mut self, id: ArrivalId, key: &MailKey, is_owed: bool) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE arrival SET state = CASE WHEN epoch = 0 THEN 'decided' ELSE column2 END, message_id = column3, mail_key = column4, id_hash = column5, \
             in_hand = 0 FROM (VALUES ($1, $2, $3, $4, $5)) AS v WHERE arrival.id = column1",
        )
        .bind(id.0)
        .bind(if is_owed { "ack_pending" } else { "decided" })
        .bind(key.message_id.as_ref().map_or("", |m| m.as_str()))
        .bind(&key.key[..])
        .bind(key.id_hash.as_deref());
        self.later(query)
    }

    /// A second copy takes the place of a first one that had ended nowhere.
    async fn supersede(&mut self, first: ArrivalId, by: ArrivalId, number: EventNumber) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE journal SET superseded_by = $2, superseded_number = $3 WHERE arrival_id = $1",
        );
        self.later(query.bind(first.0).bind(by.0).bind(number.0))?;
        for sql in [
            "UPDATE invalid_ticket SET state = 'superseded' WHERE arrival_id = $1 AND state = 'open'",
            "UPDATE error_ticket SET state = 'superseded' WHERE arrival_id = $1 AND state = 'open'",
        ] {
            self.later(sqlx::query(sql).bind(first.0))?;
        }
        Ok(())
    }

    /// An admin has put a message onto a ticket.
    pub async fn settle_journal(
        &mut self,
        id: ArrivalId,
        fate: Fate,
        number: EventNumber,
    ) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE journal SET ticket_id = $2, log_entry_id = $3, settled_number = $4 WHERE arrival_id = $1",
        )
        .bind(id.0)
        .bind(fate.ticket.map(|t| t.0))
        .bind(fate.log_entry.map(|e| e.0))
        .bind(number.0);
        self.later(query)
    }

    /// The decision is taken back, for `error retry`: the message is pending again.
    pub async fn reopen_journal(&mut self, id: ArrivalId) -> Result<(), Error> {
        self.forget_mark(id).await?;
        // At once: the row of the new decision would go before what waits here, and be deleted by it.
        for sql in [
            "DELETE FROM evidence WHERE arrival_id = $1",
            "DELETE FROM journal WHERE arrival_id = $1",
            "DELETE FROM shadow WHERE arrival_id = $1",
        ] {
            self.execute(sqlx::query(sql).bind(id.0)).await?;
        }
        let query = sqlx::query("UPDATE arrival SET state = 'kept', tries = 0, in_hand = 0 WHERE id = $1");
        self.execute(query.bind(id.0)).await.map(drop)
    }

    pub async fn journal_row(&mut self, id: ArrivalId) -> Result<Option<JournalRow>, Error> {
        let query = sqlx::query(concat!(journal_columns!(), " WHERE j.arrival_id = $1"));
        self.maybe_row(query.bind(id.0)).await?.as_ref().map(journal_of).transpose()
    }

    /// The rows of the journal in the order of their decisions, from a number on.
    pub async fn journal_from(&mut self, from: EventNumber, limit: i64) -> Result<Vec<JournalRow>, Error> {
        let query =
            sqlx::query(concat!(journal_columns!(), " WHERE j.number >= $1 ORDER BY j.number LIMIT $2"));
        self.rows(query.bind(from.0).bind(limit)).await?.iter().map(journal_of).collect()
    }

    /// The last rows of the journal, newest first.
    pub async fn latest_journal(&mut self, limit: i64) -> Result<Vec<JournalRow>, Error> {
        let query = sqlx::query(concat!(journal_columns!(), " ORDER BY j.number DESC LIMIT $1"));
        self.rows(query.bind(limit)).await?.iter().map(journal_of).collect()
    }

    /// Of the decisions made from a time on: the first number, the last one, and how many there are.
    pub async fn decided_since(&mut self, since: Micros) -> Result<(EventNumber, EventNumber, u64), Error> {
        let query = sqlx::query(
            "SELECT coalesce(min(number), 0), coalesce(max(number), -1), count(*) FROM journal WHERE decided_us >= $1",
        );
        let row = self.row(query.bind(since.0)).await?;
        let count: i64 = row.try_get(2)?;
        Ok((EventNumber(row.try_get(0)?), EventNumber(row.try_get(1)?), count.unsigned_abs()))
    }

    /// The arrivals whose Message-ID this is.
    pub async fn arrivals_of_message_id(&mut self, message_id: &str) -> Result<Vec<ArrivalId>, Error> {
        let query =
            sqlx::query("SELECT id FROM arrival WHERE message_id = $1 AND message_id <> '' ORDER BY id");
        let rows = self.rows(query.bind(message_id)).await?;
        rows.iter().map(|row| Ok(ArrivalId(row.try_get(0)?))).collect()
    }
}

/// What is written when a message is decided.
pub struct NewJournal<'a> {
    pub arrival: ArrivalId,
    pub number: EventNumber,
    pub decision: &'a Decision,
    pub clues_json: &'a str,
    pub fate: Fate,
}

fn journal_of(row: &AnyRow) -> Result<JournalRow, Error> {
    Ok(JournalRow {
        arrival: ArrivalId(row.try_get(0)?),
        number: EventNumber(row.try_get(1)?),
        act: row.try_get(2)?,
        code: row.try_get(3)?,
        kind: row.try_get(4)?,
        type_id: row.try_get::<Option<i64>, _>(5)?.map(TypeId),
        ticket: row.try_get::<Option<i64>, _>(6)?.map(TicketId),
        log_entry: row.try_get::<Option<i64>, _>(7)?.map(LogEntryId),
        clues: row.try_get(8)?,
        decision: row.try_get(9)?,
    })
}

impl JournalRow {
    pub fn act(&self) -> Result<Act, Error> {
        Act::parse(&self.act).ok_or_else(|| Error::Corrupt(format!("journal act {:?}", self.act)))
    }
}
