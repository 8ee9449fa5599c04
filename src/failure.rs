//! What a failed step means for the work in hand: try again, or not.
//!
//! Unknown is temporary: the mail is kept and the step is tried again.

use std::fmt;

/// A failure that crosses a room's edge, with the words for the operator and its cause.
#[derive(Debug)]
pub struct Failure {
    pub lasting: Lasting,
    /// What failed, where, in one line: `mailbox "Support": server closed the connection after LOGIN`.
    pub words: String,
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
        Failure { lasting: Lasting::Temporary, words: words.into(), source: None }
    }

    pub fn permanent(words: impl Into<String>) -> Failure {
        Failure { lasting: Lasting::Permanent, words: words.into(), source: None }
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
