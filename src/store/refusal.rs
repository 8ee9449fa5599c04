//! Why a store does not open, in words that say where and what to do. A password never stands in them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sqlx::any::AnyConnectOptions;

use super::{Engine, Error};
use crate::failure::Kind;

/// Turns what the driver says into words about the store that `options` name.
pub(super) fn refusal(engine: Engine, options: &AnyConnectOptions, error: sqlx::Error) -> Error {
    match engine {
        Engine::Sqlite => File(sqlite_path(options)).refusal(error),
        Engine::Postgres => Server::of(options).refusal(error),
    }
}

/// Where the store lies, without user and password.
pub(super) fn place(engine: Engine, options: &AnyConnectOptions) -> String {
    match engine {
        Engine::Sqlite => sqlite_path(options).display().to_string(),
        Engine::Postgres => {
            let Server { place, database, .. } = Server::of(options);
            format!("{place}, database {database:?}")
        }
    }
}

/// What is said where nothing answers at all.
pub(super) fn no_answer(engine: Engine, options: &AnyConnectOptions, seconds: u64) -> Error {
    Error::Unreachable(match engine {
        Engine::Sqlite => {
            format!("{} did not open within {seconds} s", sqlite_path(options).display())
        }
        Engine::Postgres => {
            let Server { place, .. } = Server::of(options);
            format!(
                "{place} does not answer within {seconds} s: is the host right, and does a firewall let maildesk through?"
            )
        }
    })
}

/// What a failed statement says, in words, while the store is open.
pub(super) fn trouble(error: &sqlx::Error) -> String {
    let sqlx::Error::Database(e) = error else { return error.to_string() };
    match (e.code().as_deref().map(primary), e.code().as_deref()) {
        (Some(Some(FULL)), _) => "the disk is full: nothing is written until there is space again".to_owned(),
        (_, Some("53100")) => {
            format!("the disk of the PostgreSQL server is full: free some space there ({})", e.message())
        }
        _ => e.message().to_owned(),
    }
}

/// The kind of a failed statement.
pub(super) fn kind(error: &sqlx::Error) -> Kind {
    match error {
        sqlx::Error::Database(e) => kind_of(&e.code().unwrap_or_default()),
        _ => Kind::StoreGone,
    }
}

/// By SQLite's result code or the SQLSTATE.
fn kind_of(code: &str) -> Kind {
    match (primary(code), code) {
        (Some(FULL), _) | (_, "53100") => Kind::StoreFull,
        // 25006: the server is a standby, or was told to take no writes.
        (Some(READ_ONLY), _) | (_, "25006" | "42501") => Kind::StoreReadOnly,
        // Locked, deadlock, serialisation.
        (Some(BUSY | LOCKED), _) | (_, "55P03" | "40P01" | "40001") => Kind::StoreLocked,
        (Some(CORRUPT | NOT_A_DATABASE), _) | (_, "XX001" | "XX002") => Kind::StoreDamaged,
        (Some(IO | CANNOT_OPEN), _) => Kind::StoreGone,
        // A database that takes no connections. Connections, login, resources, shutdown, errors of the system below.
        // 25P03, 25P04: it has ended our connection, since a transaction stood still in it, or took too long.
        (_, "55000" | "3D000" | "25P03" | "25P04") => Kind::StoreGone,
        (None, code) if ["08", "28", "53", "57", "58"].contains(&code.get(..2).unwrap_or_default()) => {
            Kind::StoreGone
        }
        _ => Kind::Other,
    }
}

/// A database that root makes in somebody else's folder would be root's, and its owner's service could not open it.
pub(super) fn require_owner(options: &AnyConnectOptions) -> Result<(), Error> {
    use std::os::unix::fs::MetadataExt as _;
    let path = sqlite_path(options);
    let folder = path.parent().map(std::fs::metadata);
    let (false, Some(Ok(folder))) = (path.exists(), folder) else { return Ok(()) };
    if folder.uid() == 0 || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Error::CannotOpen(format!(
        "{} is not there yet, and its folder belongs to the user with the uid {}, not to root, who would make it now: \
         start the service first (`systemctl start maildesk`), or run this as that user",
        path.display(),
        folder.uid()
    )))
}

/// A PostgreSQL server, as far as it may be named.
struct Server {
    /// `PostgreSQL at db.example.com:5432`
    place: String,
    database: String,
    user: String,
}

impl Server {
    fn of(options: &AnyConnectOptions) -> Server {
        let url = &options.database_url;
        let parameter =
            |name: &str| url.query_pairs().find(|(n, _)| n == name).map(|(_, value)| value.into_owned());
        let host = url.host_str().filter(|h| !h.is_empty()).map(str::to_owned).or_else(|| parameter("host"));
        let place = match (host, url.port()) {
            (None, _) => "PostgreSQL at its default place".to_owned(),
            (Some(host), _) if host.starts_with('/') => format!("PostgreSQL at the socket in {host}"),
            (Some(host), port) => format!("PostgreSQL at {host}:{}", port.unwrap_or(5432)),
        };
        let user = match url.username() {
            "" => parameter("user").unwrap_or_default(),
            user => percent_decoded(user).display().to_string(),
        };
        let database = percent_decoded(url.path().trim_start_matches('/')).display().to_string();
        Server { place, database, user }
    }

    fn refusal(&self, error: sqlx::Error) -> Error {
        let Server { place, database, user } = self;
        match error {
            sqlx::Error::Database(e) => self.said(&e.code().unwrap_or_default(), e.message()),
            sqlx::Error::Io(e) if e.kind() == ErrorKind::ConnectionRefused => Error::Unreachable(format!(
                "{place} refuses the connection: does the server run there, does it listen on that address \
                 (listen_addresses), and is the port right?"
            )),
            sqlx::Error::Io(e) if e.to_string().contains("lookup") => Error::Unreachable(format!(
                "{place}: the name of the host is not found; check store.url ({e})"
            )),
            sqlx::Error::Io(e) => Error::Unreachable(format!("{place} cannot be reached: {e}")),
            sqlx::Error::Tls(e) => Error::CannotOpen(format!(
                "{place} and maildesk do not agree on TLS ({e}): check sslmode and sslrootcert in store.url"
            )),
            sqlx::Error::Protocol(e) => {
                Error::CannotOpen(format!("{place} does not speak like PostgreSQL: {e}"))
            }
            other => Error::Unreachable(format!("{place}, database {database:?}, user {user:?}: {other}")),
        }
    }

    /// By SQLSTATE, as the server gives it.
    fn said(&self, code: &str, message: &str) -> Error {
        let Server { place, database, user } = self;
        match code {
            "28P01" | "28000" => Error::CannotOpen(format!(
                "{place} does not let user {user:?} in ({message}): check user and password in store.url (special \
                 characters percent-encoded), and the server's pg_hba.conf"
            )),
            "3D000" => Error::CannotOpen(format!(
                "{place} has no database {database:?}: create it there, `createdb --owner {user} {database}`, or correct \
                 store.url"
            )),
            "42501" => Error::CannotOpen(format!(
                "{place} does not let user {user:?} work in database {database:?} ({message}): make {user:?} its owner"
            )),
            "53300" => Error::Unreachable(format!(
                "{place} has no connection left ({message}): raise its max_connections, or end what else is connected"
            )),
            "57P03" => {
                Error::Unreachable(format!("{place} is not ready yet ({message}): try again in a moment"))
            }
            _ => Error::Unreachable(format!("{place}, database {database:?}: {message}")),
        }
    }
}

/// The file of a SQLite store.
struct File(PathBuf);

// https://www.sqlite.org/rescode.html, the low byte.
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const READ_ONLY: u32 = 8;
const IO: u32 = 10;
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
const CANNOT_OPEN: u32 = 14;
const NOT_A_DATABASE: u32 = 26;

fn primary(code: &str) -> Option<u32> {
    // An SQLSTATE has five characters; SQLite's codes have four digits at most.
    (code.len() < 5).then(|| code.parse::<u32>().ok()).flatten().map(|code| code & 0xff)
}

impl File {
    fn refusal(&self, error: sqlx::Error) -> Error {
        let path = self.0.display();
        let code = error.as_database_error().and_then(|e| primary(&e.code()?));
        let words = error.as_database_error().map_or_else(|| error.to_string(), |e| e.message().to_owned());
        match code {
            Some(CANNOT_OPEN | READ_ONLY | IO) => self.why_not(&words),
            Some(NOT_A_DATABASE) => Error::CannotOpen(format!(
                "{path} is not a SQLite database: store.url names another file; nothing was changed in it"
            )),
            Some(CORRUPT) => Error::CannotOpen(format!(
                "{path} is damaged ({words}): keep the file as it is, and restore the last backup"
            )),
            Some(FULL) => {
                Error::Unreachable(format!("the disk is full: {path} needs some space to be opened"))
            }
            Some(BUSY) => Error::Unreachable(format!(
                "another program holds {path} ({words}): end it, or wait until it is done"
            )),
            _ => Error::Unreachable(format!("{path} cannot be opened: {words}")),
        }
    }

    /// SQLite says only that it cannot; the file system says why.
    fn why_not(&self, words: &str) -> Error {
        let path = self.0.display();
        let folder = match self.0.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if self.0.is_dir() {
            return Error::CannotOpen(format!(
                "{path} is a folder: store.url names the file of the database"
            ));
        }
        if !folder.is_dir() {
            return Error::CannotOpen(format!(
                "the folder {} is not there: create it for the user that maildesk runs as, or correct store.url",
                folder.display()
            ));
        }
        let found = self.0.exists();
        match std::fs::File::options().read(true).write(true).create(!found).truncate(false).open(&self.0) {
            Err(e) if found => Error::CannotOpen(format!(
                "{path} cannot be read and written ({e}): give it, and its folder, to the user that maildesk runs as"
            )),
            Err(e) => Error::CannotOpen(format!(
                "{path} cannot be made ({e}): let the user that maildesk runs as write to its folder"
            )),
            Ok(_) => Error::Unreachable(format!(
                "{path} cannot be opened ({words}): the user that maildesk runs as must be able to write to its folder \
                 too, and the disk must be well"
            )),
        }
    }
}

/// The path of a SQLite store.
pub(super) fn sqlite_path(options: &AnyConnectOptions) -> PathBuf {
    percent_decoded(options.database_url.path())
}

/// `Url` keeps a path percent-encoded.
fn percent_decoded(path: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|d| std::str::from_utf8(d).ok());
        match (first, digits.and_then(|d| u8::from_str_radix(d, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_both_engines_are_told_apart() {
        for (code, kind) in [
            ("13", Kind::StoreFull),
            ("53100", Kind::StoreFull),
            ("8", Kind::StoreReadOnly),
            // SQLITE_READONLY_DBMOVED
            ("1032", Kind::StoreReadOnly),
            ("25006", Kind::StoreReadOnly),
            ("5", Kind::StoreLocked),
            // SQLITE_BUSY_SNAPSHOT
            ("517", Kind::StoreLocked),
            ("40P01", Kind::StoreLocked),
            ("11", Kind::StoreDamaged),
            ("26", Kind::StoreDamaged),
            ("XX001", Kind::StoreDamaged),
            // SQLITE_IOERR_FSYNC
            ("1034", Kind::StoreGone),
            ("14", Kind::StoreGone),
            ("57P01", Kind::StoreGone),
            ("57P03", Kind::StoreGone),
            ("53300", Kind::StoreGone),
            ("08006", Kind::StoreGone),
            ("55000", Kind::StoreGone),
            ("25P03", Kind::StoreGone),
            ("1", Kind::Other),
            ("42601", Kind::Other),
            ("", Kind::Other),
        ] {
            assert_eq!(kind_of(code), kind, "{code:?}");
        }
    }
}
