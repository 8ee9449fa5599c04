//! The store: the only room with SQL. One text for SQLite and PostgreSQL; what differs stands in `dialect`.
//!
//! Everything goes through a `Tx`. `read` gives a snapshot, `write` a transaction, `desk` a transaction that holds the
//! desk lock: whoever decides or writes events takes it, so that the order of commits is the order of their numbers.
//! The functions on `Tx` stand in one file a table or question.

mod account;
mod alert;
pub mod arrival;
mod backup;
pub mod balance;
mod block_list;
mod census;
pub mod clue;
mod contacts;
mod copy;
pub mod delivery;
mod dialect;
mod error;
mod event;
mod folder;
mod grant;
mod group;
mod health;
mod hold;
mod job;
pub mod journal;
mod later;
mod lease;
pub mod listing;
mod mailbox;
mod migrate;
mod moving;
mod oauth_provider;
pub mod outbox;
mod provision;
pub mod queue;
pub mod raw;
mod reader;
mod refusal;
mod relay;
mod restored;
mod rules;
mod secret;
mod settings;
pub mod shadow;
mod space;
pub mod ticket;
mod ticket_type;
mod tx;

pub use account::AccountRow;
pub use alert::{Alarm, Raised, Untold};
pub use backup::{BackupFile, Header, Restoring};
pub use block_list::BlockRow;
pub use contacts::{ContactAddress, ContactEdit, ContactRow};
pub use copy::{Copied, TableSum};
pub use dialect::Engine;
pub use error::Error;
pub use event::{Cause, Event, Happened, StoredEvent};
pub use folder::{BeforeStart, FolderRow, Unknown};
pub use grant::{FailedTry, GrantRow, NewGrant, Tokens};
pub use group::GroupRow;
pub use health::{Owed, Ping};
pub use hold::{Hold, Manner, Owner, host};
pub use job::JobRow;
pub use lease::{DaemonRow, Fence, LeaseRow, Life, Member, Taken};
pub use mailbox::{MailboxRow, Quiet};
pub use migrate::Schema;
pub use moving::{MoveStep, Moved, Moving};
pub use oauth_provider::ProviderRow;
pub use relay::RelayRow;
pub use restored::{HELD_WORDS, HeldSpan, Restored};
pub use secret::{PasswordChange, Stamp};
pub use space::{FreeBytes, Shortage, Space, free_bytes};
pub use ticket_type::TypeRow;
pub use tx::{Counter, Tx};

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyPool, Connection as _};
use std::str::FromStr;
use std::time::Duration;

/// A statement on its way to either engine.
type Statement<'q> = sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>;

/// How long a transaction waits for a connection or for SQLite's write lock before that counts as a failure.
const WAIT: Duration = Duration::from_secs(30);
/// Connections that read, beside SQLite's one that writes.
const READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 12;

/// A desk's database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    engine: Engine,
    options: AnyConnectOptions,
    readers: AnyPool,
    writer: AnyPool,
    wait: Duration,
    /// What writes here must still own.
    fence: Option<Fence>,
}

impl Store {
    /// Opens `sqlite:<path>` (the file is made if absent) or `postgres://…`. Says at once what is wrong.
    pub async fn connect(url: &str) -> Result<Store, Error> {
        Store::connect_within(url, WAIT).await
    }

    /// The same, waiting only so long for a connection or a lock.
    pub async fn connect_within(url: &str, wait: Duration) -> Result<Store, Error> {
        sqlx::any::install_default_drivers();
        let engine = Engine::of_url(url)?;
        let wrong = |e| Error::CannotOpen(format!("store.url cannot be read: {e}"));
        let options = AnyConnectOptions::from_str(&engine.full_url(url)).map_err(wrong)?;
        if engine == Engine::Sqlite {
            refusal::require_owner(&options)?;
        }
        try_to_open(engine, &options, wait).await?;
        Ok(match engine {
            // One writer: SQLite has one write lock, and a queue of tasks is fairer than its busy handler.
            Engine::Sqlite => Store {
                engine,
                options: options.clone(),
                writer: pool(engine, &options, wait, (1, true)),
                readers: pool(engine, &options, wait, (READERS, false)),
                wait,
                fence: None,
            },
            Engine::Postgres => {
                let all = pool(engine, &options, wait, (POSTGRES_CONNECTIONS, true));
                Store {
                    engine,
                    options: options.clone(),
                    writer: all.clone(),
                    readers: all,
                    wait,
                    fence: None,
                }
            }
        })
    }

    /// Opens a store that is there already: of a SQLite file none is made.
    pub async fn connect_existing(url: &str) -> Result<Store, Error> {
        let wrong = |e| Error::CannotOpen(format!("store.url cannot be read: {e}"));
        if Engine::of_url(url)? == Engine::Sqlite {
            let path = refusal::sqlite_path(&AnyConnectOptions::from_str(url).map_err(wrong)?);
            if !path.exists() {
                let words = "is not there: `maildesk run` or `maildesk migrate` sets the desk up";
                return Err(Error::CannotOpen(format!("{} {words}", path.display())));
            }
        }
        Store::connect(url).await
    }

    /// The same store by a connection of its own, which no other work keeps waiting. SQLite has one writer in any case.
    pub fn apart(&self) -> Store {
        let mut apart = self.clone();
        if self.engine == Engine::Postgres {
            apart.writer = pool(self.engine, &self.options, self.wait, (1, true));
            apart.readers = apart.writer.clone();
        }
        apart
    }

    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// A snapshot to read from: what others commit meanwhile is not seen, and nothing can be written.
    pub async fn read(&self) -> Result<Tx, Error> {
        self.begin(&self.readers, self.engine.begin_read()).await
    }

    /// A transaction that neither decides nor writes events: arrivals, attempts, alerts, settings.
    pub async fn write(&self) -> Result<Tx, Error> {
        let mut tx = self.begin(&self.writer, self.engine.begin_write()).await?;
        if let Some(fence) = &self.fence {
            tx.require_fence(fence).await?;
        }
        Ok(tx)
    }

    /// A transaction under the desk lock. It is short: nothing waits for the network inside it.
    pub async fn desk(&self) -> Result<Tx, Error> {
        let mut tx = self.begin(&self.writer, self.engine.begin_write()).await?;
        tx.lock_desk().await?;
        // Behind the lock: there may have been a long wait for it.
        if let Some(fence) = &self.fence {
            tx.require_fence(fence).await?;
        }
        Ok(tx)
    }

    async fn begin(&self, pool: &AnyPool, how: &'static str) -> Result<Tx, Error> {
        match Tx::begin(self.engine, pool, how).await {
            // It waited in vain. Where the store does not even open, that is why.
            Err(Error::Unavailable(e @ sqlx::Error::PoolTimedOut)) => {
                try_to_open(self.engine, &self.options, self.wait).await?;
                Err(Error::Unavailable(e))
            }
            begun => begun,
        }
    }

    pub async fn close(self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn pool(
    engine: Engine,
    options: &AnyConnectOptions,
    wait: Duration,
    (connections, is_writer): (u32, bool),
) -> AnyPool {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(wait)
        .test_before_acquire(engine == Engine::Postgres)
        // On a full disk SQLite ends the transaction itself; its ROLLBACK fails then, and sqlx goes on counting it
        // as open. Such a connection would never begin another.
        .before_acquire(|connection, _| {
            let is_free = !connection.is_in_transaction();
            Box::pin(std::future::ready(Ok(is_free)))
        })
        .after_connect(move |connection, _| Box::pin(engine.prepare(connection, is_writer, wait)))
        .connect_lazy_with(options.clone())
}

/// A pool hides why it cannot connect behind a time-out; one plain connection that looks into the store says it.
async fn try_to_open(engine: Engine, options: &AnyConnectOptions, wait: Duration) -> Result<(), Error> {
    let open = async {
        let mut connection = sqlx::AnyConnection::connect_with(options).await?;
        engine.prepare(&mut connection, true, wait).await?;
        engine.look_into(&mut connection).await?;
        connection.close().await
    };
    match tokio::time::timeout(wait, open).await {
        Ok(opened) => opened.map_err(|e| refusal::refusal(engine, options, e)),
        Err(_) => Err(refusal::no_answer(engine, options, wait.as_secs())),
    }
}
