//! Has the database kept what it had confirmed? After a failover to a standby that lagged, or a return to an older state
//! of the server, it has not: messages were removed from their mailboxes on the strength of rows that are gone.
//!
//! Each process that takes mail in has a row of its own with a number, which rises with every transaction that decides
//! and with every final dot. It remembers the highest that was confirmed, in a file of its own too, and compares on each
//! new connection: a row behind it means that something is lost. Other processes cannot hide that by going on, since they
//! count for themselves. Only PostgreSQL: a SQLite file fails over nowhere.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Deserialize, Serialize};
use sqlx::{AnyConnection, Row as _};
use tokio::sync::SetOnce;

use super::alert::Alarm;
use super::{Engine, Error, Store, Tx};
use crate::clock::Micros;
use crate::failure::Kind;

/// Files that are tried before it is given up: one for each process that shares a folder.
const FILES: u32 = 64;

/// What a process knows of its own row.
#[derive(Debug)]
struct Mark {
    known: Known,
    /// The highest number that was confirmed.
    seen: AtomicI64,
    file: File,
}

/// What stands in the file; `number` has a fixed width, so that it is written over in one go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// Which database, and which life of its desk: another one is not behind, it is another.
    desk: String,
    name: String,
    number: String,
}

/// The mark of this process, once it has one; and whether the database was found behind it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct MarkCell(Arc<Cell>);

#[derive(Debug, Default)]
struct Cell {
    mark: SetOnce<Mark>,
    behind: SetOnce<String>,
}

impl MarkCell {
    /// On a new connection: is everything there that was confirmed?
    pub(super) async fn compare(&self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        let Some(mark) = self.0.mark.get() else { return Ok(()) };
        // First this, then the row: what is confirmed meanwhile is not missed.
        let seen = mark.seen.load(Ordering::Acquire);
        let query = sqlx::query("SELECT number FROM daemon_mark WHERE name = $1").bind(&mark.known.name);
        let row = query.fetch_optional(connection).await?;
        let there = row.map(|row| row.try_get::<i64, _>(0)).transpose()?;
        if there.is_none_or(|there| there < seen) {
            // Whoever was first has said it.
            drop(self.0.behind.set(words(there.unwrap_or(0), seen)));
        }
        Ok(())
    }

    /// Refuses to go on with a database that has lost something.
    pub(super) fn require_whole(&self) -> Result<(), Error> {
        self.0.behind.get().map_or(Ok(()), |words| Err(Error::Behind(words.clone())))
    }

    /// Writes the next number; to be the last statement before the commit.
    pub(super) async fn raise(&self, connection: &mut AnyConnection) -> Result<Option<i64>, Error> {
        let Some(mark) = self.0.mark.get() else { return Ok(None) };
        let query =
            sqlx::query("UPDATE daemon_mark SET number = number + 1 WHERE name = $1 RETURNING number");
        let row = query.bind(&mark.known.name).fetch_one(connection).await?;
        Ok(Some(row.try_get(0)?))
    }

    /// The commit with this number was confirmed.
    pub(super) fn note(&self, number: i64) {
        let Some(mark) = self.0.mark.get() else { return };
        if mark.seen.fetch_max(number, Ordering::AcqRel) < number
            && let Err(error) = mark.write(number)
        {
            // What is remembered in memory holds as long as this process.
            tracing::warn!("store.mark_unwritten {error}");
        }
    }
}

impl Mark {
    fn write(&self, number: i64) -> std::io::Result<()> {
        let known = Known { number: format!("{number:020}"), ..self.known.clone() };
        self.file.write_all_at(line(&known).as_bytes(), 0)
    }
}

impl Store {
    /// Remembers from here on what this process sees confirmed, in a file in `folder`, and compares with what a former
    /// life of it has seen. `name` names the process where it is new here.
    ///
    /// # Errors
    /// `Behind`: the database has lost what it had confirmed.
    pub async fn remember(&self, folder: &Path, name: String) -> Result<(), Error> {
        if self.engine != Engine::Postgres || self.mark.0.mark.get().is_some() {
            return Ok(());
        }
        let failed = |e: std::io::Error| Error::Unreachable(format!("{}: {e}", folder.display()));
        std::fs::create_dir_all(folder).map_err(failed)?;
        let (file, former) = own_file(folder).map_err(failed)?;
        let desk = self.identity().await?;
        let former = former.filter(|known| known.desk == desk);
        let seen = former.as_ref().and_then(|known| known.number.parse().ok()).unwrap_or(0);
        let known = former.unwrap_or(Known { desk, name, number: String::new() });
        let mut tx = self.write().await?;
        let there = match seen {
            0 => {
                let sql = "INSERT INTO daemon_mark (name, number) VALUES ($1, 0) ON CONFLICT DO NOTHING";
                tx.execute(sqlx::query(sql).bind(&known.name)).await?;
                Some(0)
            }
            _ => {
                let query = sqlx::query("SELECT number FROM daemon_mark WHERE name = $1").bind(&known.name);
                tx.maybe_row(query).await?.map(|row| row.try_get::<i64, _>(0)).transpose()?
            }
        };
        tx.commit().await?;
        if there.is_none_or(|there| there < seen) {
            let words = words(there.unwrap_or(0), seen);
            drop(self.mark.0.behind.set(words.clone()));
            return Err(Error::Behind(words));
        }
        let mark = Mark { known, seen: AtomicI64::new(seen), file };
        mark.write(seen).and_then(|()| mark.file.sync_all()).map_err(failed)?;
        drop(self.mark.0.mark.set(mark));
        Ok(())
    }

    /// Refuses to go on where the database was found to have lost something.
    pub fn require_whole(&self) -> Result<(), Error> {
        self.mark.require_whole()
    }

    /// Waits until the database is found to have lost something; its words.
    pub async fn fell_behind(&self) -> Error {
        Error::Behind(self.mark.0.behind.wait().await.clone())
    }

    /// Holds a desk that has lost something, for every daemon on it, and says why in an alert.
    pub async fn hold_behind(&self, now: Micros) -> Result<(), Error> {
        let Some(words) = self.mark.0.behind.get() else { return Ok(()) };
        // Past the door that is closed to all others.
        let mut tx = Tx::begin(self.engine, &self.servers.used().writer, self.engine.begin_write()).await?;
        let kind = Kind::StoreBehind;
        let alarm = Alarm { kind: Some(kind), words: words.clone(), advice: kind.advice().to_owned() };
        tx.raise_alert("store:behind", &alarm, now).await?;
        tx.hold_desk_behind().await?;
        tx.commit().await
    }

    /// Which database, and which life of the desk in it: the same on a primary and its standbys.
    async fn identity(&self) -> Result<String, Error> {
        let mut tx = self.read().await?;
        let query = sqlx::query(
            "SELECT CAST(s.system_identifier AS TEXT) || '/' || CAST(d.oid AS TEXT) FROM pg_control_system() s, \
             pg_database d WHERE d.datname = current_database()",
        );
        let database: String = tx.row(query).await?.try_get(0)?;
        let life = tx.restored().await?.map_or(0, |restored| restored.restored.0);
        Ok(format!("{database}/{life}"))
    }
}

fn words(there: i64, seen: i64) -> String {
    format!(
        "the database has lost what it had confirmed: of this daemon's transactions it has {there}, and {seen} were \
         confirmed. Was a standby that lagged made the primary, or an older state of the server brought back? Nothing \
         is taken in and nothing is sent. Bring back the server that has it all; or go on with what is there, as after a \
         restore: `maildesk restore --as-it-stands`"
    )
}

/// A file that no other process has, and what a former life wrote into it.
fn own_file(folder: &Path) -> std::io::Result<(File, Option<Known>)> {
    for number in 0..FILES {
        let path = folder.join(format!("store-{number}.mark"));
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {
                let mut text = String::new();
                std::io::Read::read_to_string(&mut &file, &mut text)?;
                return Ok((file, serde_json::from_str(text.lines().next().unwrap_or_default()).ok()));
            }
            Err(std::fs::TryLockError::WouldBlock) => {}
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(std::io::Error::other("every store-N.mark is in use"))
}

fn line(known: &Known) -> String {
    // Three texts become JSON whatever they hold.
    let text = serde_json::to_string(known).unwrap_or_default();
    format!("{text}\n")
}
