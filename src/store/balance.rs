//! The counts of the mail balance (M2), from rows that are written independently of each other.

use serde::Serialize;
use sqlx::Row;

use super::{Error, Tx};
use crate::ticket::MailboxId;

/// For one mailbox: what its server ever showed, and where each of those messages stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// Distinct messages that the server has shown, counted when they were listed.
    pub shown: i64,
    pub tickets: i64,
    pub entries: i64,
    pub bounces: i64,
    pub invalid: i64,
    pub errors: i64,
    pub duplicates: i64,
    pub discarded: i64,
    /// Over the size limit, still at the source.
    pub left: i64,
    pub vanished: i64,
    pub before_start: i64,
    /// Kept and not yet decided.
    pub pending: i64,
}

impl Balance {
    pub fn accounted(&self) -> i64 {
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

    pub fn difference(&self) -> i64 {
        self.shown - self.accounted()
    }
}

impl Tx {
    /// More messages that a mailbox's server has shown.
    pub async fn add_shown(&mut self, mailbox: MailboxId, n: i64) -> Result<(), Error> {
        let query = sqlx::query("UPDATE mailbox SET shown = shown + $2 WHERE id = $1");
        self.later(query.bind(mailbox.0).bind(n))
    }

    /// Each place is counted where the message stands: an entry by its log entry, an invalid ticket by its row.
    pub async fn balance(&mut self, mailbox: MailboxId) -> Result<Balance, Error> {
        let mut balance = Balance::default();
        let query = sqlx::query("SELECT shown FROM mailbox WHERE id = $1");
        balance.shown = self.row(query.bind(mailbox.0)).await?.try_get(0)?;
        let query = sqlx::query(
            "SELECT a.state, coalesce(j.act, ''), coalesce(j.code, ''), count(*), \
             count((SELECT max(e.id) FROM log_entry e WHERE e.arrival_id = a.id)), \
             count((SELECT max(i.id) FROM invalid_ticket i WHERE i.arrival_id = a.id)), \
             count((SELECT max(x.id) FROM error_ticket x WHERE x.arrival_id = a.id)), \
             count((SELECT max(b.id) FROM bounce b WHERE b.arrival_id = a.id)) \
             FROM arrival a LEFT JOIN journal j ON j.arrival_id = a.id WHERE a.mailbox_id = $1 \
             GROUP BY a.state, coalesce(j.act, ''), coalesce(j.code, '')",
        );
        for row in self.rows(query.bind(mailbox.0)).await? {
            let (state, act, code): (String, String, String) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let count = |at: usize| row.try_get::<i64, _>(at);
            match (state.as_str(), act.as_str()) {
                ("left", _) => balance.left += count(6)?,
                ("vanished", _) => balance.vanished += count(3)?,
                ("before_start", _) => balance.before_start += count(3)?,
                ("kept", "") => balance.pending += count(3)?,
                (_, "open") => balance.tickets += count(4)?,
                (_, "append") => balance.entries += count(4)?,
                (_, "bounce") => balance.bounces += count(7)?,
                (_, "invalid") => balance.invalid += count(5)?,
                (_, "error") => balance.errors += count(6)?,
                (_, "discard") if code.starts_with("duplicate") => balance.duplicates += count(3)?,
                (_, "discard") => balance.discarded += count(3)?,
                _ => {}
            }
        }
        Ok(balance)
    }
}
