//! Mailboxes: how they fare, and whether their balance is even (M2).

use std::collections::HashMap;

use serde::Serialize;

use super::super::reader::Reader;
use super::super::{Error, MailboxRow, Tx};
use crate::clock::Micros;
use crate::ticket::MailboxId;

#[derive(Clone, Debug, Serialize)]
pub struct MailboxLine {
    pub id: MailboxId,
    pub name: String,
    pub protocol: String,
    pub host: String,
    pub port: u16,
    pub username: String,
    /// off, held, failing, no_type (none active: it is not read), waiting (never read yet), ok.
    pub state: &'static str,
    pub types: Vec<String>,
    pub last_round: Option<String>,
    pub last_ok: Option<String>,
    pub failing_since: Option<String>,
    pub failures: i64,
    pub last_error: String,
    pub provisioned: bool,
    pub version: i64,
}

/// What the server showed, and what became of it. `difference` is what nobody can account for.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BalanceLine {
    pub id: i64,
    pub mailbox: String,
    pub shown: i64,
    pub tickets: i64,
    pub entries: i64,
    pub bounces: i64,
    pub invalid: i64,
    pub errors: i64,
    pub duplicates: i64,
    pub discarded: i64,
    pub left: i64,
    pub vanished: i64,
    pub before_start: i64,
    pub pending: i64,
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

    /// Each arrival is counted once: what lies at the source or was gone by its state, what is decided by its act.
    pub async fn list_balances(&mut self) -> Result<Vec<BalanceLine>, Error> {
        let query = sqlx::query(
            "SELECT mailbox_id, fate, count(*) FROM (SELECT a.mailbox_id AS mailbox_id, \
             CASE WHEN a.state IN ('left', 'vanished', 'before_start') THEN a.state WHEN j.act IS NULL THEN 'pending' \
             WHEN j.act = 'discard' AND j.code LIKE 'duplicate%' THEN 'duplicate' ELSE j.act END AS fate \
             FROM arrival a LEFT JOIN journal j ON j.arrival_id = a.id) fates GROUP BY mailbox_id, fate",
        );
        let counts = self.rows(query).await?;
        let mut lines: Vec<BalanceLine> = vec![];
        for mailbox in self.mailboxes().await? {
            let (id, shown) = (mailbox.id.0, mailbox.shown);
            lines.push(BalanceLine { id, mailbox: mailbox.spec.name, shown, ..BalanceLine::default() });
        }
        for row in &counts {
            let mut row = Reader::new(row);
            let id = row.int()?;
            let (fate, count) = (row.text()?, row.int()?);
            if let Some(line) = lines.iter_mut().find(|line| line.id == id) {
                *line.fate(&fate)? = count;
            }
        }
        for line in &mut lines {
            line.difference = line.shown - line.accounted();
        }
        Ok(lines)
    }
}

impl BalanceLine {
    fn fate(&mut self, fate: &str) -> Result<&mut i64, Error> {
        Ok(match fate {
            "open" => &mut self.tickets,
            "append" => &mut self.entries,
            "bounce" => &mut self.bounces,
            "invalid" => &mut self.invalid,
            "error" => &mut self.errors,
            "duplicate" => &mut self.duplicates,
            "discard" => &mut self.discarded,
            "left" => &mut self.left,
            "vanished" => &mut self.vanished,
            "before_start" => &mut self.before_start,
            "pending" => &mut self.pending,
            other => return Err(Error::Corrupt(format!("{other:?} is no fate of a message"))),
        })
    }

    fn accounted(&self) -> i64 {
        self.tickets
            + self.entries
            + self.bounces
            + self.invalid
            + self.errors
            + self.duplicates
            + self.discarded
            + self.left
            + self.vanished
            + self.before_start
            + self.pending
    }
}

fn line(row: &MailboxRow, types: Vec<String>) -> MailboxLine {
    let state = match row {
        _ if !row.spec.is_active => "off",
        _ if row.is_held => "held",
        _ if row.failing_since.is_some() => "failing",
        _ if types.is_empty() => "no_type",
        _ if row.last_ok.is_none() => "waiting",
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
        last_round: row.last_round.map(Micros::rfc3339),
        last_ok: row.last_ok.map(Micros::rfc3339),
        failing_since: row.failing_since.map(Micros::rfc3339),
        failures: row.failures,
        last_error: row.last_error.clone(),
        provisioned: row.is_provisioned,
        version: row.version,
    }
}
