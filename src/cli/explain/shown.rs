//! An explanation for people: what it is, what becomes of it, and the way there, a line a rule.

use super::super::table::clean;
use crate::triage::explain::BouncePart;
use crate::triage::trust::Grade;
use crate::triage::{Act, Code, Explanation, Kind, Trust};

/// Lines of the new words that are shown.
const WORDS: usize = 6;

pub fn text(title: &str, e: &Explanation) -> String {
    let mut lines = Lines(format!("{}\n", clean(title)));
    if let Some(from) = &e.from {
        lines.line("from", &format!("{} <{}>", from.name, from.address));
    }
    lines.line("to", &e.to.join(", "));
    lines.line("cc", &e.cc.join(", "));
    lines.line("subject", e.subject_read.as_ref().unwrap_or(&e.subject));
    lines.line("date", e.date.as_deref().unwrap_or_default());
    lines.line("message id", e.message_id.as_deref().unwrap_or_default());
    lines.line("it is", kind(e.kind));
    lines.line("becomes", &fate(e));
    lines.line("because", &e.reason);
    lines.line("act, code", &format!("{}, {}", e.act.as_str(), e.code.as_str()));
    if e.trust != Trust::unasked() {
        lines.line("sender", &sender(&e.trust));
    }
    for bounce in &e.bounces {
        lines.line("report", &report(bounce));
    }
    for file in &e.attachments {
        let name = if file.name.is_empty() { "(no name)" } else { &file.name };
        lines.line("attached", &format!("{name}, {}, {} bytes", file.content_type, file.size));
    }
    for (at, said) in e.visible_text.lines().filter(|line| !line.trim().is_empty()).take(WORDS).enumerate() {
        lines.line(if at == 0 { "words" } else { "" }, said);
    }
    for (at, step) in e.trace.iter().enumerate() {
        let head = if at == 0 { "trace" } else { "" };
        lines.line(head, &format!("{}: {} -> {}", step.rule, step.evidence, step.verdict));
    }
    lines.0
}

struct Lines(String);

impl Lines {
    fn line(&mut self, head: &str, words: &str) {
        let words = clean(words);
        if !words.trim().is_empty() {
            self.0.push_str(format!("  {head:11}{}", words.trim()).trim_end());
            self.0.push('\n');
        }
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Person => "a person's mail",
        Kind::AutoReply => "an automatic answer",
        Kind::Bounce => "a delivery report",
        Kind::Complaint => "a complaint about mail",
        Kind::List => "mailing-list or bulk mail",
        Kind::OwnEcho => "our own mail, come back",
        Kind::Unreadable => "nothing that can be read",
    }
}

fn sender(trust: &Trust) -> String {
    let words = [("spf", &trust.spf), ("dkim", &trust.dkim), ("dmarc", &trust.dmarc)];
    let said = words.iter().filter_map(|(name, word)| Some(format!("; {name}={}", word.as_ref()?)));
    let grade = match trust.grade {
        Grade::Pass => "proven",
        Grade::Neutral => "not proven",
        Grade::Fail => "not who the mail says",
    };
    format!("{grade}{}", said.collect::<String>())
}

fn fate(e: &Explanation) -> String {
    let ticket = e.ticket.map(|id| format!(" #{id}")).unwrap_or_default();
    let of_type = e.r#type.as_ref().map(|name| format!(" of type {name}")).unwrap_or_default();
    let entry = e.log_entry.map(|id| format!(", entry {id}")).unwrap_or_default();
    match e.act {
        Act::Open => format!("a new ticket{ticket}{of_type}{entry}"),
        Act::Append => format!("an entry on ticket{ticket}{of_type}{entry}"),
        Act::Bounce if e.ticket.is_some() => format!("a bounce, shown on ticket{ticket}{entry}"),
        Act::Bounce => "a bounce in the review list".into(),
        Act::Invalid => "kept in the invalid queue, for an admin to look at".into(),
        Act::Error if e.code == Code::TooBig => "an error ticket; nobody has looked into it".into(),
        Act::Error => "an error ticket, with its bytes".into(),
        Act::Discard if e.ticket.is_some() => format!("discarded; it stands on ticket{ticket} already"),
        Act::Discard => "discarded, and journalled".into(),
    }
}

fn report(bounce: &BouncePart) -> String {
    let recipient = bounce.recipient.as_deref().unwrap_or("(no recipient)");
    let hard = if bounce.hard { "hard" } else { "soft" };
    let BouncePart { action, status, class, diagnostic, .. } = bounce;
    format!("{recipient}: {action} {status}, {class}, {hard}; {diagnostic}")
}
