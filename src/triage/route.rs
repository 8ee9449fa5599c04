//! Which type is a mail addressed to? Its addresses in the order of To, Cc, Bcc and the envelope headers (B3).
//!
//! The first match decides, if any match is a type of the mailbox it was read from. Mail that matches types of other
//! mailboxes only was delivered here if the envelope says so; else somebody has dragged it over.

use std::collections::HashSet;

use super::case::Case;
use super::trace::Trace;
use super::{Flow, Rules, TypeRule};
use crate::mail::{Address, Message};

pub enum Route<'a> {
    To(&'a TypeRule),
    /// Addressed to a type of another mailbox only.
    Foreign(&'a TypeRule),
    /// Why, in words.
    Nowhere(String),
}

/// A mail to thousands need not have them all in its trace.
const MATCHES_LIMIT: usize = 50;

#[derive(Clone, Copy)]
struct Match<'a> {
    field: &'static str,
    address: &'a Address,
    rule: &'a TypeRule,
}

pub fn route<'a>(case: &Case<'a>, trace: &mut Trace) -> Route<'a> {
    let (of_bounces, matches): (Vec<Match>, Vec<Match>) =
        matches(case).into_iter().partition(|m| m.rule.flow == Flow::Bounce);
    let is_here =
        |m: &&Match| case.clues.mailbox.is_none_or(|here| m.rule.mailbox.is_none_or(|of| of == here));
    let first = matches.first().copied();
    let chosen = if matches.iter().any(|m| is_here(&m)) {
        first
    } else {
        matches.iter().find(|m| is_in_envelope(case.message, m.address)).copied()
    };
    note_matches(&matches, chosen, trace);
    for m in &of_bounces {
        trace.note("address", m.evidence(), format_args!("{}: takes reports only", m.rule.name));
    }
    if let Some(chosen) = chosen {
        return Route::To(chosen.rule);
    }
    if let Some(rule) = catch_all(case) {
        trace.note("catch_all", format_args!("{} takes what its mailbox gets", rule.name), "chosen");
        return Route::To(rule);
    }
    match first {
        Some(m) => Route::Foreign(m.rule),
        None => nowhere(case, &of_bounces, trace),
    }
}

fn note_matches(matches: &[Match], chosen: Option<Match>, trace: &mut Trace) {
    for m in matches {
        let verdict = match chosen {
            Some(c) if std::ptr::eq(c.address, m.address) && c.field == m.field => "chosen",
            Some(_) => "matches too, not chosen",
            None => "of another mailbox, and the envelope does not name it",
        };
        trace.note("address", m.evidence(), format_args!("{}: {verdict}", m.rule.name));
    }
}

fn nowhere<'a>(case: &Case, of_bounces: &[Match], trace: &mut Trace) -> Route<'a> {
    if let Some(m) = of_bounces.first() {
        return Route::Nowhere(format!("{} takes delivery reports only, and this is none", m.rule.name));
    }
    let seen: Vec<&str> = recipients(case.message).map(|(_, address)| address.as_str()).take(10).collect();
    let seen = if seen.is_empty() { "no recipient at all".to_owned() } else { seen.join(", ") };
    trace.note("address", &seen, "no address of an active type");
    Route::Nowhere(seen)
}

fn matches<'a>(case: &Case<'a>) -> Vec<Match<'a>> {
    let mut seen = HashSet::new();
    recipients(case.message)
        .filter(|(_, address)| seen.insert(*address))
        .filter_map(|(field, address)| {
            Some(Match { field, address, rule: type_of(&case.rules.types, address)? })
        })
        .take(MATCHES_LIMIT)
        .collect()
}

fn recipients(message: &Message) -> impl Iterator<Item = (&'static str, &Address)> {
    let named = [("To", &message.to), ("Cc", &message.cc), ("Bcc", &message.bcc)];
    let named = named.into_iter().flat_map(|(field, list)| list.iter().map(move |n| (field, &n.address)));
    named.chain(message.envelope_to.iter().map(|address| ("envelope", address)))
}

impl Rules {
    /// The active type that answers to an address.
    pub fn type_of(&self, address: &Address) -> Option<&TypeRule> {
        type_of(&self.types, address)
    }
}

/// The type that answers to an address: the most precise pattern of all, among equals the first type. The address that
/// a type writes from is its own too, where nobody has claimed it by a pattern.
fn type_of<'a>(types: &'a [TypeRule], address: &Address) -> Option<&'a TypeRule> {
    let precision = |rule: &TypeRule| -> Option<usize> {
        rule.patterns.iter().filter(|pattern| address.matches(pattern)).map(|p| precision_of(p)).max()
    };
    let mut best: Option<(usize, &TypeRule)> = None;
    for rule in types {
        if let Some(precision) = precision(rule)
            && best.is_none_or(|(found, _)| precision > found)
        {
            best = Some((precision, rule));
        }
    }
    best.map(|(_, rule)| rule).or_else(|| types.iter().find(|rule| address.matches(rule.address.as_str())))
}

/// Without `*` a pattern names one address; else the more it spells out, the more precise it is.
fn precision_of(pattern: &str) -> usize {
    if pattern.contains('*') { pattern.len() } else { usize::MAX }
}

fn is_in_envelope(message: &Message, address: &Address) -> bool {
    let bare = address.without_detail();
    message.envelope_to.iter().any(|e| e == address || e.without_detail() == bare)
}

fn catch_all<'a>(case: &Case<'a>) -> Option<&'a TypeRule> {
    let here = case.clues.mailbox?;
    let takes_all = |rule: &&TypeRule| rule.is_catch_all && rule.flow != Flow::Bounce;
    case.rules.types.iter().filter(takes_all).find(|rule| rule.mailbox == Some(here))
}

impl Match<'_> {
    fn evidence(&self) -> String {
        format!("{}: {}", self.field, self.address)
    }
}
