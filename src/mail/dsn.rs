//! Delivery reports (RFC 3464 in the container of RFC 6522) as data.

use super::{Address, MessageId};

/// What a multipart/report says. `kind` is its report-type: delivery-status, disposition-notification, feedback-report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub kind: String,
    pub recipients: Vec<Recipient>,
    /// Of the returned message or headers: its Message-ID and decoded subject.
    pub original_message_id: Option<MessageId>,
    pub original_subject: String,
}

/// One per-recipient block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipient {
    /// Final-Recipient, or where it has none that parses, Original-Recipient.
    pub address: Option<Address>,
    /// Original-Recipient, where it differs: the address that we sent to.
    pub original_address: Option<Address>,
    /// Lower case: failed, delayed, delivered, relayed, expanded.
    pub action: String,
    /// RFC 3463, `5.1.1`; empty where none is stated.
    pub status: String,
    /// Without its type: `550 5.1.1 user unknown`.
    pub diagnostic: String,
}
