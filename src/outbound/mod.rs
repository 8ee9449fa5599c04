//! Sends what the desk owes: reads the outbox under leases, speaks SMTP, records each recipient's fate.
//!
//! `queue` decides what is sent when, `session` and `smtp` speak to a relay, `folder` writes files instead. A mail's final
//! dot is held back until it is on record that it goes out, so that a crash repeats a mail only where nobody can know
//! whether it was taken. This room makes no mail and knows no ticket but by its id.

mod content;
mod folder;
mod queue;
mod record;
mod reply;
pub mod retry;
mod session;
mod smtp;
mod visit;
mod wire;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

pub use queue::{Outbound, RelayFailure, Relays, Report};
pub use session::Session;

use crate::config::{RelayKind, Tls};
use crate::net::Login;
use crate::ticket::RelayId;

/// The relays that are active, with their logins, as they are at this moment.
pub type RelayBook = HashMap<RelayId, RelaySettings>;

/// An SMTP account, or a folder.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    pub id: RelayId,
    pub name: String,
    pub kind: RelayKind,
    /// Of a folder: its path.
    pub host: String,
    pub port: u16,
    pub tls: Tls,
    /// None: it asks for no login.
    pub login: Option<Login>,
    /// A CA beyond the system's.
    pub ca_file: Option<PathBuf>,
}

/// How long a relay may take for each step. RFC 5321 §4.5.3.2 asks for more patience with strangers; a relay of ours
/// that is slower than this is better left and tried again.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Name look-up, connection, TLS handshake: each.
    pub connect: Duration,
    /// Greeting, EHLO, STARTTLS, AUTH, RSET, QUIT. RFC: 5 minutes.
    pub command: Duration,
    /// MAIL, RCPT, DATA: a relay may look up the recipient elsewhere. RFC: 5, 5 and 2 minutes.
    pub envelope: Duration,
    /// A block of up to 256 KiB on its way out. RFC: 3 minutes.
    pub block: Duration,
    /// The reply to the final dot. Who leaves too early sends twice, so this is the RFC's own time.
    pub end: Duration,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines {
            connect: Duration::from_secs(30),
            command: Duration::from_secs(60),
            envelope: Duration::from_secs(120),
            block: Duration::from_secs(120),
            end: Duration::from_secs(600),
        }
    }
}
