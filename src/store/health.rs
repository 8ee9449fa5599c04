//! Is the store sound? For `doctor`: what can be asked of an engine without changing anything.

use super::reader::Reader;
use super::{Engine, Error, Store};

impl Store {
    /// Whether a row can be written: it is, and taken back.
    pub async fn require_writable(&self) -> Result<(), Error> {
        let mut tx = self.write().await?;
        tx.set_setting("doctor", "was here").await?;
        // `set_setting` may wait for the commit: a read sends it.
        tx.setting("doctor").await.map(drop)
    }

    /// What the engine says of itself: whether it is good, and its words. SQLite reads its whole file for that.
    pub async fn integrity(&self) -> Result<(bool, String), Error> {
        let sql = match self.engine {
            Engine::Sqlite => "PRAGMA quick_check(1)",
            Engine::Postgres => "SELECT current_setting('fsync')",
        };
        let mut tx = self.read().await?;
        let row = tx.row(sqlx::query(sql)).await?;
        let said = Reader::new(&row).text()?;
        Ok(match self.engine {
            Engine::Sqlite => (said == "ok", format!("SQLite's quick_check says {said}")),
            Engine::Postgres => (said == "on", format!("PostgreSQL runs with fsync {said}")),
        })
    }
}
