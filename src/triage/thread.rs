//! Which ticket does a mail answer? The clues, strongest first: our own Message-ID or return path (both bear our MAC),
//! the tag line where it holds, a foreign Message-ID that is already an entry, a tag of the system before this one. Subject
//! words alone never (B4).

use super::case::Case;
use super::clues::{ForeignEntry, OurMail, PredecessorClue, TagClue, TagVerdict, TicketClue};
use super::trace::Trace;

/// A ticket, and what led there.
pub struct Thread<'a> {
    /// `resolved` is where the mail goes: the ticket named may have been merged.
    pub ticket: &'a TicketClue,
    pub via: Via<'a>,
    /// A tag line that holds, names another ticket, and loses to our Message-ID.
    pub overruled: Option<&'a TagClue>,
}

#[derive(Clone, Copy)]
pub enum Via<'a> {
    OurId(&'a OurMail),
    Tag(&'a TagClue),
    Foreign(&'a ForeignEntry),
    Predecessor(&'a PredecessorClue),
}

impl Via<'_> {
    fn rule(&self) -> &'static str {
        match self {
            Via::OurId(_) => "our_message_id",
            Via::Tag(_) => "tag_line",
            Via::Foreign(_) => "foreign_message_id",
            Via::Predecessor(_) => "predecessor_tag",
        }
    }

    pub fn evidence(&self) -> String {
        match self {
            Via::OurId(mail) => format!("our mail {} ({})", mail.outbox, mail.message_id),
            Via::Tag(tag) => tag.line(),
            Via::Foreign(entry) => format!("entry {} ({})", entry.log_entry, entry.message_id),
            Via::Predecessor(clue) => clue.tag.clone(),
        }
    }
}

/// The ticket that the strongest clue names. What weaker clues say stands in the trace.
pub fn thread<'a>(case: &Case<'a>, trace: &mut Trace) -> Option<Thread<'a>> {
    let candidates = candidates(case, trace);
    let strongest = candidates.first()?;
    let mut thread = Thread { ticket: strongest.0, via: strongest.1, overruled: None };
    trace.note(thread.via.rule(), thread.via.evidence(), named(thread.ticket));
    for (ticket, via) in &candidates[1..] {
        let agrees = ticket.resolved == thread.ticket.resolved;
        let verdict = if agrees { "the same ticket" } else { "loses to the stronger clue" };
        trace.note(via.rule(), via.evidence(), format_args!("{}: {verdict}", named(ticket)));
        if let (Via::OurId(_), Via::Tag(tag), false) = (thread.via, *via, agrees) {
            thread.overruled = Some(tag);
        }
    }
    Some(thread)
}

fn candidates<'a>(case: &Case<'a>, trace: &mut Trace) -> Vec<(&'a TicketClue, Via<'a>)> {
    let clues = case.clues;
    // The return path of a mail of ours: RFC 3834 §4 sends automatic answers there. Of a read receipt: the mail it is about.
    let ours = clues.ours.iter().chain(&clues.reported).filter_map(|m| Some((m.ticket?, Via::OurId(m))));
    let tag = clues.tag.as_ref().filter(|tag| holds(tag, trace)).map(|tag| (tag.ticket, Via::Tag(tag)));
    let foreign = clues.foreign.iter().map(|entry| (entry.ticket, Via::Foreign(entry)));
    let mut found = vec![];
    let predecessor = clues.predecessor.iter().map(|clue| (clue.ticket, Via::Predecessor(clue)));
    for (id, via) in ours.chain(tag).chain(foreign).chain(predecessor) {
        match clues.ticket(id) {
            Some(ticket) => found.push((ticket, via)),
            None => trace.note(via.rule(), via.evidence(), format_args!("ticket {id} is not there any more")),
        }
    }
    found
}

fn holds(tag: &TagClue, trace: &mut Trace) -> bool {
    if tag.verdict != TagVerdict::Holds {
        trace.note("tag_line", tag.line(), format_args!("{}: forged or stale, ignored", tag.verdict.words()));
    }
    tag.verdict == TagVerdict::Holds
}

fn named(ticket: &TicketClue) -> String {
    match ticket.id == ticket.resolved {
        true => format!("ticket {}", ticket.id),
        false => format!("ticket {}, merged into {}", ticket.id, ticket.resolved),
    }
}
