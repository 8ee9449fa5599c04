//! Mail from an IMAP4rev1 server (RFC 3501), with UIDPLUS (RFC 4315) and MOVE (RFC 6851) where the server has them.
//!
//! Reading starts here: a session lists and fetches by UID without touching a flag, and acknowledges by UID alone.
//! After a failure the session is of no more use; the caller drops it. No IDLE, no search, no body structure.

mod acknowledge;
mod answer;
mod bounds;
mod command;
mod examine;
mod fetch;
mod list;
mod login;
mod rights;
mod spool;
mod uids;
mod utf7;
mod wire;
mod words;

use std::path::PathBuf;

pub use examine::{FolderReport, Report, examine};
pub use rights::{Rights, rights};

use self::command::Command;
use self::wire::Wire;
use super::Password;
use crate::failure::Failure;
use crate::intake::source::{Acknowledged, Fetched, Handled, Item, Listing, Source};
use crate::net::Deadlines;

#[derive(Clone, Debug)]
pub struct ImapSettings {
    pub host: String,
    pub port: u16,
    pub tls: Tls,
    pub username: String,
    pub password: Password,
    /// In clear text, as a person names them; read in this order.
    pub folders: Vec<String>,
    /// A PEM file of CAs trusted beside the system's.
    pub extra_roots: Option<PathBuf>,
    /// Where large messages lie while they are taken in.
    pub spool_dir: PathBuf,
    pub deadlines: Deadlines,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// From the first byte, usually port 993.
    Tls,
    /// After a few words in the clear, usually port 143; refused if the server does not offer it.
    StartTls,
    /// Never: the password crosses the network in the clear.
    Plain,
}

/// A session that is logged in.
pub struct ImapSource {
    wire: Wire,
    folders: Vec<String>,
    spool_dir: PathBuf,
}

impl ImapSource {
    pub async fn connect(settings: ImapSettings) -> Result<ImapSource, Failure> {
        let (wire, _) = login::log_in(&settings).await?;
        Ok(ImapSource { wire, folders: settings.folders, spool_dir: settings.spool_dir })
    }
}

impl Source for ImapSource {
    fn folders(&self) -> Vec<String> {
        self.folders.clone()
    }

    async fn open(&mut self, folder: &str) -> Result<Listing, Failure> {
        list::open(&mut self.wire, folder).await
    }

    async fn fetch(&mut self, items: &[Item]) -> Result<Vec<Fetched>, Failure> {
        fetch::fetch(&mut self.wire, &self.spool_dir, items).await
    }

    async fn fetch_headers(&mut self, item: &Item, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
        fetch::headers(&mut self.wire, item, limit).await
    }

    async fn acknowledge(&mut self, ids: &[String], handled: &Handled) -> Result<Acknowledged, Failure> {
        acknowledge::acknowledge(&mut self.wire, ids, handled).await
    }

    async fn close(mut self) -> Result<(), Failure> {
        self.wire.tell(Command::new("LOGOUT")).await
    }
}
