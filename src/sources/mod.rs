//! The doors where mail comes in: each keeps the promise of `intake::source::Source` towards one kind of mailbox.

pub mod files;
pub mod imap;
pub mod maildir;
mod mbox;
mod spool;
pub mod stdin;

use std::fmt;

/// A password on its way from the settings to the wire: it never shows in Debug, and has no Display.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    pub fn new(password: impl Into<String>) -> Password {
        Password(password.into())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}
