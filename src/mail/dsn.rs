//! Delivery reports (RFC 3464 in the container of RFC 6522) as data; complaints (RFC 5965) and read receipts (RFC 8098)
//! as far as they name the mail they are about.

use super::decode::decode_span;
use super::scan::Part;
use super::{Address, MessageId, Skeleton, field, list, words};

/// A report names at most this many recipients; real ones name a few hundred.
const MAX_RECIPIENTS: usize = 1000;

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

/// The report that a message holds. None: it holds none.
pub(super) fn read(skeleton: &Skeleton) -> Option<Report> {
    let container =
        skeleton.parts.iter().position(|p| p.is_multipart && p.content_type == "multipart/report");
    let machine = skeleton.parts.iter().find(|p| kind_of_part(p).is_some());
    let stated = container.and_then(|at| report_type(skeleton, &skeleton.parts[at]));
    let kind = machine.and_then(kind_of_part).map(str::to_owned).or(stated)?;
    let mut report = Report { kind, ..Report::default() };
    match machine {
        Some(part) => report.read_machine_part(&content(skeleton, part)),
        None => {
            // Some systems send their machine part as text/plain.
            let texts =
                skeleton.parts.iter().filter(|p| p.parent == container && p.content_type == "text/plain");
            texts.for_each(|part| report.read_machine_part(&content(skeleton, part)));
        }
    }
    let returned = skeleton.parts.iter().find(|p| is_returned(p) && !p.body.is_empty());
    if let Some(part) = returned {
        report.read_returned(&content(skeleton, part));
    }
    Some(report)
}

fn kind_of_part(part: &Part) -> Option<&'static str> {
    match part.content_type.as_str() {
        "message/delivery-status" | "message/global-delivery-status" => Some("delivery-status"),
        "message/feedback-report" => Some("feedback-report"),
        "message/disposition-notification" | "message/global-disposition-notification" => {
            Some("disposition-notification")
        }
        _ => None,
    }
}

fn is_returned(part: &Part) -> bool {
    matches!(
        part.content_type.as_str(),
        "message/rfc822" | "message/global" | "text/rfc822-headers" | "message/global-headers"
    )
}

fn report_type(skeleton: &Skeleton, part: &Part) -> Option<String> {
    let value = field::first(&skeleton.bytes[part.headers.clone()], "content-type")?;
    let kind = field::parameter(value, "report-type")?;
    Some(String::from_utf8_lossy(&kind).to_ascii_lowercase()).filter(|kind| !kind.is_empty())
}

fn content(skeleton: &Skeleton, part: &Part) -> Vec<u8> {
    decode_span(&skeleton.bytes[part.body.clone()], part.span.encoding)
}

/// A block of fields up to its blank line, and what follows. Blank lines in front do not count.
fn split_block(bytes: &[u8]) -> (&[u8], &[u8]) {
    let bytes = bytes.trim_ascii_start();
    let mut end = 0;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        if line.trim_ascii().is_empty() {
            break;
        }
        end += line.len();
    }
    bytes.split_at(end)
}

impl Report {
    fn read_machine_part(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.trim_ascii().is_empty() && self.recipients.len() < MAX_RECIPIENTS {
            let block;
            (block, rest) = split_block(rest);
            self.read_block(block);
        }
    }

    /// The fields of one block. Some systems leave out the blank line between recipients: a second Final-Recipient
    /// begins a second one.
    fn read_block(&mut self, block: &[u8]) {
        let mut recipient = Recipient::default();
        let mut has_final = false;
        for field in field::fields(block) {
            let value = words::decode(field.value);
            match field.name.to_ascii_lowercase().as_slice() {
                b"final-recipient" => {
                    if std::mem::replace(&mut has_final, true) {
                        self.push(std::mem::take(&mut recipient));
                    }
                    recipient.address = address(&value);
                }
                // RFC 5965 §3.2: the address that a complaint is about.
                b"original-recipient" | b"original-rcpt-to" => recipient.original_address = address(&value),
                b"action" => recipient.action = first_word(&value).to_ascii_lowercase(),
                b"status" => recipient.status = status(&value),
                b"diagnostic-code" => recipient.diagnostic = without_type(&value).to_owned(),
                b"original-message-id" | b"x-original-message-id" => {
                    self.original_message_id = MessageId::all_in(&value).into_iter().next();
                }
                _ => {}
            }
        }
        self.push(recipient);
    }

    fn push(&mut self, mut recipient: Recipient) {
        if recipient.address.is_none() {
            recipient.address = recipient.original_address.clone();
        }
        if recipient.original_address == recipient.address {
            recipient.original_address = None;
        }
        // Without an address it still says that something failed, if it says what.
        let is_empty = recipient.address.is_none() && recipient.action.is_empty();
        if !is_empty && self.recipients.len() < MAX_RECIPIENTS {
            self.recipients.push(recipient);
        }
    }

    fn read_returned(&mut self, bytes: &[u8]) {
        let (block, _) = split_block(bytes);
        let text = |name| field::first(block, name).map(words::decode).unwrap_or_default();
        self.original_subject = text("subject");
        if let Some(id) = MessageId::all_in(&text("message-id")).into_iter().next() {
            self.original_message_id = Some(id);
        }
    }
}

/// RFC 3464 §2.1.2: `type; value`.
fn without_type(value: &str) -> &str {
    match value.split_once(';') {
        Some((kind, rest)) if !kind.trim().contains([' ', '@', ':']) => rest.trim(),
        _ => value.trim(),
    }
}

fn address(value: &str) -> Option<Address> {
    let found = list::addresses(without_type(value).as_bytes());
    found.into_iter().next().map(|a| a.address)
}

fn first_word(value: &str) -> &str {
    value.split([' ', '\t', '(', ';']).next().unwrap_or_default()
}

/// RFC 3463 §2: class, subject and detail; a comment may follow.
fn status(value: &str) -> String {
    let code = first_word(value).trim_end_matches(['.', ',']);
    let mut numbers = code.split('.');
    let is_class = matches!(numbers.next(), Some("2" | "4" | "5"));
    let is_number = |n: &str| (1..=3).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit());
    let is_status = is_class && numbers.clone().count() == 2 && numbers.all(is_number);
    if is_status { code.to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests;
