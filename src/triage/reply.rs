//! A mail that answers a ticket: who may add to it, and what that sets off (B4, B5, B7, B8, C3).
//!
//! A From is easily forged, so what rests on it alone is shown and told, but neither reopens nor answers (M6). What is
//! proven reopens when the sender is also one we know on the ticket: `trust` says who he is, or he holds our Message-ID.

use super::case::{Case, Outcome};
use super::thread::{Thread, Via, thread};
use super::trace::Trace;
use super::{Act, Code, Effects, Kind, OnClosed, Reach};

pub fn on_its_ticket(case: &Case, trace: &mut Trace) -> Option<Outcome> {
    let thread = thread(case, trace)?;
    if thread.ticket.is_deleted {
        return Some(refused(case, &thread, Code::DeletedTicket));
    }
    let standing = standing(case, &thread);
    trace.note("belongs", case.sender(), standing.as_deref().unwrap_or("a stranger on this ticket"));
    // Whoever holds our Message-ID is let in, though a stranger's words set off less (B5).
    let is_let_in = standing.is_some() || matches!(thread.via, Via::OurId(_));
    match case.kind {
        Kind::AutoReply if is_let_in => Some(noted(case, &thread, Code::AutoReplyNoted)),
        Kind::AutoReply => Some(refused(case, &thread, Code::AutoReplyUnplaced)),
        Kind::List if is_let_in => Some(noted(case, &thread, Code::ListNoted)),
        // List mail of strangers that happens to name a ticket is list mail still: its type decides.
        Kind::List => None,
        _ if is_agents(case, &thread) => Some(note_of_agent(case, &thread)),
        _ if is_let_in => Some(reply(case, &thread, standing.is_some())),
        _ => Some(refused(case, &thread, code_for_stranger(&thread))),
    }
}

/// How the sender belongs to the ticket; none: a stranger.
fn standing(case: &Case, thread: &Thread) -> Option<String> {
    if let Some(how) = &thread.ticket.sender_is {
        return Some(how.clone());
    }
    if case.is_from_team() {
        return Some("team".into());
    }
    match thread.via {
        // What went to the team alone proves no outsider's place.
        Via::OurId(mail) if !mail.is_to_team && case.from().is_some_and(|f| mail.recipients.contains(f)) => {
            Some("recipient of the mail it answers".into())
        }
        _ => None,
    }
}

/// A team member's words are an agent's, not a contact's, unless he is the contact or was written to as one.
fn is_agents(case: &Case, thread: &Thread) -> bool {
    let is_contact = thread.ticket.sender_is.as_deref() == Some("contact");
    let is_written_to_as_contact = match thread.via {
        Via::OurId(mail) if mail.is_to_team => false,
        Via::OurId(mail) => is_contact || case.from().is_some_and(|f| mail.recipients.contains(f)),
        _ => is_contact,
    };
    case.is_from_team() && !is_written_to_as_contact
}

fn reply(case: &Case, thread: &Thread, is_known: bool) -> Outcome {
    let is_proven = is_known && may_reopen(case, thread);
    // A type that is active no longer opens no tickets.
    let on_closed = case.rules.of_type(thread.ticket.type_id).map_or(OnClosed::Reopen, |t| t.on_closed);
    if is_proven && thread.ticket.status.is_ended() && on_closed == OnClosed::FollowUp {
        return super::open::follow_up(case, thread);
    }
    let effects = Effects { notifies: true, reopens: is_proven, ..Effects::default() };
    appended(case, thread, code_of_reply(thread), effects)
}

/// Who he is must be proven: by his domain, or by our Message-ID, which only those have whom we wrote to.
fn may_reopen(case: &Case, thread: &Thread) -> bool {
    match case.reach() {
        Some(Reach::Full) => true,
        Some(Reach::Notify) | None => matches!(thread.via, Via::OurId(_)),
        Some(Reach::Quiet | Reach::Invalid) => false,
    }
}

fn note_of_agent(case: &Case, thread: &Thread) -> Outcome {
    let effects = Effects { is_note: true, tells_agent: true, ..Effects::default() };
    appended(case, thread, Code::AgentReplyNotSent, effects)
}

fn noted(case: &Case, thread: &Thread, code: Code) -> Outcome {
    appended(case, thread, code, Effects { is_automatic: true, ..Effects::default() })
}

fn appended(case: &Case, thread: &Thread, code: Code, effects: Effects) -> Outcome {
    Outcome {
        type_id: Some(thread.ticket.type_id),
        ticket: Some(thread.ticket.resolved),
        effects,
        ..Outcome::new(Act::Append, code, specifics(case, thread))
    }
}

fn refused(case: &Case, thread: &Thread, code: Code) -> Outcome {
    Outcome {
        ticket: Some(thread.ticket.resolved),
        ..Outcome::new(Act::Invalid, code, specifics(case, thread))
    }
}

fn code_of_reply(thread: &Thread) -> Code {
    match (thread.via, thread.overruled) {
        (Via::OurId(_), Some(_)) => Code::ReplyByOurIdNotTag,
        (Via::OurId(_), None) => Code::ReplyByOurId,
        (Via::Tag(_), _) => Code::ReplyByTag,
        (Via::Foreign(_), _) => Code::ReplyByForeignId,
        (Via::Predecessor(_), _) => Code::ReplyByPredecessorTag,
    }
}

fn code_for_stranger(thread: &Thread) -> Code {
    match thread.via {
        Via::Foreign(_) => Code::StrangerOnThread,
        _ => Code::StrangerOnTicket,
    }
}

fn specifics(case: &Case, thread: &Thread) -> String {
    let overruled = thread.overruled.map(|tag| format!(", not {}", tag.line())).unwrap_or_default();
    format!("{} from {}, ticket {}{overruled}", thread.via.evidence(), case.sender(), thread.ticket.resolved)
}
