//! Header values as words: unfolding, encoded words (RFC 2047), raw 8-bit text, and nothing that could do harm.
//!
//! Neighbouring words of one charset are joined before they are decoded: many programs cut a character in two.

use std::borrow::Cow;

use base64::Engine;
use memchr::memmem;

use super::decode::decode_span;
use super::{Encoding, charset};

/// A value for people and rules: one line, decoded, without control characters.
pub(super) fn decode(raw: &[u8]) -> String {
    decode_with(raw, unicode)
}

/// As `decode`, but of raw text what RFC 6532 gives a meaning, with U+FFFD for every other byte.
pub(super) fn decode_certain(raw: &[u8]) -> String {
    decode_with(raw, String::from_utf8_lossy)
}

fn decode_with(raw: &[u8], plain: fn(&[u8]) -> Cow<'_, str>) -> String {
    let value = one_line(raw);
    if memmem::find(&value, b"=?").is_none() {
        return clean(&plain(&value));
    }
    let mut out = String::with_capacity(value.len());
    each_piece(&value, |piece| match piece {
        Piece::Plain(text) => out.push_str(&plain(text)),
        Piece::Decoded(text) => out.push_str(&text),
    });
    clean(&out)
}

/// The value with every run of encoded words as one word in UTF-8, on one line: for readers of structured values,
/// which must find the structure before the words are decoded (RFC 2047 §6.2).
pub(super) fn normalize(raw: &[u8]) -> String {
    let value = one_line(raw);
    let mut out = String::with_capacity(value.len() + 1);
    each_piece(&value, |piece| match piece {
        Piece::Plain(text) => out.push_str(&unicode(text)),
        Piece::Decoded(text) => {
            let engine = base64::engine::general_purpose::STANDARD;
            out.push_str("=?utf-8?B?");
            out.push_str(&engine.encode(clean(&text)));
            out.push_str("?=");
        }
    });
    out
}

/// Line breaks and control characters as spaces, NUL left out, no space at the ends.
pub(super) fn clean(text: &str) -> String {
    let text = text.trim();
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    let kept = text.chars().filter(|c| *c != '\0');
    let text: String = kept.map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.trim().to_owned()
}

/// Unfolded (RFC 5322 §2.2.3): white space at a fold is what folding put there, or had there; one space says as much.
fn one_line(raw: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr3(b'\n', b'\r', 0, raw).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut line = Vec::with_capacity(raw.len());
    for piece in raw.split(|b| matches!(b, b'\n' | b'\r')).map(<[u8]>::trim_ascii).filter(|p| !p.is_empty()) {
        line.extend_from_slice(if line.is_empty() { b"" } else { b" " });
        line.extend(piece.iter().filter(|b| **b != 0));
    }
    Cow::Owned(line)
}

/// What stands raw in a header, which no standard allows.
fn unicode(text: &[u8]) -> Cow<'_, str> {
    if memmem::find(text, b"\x1b$").is_some() {
        // ISO-2022-JP: seven bits wide, so nothing but its escapes shows what it is.
        return encoding_rs::ISO_2022_JP.decode(text).0;
    }
    charset::utf8_or_western(text)
}

enum Piece<'v> {
    Plain(&'v [u8]),
    Decoded(String),
}

struct Word<'v> {
    charset: &'v [u8],
    bytes: Vec<u8>,
    length: usize,
}

fn each_piece<'v>(value: &'v [u8], mut give: impl FnMut(Piece<'v>)) {
    let mut run: Option<Word<'v>> = None;
    let mut plain_from = 0;
    let mut at = 0;
    while let Some(found) = memmem::find(&value[at..], b"=?").map(|f| f + at) {
        let word = match word_at(&value[found..]) {
            Found::Word(word) => word,
            Found::None => {
                at = found + 2;
                continue;
            }
            Found::NoneToTheEnd => break,
        };
        let between = &value[plain_from..found];
        let length = word.length;
        run = Some(match run.take() {
            // RFC 2047 §6.2: white space between two encoded words is no part of the text.
            Some(last) if between.iter().all(u8::is_ascii_whitespace) => join(last, word, &mut give),
            last => {
                last.into_iter().for_each(|last| give(Piece::Decoded(text_of(&last))));
                give(Piece::Plain(between));
                word
            }
        });
        at = found + length;
        plain_from = at;
    }
    run.into_iter().for_each(|last| give(Piece::Decoded(text_of(&last))));
    give(Piece::Plain(&value[plain_from..]));
}

fn join<'v>(mut last: Word<'v>, word: Word<'v>, give: &mut impl FnMut(Piece<'v>)) -> Word<'v> {
    // ISO-2022-JP begins every word in ASCII, so joining would read the second in the first one's state.
    let is_stateful = last.charset.len() > 8 && last.charset[..8].eq_ignore_ascii_case(b"iso-2022");
    if last.charset.eq_ignore_ascii_case(word.charset) && !is_stateful {
        last.bytes.extend_from_slice(&word.bytes);
        return last;
    }
    give(Piece::Decoded(text_of(&last)));
    word
}

fn text_of(word: &Word) -> String {
    charset::decode(&word.bytes, std::str::from_utf8(word.charset).ok()).0
}

enum Found<'v> {
    Word(Word<'v>),
    None,
    /// No word ends behind here; without this a value of many beginnings would take quadratic time.
    NoneToTheEnd,
}

/// `=?charset?B?text?=`
fn word_at(value: &[u8]) -> Found<'_> {
    let inner = &value[2..];
    let Some(mark) = inner.iter().take(64).position(|b| *b == b'?') else { return Found::None };
    let (charset, rest) = inner.split_at(mark);
    let [b'?', kind, b'?', text @ ..] = rest else { return Found::None };
    if charset.is_empty() || charset.contains(&b' ') {
        return Found::None;
    }
    let Some(end) = memmem::find(text, b"?=") else { return Found::NoneToTheEnd };
    let bytes = match kind {
        b'B' | b'b' => decode_span(&text[..end], Encoding::Base64),
        b'Q' | b'q' => decode_q(&text[..end]),
        _ => return Found::None,
    };
    Found::Word(Word { charset, bytes, length: 2 + mark + 3 + end + 2 })
}

/// RFC 2047 §4.2: quoted-printable with `_` for the space.
fn decode_q(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text.iter().map(|b| if *b == b'_' { b' ' } else { *b }).collect();
    decode_span(&spaced, Encoding::QuotedPrintable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded() {
        for (raw, expected) in [
            (&b"plain"[..], "plain"),
            (b"folded\r\n\tvalue", "folded value"),
            (b"=?utf-8?Q?caf=C3=A9_au?= lait", "café au lait"),
            (b"=?ISO-8859-1?q?a?= =?iso-8859-1?Q?b?=", "ab"),
            (b"=?utf-8?B?w6k=?=\r\n =?utf-8?B?w6k=?=", "éé"),
            (b"=?utf-8?Q?=C3?= =?utf-8?Q?=A9?=", "é"),
            (b"=?iso-2022-jp?B?GyRCJDMbKEI=?= =?iso-2022-jp?B?GyRCJHMbKEI=?=", "こん"),
            (b"=?koi8-r?B?8NLJ?= =?utf-8?Q?x?=", "Приx"),
            (b"=?utf-8?B?w6kg%%%?= =?x-foo?Q?=ZZ?= rest", "é =ZZ rest"),
            (b"a =?b?= c", "a =?b?= c"),
            (b"=?utf-8?X?abc?=", "=?utf-8?X?abc?="),
            (b"=?utf-8?Q?open", "=?utf-8?Q?open"),
            (b"caf\xe9 \xc3\xa9", "café é"),
            (b"=?iso-8859-1?Q?caf\xe9_=E9?= \xe9", "café é é"),
            (b"a\0b\x07c", "ab c"),
            (b"\x1b$B$3\x1b(B", "こ"),
            (b"=?utf-8?Q?a=0D=0AX:_b?=", "a  X: b"),
        ] {
            assert_eq!(decode(raw), expected, "{}", raw.escape_ascii());
        }
    }

    #[test]
    fn structured_values_get_one_word_a_run() {
        assert_eq!(normalize(b"=?utf-8?Q?=C3?=\n =?utf-8?Q?=A9?= <a@x.test>"), "=?utf-8?B?w6k=?= <a@x.test>");
    }

    #[test]
    fn a_value_of_open_words_is_read_in_linear_time() {
        let raw = b"=?a?Q?x".repeat(40_000);
        assert_eq!(decode(&raw).len(), raw.len());
    }
}
