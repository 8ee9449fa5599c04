//! What stands above a mail that is quoted or forwarded whole: header lines, `-----Original Message-----`, a line that asks
//! to answer above it.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::super::phrases::Phrases;
use super::languages::{LANGUAGES, REPLY_ABOVE};
use super::line::{Line, has_address, has_date, has_day, has_time, is_format, is_ruler, without_formats};

/// Lines that one header may be wrapped into, and those without a name between two headers.
const MAX_CONTINUED: usize = 4;
/// The longest name of a header line, in bytes.
const MAX_KEY: usize = 48;
const MAX_HEADERS: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Divider {
    /// From here on it is a quoted mail.
    Headers,
    Original,
    Forwarded,
    ReplyAbove,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Header {
    From,
    Date,
    To,
    Subject,
    Other,
}

static HEADERS: LazyLock<HashMap<&'static str, Header>> = LazyLock::new(|| {
    let mut names = HashMap::new();
    for language in LANGUAGES {
        let kinds = [
            (language.from, Header::From),
            (language.date, Header::Date),
            (language.to, Header::To),
            (language.subject, Header::Subject),
            (language.cc, Header::Other),
        ];
        for (words, kind) in kinds {
            words.iter().for_each(|word| {
                names.entry(*word).or_insert(kind);
            });
        }
    }
    names
});

static ABOVE: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(REPLY_ABOVE.iter().copied()));
/// What stands above a mail that is quoted or forwarded whole.
static TITLES: LazyLock<Phrases> = LazyLock::new(|| {
    Phrases::new(LANGUAGES.iter().flat_map(|l| l.forwarded.iter().chain(l.original)).copied())
});

/// The divider that the line `at` is, or begins.
pub(super) fn at(lines: &[Line], at: usize) -> Option<Divider> {
    let line = &lines[at];
    if !line.may_be_mark() {
        return None;
    }
    let text = without_formats(line.text.trim_start());
    let is_dashed =
        text.starts_with(['-', '_', '=', '*', '#', '~', '—', '–', '‐', '─', '<', '>', '▼', '↑', '・']);
    let is_marked = is_dashed || text.starts_with('[') || text.ends_with([':', '-', '：', '─', '—']);
    if let Some(divider) = is_marked.then(|| marked(text, is_dashed)).flatten() {
        return Some(divider);
    }
    if is_dashed && is_above_request(lines, at) {
        return Some(Divider::ReplyAbove);
    }
    (is_header_block(lines, at) || is_shaped_block(lines, at)).then_some(Divider::Headers)
}

/// Jira's dashes stand in a line of their own, above the words.
fn is_above_request(lines: &[Line], at: usize) -> bool {
    let is_line = |text: &str| text.chars().all(|c| "-—–=_#*".contains(c)) && text.chars().nth(2).is_some();
    let below = || lines.get(at + 1).map(|l| l.text.trim()).filter(|text| text.len() <= 60);
    is_line(lines[at].text.trim()) && below().is_some_and(|text| ABOVE.begin(&text.to_lowercase()))
}

/// Words between dashes, or with a colon where programs write so.
fn marked(text: &str, is_dashed: bool) -> Option<Divider> {
    let lower = text.to_lowercase();
    let bare = lower.trim_matches(|c: char| !c.is_alphanumeric() && c != ')');
    if bare.is_empty() || bare.len() > 120 {
        return None;
    }
    // Zendesk's frame, in whatever language.
    let is_framed = text.starts_with("##-") && text.ends_with("-##");
    if is_framed || (is_dashed || text.starts_with('[')) && ABOVE.are_in(bare) {
        return Some(Divider::ReplyAbove);
    }
    if !TITLES.are_in(bare) {
        return None;
    }
    let dashes = text.chars().take_while(|c| !c.is_alphanumeric()).count();
    let has_colon = text.ends_with([':', '：']);
    // Forwarded by someone on a day, or the bare words.
    let is_it = |phrase: &&&str| {
        bare == **phrase || (dashes >= 3 && bare.starts_with(**phrase) && bare.len() < phrase.len() + 70)
    };
    if LANGUAGES.iter().flat_map(|l| l.forwarded).any(|p| is_it(&p)) && (dashes >= 2 || has_colon) {
        return Some(Divider::Forwarded);
    }
    let is_original = LANGUAGES.iter().flat_map(|l| l.original).any(|p| is_it(&p));
    (is_original && (dashes >= 1 || has_colon)).then_some(Divider::Original)
}

/// Three header lines of a mail, or two that say who wrote and when.
fn is_header_block(lines: &[Line], at: usize) -> bool {
    let Some((first, value)) = header(lines[at].text) else { return false };
    if first == Header::Other {
        return false;
    }
    let mut found = vec![first];
    let (mut address, mut date) = (has_address(value), has_date(value));
    let (mut continued, mut blanks) = (0, 0);
    for line in lines[at + 1..].iter().take(MAX_HEADERS * 2) {
        if line.is_blank() {
            blanks += 1;
            if blanks > 1 {
                break;
            }
            continue;
        }
        if line.is_quoted() || line.text.len() > 2000 {
            break;
        }
        if let Some((kind, value)) = header(line.text) {
            if found.contains(&kind) && kind != Header::Other {
                // A second sender is another mail.
                if kind == Header::From || found.len() > MAX_HEADERS {
                    break;
                }
            }
            address |= has_address(value);
            date |= kind == Header::Date || has_date(value);
            found.push(kind);
            (continued, blanks) = (0, 0);
            continue;
        }
        continued += 1;
        if blanks > 0 || continued > MAX_CONTINUED {
            break;
        }
        address |= has_address(line.text);
        date |= has_date(line.text);
    }
    let has = |kind| found.contains(&kind);
    let kinds =
        [Header::From, Header::Date, Header::To, Header::Subject].into_iter().filter(|k| has(*k)).count();
    match kinds {
        0 | 1 => false,
        2 => has(Header::From) && (has(Header::Date) || has(Header::Subject) && address) && (address || date),
        _ => has(Header::From) || (has(Header::Date) && (address || date)),
    }
}

/// Header lines as Outlook has them, in a tongue that no table knows: names of a few letters, an address in the first
/// line, a day with its hour in the second, and two more.
fn is_shaped_block(lines: &[Line], at: usize) -> bool {
    let value = |line: &Line| {
        let text = without_formats(line.text).trim_matches(['*', ' ']);
        let (name, value) = text.split_once([':', '：'])?;
        let is_name =
            |c: char| c.is_alphabetic() || matches!(c, ' ' | '\'' | '*') || is_format(c) || !c.is_ascii();
        let is_short = name.len() <= MAX_KEY && name.split_whitespace().count() <= 3;
        (!name.is_empty() && is_short && name.chars().all(is_name)).then(|| value.trim().to_owned())
    };
    let Some([first, second, third, fourth]) = lines.get(at..at + 4).and_then(|l| l.first_chunk()) else {
        return false;
    };
    let is_apart = at > 0 && (lines[at - 1].is_blank() || is_ruler(lines[at - 1].text, 3));
    is_apart
        && value(first).is_some_and(|v| v.ends_with('>') && has_address(&v))
        && value(second).is_some_and(|v| has_day(&v) && has_time(&v))
        && value(third).is_some()
        && value(fourth).is_some()
}

/// `From: someone`, also bold (`*From:* someone`) and with a blank before the colon.
fn header(text: &str) -> Option<(Header, &str)> {
    let is_around = |c| matches!(c, '*' | '_' | ' ' | '\t' | '\u{a0}') || is_format(c);
    let text = text.trim_start_matches(|c| matches!(c, '|' | '#') || is_around(c));
    let window = &text[..text.floor_char_boundary(MAX_KEY)];
    let at = window.find([':', '：'])?;
    let key = window[..at].trim_matches(is_around);
    if key.is_empty() {
        return None;
    }
    let value = text[at..].trim_start_matches([':', '：', '*', '_', ' ', '\u{a0}', '\t']);
    let kind = HEADERS.get(key).or_else(|| HEADERS.get(key.to_lowercase().as_str()))?;
    Some((*kind, value))
}

/// A few words between dashes, directly above header lines: their title in whatever tongue.
fn is_title(text: &str) -> bool {
    let text = text.trim();
    text.len() <= 60 && text.starts_with("---") && text.ends_with("---")
}

/// The first line that belongs to the divider: rulers and blank lines above it do.
pub(super) fn start(lines: &[Line], at: usize) -> usize {
    let mut start = at;
    for above in (0..at).rev().take(6) {
        let line = &lines[above];
        if line.is_free() && (is_ruler(line.text, 3) || above + 1 == at && is_title(line.text)) {
            start = above;
        } else if !line.is_blank() {
            break;
        }
    }
    start
}

/// Behind the last line of the divider that the line `at` begins: its header lines belong to it, and lists of addresses
/// that were wrapped.
pub(super) fn end(lines: &[Line], at: usize) -> usize {
    let mut end = at + 1;
    for (number, line) in lines.iter().enumerate().skip(at + 1).take(MAX_HEADERS * 2) {
        if line.is_blank() {
            continue;
        }
        let is_wrapped =
            || number == end && lines[end - 1].text.ends_with([',', ';']) && has_address(line.text);
        if line.is_quoted() || !(header(line.text).is_some() || is_wrapped()) {
            break;
        }
        end = number + 1;
    }
    end
}
