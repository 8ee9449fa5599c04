//! The loop breaker (B9, M8): how often the keys of a message were met lately, and what follows where a cap is over.
//!
//! Two directions. Of one sender so many messages are taken in; what is beyond is suspended, and far beyond only
//! journalled. And so many messages set off mail of ours by each key (the address answered, its domain, the ticket, the
//! subject without its numbers); what is beyond is taken in like any other, and its mails wait in hold.
//! Who is not who he says (M6) counts for nobody but the machine that has handed his mail over: whom he names is spared.
//! Counted is what came before, by the time of receipt, so that a backlog is no flood. Reports are decided before, and mail
//! with the null return path is never a flood (RFC 5321 §4.5.5).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::case::{Case, Outcome};
use super::trace::Trace;
use super::trust::{Grade, Trust, client};
use super::{Act, Clues, Code, Decision, Effects, Kind, Rules};
use crate::mail::subject::skeleton;
use crate::mail::{Message, ReturnPath};
use crate::ticket::TicketId;

/// What is counted: a value of a message that other messages of the same storm have too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoopKey {
    /// Messages from an address.
    Sender,
    /// Messages of which the trust grade says that their sender is another one, by the machine that handed them over (of
    /// IPv6 its network of 64 bits): the limits of a sender are its own.
    Client(IpAddr),
    /// Automatic answers to an address.
    Address,
    /// Automatic answers to addresses of a domain.
    Domain,
    /// Messages that set off mail, by their subject without its numbers.
    Subject,
    /// Messages that set off mail about a ticket.
    Ticket(TicketId),
}

/// The caps, for one window of time; 0: none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopRule {
    pub window_s: u64,
    pub sender: u64,
    /// Beyond it a sender's messages are journalled only.
    pub sender_journalled: u64,
    pub address: u64,
    pub domain: u64,
    pub subject: u64,
    pub ticket: u64,
}

impl Default for LoopRule {
    fn default() -> LoopRule {
        LoopRule {
            window_s: 3600,
            sender: 2000,
            sender_journalled: 20_000,
            address: 5,
            domain: 5000,
            subject: 5000,
            ticket: 500,
        }
    }
}

impl LoopRule {
    pub fn cap(&self, key: LoopKey) -> u64 {
        match key {
            LoopKey::Sender | LoopKey::Client(_) => self.sender,
            LoopKey::Address => self.address,
            LoopKey::Domain => self.domain,
            LoopKey::Subject => self.subject,
            LoopKey::Ticket(_) => self.ticket,
        }
    }
}

/// How often the keys of a message were met in the window before it, itself not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    pub window_s: u64,
    /// Those met at all.
    pub met: Vec<(LoopKey, u64)>,
    /// An admin has let this message through: it is of no flood.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_let_through: bool,
}

impl Pace {
    fn before(&self, key: LoopKey) -> u64 {
        self.met.iter().find(|(met, _)| *met == key).map_or(0, |(_, count)| *count)
    }
}

impl LoopKey {
    pub const KINDS: [&'static str; 6] = ["sender", "client", "address", "domain", "subject", "ticket"];

    pub fn kind(self) -> &'static str {
        match self {
            LoopKey::Sender => "sender",
            LoopKey::Client(_) => "client",
            LoopKey::Address => "address",
            LoopKey::Domain => "domain",
            LoopKey::Subject => "subject",
            LoopKey::Ticket(_) => "ticket",
        }
    }

    /// What is counted under it, in words.
    pub fn words(self) -> &'static str {
        match self {
            LoopKey::Sender => "messages from one sender",
            LoopKey::Client(_) => "messages from one machine whose senders are not who they say",
            LoopKey::Address => "automatic answers to one address",
            LoopKey::Domain => "automatic answers to one domain",
            LoopKey::Subject => "messages with one subject that set off mail",
            LoopKey::Ticket(_) => "messages on one ticket that set off mail",
        }
    }

    /// The value that a message has under it. A +detail does not change who writes. None: it has none to be counted by.
    pub fn name(self, message: &Message) -> Option<String> {
        let from = || message.from.as_ref().map(|from| from.address.without_detail());
        match self {
            LoopKey::Sender | LoopKey::Address => from().map(|from| from.to_string()),
            LoopKey::Client(address) => Some(address.to_string()),
            LoopKey::Domain => from().map(|from| from.domain().to_owned()),
            LoopKey::Subject => Some(skeleton(&message.subject)).filter(|words| !words.is_empty()),
            LoopKey::Ticket(id) => Some(id.to_string()),
        }
    }
}

/// The keys that a decision about this message may ask for, given its other clues.
pub fn keys_asked(message: &Message, clues: &Clues, rules: &Rules) -> Vec<LoopKey> {
    let mut keys = vec![LoopKey::Sender, LoopKey::Subject];
    if rules.types.iter().any(|rule| rule.answers_automatically) {
        keys.extend([LoopKey::Address, LoopKey::Domain]);
    }
    if rules.trust.is_on() {
        keys.extend(client_key(message, rules));
    }
    keys.extend(clues.tickets.iter().map(|ticket| LoopKey::Ticket(ticket.resolved)));
    keys.retain(|key| key.name(message).is_some());
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The keys under which this decision counts for those to come.
pub fn keys_met(message: &Message, rules: &Rules, clues: &Clues, decision: &Decision) -> Vec<LoopKey> {
    let Some(pace) = &clues.pace else { return vec![] };
    let mut keys = vec![];
    if !pace.is_let_through && is_of_sender(message, decision) {
        keys.extend(key_of_sender(message, rules, decision.trust.as_ref()));
    }
    keys.extend(keys_of_mail(decision.act, decision.kind, decision.effects, decision.ticket));
    keys
}

/// The cap that a decision found met, and what was done: for the record of storms.
pub fn cap_met(message: &Message, rules: &Rules, decision: &Decision) -> Option<LoopKey> {
    match decision.code {
        Code::FloodSender | Code::FloodJournalled => key_of_sender(message, rules, decision.trust.as_ref()),
        _ => decision.effects.holds_mails.or(decision.effects.holds_answer),
    }
}

/// Who a message is counted for. None: its sender is another one, and nobody knows who.
fn key_of_sender(message: &Message, rules: &Rules, trust: Option<&Trust>) -> Option<LoopKey> {
    match trust.map(|trust| trust.grade) {
        Some(Grade::Fail) => client_key(message, rules),
        None | Some(Grade::Neutral | Grade::Pass) => Some(LoopKey::Sender),
    }
}

fn client_key(message: &Message, rules: &Rules) -> Option<LoopKey> {
    let address = client(message, &rules.verdicts)?.to_canonical();
    Some(LoopKey::Client(match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::from((u128::from(address) >> 64 << 64).to_be_bytes()),
    }))
}

/// A report is about a mail of ours, and what comes again, or from ourselves, says nothing about its sender.
fn is_of_sender(message: &Message, decision: &Decision) -> bool {
    let is_report =
        matches!(decision.kind, Kind::Bounce | Kind::Complaint | Kind::OwnEcho | Kind::Unreadable);
    let is_again = matches!(decision.code, Code::Duplicate | Code::DuplicateDiffers);
    !is_report && !is_again && message.return_path != ReturnPath::Null && message.from.is_some()
}

/// The keys of the mails that a decision sets off.
fn keys_of_mail(act: Act, kind: Kind, effects: Effects, ticket: Option<TicketId>) -> Vec<LoopKey> {
    let mut keys = vec![];
    if effects.answers {
        keys.extend([LoopKey::Address, LoopKey::Domain]);
    }
    if effects.answers || effects.notifies || effects.tells_agent {
        // All reports of a mail server have the same subject.
        keys.extend((!matches!(kind, Kind::Bounce | Kind::Complaint)).then_some(LoopKey::Subject));
        let on_one = act != Act::Open;
        keys.extend(ticket.filter(|_| on_one).map(LoopKey::Ticket));
    }
    keys
}

/// A rule: too many messages from this sender are suspended, and far too many journalled only.
pub fn flood(case: &Case, trace: &mut Trace) -> Option<Outcome> {
    let pace = case.clues.pace.as_ref().filter(|pace| !pace.is_let_through)?;
    let from = case.from()?;
    let key = key_of_sender(case.message, case.rules, case.trust.as_ref().map(|verdict| &verdict.trust))?;
    let count = pace.before(key) + 1;
    let caps = &case.rules.loops;
    let is_over = |cap: u64| cap > 0 && count > cap;
    let (act, code, cap) = match () {
        () if is_over(caps.sender_journalled) => {
            (Act::Discard, Code::FloodJournalled, caps.sender_journalled)
        }
        () if is_over(caps.sender) => (Act::Invalid, Code::FloodSender, caps.sender),
        () => return None,
    };
    if case.message.return_path == ReturnPath::Null {
        trace.note("loops", format_args!("{from}: {count}"), "the null return path is no flood");
        return None;
    }
    let name =
        if key == LoopKey::Sender { from.to_string() } else { key.name(case.message).unwrap_or_default() };
    let evidence = evidence(key, &name, pace, cap);
    trace.note("loops", &evidence, code.as_str());
    Some(Outcome::new(act, code, evidence))
}

/// The mails that an outcome sets off wait in hold where a cap on them is met.
pub fn hold(case: &Case, mut outcome: Outcome, trace: &mut Trace) -> Outcome {
    let Some(pace) = &case.clues.pace else { return outcome };
    for key in keys_of_mail(outcome.act, case.kind, outcome.effects, outcome.ticket) {
        let cap = case.rules.loops.cap(key);
        if cap == 0 || pace.before(key) < cap {
            continue;
        }
        let is_about_answer = matches!(key, LoopKey::Address | LoopKey::Domain);
        let name = key.name(case.message).unwrap_or_default();
        let what = if is_about_answer { "the answer waits in hold" } else { "its mails wait in hold" };
        trace.note("loops", evidence(key, &name, pace, cap), what);
        let held = match is_about_answer {
            true => &mut outcome.effects.holds_answer,
            false => &mut outcome.effects.holds_mails,
        };
        held.get_or_insert(key);
    }
    outcome
}

fn evidence(key: LoopKey, name: &str, pace: &Pace, cap: u64) -> String {
    let count = pace.before(key) + 1;
    format!("{} {name}: {count} within {} min, at most {cap}", key.kind(), pace.window_s / 60)
}
