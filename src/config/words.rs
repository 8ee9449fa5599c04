//! The closed lists of words that sections use.

use serde::{Deserialize, Serialize};

use crate::triage::rules::words;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// From the first byte.
    Tls,
    Starttls,
    /// In the clear, only when asked for.
    Plain,
}

/// With what an account signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    Password,
    /// With the access tokens of a grant.
    Oauth2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    Imap,
    Pop3,
    Maildir,
    Pipe,
}

/// What becomes of mail that is safely taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handled {
    Delete,
    Move,
    Seen,
}

/// From when on a mailbox is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// All that lies there is taken in.
    All,
    /// What lies there at the first round stays there, untouched.
    Now,
}

/// Whether anything comes of what is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    Live,
    /// Read and decided; nothing is touched at the source and nothing is sent.
    Shadow,
}

/// What becomes of mail that the virus scanner cannot be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unscanned {
    Wait,
    Take,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelayKind {
    Smtp,
    Folder,
}

/// Whose rules an identity provider follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    Microsoft,
    Google,
    Other,
}

/// What a person who signs in may do (G2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Admin,
    Agent,
    ReadOnly,
}

words!(Tls { Tls => "tls", Starttls => "starttls", Plain => "plain" });
words!(Auth { Password => "password", Oauth2 => "oauth2" });
words!(Protocol { Imap => "imap", Pop3 => "pop3", Maildir => "maildir", Pipe => "pipe" });
words!(Handled { Delete => "delete", Move => "move", Seen => "seen" });
words!(Start { All => "all", Now => "now" });
words!(Mode { Live => "live", Shadow => "shadow" });
words!(RelayKind { Smtp => "smtp", Folder => "folder" });
words!(ProviderKind { Microsoft => "microsoft", Google => "google", Other => "other" });
words!(Role { Admin => "admin", Agent => "agent", ReadOnly => "read_only" });
