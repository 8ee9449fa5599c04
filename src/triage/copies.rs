//! Was this very mail here before (B10), and does what became of it then hold for this copy too?
//!
//! Only a fate that stands is inherited. Where the first copy waits in a queue or was discarded, this one is decided anew:
//! it may have come by a better way (another mailbox, a type that is active by now).

use super::case::{Case, Outcome};
use super::clues::Copy;
use super::trace::Trace;
use super::{Act, Code};
use crate::ticket::ArrivalId;

/// The first copy stands on a ticket or is a bounce: this one adds nothing.
pub fn same_mail_again(case: &Case, trace: &mut Trace) -> Option<Outcome> {
    let copies = &case.clues.copies;
    for copy in copies.iter().filter(|copy| !stands(copy)) {
        let fate = format!("{}, stands on no ticket: decided anew", copy.act.as_str());
        trace.note("same_mail_again", format_args!("arrival {}", copy.arrival), fate);
    }
    let first = copies.iter().find(|copy| stands(copy))?;
    Some(duplicate_of(first, trace))
}

/// A mail never stands twice in a queue: a copy that would join its first copy there is its duplicate.
/// One that found a place instead takes the place of the first copies, which are returned.
pub fn settle(case: &Case, outcome: Outcome, trace: &mut Trace) -> (Outcome, Vec<ArrivalId>) {
    let copies = &case.clues.copies;
    let fell = |acts: &[Act]| -> Vec<&Copy> {
        copies.iter().filter(|c| !stands(c) && acts.contains(&c.act)).collect()
    };
    match outcome.act {
        Act::Invalid | Act::Error => match fell(&[Act::Invalid, Act::Error]).first() {
            Some(first) => {
                trace.note("same_mail_again", outcome.reason(), "again without a place");
                (duplicate_of(first, trace), vec![])
            }
            None => (outcome, vec![]),
        },
        Act::Open | Act::Append | Act::Bounce => {
            let superseded = fell(&[Act::Invalid, Act::Error, Act::Discard]);
            (outcome, superseded.iter().map(|c| c.arrival).collect())
        }
        Act::Discard => (outcome, vec![]),
    }
}

/// Its fate is inherited: on a ticket by decision, put there by an admin since, or a bounce.
fn stands(copy: &Copy) -> bool {
    match copy.act {
        Act::Open | Act::Append => copy.ticket.is_some(),
        Act::Bounce => true,
        // The ticket alone may be the one it merely named; the entry is there once an admin has accepted it.
        Act::Invalid | Act::Error => copy.ticket.is_some() && copy.log_entry.is_some(),
        Act::Discard => false,
    }
}

fn duplicate_of(first: &Copy, trace: &mut Trace) -> Outcome {
    let (code, body) = match first.is_same_body {
        true => (Code::Duplicate, "the same body"),
        false => (Code::DuplicateDiffers, "another body"),
    };
    trace.note("same_mail_again", format_args!("arrival {}, {body}", first.arrival), code.as_str());
    let on_ticket = first.ticket.filter(|_| stands(first));
    let place = match on_ticket {
        Some(ticket) => format!("on ticket {ticket}"),
        None => format!("act {}", first.act.as_str()),
    };
    Outcome {
        ticket: on_ticket,
        original: Some(first.arrival),
        ..Outcome::new(Act::Discard, code, format!("first seen as arrival {}, {place}", first.arrival))
    }
}
