//! The doors where mail comes in: each keeps the promise of `intake::source::Source` towards one kind of mailbox.

pub mod files;
pub mod imap;
pub mod maildir;
mod mbox;
pub mod pop3;
mod spool;
pub mod stdin;
mod words;

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// From the first byte: usually port 993 (IMAP) or 995 (POP3).
    Tls,
    /// After a few words in the clear, usually port 143 or 110; refused if the server does not offer it.
    StartTls,
    /// Never: the password or token crosses the network in the clear.
    Plain,
}

/// Ends a server that sends a message without end, in bytes.
const MESSAGE_LIMIT: u64 = 2 << 30;
/// More messages than any folder holds; ends a server that lists without end.
const LISTING_LIMIT: usize = 5_000_000;
