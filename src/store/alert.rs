//! Alerts as rows.

use sqlx::Row;

use super::tx::without_nul;
use super::{Counter, Error, Tx};
use crate::clock::Micros;
use crate::ticket::AlertId;

/// An alert that stands and has been told to nobody.
#[derive(Clone, Debug)]
pub struct Untold {
    pub id: AlertId,
    pub name: String,
    pub words: String,
    pub raised: Micros,
}

impl Tx {
    pub async fn open_alert(&mut self, name: &str) -> Result<Option<AlertId>, Error> {
        let query = sqlx::query("SELECT id FROM alert WHERE name = $1 AND cleared_us IS NULL");
        let row = self.maybe_row(query.bind(name)).await?;
        Ok(row.map(|r| r.try_get(0)).transpose()?.map(AlertId))
    }

    /// `true` where it did not stand already.
    pub async fn raise_alert(&mut self, name: &str, words: &str, now: Micros) -> Result<bool, Error> {
        // Looked at first so that an id is not drawn each time; the unique index decides between two at once.
        if self.open_alert(name).await?.is_some() {
            return Ok(false);
        }
        let id = self.draw(Counter::Alert).await?;
        let query = sqlx::query(
            "INSERT INTO alert (id, name, words, raised_us) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        );
        let query = query.bind(id).bind(name).bind(without_nul(words)).bind(now.0);
        Ok(self.execute(query).await? > 0)
    }

    /// `true` where it stood.
    pub async fn clear_alert(&mut self, name: &str, now: Micros) -> Result<bool, Error> {
        let query = sqlx::query("UPDATE alert SET cleared_us = $2 WHERE name = $1 AND cleared_us IS NULL");
        Ok(self.execute(query.bind(name).bind(now.0)).await? > 0)
    }

    pub async fn untold_alerts(&mut self) -> Result<Vec<Untold>, Error> {
        let query = sqlx::query(
            "SELECT id, name, words, raised_us FROM alert WHERE told_us IS NULL AND cleared_us IS NULL ORDER BY id",
        );
        let rows = self.rows(query).await?;
        rows.iter()
            .map(|r| {
                Ok(Untold {
                    id: AlertId(r.try_get(0)?),
                    name: r.try_get(1)?,
                    words: r.try_get(2)?,
                    raised: Micros(r.try_get(3)?),
                })
            })
            .collect()
    }

    pub async fn mark_told(&mut self, id: AlertId, now: Micros) -> Result<(), Error> {
        let query = sqlx::query("UPDATE alert SET told_us = $2 WHERE id = $1");
        self.execute(query.bind(id.0).bind(now.0)).await.map(drop)
    }
}
