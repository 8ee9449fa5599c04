//! Alerts as rows.

use sqlx::Row;

use super::reader::Reader;
use super::tx::without_nul;
use super::{Counter, Error, Tx};
use crate::clock::Micros;
use crate::failure::Kind;
use crate::ticket::AlertId;

/// What is wrong, and what a person can do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Of a failure.
    pub kind: Option<Kind>,
    pub words: String,
    pub advice: String,
}

impl Alarm {
    pub fn kind_word(&self) -> &'static str {
        self.kind.map_or("", Kind::word)
    }

    fn is_urgent(&self) -> bool {
        self.kind.is_some_and(Kind::needs_somebody)
    }
}

/// What stating an alarm did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raised {
    New,
    /// It stood already, as something that may pass; now somebody has to act.
    Worse,
    /// It stood already; its words are those of now.
    Stands,
}

/// An alert about which a mail is owed: that it stands, or, where that was told, that it is over.
#[derive(Clone, Debug)]
pub struct Untold {
    pub id: AlertId,
    pub name: String,
    pub words: String,
    pub advice: String,
    pub raised: Micros,
    pub cleared: Option<Micros>,
    /// It was told before, in an earlier stage.
    pub is_told: bool,
}

impl Tx {
    pub async fn open_alert(&mut self, name: &str) -> Result<Option<AlertId>, Error> {
        let query = sqlx::query("SELECT id FROM alert WHERE name = $1 AND cleared_us IS NULL");
        let row = self.maybe_row(query.bind(name)).await?;
        Ok(row.map(|r| r.try_get(0)).transpose()?.map(AlertId))
    }

    /// Raises it, or keeps one that stands up to date. It is told again only where it became worse.
    pub async fn raise_alert(&mut self, name: &str, alarm: &Alarm, now: Micros) -> Result<Raised, Error> {
        let query = sqlx::query("SELECT id, urgent FROM alert WHERE name = $1 AND cleared_us IS NULL");
        let Some(row) = self.maybe_row(query.bind(name)).await? else {
            return self.insert_alert(name, alarm, now).await;
        };
        let mut row = Reader::new(&row);
        let (id, was_urgent) = (row.int()?, row.flag()?);
        let is_worse = alarm.is_urgent() && !was_urgent;
        let query = sqlx::query(
            "UPDATE alert SET kind = $2, words = $3, advice = $4, urgent = CASE WHEN $5 = 1 THEN 1 ELSE urgent END, \
             owed = CASE WHEN $5 = 1 THEN 1 ELSE owed END WHERE id = $1",
        );
        let query = query.bind(id).bind(alarm.kind_word()).bind(without_nul(&alarm.words));
        self.execute(query.bind(without_nul(&alarm.advice)).bind(i64::from(is_worse))).await?;
        Ok(if is_worse { Raised::Worse } else { Raised::Stands })
    }

    async fn insert_alert(&mut self, name: &str, alarm: &Alarm, now: Micros) -> Result<Raised, Error> {
        let id = self.draw(Counter::Alert).await?;
        // The unique index decides between two who raise it at once.
        let query = sqlx::query(
            "INSERT INTO alert (id, name, kind, words, advice, urgent, raised_us) VALUES ($1, $2, $3, $4, $5, $6, $7) \
             ON CONFLICT DO NOTHING",
        );
        let query = query.bind(id).bind(name).bind(alarm.kind_word()).bind(without_nul(&alarm.words));
        let query = query.bind(without_nul(&alarm.advice)).bind(i64::from(alarm.is_urgent())).bind(now.0);
        Ok(if self.execute(query).await? > 0 { Raised::New } else { Raised::Stands })
    }

    /// `true` where it stood. That it is over is told to whom it was told that it stands, if `is_told`.
    pub async fn clear_alert(&mut self, name: &str, is_told: bool, now: Micros) -> Result<bool, Error> {
        let query = sqlx::query(
            "UPDATE alert SET cleared_us = $2, owed = CASE WHEN told_us IS NULL THEN 0 ELSE $3 END \
             WHERE name = $1 AND cleared_us IS NULL",
        );
        Ok(self.execute(query.bind(name).bind(now.0).bind(i64::from(is_told))).await? > 0)
    }

    pub async fn untold_alerts(&mut self) -> Result<Vec<Untold>, Error> {
        let query = sqlx::query(
            "SELECT id, name, words, advice, raised_us, cleared_us, told_us FROM alert WHERE owed = 1 ORDER BY id",
        );
        let rows = self.rows(query).await?;
        rows.iter()
            .map(|row| {
                let mut row = Reader::new(row);
                Ok(Untold {
                    id: AlertId(row.int()?),
                    name: row.text()?,
                    words: row.text()?,
                    advice: row.text()?,
                    raised: row.time()?,
                    cleared: row.maybe_time()?,
                    is_told: row.maybe_time()?.is_some(),
                })
            })
            .collect()
    }

    pub async fn mark_told(&mut self, id: AlertId, now: Micros) -> Result<(), Error> {
        let query = sqlx::query("UPDATE alert SET told_us = coalesce(told_us, $2), owed = 0 WHERE id = $1");
        self.execute(query.bind(id.0).bind(now.0)).await.map(drop)
    }
}
