//! Is the sender who the mail says (M6)? From what was found out about him to a grade, and from the grade to how far the
//! mail may reach: data to data. Who finds it out is the verifier, which asks DNS, or a relay of ours, which has written
//! it into the header.
//!
//! A relay's word counts only under the authserv-id that is set, and only where that relay can have written it (RFC 8601
//! §5). The verifier's own look goes first where it knew who connected; without that it could not judge SPF.

mod checks;
mod results;

use serde::{Deserialize, Serialize};

use super::border::{Handover, handover};
use super::case::{Case, Outcome as Decided};
use super::trace::Trace;
use super::{Act, Clues, Code, Effects, Reach, Rules, TrustRule, VerdictRule};
use crate::mail::{Address, Header, Message};

pub use checks::{Checks, Found, Outcome, Policy, Sealed};
pub use results::Results;

/// The authserv-id of relays that write none.
pub const NO_AUTHSERV_ID: &str = "none";
/// The rule's name in the trace.
pub const RULE: &str = "trust";
/// How its evidence begins where it is the word of a relay.
pub const STATED: &str = "stated by our relay";
/// Fields of one message that are read.
const FIELDS: usize = 50;

/// How well the sender is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    Pass,
    /// Unproven: nobody vouches for him, and nobody says that it is not he.
    Neutral,
    /// His domain asks that such mail be rejected or set aside.
    Fail,
}

/// The grade, and the words of each method; null where nobody has looked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    pub grade: Grade,
    pub spf: Option<String>,
    pub dkim: Option<String>,
    pub dmarc: Option<String>,
}

/// What the rules make of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub trust: Trust,
    pub reach: Reach,
    /// Why this grade, in words.
    pub because: String,
}

/// Who handed the message to a relay of ours, for SPF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub client: std::net::IpAddr,
    pub helo: String,
    /// None: the null sender.
    pub sender: Option<Address>,
}

impl Trust {
    /// Where nobody is to look.
    pub fn unasked() -> Trust {
        Trust { grade: Grade::Neutral, spf: None, dkim: None, dmarc: None }
    }
}

impl Grade {
    pub fn as_str(self) -> &'static str {
        match self {
            Grade::Pass => "pass",
            Grade::Neutral => "neutral",
            Grade::Fail => "fail",
        }
    }
}

/// Whether the verifier is to be asked: a relay's word may do.
pub fn wants_verifying(message: &Message, rule: &TrustRule, relays: &VerdictRule) -> bool {
    let has_sender = message.from.is_some();
    rule.verifies
        && has_sender
        && (envelope(message, relays).is_some() || stated(&message.headers, rule, relays).is_none())
}

/// Who connected to our outermost server. None where that is not known.
pub fn client(message: &Message, relays: &VerdictRule) -> Option<std::net::IpAddr> {
    handover(&message.headers, relays)?.client
}

/// Who connected to our outermost server, and for whom. None where that is not known.
pub fn envelope(message: &Message, relays: &VerdictRule) -> Option<Envelope> {
    let Handover { at, client, helo, envelope_from } = handover(&message.headers, relays)?;
    // RFC 5321 §4.4: the server that delivers writes it on top; one further down may be the sender's own.
    let is_return_path = |field: &&Header| field.name.eq_ignore_ascii_case("Return-Path");
    let written = message.headers[..at].iter().find(is_return_path).map(|field| field.value.trim());
    let noted = written.or(Some(envelope_from.as_str()).filter(|noted| !noted.is_empty()))?;
    let sender = match noted {
        "<>" => None,
        noted => Some(Address::parse(noted)?),
    };
    Some(Envelope { client: client?, helo, sender })
}

/// None: nobody is to look.
pub(super) fn verdict(message: &Message, rules: &Rules, clues: &Clues, trace: &mut Trace) -> Option<Verdict> {
    let rule = &rules.trust;
    if !rule.is_on() {
        return None;
    }
    let stated = stated(&message.headers, rule, &rules.verdicts);
    let verified = clues.trust.as_ref().filter(|_| rule.verifies);
    let (source, checks) = match (verified, stated) {
        (Some(verified), None) => ("verified here", verified.clone()),
        (Some(verified), Some(_)) if verified.spf.is_some() => ("verified here", verified.clone()),
        (_, Some(stated)) => (STATED, stated),
        (None, None) if rule.verifies => ("", Checks::gap("nobody asked DNS when it came")),
        (None, None) => ("", Checks::gap("no Authentication-Results of our relay")),
    };
    let (grade, because) = graded(message, &checks, &rule.arc_sealers);
    let reach = match grade {
        Grade::Pass => Reach::Full,
        Grade::Neutral => rule.neutral,
        Grade::Fail => rule.fail,
    };
    let evidence = match source {
        "" => checks.evidence(),
        source => format!("{source}: {}", checks.evidence()),
    };
    trace.note(RULE, evidence, format_args!("{}, {}: {because}", grade.as_str(), reach.words()));
    let word = |found: &Option<Found>| found.as_ref().map(|found| found.result.to_string());
    let trust = Trust {
        grade,
        spf: word(&checks.spf),
        dkim: checks.dkim_word().map(|word| word.to_string()),
        dmarc: word(&checks.dmarc),
    };
    Some(Verdict { trust, reach, because })
}

/// What the relay with our authserv-id has found. None: there is no field that is known to be its.
fn stated(headers: &[Header], rule: &TrustRule, relays: &VerdictRule) -> Option<Checks> {
    if rule.authserv_id.is_empty() {
        return None;
    }
    let border = handover(headers, relays)?.at;
    // A relay that takes the fields of others out may write its own below its Received, as milters do.
    let ours = if relays.strips_verdicts { headers } else { &headers[..border] };
    let fields = ours.iter().filter(|field| field.name.eq_ignore_ascii_case("Authentication-Results"));
    let of_ours = fields
        .take(FIELDS)
        .map(|field| Results::parse(&field.value))
        .filter(|results| results.id.as_deref().unwrap_or(NO_AUTHSERV_ID) == rule.authserv_id);
    of_ours.map(|results| results.checks).reduce(|mut top, lower| {
        top.add(lower);
        top
    })
}

fn graded(message: &Message, checks: &Checks, sealers: &[String]) -> (Grade, String) {
    let Some(from) = message.from.as_ref().map(|from| &from.address) else {
        return (Grade::Neutral, "it names no sender".into());
    };
    if let Some(proof) = checks.proof_of(from) {
        return (Grade::Pass, proof);
    }
    // RFC 8617 §7.2: what an intermediary found counts as far as it is trusted; what stands below a stranger does not.
    let trusted = checks.chain.iter().take_while(|seal| is_sealer(&seal.domain, sealers));
    for seal in trusted {
        if let Some(proof) = seal.checks.proof_of(from) {
            return (Grade::Pass, format!("{proof}, says {}, whose seal holds", seal.domain));
        }
    }
    let dmarc = checks.dmarc_of(from).map(|found| found.result);
    match (dmarc, checks.policy) {
        (Some(Outcome::Fail), Policy::Reject | Policy::Quarantine) => {
            (Grade::Fail, format!("DMARC fails, and {} asks to {}", from.domain(), checks.policy))
        }
        (Some(Outcome::Fail), _) => (Grade::Neutral, "DMARC fails, and its domain asks for nothing".into()),
        (Some(Outcome::TempError), _) => (Grade::Neutral, "DNS gave no answer".into()),
        _ if !checks.gap.is_empty() => (Grade::Neutral, checks.gap.clone()),
        _ => (Grade::Neutral, "nobody vouches for the sender".into()),
    }
}

/// A domain of the list, or below one.
fn is_sealer(domain: &str, sealers: &[String]) -> bool {
    let is_below = |sealer: &String| {
        domain.strip_suffix(sealer.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    sealers.iter().any(is_below)
}

/// A mail that may not reach as far as it would: it is set aside, or kept where it belongs and nothing comes of it.
/// Delivery reports are not asked: what they set off rests on our MAC alone.
pub(super) fn limit(case: &Case, outcome: Decided, trace: &mut Trace) -> Decided {
    let Some(verdict) = &case.trust else { return outcome };
    let is_placed = matches!(outcome.act, Act::Open | Act::Append);
    match verdict.reach {
        // Where it neither reopens nor answers, `reply` and `open` have seen to that.
        Reach::Full | Reach::Notify => outcome,
        Reach::Quiet if is_placed => {
            trace.note("trust_limit", verdict.reach.words(), "nobody is told, nothing reopens");
            let Effects { is_automatic, is_note, marks_address, .. } = outcome.effects;
            let effects = Effects { is_automatic, is_note, marks_address, ..Effects::default() };
            Decided { effects, ..outcome }
        }
        Reach::Invalid if is_placed || outcome.code == Code::AdminToHimself => {
            let code = match verdict.trust.grade {
                Grade::Fail => Code::TrustFailed,
                Grade::Neutral | Grade::Pass => Code::TrustUnproven,
            };
            trace.note("trust_limit", outcome.reason(), format_args!("set aside as {}", code.as_str()));
            Decided {
                ticket: outcome.ticket.or(outcome.follows),
                ..Decided::new(Act::Invalid, code, format!("{}; {}", case.sender(), verdict.because))
            }
        }
        Reach::Quiet | Reach::Invalid => outcome,
    }
}
