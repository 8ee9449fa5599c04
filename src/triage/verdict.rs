//! What a mail server in front of us has marked as spam (B12). Anybody can write such a field, so it counts only where a
//! relay of ours wrote it: above the lowest Received of ours, or anywhere if the relays are known to take such fields out
//! of what comes in.

use super::border::written_by_ours;
use super::case::{Case, Outcome};
use super::trace::Trace;
use super::{Act, Code};
use crate::mail::Header;

/// Fields with a verdict, and when it says spam.
type Verdict = (&'static str, fn(&str) -> bool);

const VERDICTS: &[Verdict] = &[
    ("X-Spam-Flag", is_yes),
    ("X-Spam-Status", is_yes),
    ("X-Spam", is_yes),
    ("X-Spamd-Result", says_true),
    ("X-Rspamd-Action", is_action_against_spam),
    ("X-MS-Exchange-Organization-SCL", is_scl_of_spam),
];

/// Not asked of a reply to a message of ours: our MAC in it is better evidence than any score.
pub(super) fn marked_as_spam(case: &Case, trace: &mut Trace) -> Option<Outcome> {
    let headers = &case.message.headers;
    let stated = |field: &Header| {
        let verdict = VERDICTS.iter().find(|(name, _)| field.name.eq_ignore_ascii_case(name));
        verdict.is_some_and(|(_, is_spam)| is_spam(&field.value))
    };
    let at = headers.iter().position(stated)?;
    let evidence = format!("{}: {}", headers[at].name, headers[at].value);
    let ours = written_by_ours(headers, &case.rules.verdicts);
    let Some(field) = headers[..ours].iter().find(|field| stated(field)) else {
        trace.note("spam_verdict", evidence, "not written by a relay of ours: ignored");
        return None;
    };
    let evidence = format!("{}: {}", field.name, field.value);
    if !case.clues.ours.is_empty() || case.clues.reported.is_some() {
        trace.note("spam_verdict", evidence, "answers a message of ours: ignored");
        return None;
    }
    trace.note("spam_verdict", &evidence, Code::SpamVerdict.as_str());
    Some(Outcome::new(Act::Invalid, Code::SpamVerdict, evidence))
}

fn first_word(value: &str) -> &str {
    value.trim().split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default()
}

fn is_yes(value: &str) -> bool {
    ["yes", "true"].iter().any(|word| first_word(value).eq_ignore_ascii_case(word))
}

/// Rspamd: `default: True [15.1 / 6.0]; …`.
fn says_true(value: &str) -> bool {
    value.split_once(':').is_some_and(|(_, result)| first_word(result).eq_ignore_ascii_case("true"))
}

/// Rspamd's actions. To greylist or to reject softly is no verdict: the message came again.
fn is_action_against_spam(value: &str) -> bool {
    const AGAINST: &[&str] = &["reject", "add header", "rewrite subject", "quarantine", "discard"];
    AGAINST.iter().any(|action| value.trim().eq_ignore_ascii_case(action))
}

/// Exchange: 5 and 6 are spam, 9 is spam with high confidence; -1 was not looked at.
fn is_scl_of_spam(value: &str) -> bool {
    value.trim().parse::<i32>().is_ok_and(|level| level >= 5)
}
