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
mod clue;
mod contacts;
mod copy;
pub mod delivery;
mod dialect;
mod error;
mod event;
mod group;
mod health;
mod hold;
pub mod journal;
mod later;
pub mod listing;
mod mailbox;
mod migrate;
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
pub mod ticket;
mod ticket_type;
mod tx;

pub use account::AccountRow;
pub use alert::Untold;
pub use backup::{BackupFile, Header, Restoring};
pub use block_list::BlockRow;
pub use contacts::{ContactAddress, ContactEdit, ContactRow};
pub use copy::{Copied, TableSum};
pub use dialect::Engine;
pub use error::Error;
pub use event::{Cause, Event, Happened, StoredEvent};
pub use group::GroupRow;
pub use hold::{Hold, Owner};
pub use mailbox::MailboxRow;
pub use migrate::Schema;
pub use relay::RelayRow;
pub use restored::{HELD_WORDS, HeldSpan, Restored};
pub use secret::{PasswordChange, Stamp};
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
}

impl Store {
    /// Opens `sqlite:<path>` (the file is made if absent) or `postgres://…`. Says at once what is wrong.
    pub async fn connect(url: &str) -> Result<Store, Error> {
        sqlx::any::install_default_drivers();
        let engine = Engine::of_url(url)?;
        let wrong = |e| Error::CannotOpen(format!("store.url cannot be read: {e}"));
        let options = AnyConnectOptions::from_str(&engine.full_url(url)).map_err(wrong)?;
        try_to_open(engine, &options).await?;
        let pool = |connections: u32, is_writer: bool| {
            AnyPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(WAIT)
                .test_before_acquire(engine == Engine::Postgres)
                // On a full disk SQLite ends the transaction itself; its ROLLBACK fails then, and sqlx goes on counting it
                // as open. Such a connection would never begin another.
                .before_acquire(|connection, _| {
                    let is_free = !connection.is_in_transaction();
                    Box::pin(std::future::ready(Ok(is_free)))
                })
                .after_connect(move |connection, _| Box::pin(engine.prepare(connection, is_writer)))
                .connect_lazy_with(options.clone())
        };
        Ok(match engine {
            // One writer: SQLite has one write lock, and a queue of tasks is fairer than its busy handler.
            Engine::Sqlite => Store {
                engine,
                options: options.clone(),
                writer: pool(1, true),
                readers: pool(READERS, false),
            },
            Engine::Postgres => {
                let all = pool(POSTGRES_CONNECTIONS, true);
                Store { engine, options: options.clone(), writer: all.clone(), readers: all }
            }
        })
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
        self.begin(&self.writer, self.engine.begin_write()).await
    }

    /// A transaction under the desk lock. It is short: nothing waits for the network inside it.
    pub async fn desk(&self) -> Result<Tx, Error> {
        let mut tx = self.write().await?;
        tx.lock_desk().await?;
        Ok(tx)
    }

    async fn begin(&self, pool: &AnyPool, how: &'static str) -> Result<Tx, Error> {
        match Tx::begin(self.engine, pool, how).await {
            // It waited in vain. Where the store does not even open, that is why.
            Err(Error::Unavailable(e @ sqlx::Error::PoolTimedOut)) => {
                try_to_open(self.engine, &self.options).await?;
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

/// A pool hides why it cannot connect behind a time-out; one plain connection that looks into the store says it.
async fn try_to_open(engine: Engine, options: &AnyConnectOptions) -> Result<(), Error> {
    let open = async {
        let mut connection = sqlx::AnyConnection::connect_with(options).await?;
        engine.prepare(&mut connection, true).await?;
        engine.look_into(&mut connection).await?;
        connection.close().await
    };
    match tokio::time::timeout(WAIT, open).await {
        Ok(opened) => opened.map_err(|e| refusal::refusal(engine, options, e)),
        Err(_) => Err(refusal::no_answer(engine, options, WAIT.as_secs())),
    }
}
