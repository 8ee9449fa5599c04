//! Is the store sound, and what is still owed? For `doctor` and for the daemon's health: nothing here changes anything.

use std::time::Duration;

use tokio::time::timeout;

use super::reader::Reader;
use super::{Engine, Error, Store, Tx};
use crate::clock::Micros;

/// What the store says when it is asked whether it is there.
#[derive(Debug)]
pub enum Ping {
    Answers,
    /// It cannot be used, and says why: a new process would be told the same.
    Away(Error),
    /// Nothing: it hangs, or our way to it does.
    Silent,
}

/// What is not done yet.
#[derive(Clone, Debug, Default)]
pub struct Owed {
    /// Messages by the state of their arrival, where that is not its last one.
    pub arrivals: Vec<(String, u64)>,
    /// Recipients that mail waits for: queued, deferred, held.
    pub recipients: Vec<(String, u64)>,
    /// When the oldest of those mails was queued.
    pub oldest: Option<Micros>,
}

impl Store {
    /// Whether it answers within `patience`: a row is read.
    pub async fn ping(&self, patience: Duration) -> Ping {
        let asked = async { self.read().await?.setting("ping").await };
        match timeout(patience / 2, asked).await {
            Ok(Ok(_)) => Ping::Answers,
            Ok(Err(error)) => Ping::Away(error),
            // A pool asks a server that refuses again and again; a plain connection says so at once. Where that one opens,
            // it is the pool that hangs.
            Err(_) => match timeout(patience / 2, self.servers.seek(&self.servers.used())).await {
                Ok(Err(error)) => Ping::Away(error),
                // Nobody else would be answered either.
                Err(_) if self.engine == Engine::Postgres => {
                    let options = self.servers.options();
                    Ping::Away(super::refusal::no_answer(self.engine, options, patience.as_secs()))
                }
                Ok(Ok(_)) | Err(_) => Ping::Silent,
            },
        }
    }

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
            Engine::Postgres => {
                "SELECT current_setting('fsync') || ', full_page_writes ' || current_setting('full_page_writes')"
            }
        };
        let mut tx = self.read().await?;
        let row = tx.row(sqlx::query(sql)).await?;
        let said = Reader::new(&row).text()?;
        Ok(match self.engine {
            Engine::Sqlite => (said == "ok", format!("SQLite's quick_check says {said}")),
            Engine::Postgres => {
                (said == "on, full_page_writes on", format!("PostgreSQL runs with fsync {said}"))
            }
        })
    }
}

impl Tx {
    pub async fn owed(&mut self) -> Result<Owed, Error> {
        let query = sqlx::query(
            "SELECT state, COUNT(*) FROM arrival WHERE state IN ('kept', 'ack_pending', 'left', 'refused') \
             GROUP BY state ORDER BY state",
        );
        let mut owed = Owed::default();
        for row in self.rows(query).await? {
            let mut row = Reader::new(&row);
            owed.arrivals.push((row.text()?, row.whole()?));
        }
        let query = sqlx::query(
            "SELECT CASE WHEN o.state = 'held' THEN 'held' ELSE r.state END, COUNT(*), MIN(o.created_us) \
             FROM outbox o JOIN outbox_recipient r ON r.outbox_id = o.id \
             WHERE o.state IN ('queued', 'held') AND r.state IN ('queued', 'deferred') GROUP BY 1 ORDER BY 1",
        );
        for row in self.rows(query).await? {
            let mut row = Reader::new(&row);
            owed.recipients.push((row.text()?, row.whole()?));
            let oldest = row.time()?;
            owed.oldest = Some(owed.oldest.map_or(oldest, |before| before.min(oldest)));
        }
        Ok(owed)
    }

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
    pub async fn last_kept(&mut self) -> Result<Option<Micros>, Error> {
        let row = self.row(sqlx::query("SELECT max(kept_us) FROM arrival")).await?;
        Reader::new(&row).maybe_time()
    }
}
