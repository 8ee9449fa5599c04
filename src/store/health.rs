//! Is the store sound? For `doctor`: what can be asked of an engine without changing anything.

use super::reader::Reader;
use super::{Engine, Error, Store, Tx};
use crate::clock::Micros;

impl Store {
    /// The folder that a SQLite file lies in; a server has its own disk.
    pub fn folder(&self) -> Option<std::path::PathBuf> {
        let file = super::refusal::sqlite_path(&self.options);
        (self.engine == Engine::Sqlite).then(|| file.parent().map(std::path::Path::to_owned)).flatten()
    }

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

impl Tx {
    /// What time a database server has; SQLite has ours.
    pub async fn other_clock(&mut self) -> Result<Option<Micros>, Error> {
        if self.engine == Engine::Sqlite {
            return Ok(None);
        }
        let sql = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)";
        let row = self.row(sqlx::query(sql)).await?;
        Ok(Some(Reader::new(&row).time()?))
    }

    /// When the last message was taken in.
    pub async fn newest_arrival(&mut self) -> Result<Option<Micros>, Error> {
        let row = self.row(sqlx::query("SELECT max(kept_us) FROM arrival")).await?;
        Reader::new(&row).maybe_time()
    }
}
