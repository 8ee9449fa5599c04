//! `[store]`, `[keys]` and `[run]`: where the desk's data, key and socket lie, and how the daemon works.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::env::Env;
use super::section::{Wrong, section};
use super::{read_secret, under};
use crate::seal::Secret;

section! {
    /// Where the desk's data lies.
    StoreSection {
        /// A file (`sqlite:desk.db`; a relative path starts at the folder of this file) or a server
        /// (`postgres://user@host/database`).
        url: String = "sqlite:desk.db".into(), live "\"sqlite:desk.db\"";
        /// The url from a file of its own, for one that holds a password.
        url_file: String = String::new(), example "\"store.url\"";
    }
}

section! {
    /// The key that seals passwords and tokens in the store. Without it they are lost: keep a copy apart from the store.
    KeysSection {
        /// The file with the key: 64 hex digits or base64 of 32 bytes; made at the first start if it is absent.
        /// Where this is not given: the variable MAILDESK_KEY, else the systemd credential `maildesk.key`, else the file
        /// maildesk.key beside this file.
        file: String = String::new(), example "\"maildesk.key\"";
    }
}

section! {
    /// The daemon.
    RunSection {
        /// The socket through which commands reach the running daemon.
        socket: String = "maildesk.sock".into();
        /// The folder for messages over 1 MiB while they are taken in.
        spool: String = "spool".into();
        /// Mail is fetched and decided in batches of at most so many MB.
        batch_mb: u64 = 8;
        /// With less free disk than so many MB, where the SQLite file or the spool lies, no mail is taken in; sending and
        /// commands go on. 0: never look.
        min_free_mb: u64 = 500;
        /// A message that stopped the daemon or the parser so many times becomes an error ticket.
        tries: u32 = 3;
        /// On PostgreSQL: how long a daemon that is not heard of keeps its mailboxes, in seconds. Then the others have them.
        lease_s: u64 = 30;
        /// A folder with templates that take the place of the built-in ones of the same name.
        templates: String = String::new(), example "\"templates\"";
        /// What the log tells: error, warn, info, debug, or a list such as `info,maildesk::intake=debug`.
        log: String = "info".into();
        /// The log as one JSON object a line.
        log_json: bool = false;
    }
}

/// Where the sealing key comes from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// The text of the key itself, from the environment.
    Text(Secret),
    /// A file that must be there.
    Given(PathBuf),
    /// A file that is made if it is absent.
    Made(PathBuf),
}

/// `[run]`, resolved.
#[derive(Clone, Debug)]
pub struct Run {
    pub socket: PathBuf,
    pub spool: PathBuf,
    pub batch_bytes: u64,
    pub min_free_bytes: u64,
    pub tries: u32,
    pub lease: Duration,
    pub templates: Option<PathBuf>,
    pub log: String,
    pub log_json: bool,
}

impl StoreSection {
    pub fn resolve(&self, folder: &Path) -> Result<String, Wrong> {
        if self.url_file.is_empty() {
            return full_url(&self.url, folder, "url");
        }
        let url =
            read_secret(&under(folder, &self.url_file)).map_err(|words| Wrong::new("url_file", words))?;
        full_url(url.expose(), folder, "url_file")
    }
}

/// A url whose SQLite path no longer depends on the folder that a command was started in.
fn full_url(url: &str, folder: &Path, key: &'static str) -> Result<String, Wrong> {
    let Some(path) = url.strip_prefix("sqlite:") else {
        let is_server = url.starts_with("postgres://") || url.starts_with("postgresql://");
        let words = "must begin with `sqlite:` (a file) or `postgres://` (a server)";
        return if is_server { Ok(url.to_owned()) } else { Err(Wrong::new(key, words)) };
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    if path.is_empty() || path.starts_with(':') {
        return Err(Wrong::new(key, "must name a file, such as sqlite:desk.db"));
    }
    let path = under(folder, path).to_string_lossy().into_owned();
    // The engine takes the path apart as a URL.
    let path = path.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    Ok(format!("sqlite:{path}"))
}

impl KeysSection {
    pub fn resolve(&self, folder: &Path, env: &Env) -> KeySource {
        const NAME: &str = "maildesk.key";
        if !self.file.is_empty() {
            return KeySource::Made(under(folder, &self.file));
        }
        if let Some(text) = &env.key {
            return KeySource::Text(text.clone());
        }
        match env.credentials.as_ref().map(|folder| folder.join(NAME)).filter(|path| path.exists()) {
            Some(path) => KeySource::Given(path),
            None => KeySource::Made(under(folder, NAME)),
        }
    }
}

impl RunSection {
    pub fn resolve(&self, folder: &Path) -> Result<Run, Wrong> {
        const MB: u64 = 1_000_000;
        if !(1..=64).contains(&self.batch_mb) {
            return Err(Wrong::new("batch_mb", "must be between 1 and 64"));
        }
        if !(1..=100).contains(&self.tries) {
            return Err(Wrong::new("tries", "must be between 1 and 100"));
        }
        if !(2..=600).contains(&self.lease_s) {
            return Err(Wrong::new("lease_s", "must be between 2 and 600"));
        }
        Ok(Run {
            socket: under(folder, &self.socket),
            spool: under(folder, &self.spool),
            batch_bytes: self.batch_mb * MB,
            min_free_bytes: self.min_free_mb.saturating_mul(MB),
            tries: self.tries,
            lease: Duration::from_secs(self.lease_s),
            templates: (!self.templates.is_empty()).then(|| under(folder, &self.templates)),
            log: self.log.clone(),
            log_json: self.log_json,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlite_path_starts_at_the_folder_of_the_file() {
        let resolve =
            |url: &str| StoreSection { url: url.into(), ..Default::default() }.resolve("/etc/m".as_ref());
        assert_eq!(resolve("sqlite:desk.db").unwrap(), "sqlite:/etc/m/desk.db");
        assert_eq!(resolve("sqlite://desk.db?mode=rw").unwrap(), "sqlite:/etc/m/desk.db");
        assert_eq!(resolve("sqlite:/var/d.db").unwrap(), "sqlite:/var/d.db");
        assert_eq!(resolve("postgres://u@h/d").unwrap(), "postgres://u@h/d");
        for bad in ["mysql://h/d", "desk.db", "sqlite:", "sqlite::memory:"] {
            assert_eq!(resolve(bad).unwrap_err().key, "url", "{bad}");
        }
    }
}
