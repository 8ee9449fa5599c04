//! What the environment says: the only place that reads it.

use std::path::PathBuf;

use crate::seal::Secret;

/// Read once at start.
#[derive(Clone, Debug, Default)]
pub struct Env {
    /// `MAILDESK_KEY`: the sealing key as text.
    pub key: Option<Secret>,
    /// `MAILDESK_PASSPHRASE`: under which the key lies in a backup.
    pub passphrase: Option<Secret>,
    /// `CREDENTIALS_DIRECTORY`: where systemd puts what `LoadCredential=` names.
    pub credentials: Option<PathBuf>,
    /// `MAILDESK_LOG`: levels for the log, such as `debug` or `maildesk::intake=debug,info`.
    pub log: Option<String>,
    /// `RUST_BACKTRACE` and the like stay with the runtime; `NO_COLOR` asks for plain text.
    pub is_plain: bool,
}

impl Env {
    pub fn read() -> Env {
        Env {
            key: said("MAILDESK_KEY").map(Secret::new),
            passphrase: said("MAILDESK_PASSPHRASE").map(Secret::new),
            credentials: said("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            log: said("MAILDESK_LOG"),
            is_plain: said("NO_COLOR").is_some(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn said(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
