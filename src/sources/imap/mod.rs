//! Mail from an IMAP4rev1 server (RFC 3501), with UIDPLUS (RFC 4315) and MOVE (RFC 6851) where the server has them.
//!
//! Reading starts here: a session lists and fetches by UID without touching a flag, and acknowledges by UID alone.
//! After a failure the session is of no more use; the caller drops it. No search, no body structure.
//! Between two rounds it may wait for mail (`idle.rs`).

mod acknowledge;
mod answer;
mod bounds;
mod command;
mod examine;
mod fetch;
mod idle;
mod list;
mod login;
mod rights;
mod uids;
mod utf7;
mod wire;
mod words;

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;

pub use examine::{FolderReport, Report, examine};
pub use rights::{Rights, rights};

use self::command::Command;
use self::wire::Wire;
use super::ServerSettings;
use crate::failure::{Failure, Kind};
use crate::intake::source::{Acknowledged, Fetched, Handled, Item, Listing, Peeked, Source};

/// A session that is logged in.
pub struct ImapSource {
    wire: Wire,
    /// The open folder is read-only.
    is_read_only: bool,
    folders: Vec<String>,
    spool_dir: PathBuf,
    /// The folder that is open.
    open: String,
    /// Those in it that carry \Deleted.
    half_removed: Vec<String>,
    /// Of the first folder.
    reached: Option<idle::Reached>,
}

impl ImapSource {
    pub async fn connect(settings: ServerSettings) -> Result<ImapSource, Failure> {
        let (wire, _) = login::log_in(&settings).await?;
        let ServerSettings { folders, spool_dir, .. } = settings;
        let (open, half_removed) = (String::new(), Vec::new());
        Ok(ImapSource { wire, is_read_only: false, folders, spool_dir, open, half_removed, reached: None })
    }

    /// Whether the server says that it tells of new mail by itself.
    pub fn offers_idle(&self) -> bool {
        self.wire.capabilities.has("IDLE")
    }

    /// When it is better left for another, as the token ends that opened it. Nothing where it was a password.
    pub fn leave_at(&self) -> Option<Instant> {
        self.wire.leave_at
    }

    /// Waits until there is new mail in the first folder (true), or `asked` comes (false): then the session is ready for
    /// the next round. What came since that folder was listed last counts too. IDLE is begun anew every `renew`; RFC 2177
    /// wants that before 29 minutes.
    pub async fn wait(
        &mut self,
        renew: Duration,
        asked: impl Future<Output = ()> + Send,
    ) -> Result<bool, Failure> {
        let Some(first) = self.folders.first().cloned() else {
            asked.await;
            return Ok(false);
        };
        let is_open = std::mem::replace(&mut self.open, first.clone()) == first;
        idle::wait(&mut self.wire, (&first, is_open, self.reached), renew, pin!(asked)).await
    }

    /// Puts a message into a folder (RFC 3501 §6.3.11), unseen. Its UIDVALIDITY and UID, where the server says them.
    pub async fn append(&mut self, folder: &str, message: Vec<u8>) -> Result<Option<(u32, u32)>, Failure> {
        let command = Command::new("APPEND").string(&utf7::encode(folder)).literal(message);
        let reply = self.wire.ask(command, &mut |_, _| Ok(())).await?;
        let appended = reply.appended;
        reply.or_failure("APPEND").map_err(|failure| failure.of(format!("folder {folder:?}")))?;
        Ok(appended)
    }
}

impl Source for ImapSource {
    fn folders(&self) -> Vec<String> {
        self.folders.clone()
    }

    async fn open(&mut self, folder: &str) -> Result<Listing, Failure> {
        folder.clone_into(&mut self.open);
        let (listing, opened, half_removed) = list::open(&mut self.wire, folder).await?;
        self.half_removed = half_removed;
        if self.folders.first().is_some_and(|first| first == folder) {
            self.reached = Some(idle::Reached::new(&listing, &opened));
        }
        self.is_read_only = opened.is_read_only;
        Ok(listing)
    }

    fn half_removed(&self) -> &[String] {
        &self.half_removed
    }

    async fn fetch(&mut self, items: &[Item]) -> Result<Vec<Fetched>, Failure> {
        fetch::fetch(&mut self.wire, &self.spool_dir, items).await
    }

    async fn fetch_headers(&mut self, item: &Item, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
        fetch::headers(&mut self.wire, item, limit).await
    }

    async fn peek(&mut self, items: &[Item]) -> Result<Vec<Peeked>, Failure> {
        fetch::peek(&mut self.wire, items).await
    }

    async fn acknowledge(&mut self, ids: &[String], handled: &Handled) -> Result<Acknowledged, Failure> {
        // It is asked all the same: some servers call a folder read-only of which mail may be removed.
        let done = acknowledge::acknowledge(&mut self.wire, ids, handled).await;
        done.map_err(|failure| match failure.kind {
            Kind::NotRemoved | Kind::NotUnderstood if self.is_read_only => failure.kind(Kind::NoRights),
            _ => failure,
        })
    }

    fn is_usable(&self) -> bool {
        self.wire.is_usable()
    }

    async fn close(mut self) -> Result<(), Failure> {
        self.wire.tell(Command::new("LOGOUT")).await
    }
}
