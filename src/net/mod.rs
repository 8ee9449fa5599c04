//! How the house reaches a peer: dial, TLS, a deadline on every wait, and what a mail server is shown at the login.
//!
//! Doors bring their own protocol; what fails here comes back as a `Failure` whose words say what failed and what to do.
//! No connection pool here.

mod blot;
mod dial;
mod http;
mod login;
mod mx;
mod patient;
pub mod sasl;
mod stream;
pub mod tls;

use std::time::Duration;

pub use blot::blot;
pub use dial::dial;
pub use http::{Answer, Http, NoAnswer};
pub use login::{Bearer, Login, Proof, Tokens};
pub use mx::mail_exchangers;
pub use patient::Patient;
pub use stream::Stream;

/// How long a peer may take. A door hands one to each connection; tests hand in shorter ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Name look-up and TCP connect, all addresses together.
    pub dial: Duration,
    /// The TLS handshake.
    pub handshake: Duration,
    /// The longest silence while bytes are due in either direction.
    pub silence: Duration,
    /// One command with all that it answers: ends a peer that drips a byte at a time.
    pub command: Duration,
}

impl Deadlines {
    pub const USUAL: Deadlines = Deadlines {
        dial: Duration::from_secs(20),
        handshake: Duration::from_secs(20),
        // A busy server sorts a large mailbox for half a minute before the first byte.
        silence: Duration::from_secs(60),
        // A batch of 100 MB over a line of 1 Mbit/s.
        command: Duration::from_secs(15 * 60),
    };
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines::USUAL
    }
}
