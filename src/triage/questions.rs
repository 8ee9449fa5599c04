//! What must be looked up before a message can be decided.

use super::Rules;
use crate::mail::{Address, MailKeys, Message, MessageId, OurToken};

#[derive(Clone, Debug, Default)]
pub struct Questions {
    pub from: Option<Address>,
    /// The message's own Message-ID is a token of ours.
    pub echo: Option<OurToken>,
    /// In-Reply-To, then References from the newest back; verified tokens of ours, no doubles.
    pub ours: Vec<OurToken>,
    /// The rest of In-Reply-To and References, nearest first, no doubles.
    pub foreign: Vec<MessageId>,
    /// Of a report: the token in the return path it was sent to, and that of its original Message-ID.
    pub verp: Option<OurToken>,
    pub original: Option<OurToken>,
    /// The tag line of the subject, of a report of the returned subject: word, ticket, log entry.
    pub tag: Option<crate::mail::subject::TagLine>,
}

/// What the store is to be asked about this message.
pub fn questions(_message: &Message, _rules: &Rules, _keys: &MailKeys) -> Questions {
    Questions::default()
}
