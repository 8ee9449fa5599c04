//! The configuration: one TOML file, one file of code a section.
//!
//! A section is read as written (`MailboxSection`), then checked into what is to be (`MailboxSpec`); commands that add and
//! edit go the same way, so that the same mistake gets the same words. Errors name file, line, key and what is allowed.
//! Paths are relative to the folder of the file. Secrets are read when they are needed, not when the file is.

pub mod account;
mod backup;
pub mod base;
pub mod conflicts;
pub mod env;
pub mod example;
pub mod file;
pub mod load;
mod loops;
pub mod mailbox;
pub mod oauth_provider;
pub mod relay;
mod rules;
pub mod section;
pub mod surroundings;
pub mod ticket_type;
mod virus_scanner;
pub mod web;
pub mod words;

pub use account::{AccountFlags, AccountSection, AccountSpec};
pub use backup::Backups;
pub use base::{KeySource, Run};
pub use env::Env;
pub use file::ConfigError;
pub use load::{Config, Declared, File};
pub use mailbox::{MailboxFlags, MailboxSection, MailboxSpec};
pub use oauth_provider::{OauthProviderSection, ProviderSpec};
pub use relay::{RelayFlags, RelaySection, RelaySpec};
pub use section::Wrong;
pub use surroundings::{Dns, PredecessorSection, Surroundings, TrustSection};
pub use ticket_type::{TypeFlags, TypeSection, TypeSpec};
pub use virus_scanner::{ScannerAddress, VirusScanner};
pub use words::{Auth, Handled, Mode, Protocol, ProviderKind, RelayKind, Role, Start, Tls, Unscanned};

use std::path::{Path, PathBuf};

use crate::seal::Secret;
use section::Password;

/// Longest file with a secret that is read: a token, not a mistake of path.
const SECRET_LIMIT: u64 = 64 * 1024;

/// A path of the file, which starts at the file's folder.
fn under(folder: &Path, path: &str) -> PathBuf {
    folder.join(path)
}

fn needed(key: &'static str, value: &str) -> Result<String, Wrong> {
    match value.trim() {
        "" => Err(Wrong::new(key, "must be given")),
        value => Ok(value.to_owned()),
    }
}

/// A name for people: it stands in listings, logs and commands.
fn checked_name(key: &'static str, name: &str) -> Result<String, Wrong> {
    let name = needed(key, name)?;
    let is_id = name.trim_start_matches('#').bytes().all(|b| b.is_ascii_digit());
    if name.len() > 100 || name.contains(|c: char| c.is_control()) || is_id {
        return Err(Wrong::new(key, format!("{name:?} is no name: 1 to 100 bytes, and not a number")));
    }
    Ok(name)
}

fn password_of(password: &Password, file: &str, folder: &Path) -> Result<Option<Secret>, Wrong> {
    match (&password.0, file) {
        (Some(_), path) if !path.is_empty() => {
            Err(Wrong::new("password_file", "give either this or `password`, not both"))
        }
        (password, "") => Ok(password.clone()),
        (_, path) => {
            read_secret(&under(folder, path)).map(Some).map_err(|words| Wrong::new("password_file", words))
        }
    }
}

/// A grant stands in the place of the password.
fn no_password_beside(auth: Auth, password: &Password, file: &str) -> Result<(), Wrong> {
    let key = match (password.0.is_some(), file.is_empty()) {
        (true, _) => "password",
        (_, false) => "password_file",
        _ => return Ok(()),
    };
    match auth {
        Auth::Password => Ok(()),
        Auth::Oauth2 => {
            Err(Wrong::new(key, "leave it out: with auth = \"oauth2\" a grant stands in its place"))
        }
    }
}

/// The first line of a file that holds a secret. The words of an error never show what the file holds.
pub fn read_secret(path: &Path) -> Result<Secret, String> {
    let named = |words: &dyn std::fmt::Display| format!("{}: {words}", path.display());
    let length = std::fs::metadata(path).map_err(|e| named(&e))?.len();
    if length > SECRET_LIMIT {
        return Err(named(&"is too long for a secret"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| named(&e))?;
    match text.lines().next().unwrap_or_default() {
        "" => Err(named(&"is empty")),
        line => Ok(Secret::new(line)),
    }
}

#[cfg(test)]
mod tests;
