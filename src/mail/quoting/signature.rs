//! Who signs: the `-- ` line (RFC 3676 §4.3) and what people and programs write instead, mobile programs' own lines,
//! formal closings, disclaimers, and footers of lists.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::super::phrases::Phrases;
use super::languages::{DEVICES, LANGUAGES};
use super::line::{Line, begins_with, ends_with, has_address, is_ruler, is_unspaced};

/// Lines with words that may stand below a ruler for it to be a footer's.
const MAX_FOOTER: usize = 12;
/// A signature begins within so many lines of the end.
const LOOKED_AT: usize = 200;
/// Below the `-- ` line and a mobile program's.
const MAX_LINE: usize = 160;
/// A line with so many words, and a full stop, is a sentence.
const SENTENCE: usize = 5;
/// Fewer digits are no telephone number.
const TELEPHONE: usize = 7;
/// What stands before an afterthought, without its dots.
const POSTSCRIPTS: &[&str] = &["PS", "PPS", "PSS", "PPPS", "NB", "PD"];
/// A paragraph shorter than this is no disclaimer.
const SHORTEST_DISCLAIMER: usize = 100;

/// What a mobile program's line begins with, and hardly any other.
static SENT_FROM: LazyLock<Phrases> =
    LazyLock::new(|| Phrases::new(LANGUAGES.iter().flat_map(|l| l.sent_from).copied()));
static CLOSINGS: LazyLock<HashSet<&str>> =
    LazyLock::new(|| LANGUAGES.iter().flat_map(|l| l.closing).copied().collect());
static LEGAL: LazyLock<Phrases> =
    LazyLock::new(|| Phrases::of_texts(LANGUAGES.iter().flat_map(|l| l.confidential).copied()));

/// Where a signature begins among lines of new words, and by which rule.
pub(super) fn find(lines: &[&Line]) -> Option<(usize, &'static str)> {
    let mut has_words = false;
    let from = lines.len().saturating_sub(LOOKED_AT);
    for (at, line) in lines.iter().enumerate() {
        if line.is_blank() {
            continue;
        }
        if at < from {
            has_words = true;
            continue;
        }
        let rule = (has_words && line.may_be_mark()).then(|| rule_of(lines, at)).flatten();
        if let Some(rule) = rule {
            return Some((at, rule));
        }
        has_words = true;
    }
    None
}

fn rule_of(lines: &[&Line], at: usize) -> Option<&'static str> {
    let text = lines[at].text.trim();
    let first = text.chars().next()?;
    if matches!(first, '-' | '_' | '—' | '–' | '=' | '*' | '#' | '~' | '+' | 'ᐧ' | '─' | '━' | '‐')
    {
        let separates = || is_separator(lines, at);
        // A dash alone stands in texts, too.
        let is_prose = || holds_prose(&lines[at + 1..]);
        if is_delimiter(text) && !separates() && (text.starts_with("--") || !is_prose()) {
            return Some("signature_delimiter");
        }
        if is_ruler(text, 3) && is_footer(lines, at) && !separates() && !is_prose() {
            return Some("footer_ruler");
        }
        if is_dashed_name(text) && words_below(lines, at) == 0 {
            return Some("dashed_name");
        }
    }
    if is_mobile(text) {
        return Some("mobile_signature");
    }
    is_formal_closing(lines, at).then_some("closing")
}

/// `-- `, and its spellings.
pub(super) fn is_delimiter(text: &str) -> bool {
    matches!(text, "--" | "__" | "—" | "–" | "- -" | "- --" | "ᐧ" | "-- --" | "=-=" | "⸻")
}

/// The line parts words from words: somebody goes on writing below it, or there are more of its kind and no address or
/// link below, as the footers of lists have.
fn is_separator(lines: &[&Line], at: usize) -> bool {
    let below = &lines[at + 1..];
    if goes_on(below) {
        return true;
    }
    let is_same = |l: &Line| l.text.trim() == lines[at].text.trim();
    let behind = if lines[at.saturating_sub(LOOKED_AT)..at].iter().any(|l| is_same(l)) {
        below
    } else {
        below.iter().position(|l| is_same(l)).map_or(&[][..], |next| &below[next + 1..])
    };
    let is_footer = || behind.iter().any(|l| has_address(l.text) || l.text.contains("://"));
    behind.iter().any(|l| !l.is_blank()) && !is_footer()
}

fn is_footer(lines: &[&Line], at: usize) -> bool {
    let is_underline = at > 0 && {
        let above = lines[at - 1].text.chars().count();
        above > 0 && above.abs_diff(lines[at].text.chars().count()) <= 3
    };
    let below = words_below(lines, at);
    !is_underline && below <= if lines[at].text.starts_with("____") { MAX_FOOTER * 2 } else { MAX_FOOTER }
}

fn words_below(lines: &[&Line], at: usize) -> usize {
    let below = lines[at + 1..].iter().filter(|l| !l.is_blank());
    below.take_while(|l| !is_ruler(l.text, 2)).take(MAX_FOOTER * 2 + 1).count()
}

/// `-Ann Other`: a name behind a dash, not an item of a list.
fn is_dashed_name(text: &str) -> bool {
    let Some(name) = text.strip_prefix("--").or_else(|| text.strip_prefix('-')) else { return false };
    let words = name.split(' ');
    name.starts_with(char::is_uppercase)
        && name.split(' ').count() <= 3
        && words.into_iter().all(|w| {
            w.starts_with(char::is_uppercase)
                && w.chars().all(|c| c.is_alphabetic() || matches!(c, '.' | '\'' | '-'))
        })
}

/// `Sent from my iPhone`, in many tongues: the words of the program, then a device or program, and no sentence.
pub(super) fn is_mobile(text: &str) -> bool {
    if text.len() > MAX_LINE * 2 {
        return false;
    }
    let mut lower = text.to_lowercase();
    if lower.contains("http") {
        lower = without_links(&lower);
    }
    let lower = lower.trim_matches(|c: char| !c.is_alphanumeric());
    let is_sent_with = || LANGUAGES.iter().flat_map(|l| l.sent_with).any(|phrase| lower.ends_with(phrase));
    if !(SENT_FROM.begin(lower) || is_sent_with()) {
        return false;
    }
    if lower.len() > MAX_LINE || lower.split(' ').count() > 14 {
        return false;
    }
    LANGUAGES.iter().any(|language| {
        let begins = language.sent_from.iter().find(|p| begins_with(lower, p));
        let ends = || language.sent_with.iter().find(|p| ends_with(lower, p));
        match begins {
            Some(phrase) => names_device(&lower[phrase.len()..], phrase),
            None => ends().is_some_and(|p| {
                lower.split(' ').count() <= 8 && has_device(&lower[..lower.len() - p.len()])
            }),
        }
    })
}

fn names_device(rest: &str, phrase: &str) -> bool {
    let rest = rest.trim();
    let clause = rest.split([',', ';']).next().unwrap_or_default();
    let near: Vec<&str> = clause.split_whitespace().take(7).collect();
    let is_possessive = phrase.ends_with("mon") || phrase.ends_with("meinem") || near.first() == Some(&"my");
    let is_short = !rest.contains(',') && rest.split_whitespace().count() <= 6;
    has_device(phrase) || has_device(&near.join(" ")) || (is_possessive && is_short)
}

fn has_device(text: &str) -> bool {
    text.split(|c: char| c.is_whitespace() || c == '-').any(|word| {
        let word =
            word.trim_matches(['.', '\'', '’', '"', '(', ')', '[', ']', '!']).trim_matches(is_unspaced);
        // Longer names may bear the ending of a case.
        DEVICES.iter().any(|device| word == *device || (device.len() > 5 && word.starts_with(device)))
    }) || DEVICES.iter().any(|d| !d.is_ascii() && text.contains(d))
}

/// Links that programs write behind their name: `<https://…>`, `(https://…)`, `[https://…]`.
fn without_links(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("http") {
        let before = rest[..at].trim_end_matches(['<', '(', '[', ' ']);
        kept.push_str(before);
        let end = rest[at..].find(['>', ')', ']', ' ']).map_or(rest.len(), |e| at + e + 1);
        rest = &rest[end..];
    }
    kept.push_str(rest);
    kept
}

/// `Regards,` with a name and more below it: rank, company, telephone. A name alone is how a letter ends.
fn is_formal_closing(lines: &[&Line], at: usize) -> bool {
    is_closing(lines[at].text) && {
        let below: Vec<&str> =
            lines[at + 1..].iter().filter(|l| !l.is_blank()).map(|l| l.text).take(13).collect();
        (2..=12).contains(&below.len())
            && below.iter().all(|l| l.chars().count() <= 90)
            && !holds_words(&lines[at + 1..])
    }
}

/// Also in two tongues: `Mit freundlichen Grüßen / Kind regards`.
fn is_closing(text: &str) -> bool {
    if text.len() > 80 {
        return false;
    }
    let lower = text.to_lowercase();
    let bare = |part: &str| CLOSINGS.contains(part.trim_matches(|c: char| !c.is_alphanumeric()));
    bare(&lower) || lower.split(['/', '|']).all(bare)
}

/// What stands below a closing is more than name, rank and address.
fn holds_words(lines: &[&Line]) -> bool {
    goes_on(lines) || has_sentence(lines)
}

/// Below what looks like a signature somebody goes on writing: a postscript, a question, another closing.
fn goes_on(lines: &[&Line]) -> bool {
    let mut has_words = false;
    lines.iter().any(|line| {
        let text = line.text.trim();
        let is_closed = is_closing(text);
        let goes_on = is_postscript(text) || is_question(text) || (is_closed && has_words);
        // The same closing in two tongues, one below the other, is one.
        has_words |= !text.is_empty() && !is_closed;
        goes_on
    })
}

/// Words of a person below a line: sentences, or a list of things, and nothing that footers and signatures have, such as
/// addresses, links, telephone numbers and the words of lawyers.
fn holds_prose(lines: &[&Line]) -> bool {
    let below = || lines.iter().filter(|l| !l.is_blank());
    let is_reach = |l: &&&Line| {
        let digits = l.text.bytes().filter(u8::is_ascii_digit).count();
        has_address(l.text) || l.text.contains("://") || l.text.contains("www.") || digits >= TELEPHONE
    };
    let is_prose = |l: &&&Line| {
        let text = l.text.trim();
        text.starts_with(|c: char| c.is_ascii_digit())
            || (text.ends_with(['.', '!', '。']) && text.split_whitespace().count() >= SENTENCE)
    };
    below().any(|l| is_prose(&l))
        && !below().any(|l| is_reach(&l))
        && !below().any(|l| LEGAL.are_in(&l.text.to_lowercase()))
}

/// A sentence that begins a paragraph: not what stands in an address.
fn has_sentence(lines: &[&Line]) -> bool {
    lines.iter().enumerate().any(|(at, line)| {
        let text = line.text.trim();
        let is_apart = at == 0 || lines[at - 1].is_blank();
        is_apart
            && text.ends_with(['.', '!'])
            && text.split_whitespace().count() >= SENTENCE
            && !LEGAL.are_in(&text.to_lowercase())
    })
}

/// `PS: …`, `P.S. …`, `NB: …`
fn is_postscript(text: &str) -> bool {
    let end = text.find(|c: char| !c.is_alphabetic() && c != '.').unwrap_or(text.len());
    let (mark, rest) = text.split_at(end);
    if !(2..=8).contains(&mark.len()) {
        return false;
    }
    let letters = mark.replace('.', "").to_uppercase();
    // `PD Dr. Ann Other` has a title.
    let is_set_apart = mark.contains('.') || rest.trim_start().starts_with([':', '：', '-', '–', ')']);
    letters == "PS" || (is_set_apart && POSTSCRIPTS.contains(&letters.as_str()))
}

fn is_question(text: &str) -> bool {
    text.trim_end_matches(['"', '\'', ')', '»', '“', '”', ' ']).ends_with(['?', '？', '؟', '\u{37e}'])
}

/// All of these lines are a person's or program's signature: what stands below a quotation when nobody wrote there.
pub(super) fn is_nothing_else(lines: &[&Line]) -> bool {
    let Some(at) = lines.iter().position(|l| !l.is_blank()) else { return true };
    if !lines[at].may_be_mark() {
        return false;
    }
    let text = lines[at].text.trim();
    let below = words_below(lines, at);
    let is_set_apart = is_delimiter(text) || (is_ruler(text, 3) && below <= MAX_FOOTER * 2);
    (is_set_apart && !is_separator(lines, at))
        || (is_mobile(text) && below <= 2)
        || (below <= MAX_FOOTER
            && (is_closing(text) || begins_closing(text))
            && !holds_words(&lines[at + 1..]))
}

/// `Regards, Ann`
fn begins_closing(text: &str) -> bool {
    let Some((closing, name)) = text.split_once(',') else { return false };
    is_closing(closing) && name.split_whitespace().count() <= 3
}

/// Where a disclaimer begins: a long last paragraph of words that only lawyers put together.
pub(super) fn disclaimer(lines: &[&Line]) -> Option<usize> {
    let mut from = 0;
    for at in 0..lines.len() {
        if lines[at].is_blank() {
            continue;
        }
        if at > 0 && lines[at - 1].is_blank() {
            from = at;
        }
        let is_end = lines.get(at + 1).is_none_or(|next| next.is_blank());
        if is_end && from > 0 && is_near_the_end(&lines[at + 1..]) && is_disclaimer(&lines[from..=at]) {
            return Some(from);
        }
    }
    None
}

/// Behind the first such paragraph stands nothing but a few more lines of the house.
fn is_near_the_end(lines: &[&Line]) -> bool {
    let left: usize = lines.iter().map(|l| l.text.len()).sum();
    left <= 4000
}

fn is_disclaimer(lines: &[&Line]) -> bool {
    let length: usize = lines.iter().map(|l| l.text.len() + 1).sum();
    if !(SHORTEST_DISCLAIMER..=8000).contains(&length) {
        return false;
    }
    let text: String = lines.iter().flat_map(|l| [l.text, " "]).collect::<String>().to_lowercase();
    LEGAL.are_in(&text)
        && LANGUAGES.iter().any(|l| l.confidential.iter().filter(|word| text.contains(*word)).count() >= 2)
}
