//! What can go wrong with the store, by what the caller can do about it.

use super::refusal::{self, trouble};
use crate::failure::{Failure, Kind};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not now: locked, full, gone, cut off. The same call may work later.
    #[error("store: {}", trouble(.0))]
    Unavailable(#[source] sqlx::Error),
    /// The store does not open now; the words say where and why. It may be better later.
    #[error("store: {0}")]
    Unreachable(String),
    /// The store does not open before somebody changes something; the words say what.
    #[error("store: {0}")]
    CannotOpen(String),
    /// A row of that name or key stands already.
    #[error("{0} is taken already")]
    Taken(String),
    /// Somebody changed the row since it was read.
    #[error("{0} was changed by somebody else meanwhile; look at it again and repeat the change")]
    Stale(String),
    #[error("there is no {0}")]
    Missing(String),
    /// The row cannot go while others refer to it.
    #[error("{0}")]
    InUse(String),
    /// The engine refuses these very values, now and later: too long for an index, not to be encoded, against a rule.
    #[error("the store cannot hold this: {0}")]
    Unfit(#[source] sqlx::Error),
    /// The row comes from the configuration file (G3).
    #[error("{0} comes from the configuration file and is changed there")]
    ReadOnly(String),
    /// What was asked for would do harm, or makes no sense beside what is there.
    #[error("{0}")]
    Refused(String),
    #[error(
        "the sealing key does not open the secrets of this desk: it is not the key they were sealed under"
    )]
    WrongKey,
    /// The desk is not here: it goes, has gone or is coming; the words say where.
    #[error("{0}")]
    Moved(String),
    /// Another process works on this desk.
    #[error("{0}")]
    Held(String),
    /// The lease of this work is another daemon's by now, or has run out: nothing was written.
    #[error("{0}")]
    TakenOver(String),
    #[error("the store's schema is version {found}, this program needs {needed}: run `maildesk migrate`")]
    OldSchema { found: i64, needed: i64 },
    #[error(
        "the store's schema is version {found}, newer than this program ({needed}): install a newer maildesk"
    )]
    NewSchema { found: i64, needed: i64 },
    #[error("store.url must begin with `sqlite:` (a file) or `postgres://` (a server)")]
    BadUrl,
    #[error("store: {0}")]
    Corrupt(String),
}

impl Error {
    /// The same call may work later: nobody has to change anything.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Error::Unavailable(_) | Error::Unreachable(_) | Error::TakenOver(_))
    }

    pub fn kind(&self) -> Kind {
        match self {
            Error::Unavailable(error) => refusal::kind(error),
            Error::Unreachable(_) | Error::CannotOpen(_) => Kind::StoreGone,
            Error::Corrupt(_) => Kind::StoreDamaged,
            _ => Kind::Other,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Error {
        match &error {
            sqlx::Error::Database(e) if e.is_unique_violation() => {
                Error::Taken(e.constraint().unwrap_or("that name").to_owned())
            }
            sqlx::Error::Database(e) if e.is_foreign_key_violation() => {
                Error::InUse("it is still referred to".to_owned())
            }
            sqlx::Error::Database(e) if e.code().is_some_and(|code| is_about_values(&code)) => {
                Error::Unfit(error)
            }
            sqlx::Error::RowNotFound => Error::Missing("such row".to_owned()),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) | sqlx::Error::Decode(_) => {
                Error::Corrupt(error.to_string())
            }
            _ => Error::Unavailable(error),
        }
    }
}

/// Whether it is the values that the engine objects to, not its own state. A message with such values would fail for ever,
/// so it must not be taken for a store in trouble.
fn is_about_values(code: &str) -> bool {
    match code.parse::<u32>() {
        // SQLite's extended codes, the primary one in the low byte: SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH.
        Ok(number) if code.len() < 5 => matches!(number & 0xff, 18..=20),
        // SQLSTATE classes: data exception, integrity constraint, program limit exceeded.
        _ => code.len() == 5 && ["22", "23", "54"].contains(&&code[..2]),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let kind = error.kind();
        match error {
            temporary if temporary.is_temporary() => Failure::temporary(temporary.to_string()).kind(kind),
            other => Failure::permanent(other.to_string()).kind(kind),
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Error {
        Error::Corrupt(format!("a JSON column does not parse: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::is_about_values;

    #[test]
    fn refused_values_are_told_from_a_store_in_trouble() {
        for (code, expected) in [
            ("22021", true),  // PostgreSQL: invalid byte sequence
            ("23514", true),  // PostgreSQL: check violation
            ("54000", true),  // PostgreSQL: index row too large
            ("40P01", false), // PostgreSQL: deadlock
            ("53100", false), // PostgreSQL: disk full
            ("57P01", false), // PostgreSQL: shut down
            ("1811", true),   // SQLite: constraint by a trigger
            ("18", true),     // SQLite: too big
            ("5", false),     // SQLite: busy
            ("13", false),    // SQLite: disk full
            ("1034", false),  // SQLite: fsync failed
        ] {
            assert_eq!(is_about_values(code), expected, "{code}");
        }
    }
}
