//! What differs between SQLite and PostgreSQL: how to open, how to begin, how to lock.

use std::time::Duration;

use sqlx::{AnyConnection, Connection as _, Executor, Row as _};
use tokio::time::timeout;

use super::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// SQLite, as we run it. WAL with FULL: a commit is durable when it returns. `secure_delete`: erased words are gone from
/// the file. The page size must come first; it holds for a new file only.
const SQLITE_PRAGMAS: &str = "PRAGMA page_size = 16384; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY; \
     PRAGMA journal_size_limit = 67108864;";
const SQLITE_READER_PRAGMAS: &str = "PRAGMA query_only = ON;";
const SQLITE_WRITER_PRAGMAS: &str = "PRAGMA cache_size = -6144; PRAGMA wal_autocheckpoint = 3000;";

/// PostgreSQL: a commit is durable when it returns. A process that is stopped in the midst of a transaction, or is gone with
/// its machine, holds its locks, the desk's among them: not for long.
const POSTGRES_SETTINGS: &str = "SET synchronous_commit = on; SET idle_in_transaction_session_timeout = '10s'; \
     SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3";
/// How long a server may take to say that it is there.
const ANSWER: Duration = Duration::from_secs(5);

impl Engine {
    pub(super) fn of_url(url: &str) -> Result<Engine, Error> {
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => Ok(Engine::Sqlite),
            Some("postgres" | "postgresql") => Ok(Engine::Postgres),
            _ => Err(Error::BadUrl),
        }
    }

    pub(super) fn full_url(self, url: &str) -> String {
        match self {
            Engine::Sqlite if !url.contains('?') => format!("{url}?mode=rwc"),
            _ => url.to_owned(),
        }
    }

    /// Whoever reads sees one moment, and cannot write.
    pub(super) fn begin_read(self) -> &'static str {
        match self {
            // SQLite's readers are held to it by `query_only`; their snapshot begins with the first look.
            Engine::Sqlite => "BEGIN",
            // It holds nobody up, and a backup may take its time between two looks.
            Engine::Postgres => {
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
                 SET LOCAL idle_in_transaction_session_timeout = 0"
            }
        }
    }

    pub(super) fn begin_write(self) -> &'static str {
        match self {
            // A transaction that reads before it writes must hold the write lock from the start (SQLITE_BUSY otherwise).
            Engine::Sqlite => "BEGIN IMMEDIATE",
            Engine::Postgres => "BEGIN",
        }
    }

    /// The time by the database's own clock, in microseconds, as an expression.
    pub(super) fn clock_us(self) -> &'static str {
        match self {
            Engine::Sqlite => "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
            Engine::Postgres => "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)",
        }
    }

    /// Appended to the SELECT that reads the desk's counters: on PostgreSQL their rows are the desk lock.
    pub(super) fn for_update(self) -> &'static str {
        match self {
            Engine::Sqlite => "",
            Engine::Postgres => " FOR UPDATE",
        }
    }

    /// The time by the database's clock, in microseconds UTC, as it is when the statement comes to it.
    pub(super) fn now(self) -> &'static str {
        match self {
            Engine::Sqlite => "CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER)",
            Engine::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
        }
    }

    /// Selected once, it has the engine end this transaction when it stands still for so many milliseconds, as text.
    pub(super) fn limits_idling(self, milliseconds: &str) -> String {
        match self {
            Engine::Sqlite => milliseconds.to_owned(),
            Engine::Postgres => {
                format!("set_config('idle_in_transaction_session_timeout', {milliseconds}, true)")
            }
        }
    }

    /// Appended to a SELECT of a row that nobody may change before we commit.
    pub(super) fn for_share(self) -> &'static str {
        match self {
            Engine::Sqlite => "",
            Engine::Postgres => " FOR SHARE",
        }
    }

    /// Appended to a SELECT of a row that we change if nobody else has it in hand.
    pub(super) fn for_update_if_free(self) -> &'static str {
        match self {
            Engine::Sqlite => "",
            Engine::Postgres => " FOR UPDATE SKIP LOCKED",
        }
    }

    /// Behind a column of text in an ORDER BY: the order of bytes, which is SQLite's own, and not that of a locale.
    pub(super) fn by_bytes(self) -> &'static str {
        match self {
            Engine::Sqlite => "",
            Engine::Postgres => " COLLATE \"C\"",
        }
    }

    /// A server that lets go of what it has confirmed when the power fails is no place for a desk.
    pub(super) async fn require_durable(
        self,
        connection: &mut AnyConnection,
        place: &str,
    ) -> Result<(), Error> {
        if self == Engine::Sqlite {
            return Ok(());
        }
        let row = connection.fetch_one("SELECT current_setting('fsync')").await?;
        match row.try_get::<String, _>(0)?.as_str() {
            "off" => Err(Error::CannotOpen(format!(
                "{place} runs with fsync = off: after a power cut it would have lost mail that has left its mailbox. Set \
                 fsync = on in its postgresql.conf and reload it (`SELECT pg_reload_conf()`)"
            ))),
            _ => Ok(()),
        }
    }

    /// Reads something that every database has: SQLite opens a file before it knows whether it is one of its own.
    pub(super) async fn look_into(self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        let sql = match self {
            Engine::Sqlite => "SELECT count(*) FROM sqlite_master",
            Engine::Postgres => "SELECT count(*) FROM pg_tables",
        };
        connection.execute(sql).await.map(drop)
    }

    /// Whether an idle connection can be used: no transaction is open on it, and a server answers through it.
    pub(super) async fn is_usable(self, connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
        // On a full disk SQLite ends the transaction itself; its ROLLBACK fails then, and sqlx goes on counting it as open.
        // Such a connection would never begin another.
        if connection.is_in_transaction() {
            return Ok(false);
        }
        match self {
            Engine::Sqlite => Ok(true),
            Engine::Postgres => Ok(timeout(ANSWER, connection.ping()).await.is_ok_and(|said| said.is_ok())),
        }
    }

    pub(super) async fn prepare(
        self,
        connection: &mut AnyConnection,
        is_writer: bool,
        wait: std::time::Duration,
    ) -> Result<(), sqlx::Error> {
        match self {
            Engine::Sqlite => {
                // Before the others: they may meet a lock too.
                let patience = format!("PRAGMA busy_timeout = {}", wait.as_millis());
                connection.execute(sqlx::AssertSqlSafe(patience)).await?;
                connection.execute(SQLITE_PRAGMAS).await?;
                let more = if is_writer { SQLITE_WRITER_PRAGMAS } else { SQLITE_READER_PRAGMAS };
                connection.execute(more).await?;
            }
            Engine::Postgres => {
                connection.execute(POSTGRES_SETTINGS).await?;
            }
        }
        Ok(())
    }
}
