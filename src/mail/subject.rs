//! Subjects and the tag line `[Support #123-789]` in them (B4, C1).

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::ticket::{LogEntryId, TicketId};

/// What a tag line says: the type's tag word, the ticket and the log entry that the mail carried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagLine {
    pub word: String,
    pub ticket: TicketId,
    pub log_entry: LogEntryId,
}

impl std::fmt::Display for TagLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{} #{}-{}]", self.word, self.ticket, self.log_entry)
    }
}

/// Longest tag word; longer bracketed text is somebody's words.
const MAX_WORD: usize = 64;
/// Longest tag line: brackets, word, `#`, two numbers of 18 digits, `-`, and a space beside each of them.
const MAX_TAG: usize = MAX_WORD + 50;

/// The tag lines of a subject, from left to right.
fn tag_lines(subject: &str) -> impl Iterator<Item = (Range<usize>, TagLine)> + '_ {
    subject.match_indices('[').filter_map(|(start, _)| {
        let inner = &subject[start + 1..];
        let inner = &inner[..inner.find([']', '['])?];
        let end = start + 1 + inner.len();
        (subject.as_bytes().get(end) == Some(&b']')).then_some(())?;
        Some((start..end + 1, parse_inner(inner)?))
    })
}

fn parse_inner(inner: &str) -> Option<TagLine> {
    let (word, numbers) = inner.rsplit_once('#')?;
    let (ticket, entry) = numbers.split_once('-')?;
    let word = word.trim();
    let number = |text: &str| -> Option<i64> {
        let is_number = !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| text.parse().ok()).flatten()
    };
    let line = TagLine {
        word: word.to_owned(),
        ticket: TicketId(number(ticket.trim())?),
        log_entry: LogEntryId(number(entry.trim())?),
    };
    (!word.is_empty() && word.len() <= MAX_WORD).then_some(line)
}

/// All tag lines of a subject, the last one first: a mail program that forwards puts its own before what was there.
pub fn find_tags(subject: &str) -> Vec<TagLine> {
    let mut found: Vec<TagLine> = tag_lines(subject).map(|(_, line)| line).collect();
    found.reverse();
    found
}

/// Stands for the digits in the pattern of a numbered tag.
pub const NUMBER: &str = "{number}";
/// Numbered tags that are looked at in one subject.
const MAX_NUMBERED: usize = 4;
/// Digits of a number: some systems begin it with the time.
const MAX_DIGITS: usize = 32;

/// Tags of another system in a subject, each as its pattern (`[Ticket#{number}]`) writes it, whatever the case there.
pub fn numbered_tags(subject: &str, patterns: &[String]) -> Vec<String> {
    let subject = subject.to_ascii_lowercase();
    let mut found = vec![];
    for pattern in patterns {
        let Some((before, after)) = pattern.split_once(NUMBER) else { continue };
        let (lower_before, lower_after) = (before.to_ascii_lowercase(), after.to_ascii_lowercase());
        for (at, _) in subject.match_indices(&lower_before) {
            let rest = &subject[at + before.len()..];
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if !(1..=MAX_DIGITS).contains(&digits) || !rest[digits..].starts_with(&lower_after) {
                continue;
            }
            let tag = format!("{before}{}{after}", &rest[..digits]);
            if found.len() < MAX_NUMBERED && !found.contains(&tag) {
                found.push(tag);
            }
        }
    }
    found
}

/// The subject with our tag lines (those whose word is one of `words`) taken out, and with single spaces; foreign ones
/// stay. What closes around a tag that was taken out is looked at again: `[Sup[Support #1-1]port #2-2]` leaves nothing.
pub fn without_tags(subject: &str, words: &[&str]) -> String {
    let mut kept = String::with_capacity(subject.len());
    for c in subject.chars() {
        if !c.is_whitespace() {
            kept.push(c);
        } else if !kept.is_empty() && !kept.ends_with(' ') {
            kept.push(' ');
        }
        if c == ']'
            && let Some(start) = tag_at_end(&kept, words)
        {
            kept.truncate(start);
        }
    }
    kept.truncate(kept.trim_end().len());
    kept
}

/// Where the tag line begins with which a text ends, if it is one of ours.
fn tag_at_end(text: &str, words: &[&str]) -> Option<usize> {
    let near = text.floor_char_boundary(text.len().saturating_sub(MAX_TAG));
    let start = near + text[near..].rfind('[')?;
    let line = parse_inner(text[start + 1..].strip_suffix(']')?)?;
    words.iter().any(|w| w.eq_ignore_ascii_case(&line.word)).then_some(start)
}

/// The subject of an outbound mail of a ticket: the tag line in front, our earlier ones taken out (C1).
pub fn with_tag(line: &TagLine, subject: &str, words: &[&str]) -> String {
    let rest = without_tags(subject, words);
    if rest.is_empty() { line.to_string() } else { format!("{line} {rest}") }
}

/// What mail programs put before the subject of an answer, lower case, without the colon.
const ANSWERS: &[&str] = &[
    "re",
    "aw",
    "antw",
    "antwort",
    "sv",
    "odp",
    "rif",
    "r",
    "res",
    "resp",
    "ynt",
    "atb",
    "ats",
    "vá",
    "απ",
    "σχετ",
    "отв",
    "ответ",
    "bls",
    "回复",
    "回覆",
    "答复",
    "回答",
];
/// The same of what is sent on.
const FORWARDS: &[&str] = &[
    "fw",
    "fwd",
    "wg",
    "tr",
    "rv",
    "enc",
    "i",
    "vb",
    "doorst",
    "vl",
    "vid",
    "ilt",
    "pd",
    "továbbítás",
    "πρθ",
    "fs",
    "trs",
    "пересл",
    "转发",
    "轉寄",
    "転送",
];
/// Either, or somebody's own words: an answer in Finnish and passed on in Norwegian, a reference.
const UNCLEAR: &[&str] = &["vs", "ref"];
/// Characters of a subject that its skeleton is made of.
const MAX_SKELETON: usize = 200;

/// The subject as all mails of a storm have it: without tag lines, prefixes of answers, signs and numbers; `#` stands for
/// each run of words that hold a digit. Empty where nothing is left.
pub fn skeleton(subject: &str) -> String {
    let mut bare = String::with_capacity(subject.len());
    let mut from = 0;
    for (range, _) in tag_lines(subject) {
        bare.push_str(&subject[from..range.start]);
        bare.push(' ');
        from = range.end;
    }
    bare.push_str(&subject[from..]);
    let bare: String = bare.chars().take(MAX_SKELETON).collect::<String>().to_lowercase();
    let mut parts: Vec<&str> = bare.split([':', '：']).map(str::trim).collect();
    let last = parts.len() - 1;
    let first = parts.iter().position(|part| !is_prefix(part)).unwrap_or(last).min(last);
    parts.drain(..first);
    // An answer to an answer: `Automatic reply: Automatic reply: …`.
    parts.dedup();
    let mut words: Vec<&str> = vec![];
    for word in parts.iter().flat_map(|part| part.split(|c: char| !c.is_alphanumeric())) {
        let word = if word.chars().any(char::is_numeric) { "#" } else { word };
        if !word.is_empty() && (word != "#" || words.last() != Some(&"#")) {
            words.push(word);
        }
    }
    words.join(" ")
}

/// `Re`, and with a count: `Re[2]`, `Re (3)`, `Re^4`.
fn is_prefix(part: &str) -> bool {
    let word = without_count(part);
    part.is_empty() || [ANSWERS, FORWARDS, UNCLEAR].iter().any(|words| words.contains(&word))
}

fn without_count(part: &str) -> &str {
    part.trim_end_matches(|c: char| c.is_ascii_digit() || "[]()^ ".contains(c))
}

/// What the prefix in front of a subject says of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    Answer,
    Forward,
}

/// The first prefix of a subject; tags in brackets may stand before it, as gateways put them. The first one is of the
/// program that sent the mail: `AW: WG: invoice` answers.
pub fn prefix(subject: &str) -> Option<Prefix> {
    let mut rest = subject.trim_start();
    while let Some((_, behind)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        rest = behind.trim_start();
    }
    let (word, _) = rest.split_once([':', '：'])?;
    let word = without_count(word.trim_end()).to_lowercase();
    let is_one_of = |words: &[&str]| words.contains(&word.as_str());
    let forward = is_one_of(FORWARDS).then_some(Prefix::Forward);
    is_one_of(ANSWERS).then_some(Prefix::Answer).or(forward)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(word: &str, ticket: i64, entry: i64) -> TagLine {
        TagLine { word: word.into(), ticket: TicketId(ticket), log_entry: LogEntryId(entry) }
    }

    #[test]
    fn tag_lines_are_found_wherever_they_stand() {
        for (subject, expected) in [
            ("[Support #123-789] printer", vec![line("Support", 123, 789)]),
            ("AW: Re: [Support #1-2] x", vec![line("Support", 1, 2)]),
            ("Fwd: [list] [First Line #3-4]", vec![line("First Line", 3, 4)]),
            ("[A #1-1] [B #2-2]", vec![line("B", 2, 2), line("A", 1, 1)]),
            ("[[Support #5-6]]", vec![line("Support", 5, 6)]),
            ("[Support #1]", vec![]),
            ("[Support #1-x]", vec![]),
            ("[#1-2]", vec![]),
            ("[Support #99999999999999999999-1]", vec![]),
            ("[Support #1-2", vec![]),
        ] {
            assert_eq!(find_tags(subject), expected, "{subject}");
        }
    }

    #[test]
    fn tags_of_other_systems_are_found_by_their_patterns() {
        let patterns = ["[Ticket#{number}]", "[example.com #{number}]", "#{number}"].map(str::to_owned);
        for (subject, found) in [
            ("Re: [TICKET#2023041210000017] printer", vec!["[Ticket#2023041210000017]", "#2023041210000017"]),
            ("[example.com #0042] a", vec!["[example.com #0042]", "#0042"]),
            ("é [ticket#7] [Ticket#7]", vec!["[Ticket#7]", "#7"]),
            ("[Ticket#] [Ticket#7", vec!["#7"]),
            ("Ünïcode", vec![]),
        ] {
            assert_eq!(numbered_tags(subject, &patterns), found, "{subject}");
        }
        assert!(numbered_tags("#7", &[]).is_empty());
    }

    #[test]
    fn our_tag_lines_are_replaced_and_foreign_ones_stay() {
        let subject =
            with_tag(&line("Support", 7, 9), "Re: [Support #7-8] [RT #1-2] broken", &["Support", "Old"]);
        assert_eq!(subject, "[Support #7-9] Re: [RT #1-2] broken");
        assert_eq!(with_tag(&line("S", 1, 1), "", &[]), "[S #1-1]");
    }

    #[test]
    fn no_tag_line_of_ours_hides_around_another() {
        let widest = format!("[ {} # {} - {} ]", "w".repeat(64), "1".repeat(18), "2".repeat(18));
        let wide = "w".repeat(64);
        for subject in [
            "[Sup[Support #1-1]port #2-2] x",
            "[First [support #1-1] Line #2-2] x",
            "[Support #[Support #[Support #3-3]2-2]1-1] x",
            "[First  \u{a0} Line #2-2] x",
            &format!("{widest} x"),
        ] {
            assert_eq!(without_tags(subject, &["Support", "First Line", &wide]), "x", "{subject}");
        }
        let many = "[Support #".repeat(20_000) + &"1-1]".repeat(20_000);
        assert_eq!(without_tags(&many, &["Support"]), "");
    }

    #[test]
    fn the_first_prefix_tells_an_answer_from_what_is_sent_on() {
        use Prefix::{Answer, Forward};
        for (subject, expected) in [
            ("Re: printer", Some(Answer)),
            ("AW: WG: printer", Some(Answer)),
            ("Re[2]: printer", Some(Answer)),
            ("回复：printer", Some(Answer)),
            ("[Support #1-2] SV : printer", Some(Answer)),
            ("FW: Re: printer", Some(Forward)),
            ("[EXT] [list] Wg: printer", Some(Forward)),
            ("TR : facture", Some(Forward)),
            ("I: R: fattura", Some(Forward)),
            ("VS: printer", None),
            ("Ref: 4711", None),
            ("Invoice: Re: overdue", None),
            ("Re printer", None),
            ("[Re: printer", None),
            ("", None),
        ] {
            assert_eq!(prefix(subject), expected, "{subject}");
        }
    }

    #[test]
    fn the_mails_of_a_storm_have_one_skeleton() {
        for (skeleton, subjects) in [
            (
                "order # received",
                vec![
                    "Order 4711 received",
                    "Re: AW: [Support #1-2] order 4712/2026-11 (received)",
                    "Fwd: Re[2]: Order #A9-b7c received!",
                    "Sv: RE^3: order 1 2 3 received",
                ],
            ),
            ("printer", vec!["printer", "Re: [Support #7-8] Printer", "回复：printer", "Antw: WG: printer"]),
            (
                "automatic reply printer",
                vec!["Automatic reply: printer", "Automatic reply: Automatic reply: printer"],
            ),
            ("invoice overdue", vec!["Invoice: overdue"]),
            ("#", vec!["12345", "Re: 77-88"]),
            ("", vec!["", "Re:", "[Support #1-2]", "Re: Fwd: ...", "::"]),
        ] {
            for subject in subjects {
                assert_eq!(super::skeleton(subject), skeleton, "{subject}");
            }
        }
        assert_ne!(super::skeleton("printer"), super::skeleton("scanner"));
        assert!(super::skeleton(&"x ".repeat(10_000)).len() <= MAX_SKELETON);
    }
}
