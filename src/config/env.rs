//! What the environment says: the only place that reads it.

use std::path::PathBuf;

use crate::seal::Secret;

/// The variables that are read, each with what it is for. Those of sd_notify(3) are read by sd-notify, the others here.
pub const VARIABLES: &[(&str, &str)] = &[
    ("MAILDESK_KEY", "The sealing key as text: 64 hex digits or base64 of 32 bytes."),
    (
        "MAILDESK_LOG",
        "What the log tells, such as debug or info,maildesk::intake=debug; goes before the configuration.",
    ),
    ("CREDENTIALS_DIRECTORY", "Set by systemd: the folder with the credential maildesk.key."),
    (
        "JOURNAL_STREAM",
        "Set by systemd: where standard error is that stream, lines of the log are made for journald.",
    ),
    (
        "NOTIFY_SOCKET, WATCHDOG_USEC",
        "Set by systemd: it is told that the daemon is ready, alive and stopping.",
    ),
];

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
    /// `JOURNAL_STREAM`: device and inode of the stream that journald reads.
    pub journal_stream: Option<String>,
}

impl Env {
    pub fn read() -> Env {
        Env {
            key: said("MAILDESK_KEY").map(Secret::new),
            passphrase: said("MAILDESK_PASSPHRASE").map(Secret::new),
            credentials: said("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            log: said("MAILDESK_LOG"),
            journal_stream: said("JOURNAL_STREAM"),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn said(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
