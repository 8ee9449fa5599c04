//! The decision: a list of rules in order, of which the first with an answer decides. Reading triage starts here.

use super::case::{Case, Outcome};
use super::classify::classify;
use super::trace::Trace;
use super::{Act, Clues, Code, Decision, Kind, Rules};
use super::{copies, loops, open, reply, report, scan, trust, verdict};
use crate::mail::Message;

type Rule = fn(&Case, &mut Trace) -> Option<Outcome>;

/// In this order. What comes earlier needs less trust: a report may have no sender, and a block list shall not hide it.
/// A virus comes before all: not even a copy of mail that is known may bring one onto a ticket.
const RULES: &[Rule] = &[
    scan::virus,
    copies::same_mail_again,
    unreadable,
    own_echo,
    report::report,
    blocked_sender,
    no_sender,
    verdict::marked_as_spam,
    loops::flood,
    reply::on_its_ticket,
    unplaced_machine_mail,
];

/// Pure: the same message, rules and clues give the same decision.
pub fn decide(message: &Message, rules: &Rules, clues: &Clues) -> Decision {
    let mut trace = Trace::default();
    let class = classify(message, rules, clues);
    trace.note("kind", &class.evidence, class.kind.as_str());
    let trust = trust::verdict(message, rules, clues, &mut trace);
    let case = Case { message, rules, clues, kind: class.kind, trust };
    let outcome = RULES
        .iter()
        .find_map(|rule| rule(&case, &mut trace))
        .unwrap_or_else(|| open::by_address(&case, &mut trace));
    let outcome = trust::limit(&case, outcome, &mut trace);
    let (outcome, supersedes) = copies::settle(&case, outcome, &mut trace);
    let outcome = loops::hold(&case, outcome, &mut trace);
    trace.note("decision", outcome.reason(), outcome.code.as_str());
    Decision {
        kind: case.kind,
        act: outcome.act,
        code: outcome.code,
        reason: outcome.reason(),
        type_id: outcome.type_id,
        ticket: outcome.ticket,
        follows: outcome.follows,
        original: outcome.original,
        supersedes,
        effects: outcome.effects,
        bounces: outcome.bounces,
        trust: case.trust.map(|verdict| verdict.trust),
        trace: trace.into_steps(),
    }
}

fn unreadable(case: &Case, _trace: &mut Trace) -> Option<Outcome> {
    let defects = || case.message.defects.iter().map(|d| format!("{d:?}")).collect::<Vec<_>>().join(", ");
    (case.kind == Kind::Unreadable).then(|| Outcome::new(Act::Error, Code::Unreadable, defects()))
}

fn own_echo(case: &Case, _trace: &mut Trace) -> Option<Outcome> {
    let mail = || case.clues.echo.map(|outbox| format!("our mail {outbox}")).unwrap_or_default();
    (case.kind == Kind::OwnEcho).then(|| Outcome::new(Act::Discard, Code::OwnEcho, mail()))
}

fn blocked_sender(case: &Case, trace: &mut Trace) -> Option<Outcome> {
    let from = case.from()?;
    let by_clue = case.clues.sender.blocked_by.as_deref();
    let entry = case.rules.blocked_by(from).or(by_clue)?;
    if case.is_from_team() {
        trace.note("block_list", entry, format_args!("{from} speaks for the team: not blocked"));
        return None;
    }
    trace.note("block_list", entry, format_args!("{from} is blocked"));
    Some(Outcome::new(Act::Invalid, Code::BlockedSender, format!("{from}, by {entry}")))
}

fn no_sender(case: &Case, trace: &mut Trace) -> Option<Outcome> {
    if case.from().is_some() {
        return None;
    }
    trace.note("sender", "no From address that can be read", Code::NoSender.as_str());
    Some(Outcome::new(Act::Invalid, Code::NoSender, ""))
}

/// An automatic answer that no clue has put on a ticket opens none (B8).
fn unplaced_machine_mail(case: &Case, trace: &mut Trace) -> Option<Outcome> {
    if case.kind != Kind::AutoReply {
        return None;
    }
    trace.note("machine_mail", case.sender(), "answers no ticket, opens none");
    Some(Outcome::new(Act::Invalid, Code::AutoReplyUnplaced, format!("from {}", case.sender())))
}
