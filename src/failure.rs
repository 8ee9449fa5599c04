//! What a failed step means for the work in hand: try again, or not.
//!
//! Unknown is temporary: the mail is kept and the step is tried again. Beside that each failure has a kind, from a closed
//! list: by it a person is told what to do, and it is known how long to wait.

mod kind;
mod refusal;
mod token;

use std::fmt;
use std::time::Duration;

pub use kind::Kind;
pub use refusal::{Step, meaning, wanted_pause};
pub use token::{TOKEN_PHRASES, TOKEN_STATUSES, token_meaning};

/// A failure that crosses a room's edge, with the words for the operator and its cause.
#[derive(Debug)]
pub struct Failure {
    pub lasting: Lasting,
    pub kind: Kind,
    /// What failed, where, in one line: `mailbox "Support": server closed the connection after LOGIN`.
    pub words: String,
    /// How long the peer wants to be left alone.
    pub retry_after: Option<Duration>,
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// The same step may work later.
    Temporary,
    /// It cannot work before somebody changes something.
    Permanent,
}

impl Failure {
    pub fn temporary(words: impl Into<String>) -> Failure {
        Failure::new(Lasting::Temporary, words.into())
    }

    pub fn permanent(words: impl Into<String>) -> Failure {
        Failure::new(Lasting::Permanent, words.into())
    }

    fn new(lasting: Lasting, words: String) -> Failure {
        Failure { lasting, kind: Kind::Other, words, retry_after: None, source: None }
    }

    pub fn kind(mut self, kind: Kind) -> Failure {
        self.kind = kind;
        self
    }

    /// What a peer has said in refusing a step: gives the failure its kind, and the pause that the peer asks for.
    pub fn said(mut self, step: Step, words: &str) -> Failure {
        self.kind = meaning(step, words);
        self.retry_after = wanted_pause(words);
        self
    }

    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
        self.source = Some(source.into());
        self
    }

    /// Names the thing in hand in front of the words.
    pub fn of(mut self, thing: impl fmt::Display) -> Failure {
        self.words = format!("{thing}: {}", self.words);
        self
    }

    /// How long to wait after this many failures in a row, this one included.
    pub fn pause(&self, failures: u32) -> Duration {
        self.kind.pause(failures, self.retry_after)
    }

    pub fn is_temporary(&self) -> bool {
        self.lasting == Lasting::Temporary
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)?;
        let mut cause = self.source.as_deref().map(|s| s as &dyn std::error::Error);
        while let Some(c) = cause {
            write!(f, ": {c}")?;
            cause = c.source();
        }
        Ok(())
    }
}

// The causes are part of the words, so `source()` stays empty and no caller prints them twice.
impl std::error::Error for Failure {}
