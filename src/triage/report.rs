//! A delivery report or a complaint: about which mail of ours, and what follows from it (D1, D3, C7).
//!
//! Strongest first: the return path it was sent to (VERP), our Message-ID in what it returns, a tag line there.
//! The first two bear our MAC; a tag line anybody can write, so it shows the report on the ticket and does nothing else.

use super::case::{Case, Outcome};
use super::clues::{OurMail, TagClue, TagVerdict};
use super::findings::{Findings, findings};
use super::trace::Trace;
use super::{Act, Code, Effects, Kind};
use crate::mail::dsn::Report;
use crate::ticket::TicketId;

pub fn report(case: &Case, trace: &mut Trace) -> Option<Outcome> {
    let report = case.message.report.as_ref()?;
    if !matches!(case.kind, Kind::Bounce | Kind::Complaint) {
        return None;
    }
    let outcome = match (&case.clues.reported, held_tag(case, trace)) {
        (Some(mail), _) => about_mail(case, report, mail, trace),
        (None, Some(tag)) => about_tag(case, report, tag, trace),
        (None, None) => about_nothing(case, report, trace),
    };
    Some(match case.kind {
        Kind::Complaint => as_complaint(outcome),
        _ => outcome,
    })
}

/// A report may name a thousand recipients; the trace tells of so many.
const NOTED: usize = 20;

fn noted(found: Findings, trace: &mut Trace) -> Findings {
    for (finding, row) in found.all.iter().zip(&found.grounds).take(NOTED) {
        let who = finding.recipient.as_ref().map_or("nobody named", |address| address.as_str());
        trace.note("bounce_class", format_args!("{who}: {row}"), &finding.class);
    }
    found
}

fn about_mail(case: &Case, report: &Report, mail: &OurMail, trace: &mut Trace) -> Outcome {
    let (rule, code) = match case.clues.reported_by_verp {
        true => ("report_by_verp", Code::BounceByVerp),
        false => ("report_by_our_id", Code::BounceByOurId),
    };
    let found = noted(findings(report, case.kind, Some(mail)), trace);
    // Unknown recipients are as good as several: nobody is marked on a guess.
    let code = if found.is_attributed { code } else { Code::BounceUnattributed };
    trace.note(rule, format_args!("our mail {} ({})", mail.outbox, mail.message_id), code.as_str());
    let ticket = mail.ticket.and_then(|id| live_ticket(case, id, trace));
    Outcome {
        type_id: ticket.and_then(|id| type_of(case, id)),
        ticket,
        effects: Effects {
            is_automatic: true,
            notifies: ticket.is_some() && !mail.is_to_team && has_failed(&found),
            marks_address: !mail.is_to_team && found.all.iter().any(|f| f.hard && f.is_attributed),
            ..Effects::default()
        },
        ..Outcome::new(Act::Bounce, code, specifics(&found, &format!("our mail {}", mail.outbox)))
    }
    .with(found)
}

fn about_tag(case: &Case, report: &Report, tag: &TagClue, trace: &mut Trace) -> Outcome {
    let found = noted(findings(report, case.kind, None), trace);
    let line = tag.line();
    trace.note("report_by_tag", &line, Code::BounceByTag.as_str());
    let ticket = live_ticket(case, tag.ticket, trace);
    Outcome {
        type_id: ticket.and_then(|id| type_of(case, id)),
        ticket,
        effects: Effects { is_automatic: true, ..Effects::default() },
        ..Outcome::new(Act::Bounce, Code::BounceByTag, specifics(&found, &line))
    }
    .with(found)
}

/// Backscatter, or about mail that went out before maildesk came.
fn about_nothing(case: &Case, report: &Report, trace: &mut Trace) -> Outcome {
    let found = noted(findings(report, case.kind, None), trace);
    let id = match &report.original_message_id {
        Some(id) => format!("it returns the Message-ID {id}"),
        None => "it returns no Message-ID".to_owned(),
    };
    trace.note("report_unmatched", &id, "no mail of ours, and no return path or tag of ours stands in it");
    Outcome::new(Act::Bounce, Code::BounceUnmatched, specifics(&found, &id)).with(found)
}

/// A complaint is shown where a bounce would be; it says nothing about whether the address works.
fn as_complaint(outcome: Outcome) -> Outcome {
    let effects = Effects { notifies: false, marks_address: false, ..outcome.effects };
    Outcome { code: Code::Complaint, effects, ..outcome }
}

fn held_tag<'a>(case: &Case<'a>, trace: &mut Trace) -> Option<&'a TagClue> {
    let tag = case.clues.tag.as_ref()?;
    if tag.verdict != TagVerdict::Holds {
        trace.note("report_by_tag", tag.line(), tag.verdict.words());
        return None;
    }
    Some(tag)
}

/// The ticket that a report is shown on, merged ones followed; none where it was deleted.
fn live_ticket(case: &Case, id: TicketId, trace: &mut Trace) -> Option<TicketId> {
    let Some(ticket) = case.clues.ticket(id) else { return Some(id) };
    if ticket.is_deleted {
        trace.note(
            "report_ticket",
            format_args!("ticket {}", ticket.resolved),
            "deleted: shown on no ticket",
        );
        return None;
    }
    Some(ticket.resolved)
}

fn type_of(case: &Case, ticket: TicketId) -> Option<crate::ticket::TypeId> {
    case.clues.tickets.iter().find(|t| t.resolved == ticket).map(|t| t.type_id)
}

fn has_failed(found: &Findings) -> bool {
    found.all.is_empty() || found.all.iter().any(|f| f.action == "failed")
}

fn specifics(found: &Findings, about: &str) -> String {
    let Some(first) = found.all.first() else { return format!("{about}; it names no recipient") };
    let recipient = first.recipient.as_ref().map_or("a recipient without address", |r| r.as_str());
    let others = match found.all.len() {
        1 => String::new(),
        n => format!(" and {} more", n - 1),
    };
    format!("{about}; {recipient}: {} {} ({}){others}", first.action, first.status, first.class)
}

impl Outcome {
    fn with(self, found: Findings) -> Outcome {
        Outcome { bounces: found.all, ..self }
    }
}
