//! The counts of the mail balance (M2), from rows that are written independently of each other.
//!
//! `balance` counts all of a mailbox. A round asks `round_balance`, which counts on from a mark: an earlier count that was
//! even, of messages that stand where they will stay. What takes one of those back removes the mark. So a message that
//! is lost on its way shows in its own round, and a row that is lost later shows within a day, when a mark has aged.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::Row;

use super::{Error, Tx};
use crate::clock::Micros;
use crate::ticket::{ArrivalId, MailboxId};

/// A mark is renewed after so many messages: a round counts no more than these and its own.
const MARK_EVERY: i64 = 1000;
/// Then all is counted again.
const MARK_AGES: Duration = Duration::from_secs(24 * 60 * 60);

/// For one mailbox: what its server ever showed, and where each of those messages stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Too big, or not given by the server: still at the source.
    pub left: i64,
    pub vanished: i64,
    pub before_start: i64,
    /// Decided in shadow: nothing came of them.
    pub shadow: i64,
    /// Kept and not yet decided, or asked for again in the next round.
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
            + self.shadow
            + self.pending
    }

    pub fn difference(&self) -> i64 {
        self.shown - self.accounted()
    }
}

/// What a round counted.
#[derive(Clone, Copy, Debug)]
pub struct RoundBalance {
    pub balance: Balance,
    /// To be kept with `mark_balance`, where it is worth a write.
    pub mark: Option<Mark>,
}

/// An even count up to an arrival.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    upto: i64,
    counts: Balance,
    counted: Micros,
}

impl Tx {
    /// More messages that a mailbox's server has shown.
    pub async fn add_shown(&mut self, mailbox: MailboxId, n: i64) -> Result<(), Error> {
        let query = sqlx::query("UPDATE mailbox SET shown = shown + $2 WHERE id = $1");
        self.later(query.bind(mailbox.0).bind(n))
    }

    /// The whole count of a mailbox.
    pub async fn balance(&mut self, mailbox: MailboxId) -> Result<Balance, Error> {
        let balance = Balance { shown: self.shown(mailbox).await?, ..Balance::default() };
        self.count_from(mailbox, 0, balance).await
    }

    /// The count as a round needs it. Where it would be off, the answer is that of the whole count.
    pub async fn round_balance(&mut self, mailbox: MailboxId, now: Micros) -> Result<RoundBalance, Error> {
        let shown = self.shown(mailbox).await?;
        let old = self.mark(mailbox).await?.filter(|mark| mark.counted.plus(MARK_AGES) > now);
        let mut from = old.unwrap_or(Mark { upto: 0, counts: Balance::default(), counted: now });
        let mut balance = self.count_from(mailbox, from.upto, Balance { shown, ..from.counts }).await?;
        if balance.difference() != 0 && from.upto > 0 {
            from = Mark { upto: 0, counts: Balance::default(), counted: now };
            balance = self.balance(mailbox).await?;
        }
        // Ids are drawn under a lock that is held until the commit: below the last one nothing can appear any more.
        let last: i64 =
            self.row(sqlx::query("SELECT coalesce(max(id), 0) FROM arrival")).await?.try_get(0)?;
        let is_worth_it = balance.difference() == 0 && balance.pending == 0 && last - from.upto >= MARK_EVERY;
        let mark = is_worth_it.then_some(Mark { upto: last, counts: balance, counted: from.counted });
        Ok(RoundBalance { balance, mark })
    }

    pub async fn mark_balance(&mut self, mailbox: MailboxId, mark: &Mark) -> Result<(), Error> {
        let query = sqlx::query(
            "INSERT INTO balance_mark (mailbox_id, upto, counts, counted_us) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (mailbox_id) DO UPDATE SET upto = excluded.upto, counts = excluded.counts, \
             counted_us = excluded.counted_us",
        );
        let query = query.bind(mailbox.0).bind(mark.upto).bind(serde_json::to_string(&mark.counts)?);
        self.execute(query.bind(mark.counted.0)).await.map(drop)
    }

    /// A message that may be in a count goes on to stand elsewhere.
    pub(super) async fn forget_mark(&mut self, arrival: ArrivalId) -> Result<(), Error> {
        let query = sqlx::query(
            "DELETE FROM balance_mark WHERE upto >= $1 AND mailbox_id = (SELECT mailbox_id FROM arrival WHERE id = $1)",
        );
        self.execute(query.bind(arrival.0)).await.map(drop)
    }

    async fn shown(&mut self, mailbox: MailboxId) -> Result<i64, Error> {
        let query = sqlx::query("SELECT shown FROM mailbox WHERE id = $1").bind(mailbox.0);
        let row = self.maybe_row(query).await?;
        Ok(row.ok_or_else(|| Error::Missing(format!("mailbox #{mailbox}")))?.try_get(0)?)
    }

    async fn mark(&mut self, mailbox: MailboxId) -> Result<Option<Mark>, Error> {
        let query = sqlx::query("SELECT upto, counts, counted_us FROM balance_mark WHERE mailbox_id = $1");
        let Some(row) = self.maybe_row(query.bind(mailbox.0)).await? else { return Ok(None) };
        let counts = serde_json::from_str(&row.try_get::<String, _>(1)?)?;
        Ok(Some(Mark { upto: row.try_get(0)?, counts, counted: Micros(row.try_get(2)?) }))
    }

    /// Adds the arrivals behind `upto`. Each is counted where it stands: an entry by its log entry, an invalid ticket by
    /// its row; a journal row alone is neither.
    async fn count_from(
        &mut self,
        mailbox: MailboxId,
        upto: i64,
        mut balance: Balance,
    ) -> Result<Balance, Error> {
        // `+ 0` keeps SQLite from walking all of the mailbox by its unique index instead of the few new ids, and PostgreSQL,
        // which looks for a least id along the primary key, from walking all of the desk for each of them.
        let query = sqlx::query(
            "SELECT a.state, coalesce(j.act, ''), coalesce(j.code, ''), count(CASE \
             WHEN a.state IN ('vanished', 'before_start', 'shadow_kept', 'refused') THEN 1 \
             WHEN a.state = 'shadow' THEN (SELECT s.arrival_id FROM shadow s WHERE s.arrival_id = a.id) \
             WHEN a.state = 'left' OR j.act = 'error' THEN (SELECT min(x.id + 0) FROM error_ticket x WHERE x.arrival_id = a.id) \
             WHEN j.act IN ('open', 'append') THEN (SELECT min(e.id + 0) FROM log_entry e WHERE e.arrival_id = a.id) \
             WHEN j.act = 'bounce' THEN (SELECT min(b.id + 0) FROM bounce b WHERE b.arrival_id = a.id) \
             WHEN j.act = 'invalid' THEN (SELECT min(i.id + 0) FROM invalid_ticket i WHERE i.arrival_id = a.id) \
             WHEN j.act = 'discard' OR a.state = 'kept' THEN 1 END) \
             FROM arrival a LEFT JOIN journal j ON j.arrival_id = a.id WHERE a.mailbox_id + 0 = $1 AND a.id > $2 \
             GROUP BY a.state, coalesce(j.act, ''), coalesce(j.code, '')",
        );
        for row in self.rows(query.bind(mailbox.0).bind(upto)).await? {
            let (state, act, code): (String, String, String) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            if let Some(place) = balance.place(&state, &act, &code) {
                *place += row.try_get::<i64, _>(3)?;
            }
        }
        Ok(balance)
    }
}

impl Balance {
    /// Where a message of this state, act and code is counted.
    fn place(&mut self, state: &str, act: &str, code: &str) -> Option<&mut i64> {
        Some(match (state, act) {
            ("left", _) => &mut self.left,
            ("vanished", _) => &mut self.vanished,
            ("before_start", _) => &mut self.before_start,
            ("kept", "") | ("shadow_kept" | "refused", _) => &mut self.pending,
            ("shadow", _) => &mut self.shadow,
            (_, "open") => &mut self.tickets,
            (_, "append") => &mut self.entries,
            (_, "bounce") => &mut self.bounces,
            (_, "invalid") => &mut self.invalid,
            (_, "error") => &mut self.errors,
            (_, "discard") if code.starts_with("duplicate") => &mut self.duplicates,
            (_, "discard") => &mut self.discarded,
            _ => return None,
        })
    }
}
