//! What intake asks of a source of mail: list, fetch, acknowledge. IMAP, POP3, Maildir and a pipe implement it.

use std::future::Future;

use crate::clock::Micros;
use crate::failure::Failure;

/// A connection to one mailbox, from login to logout. Any failure ends the session; the round begins anew later.
pub trait Source: Send {
    /// The folders to read, in order; a source without folders has one, named "".
    fn folders(&self) -> Vec<String>;

    /// How much one session may take before it is closed; what is left is for another one. `None`: as much as there is.
    fn session_limit(&self) -> Option<SessionLimit> {
        None
    }

    /// Whether the id of a message that is gone may come to name another one (RFC 1939 §7 UIDL).
    fn may_give_ids_again(&self) -> bool {
        false
    }

    /// Opens a folder and lists what lies in it. No flag is changed by this or by fetching.
    fn open(&mut self, folder: &str) -> impl Future<Output = Result<Listing, Failure>> + Send;

    /// What lies in the open folder, is marked to be removed, and is therefore not in the listing. A removal in two steps
    /// may have been cut off between them.
    fn half_removed(&self) -> &[String] {
        &[]
    }

    /// Fetches messages of the open folder whole, in the order given, without setting a flag.
    /// Each item is answered once. Bytes past `SPOOL_FROM` come as a file.
    fn fetch(&mut self, items: &[Item]) -> impl Future<Output = Result<Vec<Fetched>, Failure>> + Send;

    /// Fetches the header block alone, at most `limit` bytes of it.
    fn fetch_headers(
        &mut self,
        item: &Item,
        limit: usize,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, Failure>> + Send;

    /// Looks at messages of the open folder without taking them: when they arrived, and the fields that they are known
    /// by. What is gone is left out. A source that has nothing better reads one header block after the other.
    fn peek(&mut self, items: &[Item]) -> impl Future<Output = Result<Vec<Peeked>, Failure>> + Send {
        async move {
            let mut peeked = Vec::with_capacity(items.len());
            for item in items {
                let Some(headers) = self.fetch_headers(item, PEEKED_LIMIT).await? else { continue };
                peeked.push(Peeked { source_id: item.source_id.clone(), received: None, headers });
            }
            Ok(peeked)
        }
    }

    /// Does to the messages of the open folder what the mailbox wants done with handled mail.
    /// `Ok` means the source has confirmed it for each, or will with `close`; what it could not do in full stands in the
    /// words.
    fn acknowledge(
        &mut self,
        ids: &[String],
        handled: &Handled,
    ) -> impl Future<Output = Result<Acknowledged, Failure>> + Send;

    /// Whether the session goes on after a failure: what was refused was that one step.
    fn is_usable(&self) -> bool {
        false
    }

    /// Ends the session in good order (IMAP: LOGOUT; POP3: QUIT, which commits its deletions).
    fn close(self) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What one session takes: of whatever must be fetched or told, so many messages, and bytes as announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimit {
    pub messages: usize,
    pub bytes: u64,
}

/// Bytes of headers that one look at a message reads at most.
pub const PEEKED_LIMIT: usize = 32 << 10;

/// Messages larger than this are spooled to a file.
pub const SPOOL_FROM: u64 = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    pub folder: String,
    /// IMAP's UIDVALIDITY; 0 where the source has none.
    pub validity: i64,
    /// In order of arrival.
    pub items: Vec<Item>,
}

/// A message as the source names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// UID, UIDL or Maildir name.
    pub source_id: String,
    /// As announced; the bytes may turn out more or fewer.
    pub size: u64,
}

/// A look at a message.
#[derive(Clone, Debug)]
pub struct Peeked {
    pub source_id: String,
    /// The server's INTERNALDATE, or the file's time.
    pub received: Option<Micros>,
    /// At least Message-ID, From, Sender, Date and Subject.
    pub headers: Vec<u8>,
}

#[derive(Debug)]
pub struct Fetched {
    pub source_id: String,
    pub announced_size: u64,
    /// The server's INTERNALDATE, or the file's time.
    pub received: Option<Micros>,
    pub bytes: Bytes,
}

#[derive(Debug)]
pub enum Bytes {
    Memory(Vec<u8>),
    /// A spool file, which vanishes when dropped, and its length.
    Spool(std::fs::File, u64),
    /// Somebody else removed it since it was listed.
    Gone,
    /// It is there, and the server will not give it: its own words. Others are given.
    Refused(String),
}

/// What to do with mail that is safely taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handled {
    Delete,
    Move(String),
    Seen,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledged {
    /// Empty where all went by the book; else what was done instead, in words:
    /// "flagged \Deleted only: the server offers neither UIDPLUS nor MOVE".
    pub words: String,
    /// It holds only once `close` has succeeded: POP3 deletes at the end of a session.
    pub holds_after_close: bool,
}
