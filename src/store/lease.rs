//! Who works on this desk: daemons, and the leases that they hold on mailboxes, jobs and the like.
//!
//! A daemon's row says until when it lives, by the database's clock. A lease names its daemon and lives as long as that
//! one. Its number, the fence, rises with each taking. What a daemon does under a lease is written in transactions that
//! keep the lease's row as it is until they have committed: whoever takes over comes wholly before or wholly after.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::reader::Reader;
use super::{Engine, Error, Store, Tx};
use crate::clock::{Micros, uptime};

/// How long a daemon that is gone is still listed.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// A process at work.
#[derive(Clone, Debug)]
pub struct Member {
    /// Another one in each life: `host:pid:random`.
    pub id: String,
    /// run, poll, import.
    pub command: String,
    pub host: String,
    pub pid: u32,
    /// Of `DaemonRow::process`.
    pub process: String,
}

/// A process as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonRow {
    pub id: String,
    pub command: String,
    pub host: String,
    pub pid: i64,
    /// What tells the process from all others there ever were; empty where that is not known.
    pub process: String,
    pub since: Micros,
    pub until: Micros,
    /// By the database's clock.
    pub is_live: bool,
}

impl DaemonRow {
    /// It came to the same machine for the same work after the other one was over: the other's next life, most likely.
    pub fn follows(&self, gone: &DaemonRow) -> bool {
        let is_later = self.since >= gone.until || !gone.process.is_empty() && self.process == gone.process;
        self.host == gone.host && self.command == gone.command && is_later
    }
}

impl std::fmt::Display for DaemonRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let DaemonRow { command, pid, host, since, .. } = self;
        write!(f, "`maildesk {command}`, pid {pid} on {host}, since {}", since.rfc3339())
    }
}

/// A lease as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    pub name: String,
    /// Empty: it was given back.
    pub owner: String,
    pub fence: i64,
    /// Its daemon lives.
    pub is_live: bool,
}

/// A daemon's right to work, as far as its own clock can tell: it ends before the database's clock says so.
#[derive(Debug)]
pub struct Life {
    pub id: String,
    /// From each renewal; `None`: it never ends.
    pub length: Option<Duration>,
    /// Of `uptime`, in microseconds; `u64::MAX`: never.
    ends_us: AtomicU64,
}

impl Life {
    /// From the moment at which it was asked for.
    pub fn new(id: String, asked: Duration, length: Option<Duration>) -> Life {
        Life { id, length, ends_us: AtomicU64::new(end_of(asked, length)) }
    }

    /// Once over it is over.
    pub fn is_over(&self) -> bool {
        micros(uptime()) >= self.ends_us.load(Ordering::SeqCst)
    }

    /// It is over now.
    pub fn end(&self) {
        self.ends_us.store(0, Ordering::SeqCst);
    }

    /// How long it lasts if it is not renewed.
    pub fn left(&self) -> Duration {
        Duration::from_micros(self.ends_us.load(Ordering::SeqCst)).saturating_sub(uptime())
    }

    /// It was renewed at the database; false where that came too late.
    pub fn renewed(&self, asked: Duration) -> bool {
        if self.is_over() {
            return false;
        }
        self.ends_us.store(end_of(asked, self.length), Ordering::SeqCst);
        true
    }
}

fn end_of(asked: Duration, length: Option<Duration>) -> u64 {
    length.map_or(u64::MAX, |length| micros(asked + length))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What a transaction must still own when it begins to write.
#[derive(Clone, Debug)]
pub struct Fence {
    pub life: Arc<Life>,
    pub lease: String,
    pub number: i64,
}

impl Fence {
    fn lost(&self) -> Error {
        Error::TakenOver(format!(
            "the lease {} is over: this daemon was silent for too long, or another one has it",
            self.lease
        ))
    }

    /// By our own clock.
    fn require_life(&self) -> Result<(), Error> {
        if self.life.is_over() { Err(self.lost()) } else { Ok(()) }
    }
}

/// A lease that was just taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub fence: i64,
    /// Whoever had it before gave it back in good order.
    pub was_given_back: bool,
}

impl Store {
    /// The same store for work under a lease: it writes nothing once the lease is over or somebody else's.
    pub fn under(&self, fence: Fence) -> Store {
        Store { fence: Some(fence), ..self.clone() }
    }

    /// Whether the work may go on, by our own clock alone. True where it is under no lease.
    pub fn require_life(&self) -> Result<(), Error> {
        self.fence.as_ref().map_or(Ok(()), Fence::require_life)
    }

    /// The same, asked of the database: before a step outside that cannot be taken back.
    pub async fn require_lease(&self) -> Result<(), Error> {
        match &self.fence {
            None => Ok(()),
            Some(_) => self.write().await.map(drop),
        }
    }
}

impl Tx {
    /// Whoever takes or gives leases comes alone.
    pub async fn lock_leases(&mut self) -> Result<(), Error> {
        let sql = format!("SELECT fence FROM lease WHERE name = 'desk'{}", self.engine.for_update());
        self.row(sqlx::query(sqlx::AssertSqlSafe(sql))).await.map(drop)
    }

    /// Where no other process can be at work: those that are known are gone.
    pub async fn forget_daemons(&mut self) -> Result<(), Error> {
        self.execute(sqlx::query("DELETE FROM daemon")).await.map(drop)
    }

    /// Begins a life. `None` as its length: for ever.
    pub async fn join(&mut self, member: &Member, length: Option<Duration>) -> Result<(), Error> {
        let now = self.engine.now();
        let gone = format!("DELETE FROM daemon WHERE until_us < {now} - $1");
        let remembered = i64::try_from(REMEMBERED.as_micros()).unwrap_or(i64::MAX);
        self.execute(sqlx::query(sqlx::AssertSqlSafe(gone)).bind(remembered)).await?;
        let sql = format!(
            "INSERT INTO daemon (id, command, host, pid, process, since_us, until_us) \
             VALUES ($1, $2, $3, $4, $5, {now}, {})",
            until(self.engine, 6)
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(&member.id).bind(&member.command);
        let query = query.bind(&member.host).bind(i64::from(member.pid)).bind(&member.process);
        let query = query.bind(stored(length));
        self.execute(query).await.map(drop)
    }

    /// False: the life is over, and is not begun again.
    pub async fn renew(&mut self, id: &str, length: Option<Duration>) -> Result<bool, Error> {
        let sql = format!(
            "UPDATE daemon SET until_us = {} WHERE id = $1 AND until_us > {}",
            until(self.engine, 2),
            self.engine.now()
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id).bind(stored(length));
        Ok(self.execute(query).await? > 0)
    }

    /// A process is gone: its life is over before its time.
    pub async fn bury(&mut self, id: &str) -> Result<(), Error> {
        let now = self.engine.now();
        let sql = format!("UPDATE daemon SET until_us = {now} WHERE id = $1 AND until_us > {now}");
        self.execute(sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id)).await.map(drop)
    }

    /// Ends a life in good order: its leases are free.
    pub async fn leave(&mut self, id: &str) -> Result<(), Error> {
        self.execute(sqlx::query("UPDATE lease SET owner = '' WHERE owner = $1").bind(id)).await?;
        self.execute(sqlx::query("DELETE FROM daemon WHERE id = $1").bind(id)).await.map(drop)
    }

    /// Those at work, and those that were not long ago; the oldest first.
    pub async fn daemons(&mut self) -> Result<Vec<DaemonRow>, Error> {
        let sql = format!(
            "SELECT id, command, host, pid, process, since_us, until_us, \
             CAST(CASE WHEN until_us > {} THEN 1 ELSE 0 END AS BIGINT) FROM daemon ORDER BY since_us, id",
            self.engine.now()
        );
        let rows = self.rows(sqlx::query(sqlx::AssertSqlSafe(sql))).await?;
        let read = |row| {
            let mut row = Reader::new(row);
            Ok(DaemonRow {
                id: row.text()?,
                command: row.text()?,
                host: row.text()?,
                pid: row.int()?,
                process: row.text()?,
                since: row.time()?,
                until: row.time()?,
                is_live: row.flag()?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Every lease there ever was but the desk's own, by name.
    pub async fn leases(&mut self) -> Result<Vec<LeaseRow>, Error> {
        let sql = format!(
            "SELECT l.name, l.owner, l.fence, CAST(CASE WHEN {} THEN 1 ELSE 0 END AS BIGINT) FROM lease l \
             WHERE l.name <> 'desk' ORDER BY l.name{}",
            is_live(self.engine, "l.owner"),
            self.engine.by_bytes()
        );
        let rows = self.rows(sqlx::query(sqlx::AssertSqlSafe(sql))).await?;
        let read = |row| {
            let mut row = Reader::new(row);
            Ok(LeaseRow { name: row.text()?, owner: row.text()?, fence: row.int()?, is_live: row.flag()? })
        };
        rows.iter().map(read).collect()
    }

    /// Takes a lease for a daemon. `None`: somebody else has it, or is just committing under it.
    pub async fn take(&mut self, name: &str, owner: &str) -> Result<Option<Taken>, Error> {
        let query =
            sqlx::query("INSERT INTO lease (name, owner, fence) VALUES ($1, '', 0) ON CONFLICT DO NOTHING");
        self.execute(query.bind(name)).await?;
        let sql = format!(
            "SELECT owner FROM lease WHERE name = $1 AND (owner = $2 OR NOT {}){}",
            is_live(self.engine, "lease.owner"),
            self.engine.for_update_if_free()
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(name).bind(owner);
        let Some(row) = self.maybe_row(query).await? else { return Ok(None) };
        let before = Reader::new(&row).text()?;
        let query =
            sqlx::query("UPDATE lease SET owner = $2, fence = fence + 1 WHERE name = $1 RETURNING fence");
        let fence = Reader::new(&self.row(query.bind(name).bind(owner)).await?).int()?;
        Ok(Some(Taken { fence, was_given_back: before.is_empty() }))
    }

    /// Gives a lease back, if it is still ours.
    pub async fn give_back(&mut self, fence: &Fence) -> Result<(), Error> {
        let query = sqlx::query("UPDATE lease SET owner = '' WHERE name = $1 AND owner = $2 AND fence = $3");
        let query = query.bind(&fence.lease).bind(&fence.life.id).bind(fence.number);
        self.execute(query).await.map(drop)
    }

    /// Keeps a lease ours until this transaction ends, or finds that it is not. A process that is stopped in the midst of
    /// the transaction keeps it no longer than its life.
    pub(super) async fn require_fence(&mut self, fence: &Fence) -> Result<(), Error> {
        fence.require_life()?;
        let sql = format!(
            "SELECT fence, {} FROM lease WHERE name = $1 AND owner = $2 AND fence = $3 AND {}{}",
            self.engine.limits_idling("$4"),
            is_live(self.engine, "lease.owner"),
            self.engine.for_share()
        );
        let idle_ms = fence.life.length.unwrap_or_default().as_millis().to_string();
        let query = sqlx::query(sqlx::AssertSqlSafe(sql));
        let query = query.bind(&fence.lease).bind(&fence.life.id).bind(fence.number).bind(idle_ms);
        self.maybe_row(query).await?.map(drop).ok_or_else(|| fence.lost())
    }
}

/// Whether the daemon that a column names lives.
pub(super) fn is_live(engine: Engine, owner: &str) -> String {
    format!("EXISTS (SELECT 1 FROM daemon d WHERE d.id = {owner} AND d.until_us > {})", engine.now())
}

/// The end of a life of `$n` microseconds from now; of 0: never.
fn until(engine: Engine, n: usize) -> String {
    format!("CASE WHEN ${n} = 0 THEN {} ELSE {} + ${n} END", i64::MAX, engine.now())
}

fn stored(length: Option<Duration>) -> i64 {
    length.map_or(0, |length| i64::try_from(length.as_micros()).unwrap_or(i64::MAX))
}
