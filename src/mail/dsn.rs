//! Reports about mail as data: delivery reports (RFC 3464 in the container of RFC 6522, and the home-made ones of many
//! servers), complaints (RFC 5965), and read receipts (RFC 8098) as far as they name the mail they are about.
//!
//! First the machine-readable part, wherever it stands and whatever it is called; else the words, by the table of
//! readers; else by what all reports have in common. Whoever writes like a person is never taken for a mail system.

mod code;
mod complaint;
mod fate;
mod layout;
mod machine;
mod notice;
mod page;
pub mod readers;
mod signs;

use super::decode::decode_span;
use super::scan::Part;
use super::{Address, Message, MessageId, Skeleton, field, parse, scan};
use fate::fate;
use layout::{Desk, Named, Reading};
use page::Page;

/// A report inside a report is looked into this deep.
const MAX_DEPTH: usize = 2;
/// RFC 2046 §5.1.1: the length of a boundary.
const MAX_BOUNDARY: usize = 70;
/// A machine part of another type is no larger.
const MAX_MISLABELLED: usize = 64 << 10;
/// Kept of the words that are said of a recipient beside his diagnostic.
const WORDS_LIMIT: usize = 1500;

/// What a report says. `kind` is its report-type: delivery-status, disposition-notification, feedback-report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub kind: String,
    /// Which reader understood it, and by what.
    pub reader: String,
    pub evidence: String,
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
    /// RFC 5321 §4.2: the answer of the server that refused, as far as one is told.
    pub reply_code: Option<u16>,
    /// Without its type: `550 5.1.1 user unknown`.
    pub diagnostic: String,
    /// What else the report says of him, for people: it may tell the cause where the diagnostic does not.
    pub words: String,
}

/// The report that a message holds. None: it holds none. `depth`: of the message inside others.
pub(super) fn read(skeleton: &Skeleton, message: &Message, depth: usize) -> Option<Report> {
    let stated = stated(skeleton);
    if let Some(report) = &stated
        && report.kind != DELIVERY
    {
        return stated;
    }
    if let Some(report) = complaint::read(skeleton, message).or_else(|| notice::read(message)) {
        return Some(report);
    }
    let signs = signs::signs(message);
    match stated {
        // A person's mail that carries a report along: its container says nothing of one.
        Some(_) if !signs.is_machine() && !is_report(&skeleton.parts[0]) && signs::is_reply(message) => None,
        Some(report) => Some(in_full(report, skeleton, message, signs, depth)),
        None if signs.is_machine() => {
            unlabelled(skeleton, message, depth).or_else(|| in_words(skeleton, message, signs, depth))
        }
        None => None,
    }
}

const DELIVERY: &str = "delivery-status";

/// The report of a machine-readable part, or of a container that says it is one.
fn stated(skeleton: &Skeleton) -> Option<Report> {
    let container = skeleton.parts.iter().position(is_report);
    let machine = skeleton.parts.iter().find(|p| kind_of_part(p).is_some());
    let stated = container.and_then(|at| report_type(skeleton, &skeleton.parts[at]));
    let kind = machine.and_then(kind_of_part).map(str::to_owned).or(stated)?;
    let mut report = Report { kind, reader: "RFC 3464".into(), ..Report::default() };
    match machine {
        Some(part) => {
            report.evidence = part.content_type.clone();
            let same = skeleton.parts.iter().filter(|p| kind_of_part(p) == kind_of_part(part));
            for part in same {
                // Without the blank line behind its header the part is all header.
                if part.parent.is_some() {
                    report.read_machine_part(&skeleton.bytes[part.headers.clone()]);
                }
                report.read_machine_part(&content(skeleton, part));
            }
        }
        None => {
            report.evidence = "multipart/report without its part".into();
            let parts = skeleton.parts.iter().filter(|p| p.parent == container && is_plain(p));
            parts.for_each(|part| report.read_machine_part(&content(skeleton, part)));
        }
    }
    report.take_returned(skeleton);
    Some(report)
}

/// A machine-readable part with what the words add to it, and where it names nobody, with those that the words name.
fn in_full(
    mut report: Report,
    skeleton: &Skeleton,
    message: &Message,
    signs: signs::Signs,
    depth: usize,
) -> Report {
    let is_named = report.recipients.iter().any(|r| r.address.is_some());
    let page = Page::read(&message.text);
    if !is_named {
        let known = report.recipients.pop().unwrap_or_default();
        let found = read_words(skeleton, message, &page, signs::Signs { is_marked: true, ..signs }, depth)
            .unwrap_or_default();
        let evidence = format!("{}; {}: {}", report.evidence, found.reader, found.evidence);
        for mut recipient in found.recipients {
            if !known.action.is_empty() {
                recipient.action.clone_from(&known.action);
            }
            if !known.status.is_empty() {
                recipient.status.clone_from(&known.status);
            }
            report.evidence.clone_from(&evidence);
            report.recipients.push(recipient);
        }
        if report.recipients.is_empty() && known != Recipient::default() {
            report.recipients.push(known);
        }
        report.original_message_id = report.original_message_id.take().or(found.original_message_id);
        return report;
    }
    let said = layout::clip(&page.flat, WORDS_LIMIT);
    let is_alone = report.recipients.len() == 1;
    let desk = Desk { message, page: &page, sent_to: vec![] };
    let named = if is_alone { vec![] } else { desk.all_lines() };
    for recipient in &mut report.recipients {
        match named.iter().find(|n| Some(&n.address) == recipient.address.as_ref()) {
            Some(about) => recipient.add_words(&about.words),
            None if is_alone => recipient.add_words(said),
            None => {}
        }
        if recipient.status.is_empty() || recipient.status.ends_with(".0.0") {
            recipient.take_status(code::status_in(&recipient.words));
        }
    }
    report
}

/// A report without a machine-readable part.
fn in_words(skeleton: &Skeleton, message: &Message, signs: signs::Signs, depth: usize) -> Option<Report> {
    let page = Page::read(&message.text);
    let has_code = || code::status_in(&page.flat).is_some() || code::reply_in(&page.flat).is_some();
    // Some providers say in a sentence that somebody's mailbox is full, and state no code.
    let is_of_mailbox = page.flat.contains("mailbox");
    let is_returned = || returned(skeleton).is_some() || !page.returned.is_empty();
    let is_proven = || has_code() || is_returned() || (is_of_mailbox && !signs.is_returnable);
    let is_unlikely = (signs.needs_code() && !has_code() && !is_of_mailbox)
        || (signs.needs_proof() && !is_proven())
        || (signs.needs_mail() && !is_proven() && !signs::is_of_mail(&page.flat));
    if is_unlikely {
        return None;
    }
    read_words(skeleton, message, &page, signs, depth)
}

fn read_words(
    skeleton: &Skeleton,
    message: &Message,
    page: &Page,
    signs: signs::Signs,
    depth: usize,
) -> Option<Report> {
    let returned = match returned(skeleton) {
        Some(part) => content(skeleton, part),
        None => page.returned_block(),
    };
    let mut report = Report { kind: DELIVERY.into(), ..Report::default() };
    report.read_returned(&returned);
    let fields = if machine::is_in_words(message) {
        let text: String = page.lines.iter().map(|line| format!("{}\n", line.text.trim_start())).collect();
        Some((text.into_bytes(), "its fields among the words"))
    } else {
        mislabelled(skeleton).map(|fields| (fields, "its fields in a part of another type"))
    };
    if let Some((fields, evidence)) = fields {
        report.read_machine_part(&fields);
        report.recipients.retain(|r| r.address.is_some());
        if !report.recipients.is_empty() {
            (report.reader, report.evidence) = ("RFC 3464".into(), evidence.into());
            report.recipients.iter_mut().for_each(|r| r.add_words(layout::clip(&page.flat, WORDS_LIMIT)));
            return Some(report);
        }
    }
    let desk = Desk { message, page, sent_to: machine::sent_to(&returned) };
    let holds_message =
        skeleton.parts.iter().any(|p| p.content_type == "message/rfc822" && !p.body.is_empty());
    let reading = desk.by_table(false);
    if reading.is_none()
        && (holds_message || page.returns_report())
        && let Some(nested) = nested(&returned, depth)
    {
        return Some(nested);
    }
    let reading = reading
        .or_else(|| desk.by_general_features(signs, false))
        .or_else(|| desk.by_table(true))
        .or_else(|| desk.by_general_features(signs, true))?;
    report.fill(reading, page, message);
    Some(report)
}

/// A report that has lost the field which says that it has parts: its text begins with a boundary and a part's header.
fn unlabelled(skeleton: &Skeleton, message: &Message, depth: usize) -> Option<Report> {
    let [only] = &skeleton.parts[..] else { return None };
    let header = &skeleton.bytes[only.headers.clone()];
    if depth >= MAX_DEPTH || field::first(header, "content-type").is_some() {
        return None;
    }
    let mut lines = message.text.lines().map(str::trim_end).skip_while(|line| line.is_empty());
    let boundary = lines.next()?.strip_prefix("--").filter(|b| !b.is_empty() && b.len() <= MAX_BOUNDARY)?;
    let is_part = lines.next()?.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("content-"));
    if !is_part || boundary.contains('"') {
        return None;
    }
    let label = format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n");
    let body = &skeleton.bytes[only.body.clone()];
    let whole = [label.as_bytes(), header.trim_ascii_end(), b"\r\n\r\n", body].concat();
    let again = scan(&mut &whole[..]).ok()?;
    parse::at_depth(&again, depth + 1).report
}

/// The report that a report returns: one that went round by another mail system.
fn nested(returned: &[u8], depth: usize) -> Option<Report> {
    if depth >= MAX_DEPTH {
        return None;
    }
    let inner = scan(&mut &returned[..]).ok()?;
    parse::at_depth(&inner, depth + 1).report.filter(|r| r.kind == DELIVERY && !r.recipients.is_empty())
}

impl Report {
    fn take_returned(&mut self, skeleton: &Skeleton) {
        if let Some(part) = returned(skeleton) {
            self.read_returned(&content(skeleton, part));
        }
    }

    fn fill(&mut self, reading: Reading, page: &Page, message: &Message) {
        (self.reader, self.evidence) = (reading.reader.name.into(), reading.evidence.into());
        let fate = fate(&page.flat, &message.subject);
        let is_alone = reading.named.len() == 1;
        for Named { address, words, .. } in reading.named {
            let mut recipient = Recipient {
                address: Some(address.clone()),
                action: fate.into(),
                diagnostic: words,
                ..Recipient::default()
            };
            if code::reply_in(&recipient.diagnostic).is_none()
                && let Some(answer) = page.answer_about(&address, is_alone)
            {
                recipient.diagnostic = answer;
            }
            if is_alone {
                recipient.add_words(layout::clip(&page.flat, WORDS_LIMIT));
                recipient.take_status(code::status_in(&recipient.words));
            }
            self.push(recipient);
        }
    }
}

/// Some systems send their machine part as text, or as a file.
fn is_plain(part: &Part) -> bool {
    matches!(part.content_type.as_str(), "text/plain" | "application/octet-stream")
        && part.body.len() < MAX_MISLABELLED
}

/// The fields of a machine part that is called something else.
fn mislabelled(skeleton: &Skeleton) -> Option<Vec<u8>> {
    let parts = skeleton.parts.iter().filter(|part| part.parent.is_some() && is_plain(part));
    parts.map(|part| content(skeleton, part)).find(|content| machine::is_in(content))
}

fn kind_of_part(part: &Part) -> Option<&'static str> {
    match part.content_type.as_str() {
        "message/delivery-status" | "message/global-delivery-status" => Some(DELIVERY),
        "message/feedback-report" => Some("feedback-report"),
        "message/disposition-notification" | "message/global-disposition-notification" => {
            Some("disposition-notification")
        }
        _ => None,
    }
}

/// The part that holds the returned mail, or its header.
fn returned(skeleton: &Skeleton) -> Option<&Part> {
    let is_returned = |part: &&Part| {
        let kind = part.content_type.as_str();
        matches!(
            kind,
            "message/rfc822"
                | "message/global"
                | "text/rfc822-headers"
                | "message/global-headers"
                | "message/rfc822-headers"
                | "text/rfc822"
        )
    };
    skeleton.parts.iter().filter(is_returned).find(|part| !part.body.is_empty())
}

fn is_report(part: &Part) -> bool {
    part.is_multipart && part.content_type == "multipart/report"
}

fn report_type(skeleton: &Skeleton, part: &Part) -> Option<String> {
    let value = field::first(&skeleton.bytes[part.headers.clone()], "content-type")?;
    let kind = field::parameter(value, "report-type")?;
    Some(String::from_utf8_lossy(&kind).to_ascii_lowercase()).filter(|kind| !kind.is_empty())
}

fn content(skeleton: &Skeleton, part: &Part) -> Vec<u8> {
    decode_span(&skeleton.bytes[part.body.clone()], part.span.encoding)
}

#[cfg(test)]
mod tests;
