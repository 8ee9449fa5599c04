//! A backup: a SQLite file with every table of a desk, whatever engine it runs on, and a header that says what is in it.
//!
//! The header has a count and a digest of each table, and is sealed under the sealing key of the desk: whoever has the key
//! can tell whether anything was changed. The key itself is in the file only wrapped by a passphrase, if at all.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::{AnyConnection, Connection as _, Executor as _, Row as _};

use super::copy::{Layout, Side, TableSum, Told};
use super::{Engine, Error, Store};
use crate::clock::Micros;
use crate::seal::{NONCE_BYTES, SealingKey, Secret, WrappedKey, from_hex, to_hex};

/// The form of the file.
const FORMAT: i64 = 1;
/// What the seal of the header is for.
const PURPOSE: &str = "backup";
/// A file of its own that nobody else opens: no log beside it, and its writer syncs it once, at the end.
const PRAGMAS: &str = "PRAGMA page_size = 8192; PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF; \
     PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;";

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub format: i64,
    /// Nothing that was committed before this moment is missing.
    pub taken: Micros,
    /// The version of the program that took it.
    pub program: String,
    pub schema: i64,
    /// Of the desk that it was taken of: `sqlite`, `postgres`.
    pub engine: String,
    /// The sealing key under a passphrase; none: it has to be given.
    pub key: Option<WrappedKey>,
    pub tables: Vec<TableSum>,
}

impl Header {
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|t| t.rows).sum()
    }
}

/// A backup's file, open.
pub struct BackupFile {
    path: PathBuf,
    connection: AnyConnection,
    layout: Layout,
}

impl BackupFile {
    /// Lays the schema into a new file, which is there and empty.
    pub async fn create(path: &Path) -> Result<BackupFile, Error> {
        sqlx::any::install_default_drivers();
        let blank = Store::connect(&url(path, "rw")).await?;
        blank.migrate().await?;
        blank.close().await;
        let mut connection = AnyConnection::connect(&url(path, "rw")).await?;
        run(&mut connection, PRAGMAS).await?;
        run(&mut connection, "CREATE TABLE backup (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)")
            .await?;
        let layout = Layout::of_sqlite(&mut connection).await?;
        Ok(BackupFile { path: path.to_owned(), connection, layout })
    }

    /// Copies all rows of a desk as they are at one moment, while it goes on, and seals the header over them.
    pub async fn fill(
        &mut self,
        store: &Store,
        mut header: Header,
        (key, nonce): (&SealingKey, [u8; NONCE_BYTES]),
        told: &mut Told<'_>,
    ) -> Result<Header, Error> {
        let mut from = store.read().await?;
        run(&mut self.connection, "BEGIN").await?;
        let side = Side { engine: from.engine, connection: &mut from.inner };
        header.tables = self
            .layout
            .copy(side, Side { engine: Engine::Sqlite, connection: &mut self.connection }, told)
            .await?;
        let text = serde_json::to_string(&header)?;
        let seal = key.seal(PURPOSE, &Secret::new(digest(&text)), nonce);
        for (name, value) in [("header", text), ("seal", to_hex(&seal))] {
            let query =
                sqlx::query("INSERT INTO backup (name, value) VALUES ($1, $2)").bind(name).bind(value);
            query.execute(&mut self.connection).await?;
        }
        run(&mut self.connection, "COMMIT").await?;
        Ok(header)
    }

    /// Opens a backup to read from. What is no backup, or not a whole one, is refused in words.
    pub async fn open(path: &Path) -> Result<BackupFile, Error> {
        sqlx::any::install_default_drivers();
        let mut head = [0; 16];
        let read = std::fs::File::open(path).and_then(|mut f| std::io::Read::read_exact(&mut f, &mut head));
        let not_ours = || Error::Refused(format!("{} is no backup of maildesk", path.display()));
        match read {
            Err(e) if e.kind() != std::io::ErrorKind::UnexpectedEof => {
                return Err(Error::Refused(format!("{}: {e}", path.display())));
            }
            Ok(()) if head.starts_with(b"SQLite format 3\0") => {}
            _ => return Err(not_ours()),
        }
        let damaged = |e: &dyn std::fmt::Display| {
            Error::Refused(format!(
                "{} is damaged or cut short ({e}): take another backup; nothing was restored",
                path.display()
            ))
        };
        let mut connection = AnyConnection::connect(&url(path, "ro")).await.map_err(|e| damaged(&e))?;
        let check = sqlx::query("PRAGMA integrity_check(1)").fetch_one(&mut connection).await;
        match check.and_then(|row| row.try_get::<String, _>(0)).map_err(|e| damaged(&e))?.as_str() {
            "ok" => {}
            said => return Err(damaged(&said)),
        }
        let mark = sqlx::query("SELECT count(*) FROM sqlite_master WHERE name = 'backup'");
        if mark.fetch_one(&mut connection).await?.try_get::<i64, _>(0)? == 0 {
            return Err(not_ours());
        }
        let layout = Layout::of_sqlite(&mut connection).await?;
        Ok(BackupFile { path: path.to_owned(), connection, layout })
    }

    /// What it says of itself. Not to be believed before `check_seal`.
    pub async fn header(&mut self) -> Result<Header, Error> {
        let text = self.part("header").await?;
        let unread = |e| Error::Refused(format!("{}: its header does not parse: {e}", self.path.display()));
        let header: Header = serde_json::from_str(&text).map_err(unread)?;
        let needed = super::migrate::newest();
        if header.format != FORMAT || header.schema != needed {
            return Err(Error::Refused(format!(
                "{} was taken by maildesk {} (schema {}); this one needs schema {needed}: restore it with that \
                 version, and bring it up with `maildesk migrate`",
                self.path.display(),
                header.program,
                header.schema
            )));
        }
        Ok(header)
    }

    /// Refuses a key that is not this desk's, and a header that was changed.
    pub async fn check_key(&mut self, key: &SealingKey) -> Result<(), Error> {
        let rows = sqlx::query("SELECT purpose, sealed FROM secret ORDER BY id");
        let rows = rows.fetch_all(&mut self.connection).await?;
        let opened = |row: &sqlx::any::AnyRow| {
            Ok::<bool, Error>(key.open(&row.try_get::<String, _>(0)?, &row.try_get::<Vec<u8>, _>(1)?).is_ok())
        };
        let opened: Vec<bool> = rows.iter().map(opened).collect::<Result<_, _>>()?;
        if !opened.is_empty() && !opened.contains(&true) {
            return Err(Error::WrongKey);
        }
        let text = self.part("header").await?;
        let seal = from_hex(&self.part("seal").await?).unwrap_or_default();
        let is_same = key.open(PURPOSE, &seal).is_ok_and(|said| said.expose() == digest(&text));
        if !is_same || opened.contains(&false) {
            return Err(self.tampered("its header or a secret"));
        }
        Ok(())
    }

    /// Reads all of it, and compares it with its header.
    pub async fn check_rows(&mut self, header: &Header, told: &mut Told<'_>) -> Result<(), Error> {
        let side = Side { engine: Engine::Sqlite, connection: &mut self.connection };
        let sums = self.layout.sums(side, told).await?;
        self.compare(header, &sums)
    }

    /// The engine's own check, and that every reference has its row: for a file that was just written.
    pub async fn check_whole(&mut self) -> Result<(), Error> {
        let row = sqlx::query("PRAGMA integrity_check(1)").fetch_one(&mut self.connection).await?;
        let said: String = row.try_get(0)?;
        let loose = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut self.connection).await?.len();
        if said != "ok" || loose > 0 {
            return Err(Error::Corrupt(format!(
                "the backup is not sound: {said}, {loose} rows without their parent"
            )));
        }
        Ok(())
    }

    pub async fn close(self) -> Result<(), Error> {
        Ok(self.connection.close().await?)
    }

    fn compare(&self, header: &Header, sums: &[TableSum]) -> Result<(), Error> {
        let differs = |sum: &&TableSum| !header.tables.contains(sum);
        match sums.iter().find(differs) {
            None if sums.len() == header.tables.len() => Ok(()),
            None => Err(self.tampered("its list of tables")),
            Some(sum) => Err(self.tampered(&format!("table {}", sum.table))),
        }
    }

    fn tampered(&self, what: &str) -> Error {
        Error::Refused(format!(
            "{}: {what} is not as it was when the backup was taken: the file was damaged or tampered with. \
             Take another backup; nothing was restored",
            self.path.display()
        ))
    }

    async fn part(&mut self, name: &str) -> Result<String, Error> {
        let query = sqlx::query("SELECT value FROM backup WHERE name = $1").bind(name);
        let row = query.fetch_optional(&mut self.connection).await?;
        let missing =
            || Error::Refused(format!("{} has no {name}: it was never finished", self.path.display()));
        Ok(row.ok_or_else(missing)?.try_get(0)?)
    }
}

/// How a backup comes into a store.
#[derive(Clone, Copy, Debug)]
pub struct Restoring<'a> {
    pub header: &'a Header,
    /// What stands in the store is thrown away first.
    pub replaces: bool,
    pub now: Micros,
}

impl Store {
    /// Rows in all tables of a desk, for whoever wants to show how far a copy has come.
    pub async fn count_rows(&self, file: &mut BackupFile) -> Result<u64, Error> {
        let mut tx = self.read().await?;
        file.layout.count(Side { engine: tx.engine, connection: &mut tx.inner }).await
    }

    /// Brings a backup into this store, whose schema is laid and which nobody works on, as a desk that is held. All of it
    /// or nothing: one transaction, and the rows are compared with the header before its end.
    pub async fn restore(
        &self,
        file: &mut BackupFile,
        how: Restoring<'_>,
        told: &mut Told<'_>,
    ) -> Result<(), Error> {
        let mut tx = self.desk().await?;
        let engine = tx.engine;
        if !how.replaces && tx.is_in_use().await? {
            return Err(Error::Refused(
                "this store has a desk in it already: name an empty one in store.url, or give --replace to throw \
                 away what it holds"
                    .to_owned(),
            ));
        }
        file.layout.empty(Side { engine, connection: &mut tx.inner }).await?;
        let from = Side { engine: Engine::Sqlite, connection: &mut file.connection };
        let sums = file.layout.copy(from, Side { engine, connection: &mut tx.inner }, told).await?;
        file.compare(how.header, &sums)?;
        tx.hold_restored(how.header.taken, how.now).await?;
        tx.commit().await
    }
}

async fn run(connection: &mut AnyConnection, sql: &'static str) -> Result<(), Error> {
    connection.execute(sql).await?;
    Ok(())
}

fn digest(text: &str) -> String {
    to_hex(&Sha256::digest(text.as_bytes()))
}

/// The engine takes the path apart as a URL.
fn url(path: &Path, mode: &str) -> String {
    let path = path.to_string_lossy().replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    format!("sqlite:{path}?mode={mode}")
}
