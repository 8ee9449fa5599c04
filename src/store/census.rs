//! How many rows of what: for a support bundle, which holds no words of anybody.

use serde::Serialize;
use sqlx::AssertSqlSafe;

use super::reader::Reader;
use super::{Error, Tx};
use crate::clock::Micros;

/// Rows of one table in one state.
#[derive(Clone, Debug, Serialize)]
pub struct Count {
    pub table: &'static str,
    /// Empty where the table has none.
    pub state: String,
    pub rows: i64,
}

/// A mail of the queue without a word of it.
#[derive(Clone, Debug, Serialize)]
pub struct QueueState {
    pub id: i64,
    pub purpose: String,
    pub state: String,
    pub created: String,
    pub recipient_state: String,
    pub attempts: i64,
    pub code: i64,
    pub enhanced: String,
    pub words: String,
}

/// Tables, and what their rows are counted by.
const COUNTED: &[(&str, &str)] = &[
    ("arrival", "state"),
    ("journal", "act"),
    ("ticket", "status"),
    ("log_entry", "kind"),
    ("invalid_ticket", "state"),
    ("error_ticket", "state"),
    ("bounce", "class"),
    ("outbox", "state"),
    ("outbox_recipient", "state"),
    ("outbox_attempt", "state"),
    ("contact", "role"),
    ("account", "role"),
    ("mailbox", "protocol"),
    ("relay", "kind"),
    ("ticket_type", "flow"),
    ("oauth_grant", "state"),
    ("secret", "purpose"),
    ("ticket_event", "kind"),
    ("raw_mail", "''"),
];

impl Tx {
    pub async fn census(&mut self) -> Result<Vec<Count>, Error> {
        let mut counts = vec![];
        for (table, state) in COUNTED {
            let sql = format!("SELECT {state}, count(*) FROM {table} GROUP BY 1 ORDER BY 2 DESC");
            for row in self.rows(sqlx::query(AssertSqlSafe(sql))).await? {
                let mut row = Reader::new(&row);
                counts.push(Count { table, state: row.text()?, rows: row.int()? });
            }
        }
        Ok(counts)
    }

    /// The newest mails, a line for each recipient.
    pub async fn queue_states(&mut self, limit: i64) -> Result<Vec<QueueState>, Error> {
        let query = sqlx::query(
            "SELECT o.id, o.purpose, o.state, o.created_us, r.state, r.attempts, r.code, r.enhanced, r.words \
             FROM outbox o JOIN outbox_recipient r ON r.outbox_id = o.id ORDER BY o.id DESC, r.address LIMIT $1",
        );
        let rows = self.rows(query.bind(limit)).await?;
        let read = |row: &sqlx::any::AnyRow| {
            let mut row = Reader::new(row);
            Ok(QueueState {
                id: row.int()?,
                purpose: row.text()?,
                state: row.text()?,
                created: row.time().map(Micros::rfc3339)?,
                recipient_state: row.text()?,
                attempts: row.int()?,
                code: row.int()?,
                enhanced: row.text()?,
                words: row.text()?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Names of people, and subjects: what must not leave the house in a sentence of somebody else's.
    pub async fn private_words(&mut self) -> Result<Vec<String>, Error> {
        let query = sqlx::query(
            "SELECT name FROM contact UNION SELECT name FROM account UNION SELECT login FROM account \
             UNION SELECT subject FROM ticket UNION SELECT subject FROM invalid_ticket UNION SELECT subject FROM error_ticket",
        );
        self.rows(query).await?.iter().map(|row| Reader::new(row).text()).collect()
    }
}
