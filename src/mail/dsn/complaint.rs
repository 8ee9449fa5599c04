//! Complaints (RFC 5965) whose part bears another name, and those of providers that have a form of their own.

use super::super::{Message, Skeleton, field};
use super::{Report, content, machine};

const COMPLAINT: &str = "feedback-report";

pub(super) fn read(skeleton: &Skeleton, message: &Message) -> Option<Report> {
    mislabelled(skeleton).or_else(|| by_field(skeleton, message)).or_else(|| unsubscribing(message))
}

/// Not RFC 5965, but Apple Mail: its button for leaving a list writes from the reader's own address.
fn unsubscribing(message: &Message) -> Option<Report> {
    const WORDS: &str = "sent this email to unsubscribe from the message";
    let is_it = message.subject.eq_ignore_ascii_case("unsubscribe") && message.text.contains(WORDS);
    is_it.then(|| Report {
        kind: COMPLAINT.into(),
        reader: "Apple Mail".into(),
        evidence: WORDS.into(),
        ..Report::default()
    })
}

/// RFC 5965 §3.1: Feedback-Type, Version and User-Agent are always there. Some send them as text.
fn mislabelled(skeleton: &Skeleton) -> Option<Report> {
    let is_candidate =
        |kind: &str| matches!(kind, "text/plain" | "message/rfc822" | "application/octet-stream");
    let candidates =
        skeleton.parts.iter().skip(1).filter(|p| is_candidate(&p.content_type) && p.body.len() < 64 << 10);
    let holds = |bytes: &[u8]| {
        let (block, _) = machine::split_block(bytes);
        field::first(block, "feedback-type").is_some()
            && (field::first(block, "user-agent").is_some() || field::first(block, "version").is_some())
    };
    let found = candidates.map(|part| content(skeleton, part)).find(|bytes| holds(bytes))?;
    let mut report = Report {
        kind: COMPLAINT.into(),
        reader: "RFC 5965".into(),
        evidence: "Feedback-Type in a part of another type".into(),
        ..Report::default()
    };
    report.read_machine_part(&found);
    report.take_returned(skeleton);
    Some(report)
}

/// Not RFC 5965, but Outlook.com: the complaint is the mail itself, with the recipient in a field.
fn by_field(skeleton: &Skeleton, message: &Message) -> Option<Report> {
    const FIELDS: &[&str] = &["X-HmXmrOriginalRecipient", "X-AOL-Complaint", "Feedback-Type"];
    let is_staff = |m: &Message| m.from.as_ref().is_some_and(|f| f.address.as_str() == "staff@hotmail.com");
    let is_said =
        |m: &Message| is_staff(m) && m.subject.to_lowercase().starts_with("complaint about message");
    let field = FIELDS.iter().find(|name| message.has_header(name));
    let evidence = match field {
        Some(name) => format!("{name}: {}", message.header(name).unwrap_or_default()),
        None if is_said(message) => format!("from staff@hotmail.com: {}", message.subject),
        None => return None,
    };
    let mut report = Report {
        kind: COMPLAINT.into(),
        reader: "provider's own form".into(),
        evidence,
        ..Report::default()
    };
    report.take_returned(skeleton);
    let about = field.and_then(|name| message.header(name)).map(super::page::addresses).unwrap_or_default();
    for address in about {
        report.push(super::Recipient { address: Some(address), ..Default::default() });
    }
    Some(report)
}
