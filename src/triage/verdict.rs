//! What a mail server in front of us has marked as spam (B12). Anybody can write such a field, so it counts only where a
//! relay of ours wrote it.
//!
//! RFC 5321 §4.4: each server puts its Received on top of what it got. So the Received fields on top whose `by` is a relay
//! of ours were written by ours, and all that stands above the lowest of them was added after it: by ours. What stands
//! below it came from outside, unless the relays are known to take such fields out of what comes in. The walk ends at the
//! first Received of somebody else, whoever is named below it.

use super::case::{Case, Outcome};
use super::trace::Trace;
use super::{Act, Code, VerdictRule};
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

/// So many fields on top were written by relays of ours.
fn written_by_ours(headers: &[Header], rule: &VerdictRule) -> usize {
    let mut lowest = None;
    for (at, field) in headers.iter().enumerate().filter(|(_, f)| f.name.eq_ignore_ascii_case("Received")) {
        if !by(&field.value).is_some_and(|host| is_ours(&host, rule)) {
            break;
        }
        lowest = Some(at);
    }
    match lowest {
        Some(_) if rule.strips_verdicts => headers.len(),
        Some(at) => at,
        None => 0,
    }
}

/// The host behind `by`. What stands in parentheses is a comment, and may hold anything that the client has said.
fn by(received: &str) -> Option<String> {
    let mut depth = 0_u32;
    let bare: String = received
        .chars()
        .filter(|c| {
            match c {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => return depth == 0,
            }
            false
        })
        .collect();
    // `from` and its name come first (RFC 5321 §4.4), and a client may call itself "by".
    let mut words = bare.split_whitespace();
    let first = words.next()?;
    let mut rest = match first.eq_ignore_ascii_case("from") {
        true => words.skip(1).collect::<Vec<_>>(),
        false => std::iter::once(first).chain(words).collect(),
    }
    .into_iter();
    match rest.next() {
        Some(word) if word.eq_ignore_ascii_case("by") => {}
        _ => return None,
    }
    rest.next().map(|host| host.trim_end_matches([';', '.']).to_ascii_lowercase())
}

fn is_ours(host: &str, rule: &VerdictRule) -> bool {
    rule.relays.iter().any(|relay| match relay.strip_prefix('*') {
        Some(domain) => host.len() > domain.len() && host.ends_with(domain),
        None => host.trim_matches(['[', ']']) == relay.trim_matches(['[', ']']),
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_that_wrote_a_received_is_read() {
        for (received, host) in [
            (
                "from a.test (a.test [192.0.2.1]) by MX.example.com (Postfix) with ESMTPS id 1; now",
                Some("mx.example.com"),
            ),
            ("by mx.example.com with LMTP id 2; now", Some("mx.example.com")),
            ("from by (by mx.example.com) by evil.test; now", Some("evil.test")),
            ("from x (by mx.example.com with SMTP) (unclosed", None),
            ("from a.test by [10.0.0.5]; now", Some("[10.0.0.5]")),
            ("from (nameless) by mx.example.com; now", None),
            ("(qmail 1 invoked by uid 89); now", None),
            ("", None),
        ] {
            assert_eq!(by(received).as_deref(), host, "{received}");
        }
    }

    #[test]
    fn a_relay_is_a_name_an_address_or_all_below_a_domain() {
        let rule = VerdictRule {
            relays: vec!["mx.example.com".into(), "*.outlook.com".into(), "10.0.0.5".into()],
            strips_verdicts: false,
        };
        for (host, expected) in [
            ("mx.example.com", true),
            ("a.prod.outlook.com", true),
            ("[10.0.0.5]", true),
            ("outlook.com", false),
            ("eviloutlook.com", false),
            ("mx.example.com.evil.test", false),
        ] {
            assert_eq!(is_ours(host, &rule), expected, "{host}");
        }
    }
}
