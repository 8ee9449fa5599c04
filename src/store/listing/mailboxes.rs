//! Mailboxes: how they fare, and whether their balance is even (M2).

use std::collections::HashMap;

use serde::Serialize;

use super::super::balance::Balance;
use super::super::reader::Reader;
use super::super::{Error, MailboxRow, Tx};
use crate::clock::Micros;
use crate::config::Mode;
use crate::ticket::MailboxId;

#[derive(Clone, Debug, Serialize)]
pub struct MailboxLine {
    pub id: MailboxId,
    pub name: String,
    pub protocol: String,
    pub host: String,
    pub port: u16,
    pub username: String,
    /// off, held, failing, no_type (none active: it is not read), waiting (never read yet), shadow, ok.
    pub state: &'static str,
    pub types: Vec<String>,
    /// An interval or a cron expression.
    pub schedule: String,
    pub last_round: Option<String>,
    pub last_ok: Option<String>,
    pub failing_since: Option<String>,
    pub failures: i64,
    pub last_error: String,
    /// Empty where the last round went well.
    pub failure_kind: String,
    pub provisioned: bool,
    pub version: i64,
}

/// What the server showed, and what became of it. `difference` is what nobody can account for.
#[derive(Clone, Debug, Serialize)]
pub struct BalanceLine {
    pub id: MailboxId,
    pub mailbox: String,
    #[serde(flatten)]
    pub counts: Balance,
    pub difference: i64,
}

impl Tx {
    pub async fn list_mailboxes(&mut self) -> Result<Vec<MailboxLine>, Error> {
        let mut types: HashMap<MailboxId, Vec<String>> = HashMap::new();
        let query = sqlx::query(
            "SELECT mailbox_id, name FROM ticket_type WHERE active = 1 AND mailbox_id IS NOT NULL ORDER BY id",
        );
        for row in self.rows(query).await? {
            let mut row = Reader::new(&row);
            types.entry(MailboxId(row.int()?)).or_default().push(row.text()?);
        }
        let mut rows = self.mailboxes().await?;
        Ok(rows.drain(..).map(|row| line(&row, types.remove(&row.id).unwrap_or_default())).collect())
    }

    /// The whole count of each mailbox, as the alert has it.
    pub async fn list_balances(&mut self) -> Result<Vec<BalanceLine>, Error> {
        let mut lines = vec![];
        for mailbox in self.mailboxes().await? {
            let counts = self.balance(mailbox.id).await?;
            let difference = counts.difference();
            lines.push(BalanceLine { id: mailbox.id, mailbox: mailbox.spec.name, counts, difference });
        }
        Ok(lines)
    }
}

fn line(row: &MailboxRow, types: Vec<String>) -> MailboxLine {
    let state = match row {
        _ if !row.spec.is_active => "off",
        _ if row.is_held => "held",
        _ if row.failing_since.is_some() => "failing",
        _ if types.is_empty() => "no_type",
        _ if row.last_ok.is_none() => "waiting",
        _ if row.spec.mode == Mode::Shadow => "shadow",
        _ => "ok",
    };
    MailboxLine {
        id: row.id,
        name: row.spec.name.clone(),
        protocol: row.spec.protocol.to_string(),
        host: row.spec.host.clone(),
        port: row.spec.port,
        username: row.spec.username.clone(),
        state,
        types,
        schedule: row.spec.when().to_string(),
        last_round: row.last_round.map(Micros::rfc3339),
        last_ok: row.last_ok.map(Micros::rfc3339),
        failing_since: row.failing_since.map(Micros::rfc3339),
        failures: row.failures,
        last_error: row.last_error.clone(),
        failure_kind: row.failure_kind.clone(),
        provisioned: row.is_provisioned,
        version: row.version,
    }
}
