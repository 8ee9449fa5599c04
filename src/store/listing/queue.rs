//! The outbound queue: every mail that maildesk owes the world, each recipient with its fate.

use std::collections::HashMap;

use serde::Serialize;

use super::super::reader::Reader;
use super::super::tx::placeholders;
use super::super::{Error, Tx};
use crate::ticket::{LogEntryId, OutboxId, TicketId};

#[derive(Clone, Debug, Serialize)]
pub struct QueueLine {
    pub id: OutboxId,
    pub purpose: String,
    pub ticket: Option<TicketId>,
    pub log_entry: Option<LogEntryId>,
    pub state: String,
    /// The key of the loop breaker that holds it, or has held it.
    pub held_by: Option<String>,
    pub relay: Option<String>,
    pub message_id: String,
    pub subject: String,
    pub size: i64,
    pub created: String,
    pub attempts: i64,
    /// An attempt ended unknown after the final dot, and the same bytes went out again.
    pub possibly_repeated: bool,
    pub recipients: Vec<RecipientLine>,
}

#[derive(Clone, Debug, Serialize)]
pub struct RecipientLine {
    pub address: String,
    pub state: String,
    pub attempts: i64,
    pub code: i64,
    pub enhanced: String,
    pub words: String,
    /// When it is tried next; null once it is settled.
    pub next: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct QueueFilter {
    pub state: String,
    pub purpose: String,
    pub to: String,
    pub ticket: i64,
    pub id: i64,
    pub limit: i64,
}

/// Ids in one IN list: SQLite takes 32766 parameters, and shorter statements are kept prepared.
const CHUNK: usize = 500;

impl Tx {
    pub async fn list_queue(&mut self, filter: &QueueFilter) -> Result<Vec<QueueLine>, Error> {
        let query = sqlx::query(
            "SELECT o.id, o.purpose, o.ticket_id, o.log_entry_id, o.state, o.held_by, r.name, o.message_id, o.subject, o.size, \
             o.created_us, (SELECT count(*) FROM outbox_attempt a WHERE a.outbox_id = o.id), \
             (SELECT count(*) FROM outbox_attempt a WHERE a.outbox_id = o.id AND a.possibly_repeated = 1) \
             FROM outbox o LEFT JOIN relay r ON r.id = o.relay_id \
             WHERE ($1 = '' OR o.state = $1) AND ($2 = '' OR o.purpose = $2) AND ($3 = '' OR EXISTS \
             (SELECT 1 FROM outbox_recipient p WHERE p.outbox_id = o.id AND p.address = $3)) \
             AND ($4 = 0 OR o.ticket_id = $4) AND ($5 = 0 OR o.id = $5) ORDER BY o.id DESC LIMIT $6",
        );
        let query = query
            .bind(filter.state.clone())
            .bind(filter.purpose.clone())
            .bind(filter.to.to_lowercase())
            .bind(filter.ticket)
            .bind(filter.id)
            .bind(filter.limit);
        let mut lines = self.lines(query, read).await?;
        for chunk in lines.chunks_mut(CHUNK) {
            let ids: Vec<i64> = chunk.iter().map(|line| line.id.0).collect();
            let mut recipients = self.recipients_of(&ids).await?;
            for line in chunk {
                line.recipients = recipients.remove(&line.id).unwrap_or_default();
            }
        }
        Ok(lines)
    }

    async fn recipients_of(&mut self, ids: &[i64]) -> Result<HashMap<OutboxId, Vec<RecipientLine>>, Error> {
        let sql = format!(
            "SELECT outbox_id, address, state, attempts, code, enhanced, words, next_us FROM outbox_recipient \
             WHERE outbox_id IN ({}) ORDER BY outbox_id, address",
            placeholders(1, ids.len())
        );
        let query = ids.iter().fold(sqlx::query(sqlx::AssertSqlSafe(sql)), |query, id| query.bind(*id));
        let mut recipients: HashMap<OutboxId, Vec<RecipientLine>> = HashMap::new();
        for row in self.rows(query).await? {
            let mut row = Reader::new(&row);
            let id = OutboxId(row.int()?);
            let mut line = RecipientLine {
                address: row.text()?,
                state: row.text()?,
                attempts: row.int()?,
                code: row.int()?,
                enhanced: row.text()?,
                words: row.text()?,
                next: None,
            };
            let next = row.when()?;
            line.next = matches!(line.state.as_str(), "queued" | "deferred").then_some(next);
            recipients.entry(id).or_default().push(line);
        }
        Ok(recipients)
    }
}

fn read(row: &mut Reader<'_>) -> Result<QueueLine, Error> {
    Ok(QueueLine {
        id: OutboxId(row.int()?),
        purpose: row.text()?,
        ticket: row.maybe_int()?.map(TicketId),
        log_entry: row.maybe_int()?.map(LogEntryId),
        state: row.text()?,
        held_by: Some(row.text()?).filter(|key| !key.is_empty()),
        relay: row.maybe_text()?,
        message_id: row.text()?,
        subject: row.text()?,
        size: row.int()?,
        created: row.when()?,
        attempts: row.int()?,
        possibly_repeated: row.int()? > 0,
        recipients: vec![],
    })
}
