//! Whom a report is about: one finding for each recipient it names, tied to those our mail was sent to (D1, D3).

use super::bounce_class::{Class, Said, Status, class_of};
use super::clues::OurMail;
use super::{Finding, Kind};
use crate::mail::Address;
use crate::mail::dsn::{Recipient, Report};

/// What a report says of each recipient, and whether it names any to whom `mail` was sent.
pub struct Findings {
    pub all: Vec<Finding>,
    /// Of each in `all`: which row of the table gave its class.
    pub grounds: Vec<String>,
    pub is_attributed: bool,
}

pub fn findings(report: &Report, kind: Kind, mail: Option<&OurMail>) -> Findings {
    let sent_to = mail.map_or(&[][..], |m| &m.recipients);
    let found = report.recipients.iter().map(|block| finding(block, kind, sent_to));
    let (mut all, mut grounds): (Vec<Finding>, Vec<String>) = found.unzip();
    if all.is_empty() && sent_to.len() == 1 {
        let (finding, row) = of_no_block(kind);
        all.push(finding);
        grounds.push(row);
    }
    // A mail with one recipient can be about nobody else, whatever address a forwarding host reports.
    if let ([only], false) = (sent_to, all.iter().any(|f| f.is_attributed)) {
        for finding in &mut all {
            finding.recipient = Some(only.clone());
            finding.is_attributed = true;
        }
    }
    for finding in &mut all {
        finding.original_message_id = original_id(report, mail);
    }
    let is_attributed = all.iter().any(|f| f.is_attributed);
    Findings { all, grounds, is_attributed }
}

fn finding(block: &Recipient, kind: Kind, sent_to: &[Address]) -> (Finding, String) {
    // RFC 3464 §2.3.1: the original recipient is the address as we gave it; the final one may be where it was sent on to.
    let named = [&block.original_address, &block.address].into_iter().flatten();
    let ours = named.clone().find(|address| sent_to.contains(address));
    let recipient = ours.or(block.address.as_ref()).or(block.original_address.as_ref());
    let action = match block.action.as_str() {
        "" if kind == Kind::Bounce => "failed",
        action => action,
    };
    let stated = Status::parse(&block.status);
    let assumed = Status::general(assumed_class(action));
    let class = class(kind, stated.unwrap_or(assumed), block);
    let status = stated.unwrap_or(if is_passing(class.name) { Status::general(4) } else { assumed });
    let finding = Finding {
        recipient: recipient.cloned(),
        status: status.to_string(),
        status_stated: stated.is_some(),
        class: class.name.to_owned(),
        hard: kind == Kind::Bounce && status.class == 5 && action == "failed",
        action: action.to_owned(),
        diagnostic: block.diagnostic.clone(),
        reply_code: block.reply_code,
        original_message_id: String::new(),
        is_attributed: ours.is_some(),
    };
    (finding, class.evidence)
}

/// What passes by itself, where no code says that it does not.
fn is_passing(class: &str) -> bool {
    matches!(class, "mailbox_full" | "rate_limited")
}

fn of_no_block(kind: Kind) -> (Finding, String) {
    match kind {
        Kind::Complaint => finding(&Recipient::default(), kind, &[]),
        _ => (Finding::unattributed(), "it names no recipient".into()),
    }
}

/// The class of a status where the report states none.
fn assumed_class(action: &str) -> u8 {
    match action {
        "failed" => 5,
        "delivered" | "relayed" | "expanded" => 2,
        _ => 4,
    }
}

fn class(kind: Kind, status: Status, block: &Recipient) -> Class {
    let said =
        Said { status, reply_code: block.reply_code, diagnostic: &block.diagnostic, words: &block.words };
    match kind {
        Kind::Complaint => Class { name: "complaint", evidence: "it is a complaint".into() },
        _ if assumed_class(&block.action) == 2 => {
            Class { name: "undefined", evidence: "it has arrived".into() }
        }
        _ => class_of(said),
    }
}

fn original_id(report: &Report, mail: Option<&OurMail>) -> String {
    let id = report.original_message_id.as_ref().or(mail.map(|m| &m.message_id));
    id.map(|id| id.as_str().to_owned()).unwrap_or_default()
}
