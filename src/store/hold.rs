//! Who works on a desk holds it: `run`, `poll`, `import`. On PostgreSQL any number of them hold it together, and
//! `restore` holds it alone; on SQLite there is one at a time. Who is refused is told who has it.
//!
//! SQLite: an OS lock on a file beside the database, which the kernel lets go of when the process dies. PostgreSQL: a
//! session's advisory lock, which the server lets go of when the connection ends; rows say who has it.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Row as _};

use super::refusal::{refusal, sqlite_path};
use super::{Engine, Error, Store};
use crate::clock::Micros;

/// The key of the advisory lock, one for each database: "desk" in ASCII.
const ADVISORY_KEY: i64 = 0x6465_736b;

/// How a `deliver` that found no daemon is called in `Error::Held`. It holds the desk while it keeps one message, so it is
/// waited for.
const PASSING: &str = "`maildesk deliver`";
const PASSES_WITHIN: Duration = Duration::from_secs(60);
/// Who has just taken hold has not said yet who it is: what stands there is its predecessor's.
const INTRODUCED_WITHIN: Duration = Duration::from_millis(300);
/// How often a file's lock is tried.
const LOOK: Duration = Duration::from_millis(2);

/// How long PostgreSQL may take to say that it is there.
const ANSWER: Duration = Duration::from_secs(10);

/// Who holds, in words for the one who is refused.
#[derive(Clone, Debug)]
pub struct Owner {
    /// `run`, `poll`, `import`, `deliver`.
    pub command: &'static str,
    pub pid: u32,
    pub since: Micros,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Owner { command, pid, since } = self;
        write!(f, "`maildesk {command}`, pid {pid} on {}, since {}", host(), since.rfc3339())
    }
}

/// How a desk is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Beside others, where the store has room for them.
    Together,
    Alone,
}

/// The desk is held until this is dropped or the process ends.
#[derive(Debug)]
pub struct Hold {
    held: Held,
    owner: Owner,
    manner: Manner,
}

#[derive(Debug)]
enum Held {
    File(#[expect(dead_code, reason = "the lock lives as long as the open file")] File),
    Session(Box<AnyConnection>),
}

impl Store {
    /// Takes hold of the desk. `Error::Held` says who has it. A `deliver` is waited for: it is done in a moment.
    pub async fn hold(&self, owner: &Owner, manner: Manner) -> Result<Hold, Error> {
        match self.hold_within(owner, manner, (INTRODUCED_WITHIN, LOOK)).await {
            // In one go: who leaves the server's queue comes in at its end again.
            Err(Error::Held(words)) if words.contains(PASSING) => {
                self.hold_within(owner, manner, (PASSES_WITHIN, LOOK)).await
            }
            held => held,
        }
    }

    /// The same, and waits so long for whoever has it. A file's lock has no queue: who looks seldom lets others go first.
    pub async fn hold_within(
        &self,
        owner: &Owner,
        manner: Manner,
        (patience, look): (Duration, Duration),
    ) -> Result<Hold, Error> {
        match self.engine {
            Engine::Sqlite => {
                let begun = Instant::now();
                loop {
                    match hold_file(&lock_path(&self.options), owner) {
                        Err(Error::Held(_)) if begun.elapsed() < patience => {}
                        held => return held,
                    }
                    tokio::time::sleep(look).await;
                }
            }
            Engine::Postgres => hold_session(&self.options, owner, manner, patience).await,
        }
    }

    /// Takes hold again after the lock was lost with its connection. `Error::Held`: somebody else has it now. Anything
    /// temporary may be tried again; so may it while the server still keeps the lost connection for a living one.
    pub async fn hold_again(&self, hold: &mut Hold) -> Result<(), Error> {
        match self.hold(&hold.owner, hold.manner).await {
            Err(Error::Held(words)) if words.contains(&hold.owner.to_string()) => {
                Err(Error::Unreachable(words))
            }
            Err(error) => Err(error),
            Ok(again) => {
                *hold = again;
                Ok(())
            }
        }
    }
}

impl Hold {
    /// Whether it still holds: on PostgreSQL the lock is gone with its connection, and then so is the right to work.
    pub async fn check(&mut self) -> Result<(), Error> {
        match &mut self.held {
            Held::File(_) => Ok(()),
            Held::Session(connection) => {
                let gone = |e: &dyn std::fmt::Display| {
                    Error::Held(format!("the desk's lock was lost with its connection: {e}"))
                };
                // A connection that was cut in silence never answers, and its lock may be somebody else's by now.
                match tokio::time::timeout(ANSWER, connection.ping()).await {
                    Ok(answered) => answered.map_err(|e| gone(&e)),
                    Err(late) => Err(gone(&late)),
                }
            }
        }
    }
}

fn lock_path(options: &AnyConnectOptions) -> PathBuf {
    let mut name = sqlite_path(options).into_os_string();
    name.push(".lock");
    name.into()
}

fn hold_file(path: &Path, owner: &Owner) -> Result<Hold, Error> {
    let failed = |e: std::io::Error| Error::Unreachable(format!("{}: {e}", path.display()));
    let open = File::options().read(true).write(true).create(true).truncate(false).open(path);
    let mut file = open.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who holds it is a courtesy; that it is held is certain.
            if file.read_to_string(&mut holder).is_err() || holder.trim().is_empty() {
                holder = "another process".to_owned();
            }
            return Err(held_by(holder.trim()));
        }
        Err(std::fs::TryLockError::Error(e)) => return Err(failed(e)),
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
    writeln!(file, "{owner}").map_err(failed)?;
    Ok(Hold { held: Held::File(file), owner: owner.clone(), manner: Manner::Alone })
}

async fn hold_session(
    options: &AnyConnectOptions,
    owner: &Owner,
    manner: Manner,
    patience: Duration,
) -> Result<Hold, Error> {
    let connect = AnyConnection::connect_with(options).await;
    let mut connection = connect.map_err(|e| refusal(Engine::Postgres, options, e))?;
    // Who waits stands in a queue: a daemon comes in its turn, however many deliver at the time.
    let limit = format!("SET lock_timeout = {}", patience.as_millis().max(1));
    sqlx::query(AssertSqlSafe(limit)).execute(&mut connection).await?;
    let lock = match manner {
        Manner::Together => "SELECT CAST(pg_advisory_lock_shared($1) AS TEXT)",
        Manner::Alone => "SELECT CAST(pg_advisory_lock($1) AS TEXT)",
    };
    if let Err(error) = sqlx::query(lock).bind(ADVISORY_KEY).execute(&mut connection).await {
        // lock_not_available
        if error.as_database_error().and_then(|e| e.code()).as_deref() != Some("55P03") {
            return Err(error.into());
        }
        return Err(held_by(&holders(&mut connection).await?));
    }
    if manner == Manner::Alone {
        let query = sqlx::query("UPDATE lease SET owner = $1, fence = fence + 1 WHERE name = 'desk'");
        query.bind(owner.to_string()).execute(&mut connection).await?;
    }
    Ok(Hold { held: Held::Session(Box::new(connection)), owner: owner.clone(), manner })
}

/// Who is at work; where nobody is, whoever held the desk alone last.
async fn holders(connection: &mut AnyConnection) -> Result<String, Error> {
    let sql = format!(
        "SELECT command, pid, host, since_us FROM daemon WHERE until_us > {} ORDER BY since_us",
        Engine::Postgres.now()
    );
    let mut at_work = vec![];
    for row in sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *connection).await? {
        let (command, pid, host): (String, i64, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let since = Micros(row.try_get(3)?).rfc3339();
        at_work.push(format!("`maildesk {command}`, pid {pid} on {host}, since {since}"));
    }
    if !at_work.is_empty() {
        return Ok(at_work.join("; "));
    }
    let query = sqlx::query("SELECT owner FROM lease WHERE name = 'desk' AND owner <> ''");
    let row = query.fetch_optional(connection).await?;
    let holder = row.map(|row| row.try_get::<String, _>(0)).transpose()?;
    Ok(holder.unwrap_or_else(|| "another process".to_owned()))
}

fn held_by(holder: &str) -> Error {
    Error::Held(format!("this desk is held by {holder}; one at a time works on it"))
}

/// The name of this machine.
pub fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "this machine".to_owned() } else { name.trim().to_owned() }
}
