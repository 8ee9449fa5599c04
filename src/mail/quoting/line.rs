//! The lines of a text, and what single lines say of themselves.

use super::Role;

/// Longer lines are somebody's words or garbage: no program marks anything with so long a line.
pub(super) const MARK_LIMIT: usize = 600;

/// Lines that are told apart; what follows is one more, however long. Nobody writes so many.
const MAX_LINES: usize = 20_000;

#[derive(Clone, Debug)]
pub(super) struct Line<'t> {
    /// In the text.
    pub start: usize,
    /// Without white space at its end.
    pub text: &'t str,
    pub role: Role,
}

impl Line<'_> {
    pub fn is_blank(&self) -> bool {
        self.text.is_empty()
    }

    /// It begins with `>`; a few blanks and initials may stand in front of it, as some programs have it.
    pub fn is_quoted(&self) -> bool {
        let text = self.text.trim_start_matches([' ', '\t', '\u{a0}']);
        text.starts_with('>') || text.strip_prefix('|').is_some_and(|t| t.starts_with([' ', '|', '>'])) || {
            let letters = text.bytes().take_while(u8::is_ascii_uppercase).count();
            (1..=3).contains(&letters)
                && text[letters..]
                    .strip_prefix('>')
                    .is_some_and(|t| t.is_empty() || t.starts_with([' ', '>']))
        }
    }

    /// Short enough to be a mark that a program made.
    pub fn may_be_mark(&self) -> bool {
        self.text.len() <= MARK_LIMIT && !self.text.is_empty()
    }

    /// It has what every mark has: a digit, a colon, an address or dashes. Cheap, for it is asked of every line.
    pub fn looks_marked(&self) -> bool {
        let bytes = self.text.as_bytes();
        let near = &bytes[..bytes.len().min(MARK_LIMIT)];
        near.iter().any(|b| b.is_ascii_digit() || matches!(b, b':' | b'@' | b'-' | b'_'))
            || !self.text.is_ascii() && self.text.contains(['：', '—', '–', '‐', '─', '﹕', '▼', '↑'])
            || matches!(
                self.text.trim_start().as_bytes().first(),
                Some(b'=' | b'*' | b'#' | b'~' | b'<' | b'[')
            )
    }

    pub fn is_free(&self) -> bool {
        self.role == Role::New
    }
}

pub(super) fn lines(text: &str) -> Vec<Line<'_>> {
    let mut lines = Vec::with_capacity(text.len() / 40 + 1);
    let mut start = 0;
    for piece in text.split_inclusive('\n') {
        if lines.len() == MAX_LINES {
            lines.push(Line { start, text: text[start..].trim_end(), role: Role::New });
            break;
        }
        let words = piece.trim_end();
        lines.push(Line { start, text: words, role: Role::New });
        start += piece.len();
    }
    lines
}

/// Says in which direction a text runs, or that it may not be broken here, and is not seen itself. Programs for Arabic
/// and Hebrew put such around what they write.
pub(super) fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}' | '\u{feff}')
}

pub(super) fn without_formats(text: &str) -> &str {
    if text.is_ascii() { text } else { text.trim_matches(is_format) }
}

/// A line of one character over and over: `____`, `-----`, `***`.
pub(super) fn is_ruler(text: &str, least: usize) -> bool {
    let text = text.trim();
    let Some(first) = text.chars().next().filter(|c| "-_=*#~+—–─━‐ᐧ".contains(*c)) else {
        return false;
    };
    let mut count = 0;
    text.chars().all(|c| {
        count += usize::from(c == first);
        c == first || c == ' '
    }) && count >= least
}

/// `18:02`, `2011-03-01`, `1.12.17`, a year: it may be when something was written.
pub(super) fn has_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(from) = bytes[at..].iter().position(u8::is_ascii_digit).map(|p| p + at) {
        let length = digits(&bytes[from..]);
        let after = from + length;
        let run = &bytes[from..after];
        let is_year = length == 4 && (run.starts_with(b"19") || run.starts_with(b"20"));
        let separator = bytes.get(after).copied().filter(|b| matches!(b, b':' | b'.' | b'/' | b'-'));
        let next = separator.map_or(0, |_| digits(&bytes[after + 1..]));
        let is_time = separator.is_some_and(|s| matches!(s, b':' | b'.')) && length <= 2 && next == 2;
        let is_date =
            length <= 2 && (1..=2).contains(&next) && bytes.get(after + 1 + next) == separator.as_ref();
        if is_year || is_time || is_date {
            return true;
        }
        at = after;
    }
    false
}

/// `10:00`: an hour, which a day may be mistaken for where a dot stands in it.
pub(super) fn has_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    memchr::memchr_iter(b':', bytes)
        .any(|at| at > 0 && is_digit(at - 1) && is_digit(at + 1) && is_digit(at + 2))
}

fn digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| b.is_ascii_digit()).count()
}

/// A day rather than only an hour.
pub(super) fn has_day(text: &str) -> bool {
    has_date(text) && text.bytes().filter(u8::is_ascii_digit).count() >= 5
}

pub(super) fn has_address(text: &str) -> bool {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'@', bytes).any(|at| {
        let is_word = |b: Option<&u8>| {
            b.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+'))
        };
        at > 0 && is_word(bytes.get(at - 1)) && is_word(bytes.get(at + 1))
    })
}

/// Whether `text` begins with the phrase, and the phrase ends there as a word.
pub(super) fn begins_with(text: &str, phrase: &str) -> bool {
    text.strip_prefix(phrase).is_some_and(|rest| {
        let ends = phrase.ends_with(|c: char| !c.is_alphanumeric());
        ends || !is_spaced(phrase) || rest.chars().next().is_none_or(|c| !c.is_alphanumeric())
    })
}

/// Whether `text` ends with the phrase, and the phrase begins there as a word.
pub(super) fn ends_with(text: &str, phrase: &str) -> bool {
    text.strip_suffix(phrase).is_some_and(|rest| {
        !is_spaced(phrase) || rest.chars().next_back().is_none_or(|c| !c.is_alphanumeric())
    })
}

/// Whether the phrase stands somewhere in `text` as a word.
pub(super) fn holds(text: &str, phrase: &str) -> bool {
    text.match_indices(phrase).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + phrase.len()..].chars().next();
        !is_spaced(phrase)
            || (before.is_none_or(|c| !c.is_alphanumeric()) && after.is_none_or(|c| !c.is_alphanumeric()))
    })
}

/// Whether words of this script are set apart by spaces: not so in Chinese, Japanese, and Korean endings.
fn is_spaced(phrase: &str) -> bool {
    !phrase.chars().any(is_unspaced)
}

/// Of a script whose words stand without spaces between them.
pub(super) fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{e7f}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}')
}
