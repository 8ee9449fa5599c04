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
mod health;
mod hold;
mod job;
pub mod journal;
mod later;
mod lease;
pub mod listing;
pub mod loops;
mod mailbox;
mod mark;
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
mod servers;
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
pub use health::{Owed, Ping};
pub use hold::{Hold, Manner, Owner, host};
pub use job::JobRow;
pub use lease::{DaemonRow, Fence, LeaseRow, Life, Member, Taken};
pub use mailbox::{MailboxRow, Quiet};
pub use migrate::Schema;
pub use moving::{MoveStep, Moved, Moving};
pub use oauth_provider::ProviderRow;
pub use relay::RelayRow;
pub use restored::{HeldSpan, Restored};
pub use secret::{PasswordChange, Stamp};
pub use space::{FreeBytes, Shortage, Space, free_bytes};
pub use ticket_type::TypeRow;
pub use tx::{Counter, Tx};

use std::sync::Arc;
use std::time::Duration;

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, AnyPool, Connection as _};
use tokio::sync::Mutex;
use tokio::time::timeout;

use self::mark::MarkCell;
use self::servers::{Servers, Used};

/// A statement on its way to either engine.
type Statement<'q> = sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>;

/// How long a transaction waits for a connection or for SQLite's write lock before that counts as a failure.
const WAIT: Duration = Duration::from_secs(30);
/// Connections that read, beside SQLite's one that writes.
const READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 12;
/// Of several servers, how long one may take before the others are asked.
const SUSPICIOUS: Duration = Duration::from_secs(3);

/// A desk's database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    engine: Engine,
    /// Its first place: a SQLite file has no other.
    options: AnyConnectOptions,
    servers: Arc<Servers>,
    mark: MarkCell,
    wait: Duration,
    /// What writes here must still own.
    fence: Option<Fence>,
    /// Whoever of this process waits for PostgreSQL's desk lock waits here, and needs no connection until its turn comes.
    turn: Arc<Mutex<()>>,
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
        let all = servers::options_of(engine, url)?;
        let options = all.first().cloned().ok_or(Error::BadUrl)?;
        if engine == Engine::Sqlite {
            refusal::require_owner(&options)?;
        }
        let mark = MarkCell::default();
        let servers = Servers::new(engine, all, wait, mark.clone())?;
        let store = Store { engine, options, servers, mark, wait, fence: None, turn: Arc::default() };
        store.servers.seek(&store.servers.used()).await?;
        let mut connection = store.connection().await?;
        engine.require_durable(&mut connection, &store.place()).await?;
        connection.close().await?;
        Ok(store)
    }

    /// Opens a store that is there already: of a SQLite file none is made.
    pub async fn connect_existing(url: &str) -> Result<Store, Error> {
        let engine = Engine::of_url(url)?;
        if let (Engine::Sqlite, Some(options)) = (engine, servers::options_of(engine, url)?.first()) {
            let path = refusal::sqlite_path(options);
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
            apart.servers = self.servers.apart();
            apart.turn = Arc::default();
        }
        apart
    }

    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// A snapshot to read from: what others commit meanwhile is not seen, and nothing can be written.
    pub async fn read(&self) -> Result<Tx, Error> {
        self.begin(|used| &used.readers, self.engine.begin_read()).await
    }

    /// A transaction that neither decides nor writes events: arrivals, attempts, alerts, settings.
    pub async fn write(&self) -> Result<Tx, Error> {
        let mut tx = self.begin(|used| &used.writer, self.engine.begin_write()).await?;
        if let Some(fence) = &self.fence {
            tx.require_fence(fence).await?;
        }
        Ok(tx)
    }

    /// A transaction under the desk lock. It is short: nothing waits for the network inside it.
    pub async fn desk(&self) -> Result<Tx, Error> {
        let turn = match self.engine {
            // Its one writer is the queue.
            Engine::Sqlite => None,
            Engine::Postgres => {
                let turn = timeout(self.wait, self.turn.clone().lock_owned()).await;
                Some(turn.map_err(|_| sqlx::Error::PoolTimedOut)?)
            }
        };
        let mut tx = self.begin(|used| &used.writer, self.engine.begin_write()).await?;
        tx.lock_desk(turn).await?;
        // Behind the lock: there may have been a long wait for it.
        if let Some(fence) = &self.fence {
            tx.require_fence(fence).await?;
        }
        Ok(tx)
    }

    async fn begin(&self, pool: fn(&Used) -> &AnyPool, how: &'static str) -> Result<Tx, Error> {
        self.mark.require_whole()?;
        let begun = self.begin_anywhere(pool, how).await;
        // A new connection has looked whether all is there.
        self.mark.require_whole()?;
        begun
    }

    /// On the server that is used, or on the one that takes writes in its place.
    async fn begin_anywhere(&self, pool: fn(&Used) -> &AnyPool, how: &'static str) -> Result<Tx, Error> {
        let before = self.servers.used();
        let begin = |used: Used| {
            let mark = self.mark.clone();
            async move { Tx::begin_marked(self.engine, pool(&used), how, mark).await }
        };
        let mut begun = std::pin::pin!(begin(before.clone()));
        let failed = match self.servers.are_several() {
            false => Some(begun.as_mut().await),
            // A pool asks a server that refuses for as long as it may wait.
            true => timeout(SUSPICIOUS, begun.as_mut()).await.ok(),
        };
        let error = match failed {
            Some(Err(Error::Unavailable(e))) if self.servers.are_several() || is_time_out(&e) => Some(e),
            Some(begun) => return begun,
            None => None,
        };
        // Where the store does not even open, that is why.
        match (self.servers.seek(&before).await?, error) {
            (true, _) => begin(self.servers.used()).await,
            (false, Some(error)) => Err(Error::Unavailable(error)),
            (false, None) => begun.await,
        }
    }

    /// The same, to whichever server takes writes.
    async fn fresh_connection(&self) -> Result<AnyConnection, Error> {
        self.servers.seek(&self.servers.used()).await?;
        self.connection().await
    }

    /// A connection of its own, outside of the pools.
    async fn connection(&self) -> Result<AnyConnection, Error> {
        let connect = async {
            let mut connection = AnyConnection::connect_with(self.servers.options()).await?;
            self.engine.prepare(&mut connection, true, self.wait).await?;
            Ok(connection)
        };
        connect.await.map_err(|e| refusal::refusal(self.engine, self.servers.options(), e))
    }

    pub async fn close(self) {
        let used = self.servers.used();
        used.readers.close().await;
        used.writer.close().await;
    }
}

/// It waited in vain for a connection.
fn is_time_out(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::PoolTimedOut)
}
