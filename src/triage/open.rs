//! A mail that answers nothing we know: does it open a ticket, and what does that set off (B3, B8, C2, C6)?

use super::case::{Case, Outcome};
use super::classify::refuses_answer;
use super::route::{Route, route};
use super::thread::Thread;
use super::trace::Trace;
use super::{Act, Code, Effects, Kind, ListMail, Reach, TypeRule};

/// The last rule: it always has an answer.
pub fn by_address(case: &Case, trace: &mut Trace) -> Outcome {
    match route(case, trace) {
        Route::To(rule) => to_type(case, rule, trace),
        Route::Foreign(rule) => Outcome::new(Act::Invalid, Code::ForeignMailbox, rule.name.as_str()),
        Route::Nowhere(why) => Outcome::new(Act::Invalid, Code::NoType, why),
    }
}

/// A trusted reply to an ended ticket whose type wants a new one.
pub fn follow_up(case: &Case, thread: &Thread) -> Outcome {
    let ended = thread.ticket;
    let rule = case.rules.of_type(ended.type_id);
    Outcome {
        type_id: Some(ended.type_id),
        follows: Some(ended.resolved),
        effects: Effects {
            notifies: true,
            answers: rule.is_some_and(|rule| may_be_answered(case, rule)),
            ..Effects::default()
        },
        ..Outcome::new(Act::Open, Code::FollowUp, format!("ticket {} is {}", ended.resolved, ended.status))
    }
}

fn to_type(case: &Case, rule: &TypeRule, trace: &mut Trace) -> Outcome {
    if case.kind == Kind::List && rule.list_mail == ListMail::Invalid {
        trace.note("list_mail", &rule.name, "opens no tickets for lists");
        return Outcome::new(Act::Invalid, Code::ListMail, rule.name.as_str());
    }
    if is_admin_to_himself(case, rule) {
        trace.note("admin_to_himself", case.sender(), "would be told of his own mail");
        return Outcome::new(Act::Discard, Code::AdminToHimself, format!("{}, {}", rule.name, case.sender()));
    }
    let is_from_list = case.kind == Kind::List;
    let code = if is_from_list { Code::ListOpened } else { Code::NewTicket };
    let is_unproven = case.reach().is_some_and(|reach| reach != Reach::Full);
    let answers = !is_from_list && !is_unproven && may_be_answered(case, rule);
    if rule.answers_automatically && is_unproven {
        trace.note("automatic_answer", "the sender is not proven", "not answered");
    }
    if let (true, Some(why)) = (rule.answers_automatically, refuses_answer(case.message, case.rules)) {
        trace.note("automatic_answer", why, "not answered");
    }
    Outcome {
        type_id: Some(rule.id),
        effects: Effects { notifies: true, answers, ..Effects::default() },
        ..Outcome::new(Act::Open, code, rule.name.as_str())
    }
}

fn is_admin_to_himself(case: &Case, rule: &TypeRule) -> bool {
    rule.admin.is_some() && case.from() == rule.admin.as_ref()
}

fn may_be_answered(case: &Case, rule: &TypeRule) -> bool {
    rule.answers_automatically && refuses_answer(case.message, case.rules).is_none()
}
