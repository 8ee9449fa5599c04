//! `maildesk explain`: a message and what became of it, in the words and the order that people and checks rely on (B11).
//!
//! The key order is the contract's; a key that does not apply is null.

use serde::{Deserialize, Serialize};

use super::trace::Trace;
use super::{Act, Code, Decision, Finding, Kind, Step, Trust};
use crate::mail::quoting::Split;
use crate::mail::{Attachment, Message, MessageId, NamedAddress};
use crate::ticket::{LogEntryId, TicketId};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    pub file: Option<String>,
    pub kind: Kind,
    pub act: Act,
    pub code: Code,
    pub reason: String,
    pub r#type: Option<String>,
    pub ticket: Option<TicketId>,
    pub log_entry: Option<LogEntryId>,
    pub from: Option<Sender>,
    pub to: Vec<String>,
    pub cc: Vec<String>,
    /// As far as it is certain: U+FFFD for each byte to which no standard gives a meaning (RFC 6532).
    pub subject: String,
    /// How the desk reads such bytes: its guess.
    pub subject_read: Option<String>,
    pub message_id: Option<String>,
    /// RFC 3339.
    pub date: Option<String>,
    pub text: String,
    pub text_truncated: bool,
    pub visible_text: String,
    pub signature: Option<String>,
    pub attachments: Vec<AttachmentPart>,
    pub bounces: Vec<BouncePart>,
    pub trust: Trust,
    pub trace: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    pub address: String,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentPart {
    pub name: String,
    pub content_type: String,
    pub size: u64,
    pub inline: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BouncePart {
    pub recipient: Option<String>,
    pub status: String,
    pub status_stated: bool,
    pub class: String,
    pub hard: bool,
    pub action: String,
    pub diagnostic: String,
    pub original_message_id: Option<String>,
    pub reply_code: Option<u16>,
}

/// What the decision does not know: where the message lies and where it has come to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    pub file: Option<&'a str>,
    pub type_name: Option<&'a str>,
    /// Of a ticket opened by this message: none before it is applied. Else the decision's ticket stands.
    pub ticket: Option<TicketId>,
    pub log_entry: Option<LogEntryId>,
}

impl Explanation {
    pub fn of(message: &Message, decision: &Decision, place: &Place) -> Explanation {
        let split = message.split();
        let trace = decision.trace.iter().cloned().chain(read(message, &split)).collect();
        Explanation {
            file: place.file.map(str::to_owned),
            kind: decision.kind,
            act: decision.act,
            code: decision.code,
            reason: decision.reason.clone(),
            r#type: place.type_name.map(str::to_owned),
            ticket: place.ticket.or(stands_on(decision)),
            log_entry: place.log_entry,
            from: message.from.as_ref().map(sender),
            to: addresses(&message.to),
            cc: addresses(&message.cc),
            subject: message.subject_as_sent.as_ref().unwrap_or(&message.subject).clone(),
            subject_read: message.subject_as_sent.is_some().then(|| message.subject.clone()),
            message_id: message.message_id.as_ref().map(MessageId::to_string),
            date: message.date.map(|date| date.rfc3339()).filter(|date| !date.is_empty()),
            text: message.text.clone(),
            text_truncated: message.text_truncated,
            visible_text: split.visible,
            signature: Some(split.signature).filter(|s| !s.is_empty()),
            attachments: message.attachments.iter().map(attachment).collect(),
            bounces: decision.bounces.iter().map(bounce).collect(),
            trust: decision.trust.clone().unwrap_or_else(Trust::unasked),
            trace,
        }
    }
}

/// What the reading found, after what was decided: parts of a kind, and what is not the sender's new words.
fn read(message: &Message, split: &Split) -> Vec<Step> {
    let mut trace = Trace::default();
    if let Some(as_sent) = &message.subject_as_sent {
        trace.note("raw_header", format!("subject: {as_sent}"), format!("read as {}", message.subject));
    }
    if !message.content.is_empty() {
        trace.note("content", message.content.join(", "), "named");
    }
    if !split.rules.is_empty() {
        let (shown, all) = (split.visible.len(), message.text.len());
        trace.note(
            "new_words",
            split.rules.join(", "),
            format!("{shown} of {all} bytes of text are shown as new"),
        );
    }
    trace.into_steps()
}

/// An invalid ticket's is the one that it merely named: that stands in reason and trace.
fn stands_on(decision: &Decision) -> Option<TicketId> {
    decision.ticket.filter(|_| decision.act != Act::Invalid)
}

fn sender(from: &NamedAddress) -> Sender {
    Sender { address: from.address.to_string(), name: from.name.clone() }
}

fn addresses(list: &[NamedAddress]) -> Vec<String> {
    list.iter().map(|named| named.address.to_string()).collect()
}

fn attachment(part: &Attachment) -> AttachmentPart {
    AttachmentPart {
        name: part.name.clone(),
        content_type: part.content_type.clone(),
        size: part.size,
        inline: part.is_inline,
    }
}

fn bounce(finding: &Finding) -> BouncePart {
    BouncePart {
        recipient: finding.recipient.as_ref().map(ToString::to_string),
        status: finding.status.clone(),
        status_stated: finding.status_stated,
        class: finding.class.clone(),
        hard: finding.hard,
        action: finding.action.clone(),
        diagnostic: finding.diagnostic.clone(),
        original_message_id: Some(finding.original_message_id.clone()).filter(|id| !id.is_empty()),
        reply_code: finding.reply_code,
    }
}
