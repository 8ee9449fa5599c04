//! The doors where mail comes in: each keeps the promise of `intake::source::Source` towards one kind of mailbox.

pub mod files;
pub mod imap;
pub mod maildir;
mod mbox;
pub mod pop3;
mod server;
mod spool;
pub mod stdin;
mod words;

pub use server::{ServerSettings, Tls};

/// Ends a server that sends a message without end, in bytes.
const MESSAGE_LIMIT: u64 = 2 << 30;
/// So many messages, all refused: it is the server, and not the messages.
const MANY_REFUSED: usize = 10;
/// More messages than any folder holds; ends a server that lists without end.
const LISTING_LIMIT: usize = 5_000_000;
