//! The schema of the store: forward only, one folder an engine, held against each other by a test.

use std::time::Duration;

use sqlx::Row;
use tokio::time::Instant;

use super::{Counter, Engine, Error, Store};
use crate::failure::Kind;

static SQLITE: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: sqlx::migrate::Migrator = sqlx::migrate!("migrations/postgres");

/// How often it is looked whether another one has done with the schema.
const LOOK: Duration = Duration::from_millis(50);

/// Which schema a store has, and which this program needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    pub found: i64,
    pub needed: i64,
}

/// The schema that this program needs.
pub(super) fn newest() -> i64 {
    SQLITE.iter().map(|m| m.version).max().unwrap_or(0)
}

impl Store {
    fn migrator(&self) -> &'static sqlx::migrate::Migrator {
        match self.engine {
            Engine::Sqlite => &SQLITE,
            Engine::Postgres => &POSTGRES,
        }
    }

    pub async fn schema(&self) -> Result<Schema, Error> {
        let needed = newest();
        let table = match self.engine {
            Engine::Sqlite => "SELECT count(*) FROM sqlite_master WHERE name = '_sqlx_migrations'",
            Engine::Postgres => "SELECT count(*) FROM pg_tables WHERE tablename = '_sqlx_migrations'",
        };
        let mut tx = self.read().await?;
        let has_table: i64 = tx.row(sqlx::query(table)).await?.try_get(0)?;
        if has_table == 0 {
            return Ok(Schema { found: 0, needed });
        }
        let newest = sqlx::query("SELECT CAST(coalesce(max(version), 0) AS BIGINT) FROM _sqlx_migrations");
        Ok(Schema { found: tx.row(newest).await?.try_get(0)?, needed })
    }

    /// Brings the schema up to this program's. Running it again does nothing.
    pub async fn migrate(&self) -> Result<Schema, Error> {
        let before = self.schema().await?;
        if before.found > before.needed {
            return Err(Error::NewSchema { found: before.found, needed: before.needed });
        }
        self.run_migrations(before.found).await?;
        let mut tx = self.write().await?;
        for name in Counter::names() {
            let query =
                sqlx::query("INSERT INTO counter (name, value) VALUES ($1, 0) ON CONFLICT DO NOTHING");
            tx.execute(query.bind(*name)).await?;
        }
        tx.commit().await?;
        self.schema().await
    }

    /// On PostgreSQL two that migrate at once wait for each other. On SQLite one of them fails, because the other has taken
    /// a step before it or holds the lock: it looks again, and goes on from there.
    async fn run_migrations(&self, mut found: i64) -> Result<(), Error> {
        let end = Instant::now() + self.wait;
        loop {
            let Err(error) = self.migrator().run(&self.servers.used().writer).await else { return Ok(()) };
            let now = self.schema().await?.found;
            if now == found {
                let error = Error::Unavailable(error.into());
                if error.kind() != Kind::StoreLocked || Instant::now() > end {
                    return Err(error);
                }
                tokio::time::sleep(LOOK).await;
            }
            found = now;
        }
    }

    /// Refuses a store whose schema is not this program's.
    pub async fn require_schema(&self) -> Result<(), Error> {
        let Schema { found, needed } = self.schema().await?;
        match found.cmp(&needed) {
            std::cmp::Ordering::Less => Err(Error::OldSchema { found, needed }),
            std::cmp::Ordering::Greater => Err(Error::NewSchema { found, needed }),
            std::cmp::Ordering::Equal => Ok(()),
        }
    }
}
