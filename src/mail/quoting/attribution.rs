//! The line above a quotation: `On Mon, 2 Nov 2026 at 10:00, Ann <ann@example.org> wrote:`, in any language and however it
//! is wrapped. What counts is evidence that stands together: a date, an address, a word for writing, a colon, quoted
//! lines below.

use std::sync::LazyLock;

use super::super::phrases::Phrases;
use super::languages::LANGUAGES;
use super::line::{
    self, Line, begins_with, has_address, has_date, has_day, has_time, is_format, without_formats,
};

/// Lines that an attribution may be wrapped into.
const MAX_LINES: usize = 6;
/// Its bytes altogether; addresses in links make it long.
const MAX_LENGTH: usize = 500;

/// A text without any of them holds no verb, and hardly any line has one.
static VERBS: LazyLock<Phrases> =
    LazyLock::new(|| Phrases::new(LANGUAGES.iter().flat_map(|l| l.wrote).copied()));
static ON: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(LANGUAGES.iter().flat_map(|l| l.on).copied()));

/// An attribution that was found.
pub(super) struct Attribution {
    /// Its last line.
    pub last: usize,
    /// Where in its first line it begins: new words may stand in front of it.
    pub offset: usize,
}

/// The attribution that begins in the line `first`, if there is one.
pub(super) fn at(lines: &[Line], first: usize) -> Option<Attribution> {
    let head = lines[first].text;
    let is_alone = || has_words_behind(head) || is_notes(head);
    if is_framed(head) || lines[first].may_be_mark() && is_alone() {
        return Some(Attribution { last: first, offset: 0 });
    }
    if !lines[first].may_be_mark() {
        return None;
    }
    let starts_well = is_start(head);
    if !starts_well && !may_end(head) {
        // Cheap: nearly every line of a mail ends here.
        return None;
    }
    let mut joined = String::new();
    let mut blanks = 0;
    for last in first..lines.len().min(first + MAX_LINES) {
        let line = &lines[last];
        if line.is_blank() {
            blanks += 1;
            // A blank line inside: only where a name waits for its address.
            let goes_on = lines.get(last + 1).is_some_and(|next| next.text.trim_start().starts_with('<'));
            if blanks > 1 || !goes_on {
                return None;
            }
            continue;
        }
        let text = if last > first {
            line.text.trim_start_matches(['>', ' ', '\t'])
        } else {
            line.text.trim_start()
        };
        if joined.len() + text.len() > MAX_LENGTH || (last > first && !starts_well) {
            return None;
        }
        joined.push_str(if joined.is_empty() { "" } else { " " });
        joined.push_str(text);
        if may_end(text) || is_old_gmail(&joined) {
            let from = if last == first { offset_within(text) } else { 0 };
            if is_attribution(&joined[from..], lines, last) {
                // The blanks in front of the line are not in `joined`.
                let offset = if from > 0 { line.text.len() - text.len() + from } else { 0 };
                return Some(Attribution { last, offset });
            }
        }
        if ends_sentence(text) {
            return None;
        }
    }
    None
}

/// New words and the attribution on one line: `reply On Wed, Apr 4, 2012 at 3:59 PM, bob@example.com wrote:`
fn offset_within(text: &str) -> usize {
    for (at, _) in text.match_indices("On ") {
        let (before, after) = text.split_at(at);
        let is_apart = before.ends_with([' ', '-', '\t']) && before.contains(|c: char| c.is_alphanumeric());
        let near = &after[..after.floor_char_boundary(18)];
        if is_apart && near.bytes().any(|b| b.is_ascii_digit()) {
            return before.trim_end_matches([' ', '-', '\t']).len();
        }
    }
    0
}

fn is_attribution(said: &str, lines: &[Line], last: usize) -> bool {
    let said = said
        .trim_matches(|c| matches!(c, ' ' | '-' | '*' | '_' | '\t' | '~' | '=' | '#' | '+') || is_format(c));
    if is_old_gmail(said) {
        return true;
    }
    let lower = said.to_lowercase();
    let has_colon = lower.ends_with([':', '：', '﹕']);
    let bare = lower.trim_end_matches([':', '：', '﹕', ' ', '\u{a0}', '>', '"']);
    let mut verbs = LANGUAGES.iter().flat_map(|l| l.wrote);
    let may_have_verb = VERBS.are_in(bare);
    let has_verb_last = may_have_verb && verbs.clone().any(|verb| line::ends_with(bare, verb));
    let has_verb = has_verb_last || (may_have_verb && has_colon && verbs.any(|verb| line::holds(bare, verb)));
    let (has_date, has_address) = (has_date(said), has_address(said));
    let below = lines[last + 1..].iter().find(|l| !l.is_blank());
    let is_over_quote = below.is_some_and(Line::is_quoted);
    let words = said.split_whitespace().count();
    let starts = is_start(said);
    // A verb in the middle may be anybody's sentence, unless a day or an address stands by it. So may what begins in
    // lower case: programs that do so name an address.
    let is_sure = has_verb_last || has_address || is_over_quote || has_day(said);
    let is_sentence = said.starts_with(char::is_lowercase) && !has_address && !is_over_quote;
    // `Your colleague wrote on 2 March 2026:` is a sentence of a letter; programs note the hour.
    let is_noted = starts || has_colon && (has_address || is_over_quote || has_time(said));
    if has_verb && has_date && is_sure && !is_sentence && is_noted && words <= 40 {
        return true;
    }
    if has_verb && has_address && has_colon && words <= 25 {
        return true;
    }
    if has_verb && is_over_quote && words <= 12 {
        return true;
    }
    // Yandex and its like name date and address, and no verb.
    if has_colon && has_date && has_address && starts && words <= 25 {
        return true;
    }
    has_colon && is_over_quote && words <= 25 && (has_address || has_day(said))
}

/// `>>> Ann <ann@example.org> 11/2/2026 10:00 AM >>>`, as GroupWise has it; what is below bears no mark.
pub(super) fn is_framed(text: &str) -> bool {
    const FRAME: &str = ">>>";
    let framed = text.trim().strip_prefix(FRAME).and_then(|rest| rest.strip_suffix(FRAME));
    framed.is_some_and(|said| said.len() <= MAX_LENGTH && !said.starts_with('>') && has_date(said))
}

/// `On Mon, 2 Nov 2026 at 10:00, Ann <ann@example.org> wrote:   Are you there?`, as Yahoo has it: the quoted words begin in
/// the same line, some blanks away.
fn has_words_behind(text: &str) -> bool {
    let Some(colon) = text.find(":  ") else { return false };
    let said = text[..colon].trim_start();
    has_address(said) && has_date(said) && is_start(said) && ends_with_verb(said)
}

/// `Ann ---11/02/2026 10:00:00 AM---Are you there?`, as Notes has it above its header lines.
fn is_notes(text: &str) -> bool {
    let mut pieces = text.split("---");
    let has_name = pieces.next().is_some_and(|name| !name.trim().is_empty());
    has_name
        && pieces.next().is_some_and(|day| day.len() <= 40 && has_time(day) && has_day(day))
        && pieces.next().is_some()
}

/// `2016-03-03 17:21 GMT+01:00 Some One <someone@example.org>:`, as Gmail had it for a while, with or without the rest.
fn is_old_gmail(said: &str) -> bool {
    let bytes = said.as_bytes();
    bytes.len() > 20
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && (bytes[4], bytes[7]) == (b'-', b'-')
        && bytes[10..16].contains(&b':')
        && said.get(14..24.min(said.len())).is_some_and(|zone| zone.contains("GMT"))
}

/// It begins like an attribution: a word for "on" and a digit, or a date.
fn is_start(text: &str) -> bool {
    let is_around = |c| matches!(c, '-' | ' ' | '*' | '_' | '\t' | '\u{a0}' | '>') || is_format(c);
    let text = text.trim_start_matches(is_around);
    if !text.bytes().take(120).any(|b| b.is_ascii_digit()) {
        return false;
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return has_date(text);
    }
    if has_address(text) && holds_verb(text) {
        return true;
    }
    let near = &text[..text.floor_char_boundary(60)];
    let lower = near.to_lowercase();
    (ON.are_in(&lower) && LANGUAGES.iter().flat_map(|l| l.on).any(|on| begins_with(&lower, on)))
        || (has_date(near) && begins_with_day(&lower))
}

/// A weekday, however it is shortened: a word of letters, a dot or comma, and a digit soon.
fn begins_with_day(lower: &str) -> bool {
    let word = lower.chars().take_while(|c| c.is_alphabetic()).count();
    let end = lower.char_indices().nth(word).map_or(lower.len(), |(at, _)| at);
    (2..=12).contains(&word)
        && lower[end..].starts_with([',', '.'])
        && lower[end..].bytes().take(12).any(|b| b.is_ascii_digit())
}

/// It may be the end of an attribution: a colon, or no punctuation at all.
fn may_end(text: &str) -> bool {
    let text = without_formats(text).trim_end_matches(['-', ' ', '*', '_']);
    match text.chars().next_back() {
        Some(':' | '：' | '﹕') => true,
        Some(c) => (c.is_alphabetic() || c == ')') && ends_with_verb(text),
        None => false,
    }
}

fn ends_with_verb(text: &str) -> bool {
    let near = &text[text.ceil_char_boundary(text.len().saturating_sub(40))..];
    let lower = near.to_lowercase();
    VERBS.are_in(&lower) && LANGUAGES.iter().flat_map(|l| l.wrote).any(|verb| line::ends_with(&lower, verb))
}

fn holds_verb(text: &str) -> bool {
    let lower = text.to_lowercase();
    VERBS.are_in(&lower) && LANGUAGES.iter().flat_map(|l| l.wrote).any(|verb| line::holds(&lower, verb))
}

/// A line that ends a sentence is no line that an attribution was wrapped at; short words with a dot are.
fn ends_sentence(text: &str) -> bool {
    let last = text.rsplit(char::is_whitespace).next().unwrap_or_default();
    text.ends_with(['!', '?', '。', ';']) || (text.ends_with('.') && last.chars().count() > 5)
}
