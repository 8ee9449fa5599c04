//! `[[mailbox]]`: an account whose mail becomes tickets.

use std::path::Path;
use std::time::Duration;

use super::section::{Password, Wrong, section};
use super::words::{Auth, Handled, Mode, Protocol, Start, Tls};
use super::{checked_name, needed, no_password_beside, password_of, under};
use crate::schedule::{Schedule, parse_zone};
use crate::seal::Secret;

section! {
    /// An account whose mail becomes tickets. Its mail leaves it once it is safely one.
    MailboxSection with MailboxFlags {
        /// Its name, for people and for the types that it serves.
        name: String = String::new(), required "\"support\"";
        /// imap; pop3; maildir: a folder on this machine, `path`; or pipe: what an MTA brings by `maildesk deliver`.
        protocol: Protocol = Protocol::Imap;
        /// The IMAP or POP3 server.
        host: String = String::new(), live "\"imap.example.com\"";
        /// Its port; 0: 993 for tls, else 143; of pop3 995, else 110.
        port: u16 = 0;
        /// tls (from the first byte), starttls, or plain (in the clear: for a server on this machine).
        tls: Tls = Tls::Tls;
        /// Of protocol maildir: the folder with cur, new and tmp.
        path: String = String::new(), example "\"Maildir\"";
        /// password, or oauth2: the access tokens of a grant, which `maildesk oauth login` gets.
        auth: Auth = Auth::Password;
        /// Who signs in. With oauth2 the mailbox to open, also where another user has signed in for it (a shared mailbox).
        username: String = String::new(), live "\"support@example.com\"";
        /// The folders to read; POP3 has none but the inbox.
        folders: Vec<String> = vec!["INBOX".into()];
        /// What becomes of mail that is safely taken in: delete, move (to `move_to`) or seen. POP3 can only delete.
        handled: Handled = Handled::Delete;
        /// The folder that handled mail is moved to.
        move_to: String = String::new(), example "\"Done\"";
        /// Larger messages stay in the mailbox and show as error tickets. Of protocol pipe they are kept here.
        size_limit_mb: u64 = 50;
        /// Seconds between two rounds.
        interval_s: u64 = 600;
        /// In place of interval_s: an interval (`10m`, `1h30m`), or a cron expression of five fields, or of six with leading
        /// seconds.
        schedule: String = String::new(), example "\"*/5 6-22 * * mon-fri\"";
        /// The time zone of a cron expression.
        timezone: String = "UTC".into(), example "\"Europe/Berlin\"";
        /// Whether the server is asked to tell of new mail at once (IMAP's IDLE), where it offers that. It tells of the first
        /// folder; the others are read by schedule.
        idle: bool = true;
        /// all: what lies there at the first round is taken in like new mail. now: it stays there, untouched.
        start: Start = Start::All;
        /// live, or shadow: all is read, decided and explained; nothing is touched there, and nothing is sent.
        mode: Mode = Mode::Live;
        /// Whether it is read.
        active: bool = true;
        /// The password from a file: its first line.
        password_file: String = String::new(), example "\"support.password\"";
    }
    secret {
        /// The password itself; better in a file of its own.
        password: Password, example "\"…\"";
    }
}

/// A mailbox as it is to be, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxSpec {
    pub name: String,
    pub protocol: Protocol,
    /// Of a Maildir: its path.
    pub host: String,
    pub port: u16,
    pub tls: Tls,
    pub auth: Auth,
    pub username: String,
    pub folders: Vec<String>,
    pub handled: Handled,
    pub move_to: String,
    pub size_limit_bytes: u64,
    pub interval_s: u64,
    /// Empty: every `interval_s`.
    pub schedule: String,
    pub timezone: String,
    pub idle: bool,
    pub start: Start,
    pub mode: Mode,
    pub is_active: bool,
}

impl MailboxSpec {
    /// When it is read. A schedule was checked when it was set; should its zone be unknown by now, the interval counts.
    pub fn when(&self) -> Schedule {
        let every = || Schedule::every(Duration::from_secs(self.interval_s));
        match self.schedule.as_str() {
            "" => every(),
            schedule => Schedule::parse(schedule, &self.timezone).unwrap_or_else(|_| every()),
        }
    }
}

/// As it would be written.
impl From<&MailboxSpec> for MailboxSection {
    fn from(spec: &MailboxSpec) -> MailboxSection {
        let (host, path) = match spec.protocol {
            Protocol::Maildir => (String::new(), spec.host.clone()),
            _ => (spec.host.clone(), String::new()),
        };
        MailboxSection {
            name: spec.name.clone(),
            protocol: spec.protocol,
            host,
            path,
            port: if spec.port == usual_port(spec.protocol, spec.tls) { 0 } else { spec.port },
            tls: spec.tls,
            auth: spec.auth,
            username: spec.username.clone(),
            folders: spec.folders.clone(),
            handled: spec.handled,
            move_to: spec.move_to.clone(),
            size_limit_mb: spec.size_limit_bytes / MB,
            interval_s: spec.interval_s,
            schedule: spec.schedule.clone(),
            timezone: spec.timezone.clone(),
            idle: spec.idle,
            start: spec.start,
            mode: spec.mode,
            active: spec.is_active,
            ..MailboxSection::default()
        }
    }
}

fn usual_port(protocol: Protocol, tls: Tls) -> u16 {
    match (protocol, tls) {
        (Protocol::Pop3, Tls::Tls) => 995,
        (Protocol::Pop3, _) => 110,
        (_, Tls::Tls) => 993,
        _ => 143,
    }
}

const MB: u64 = 1_000_000;

impl MailboxSection {
    pub fn resolve(&self, folder: &Path) -> Result<MailboxSpec, Wrong> {
        let (host, folders) = match self.protocol {
            Protocol::Imap => (needed("host", &self.host)?, self.imap_folders()?),
            Protocol::Maildir => {
                let path = under(folder, &needed("path", &self.path)?);
                (path.to_string_lossy().into_owned(), vec![String::new()])
            }
            Protocol::Pop3 => (needed("host", &self.host)?, self.pop3_folders()?),
            Protocol::Pipe if self.mode == Mode::Shadow => {
                let words = "cannot be shadow for a pipe: there is no source where the mail would stay";
                return Err(Wrong::new("mode", words));
            }
            Protocol::Pipe => (String::new(), vec![String::new()]),
        };
        Ok(MailboxSpec {
            name: checked_name("name", &self.name)?,
            protocol: self.protocol,
            host,
            port: if self.port == 0 { usual_port(self.protocol, self.tls) } else { self.port },
            tls: self.tls,
            auth: self.checked_auth()?,
            username: match self.protocol {
                Protocol::Imap | Protocol::Pop3 => needed("username", &self.username)?,
                _ => self.username.clone(),
            },
            folders,
            handled: self.checked_handled()?,
            move_to: self.checked_move_to()?,
            size_limit_bytes: within("size_limit_mb", self.size_limit_mb, 1, 2000)? * MB,
            interval_s: within("interval_s", self.interval_s, 1, 7 * 24 * 3600)?,
            schedule: self.checked_schedule()?,
            timezone: self.timezone.clone(),
            idle: self.idle,
            start: self.start,
            mode: self.mode,
            is_active: self.active,
        })
    }

    /// The password it gives, itself or by its file.
    pub fn read_password(&self, folder: &Path) -> Result<Option<Secret>, Wrong> {
        password_of(&self.password, &self.password_file, folder)
    }

    fn checked_auth(&self) -> Result<Auth, Wrong> {
        if self.auth == Auth::Oauth2 && !matches!(self.protocol, Protocol::Imap | Protocol::Pop3) {
            return Err(Wrong::new("auth", "nobody signs in there: leave it out"));
        }
        no_password_beside(self.auth, &self.password, &self.password_file)?;
        Ok(self.auth)
    }

    fn checked_schedule(&self) -> Result<String, Wrong> {
        parse_zone(&self.timezone).map_err(|words| Wrong::new("timezone", words))?;
        if !self.schedule.is_empty() {
            Schedule::parse(&self.schedule, &self.timezone).map_err(|words| Wrong::new("schedule", words))?;
        }
        Ok(self.schedule.clone())
    }

    fn imap_folders(&self) -> Result<Vec<String>, Wrong> {
        let mut folders: Vec<String> = vec![];
        for name in self.folders.iter().filter(|name| !name.is_empty()) {
            if name.contains(|c: char| c.is_control()) {
                return Err(Wrong::new("folders", format!("{name:?} is no folder name")));
            }
            if !folders.contains(name) {
                folders.push(name.clone());
            }
        }
        if folders.is_empty() {
            return Err(Wrong::new("folders", "must name at least one folder, such as INBOX"));
        }
        Ok(folders)
    }

    /// The one place that POP3 reads. What stands there for IMAP is let pass, so that a mailbox can be edited over.
    fn pop3_folders(&self) -> Result<Vec<String>, Wrong> {
        if self.folders.iter().all(|name| name.is_empty() || name.eq_ignore_ascii_case("inbox")) {
            return Ok(vec![String::new()]);
        }
        Err(Wrong::new("folders", "POP3 has no folders, only the inbox: leave it out, or read them by imap"))
    }

    fn checked_handled(&self) -> Result<Handled, Wrong> {
        if self.protocol == Protocol::Pop3 && self.handled != Handled::Delete {
            let words = "POP3 can only delete: it has no folders to move mail to and no flags to mark it with; set \
                         it to delete, or read the mailbox by imap";
            return Err(Wrong::new("handled", words));
        }
        Ok(self.handled)
    }

    fn checked_move_to(&self) -> Result<String, Wrong> {
        if self.handled != Handled::Move {
            return Ok(self.move_to.clone());
        }
        let target = needed("move_to", &self.move_to)?;
        // It would be taken in again and again.
        let is_read = self.protocol == Protocol::Imap && self.folders.contains(&target);
        if is_read { Err(Wrong::new("move_to", "is one of the folders that are read")) } else { Ok(target) }
    }
}

fn within(key: &'static str, value: u64, least: u64, most: u64) -> Result<u64, Wrong> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(Wrong::new(key, format!("must be between {least} and {most}")))
}
