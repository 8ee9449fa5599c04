//! Transfer encodings (RFC 2045 §6), read leniently: whatever can be decoded is, the rest is left out.
//!
//! The two readers agree to the byte: `Counter` says during the scan how long a span will be once `Decoder` opened it.

use super::{Encoding, Span, uuencode};

/// The bytes of a span, decoded in one go.
pub fn decode_span(bytes: &[u8], encoding: Encoding) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut decoder = Decoder::new(encoding);
    decoder.feed(bytes, &mut out);
    decoder.finish(&mut out);
    out
}

/// Opens a transfer encoding piece by piece; pieces may end anywhere.
#[derive(Debug)]
pub struct Decoder(State);

#[derive(Debug)]
enum State {
    Identity,
    Base64 {
        bits: u32,
        digits: u8,
    },
    QuotedPrintable(Escape),
    Uuencode(uuencode::Lines),
    /// Of what `outer` gives, so much is not wanted, and so much then is.
    Within {
        outer: Box<Decoder>,
        skip: u64,
        left: u64,
    },
}

fn take(piece: &[u8], skip: &mut u64, left: &mut u64, out: &mut Vec<u8>) {
    let start = piece.len().min(usize::try_from(*skip).unwrap_or(usize::MAX));
    let end = start + (piece.len() - start).min(usize::try_from(*left).unwrap_or(usize::MAX));
    out.extend_from_slice(&piece[start..end]);
    *skip -= start as u64;
    *left -= (end - start) as u64;
}

/// Where a quoted-printable reader stands.
#[derive(Clone, Copy, Debug)]
enum Escape {
    None,
    Equals,
    /// `=` and one hexadecimal digit.
    Digit(u8),
    /// `=` and white space: a soft line break if the line ends here (RFC 2045 §6.7 (3): trailing white space does not count).
    Space,
    /// `=` and CR.
    Return,
}

impl Decoder {
    pub fn new(encoding: Encoding) -> Decoder {
        Decoder(match encoding {
            Encoding::Identity => State::Identity,
            Encoding::Base64 => State::Base64 { bits: 0, digits: 0 },
            Encoding::QuotedPrintable => State::QuotedPrintable(Escape::None),
            Encoding::Uuencode => State::Uuencode(uuencode::Lines::default()),
            Encoding::Within { outer, start, length } => {
                State::Within { outer: Box::new(Decoder::new(outer.into())), skip: start, left: length }
            }
        })
    }

    pub fn feed(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        match &mut self.0 {
            State::Identity => out.extend_from_slice(piece),
            State::Base64 { bits, digits } => feed_base64(piece, bits, digits, out),
            State::QuotedPrintable(escape) => feed_quoted(piece, escape, &mut |b| out.extend_from_slice(b)),
            State::Uuencode(lines) => lines.feed(piece, out),
            State::Within { outer, skip, left } => {
                let mut inside = Vec::new();
                outer.feed(piece, &mut inside);
                take(&inside, skip, left, out);
            }
        }
    }

    /// Gives out what was still waiting for its other half.
    pub fn finish(self, out: &mut Vec<u8>) {
        match self.0 {
            State::Identity => {}
            State::Base64 { bits, digits } => flush_base64(bits, digits, out),
            State::QuotedPrintable(escape) => finish_quoted(escape, &mut |b| out.extend_from_slice(b)),
            State::Uuencode(lines) => drop(lines.finish(out)),
            State::Within { outer, mut skip, mut left } => {
                let mut inside = Vec::new();
                outer.finish(&mut inside);
                take(&inside, &mut skip, &mut left, out);
            }
        }
    }
}

/// Value of each base64 digit (RFC 4648 §4), or 64 for what is none.
const DIGITS: [u8; 256] = {
    let mut table = [64; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut value = 0;
    while value < 64 {
        table[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    table
};

fn feed_base64(piece: &[u8], bits: &mut u32, digits: &mut u8, out: &mut Vec<u8>) {
    for &byte in piece {
        let value = DIGITS[byte as usize];
        if value < 64 {
            *bits = (*bits << 6) | u32::from(value);
            *digits += 1;
            if *digits == 4 {
                out.extend_from_slice(&bits.to_be_bytes()[1..]);
                (*bits, *digits) = (0, 0);
            }
        } else if byte == b'=' {
            // Padding ends a piece, not the body: some programs encode line by line and join the lines.
            flush_base64(*bits, *digits, out);
            (*bits, *digits) = (0, 0);
        }
    }
}

fn flush_base64(bits: u32, digits: u8, out: &mut Vec<u8>) {
    match digits {
        2 => out.push((bits >> 4) as u8),
        3 => out.extend_from_slice(&((bits >> 2) as u16).to_be_bytes()),
        _ => {}
    }
}

fn feed_quoted(piece: &[u8], escape: &mut Escape, sink: &mut impl FnMut(&[u8])) {
    let mut rest = piece;
    while let Some((&byte, tail)) = rest.split_first() {
        if let Escape::None = *escape {
            let at = memchr::memchr(b'=', rest).unwrap_or(rest.len());
            sink(&rest[..at]);
            if at < rest.len() {
                *escape = Escape::Equals;
            }
            rest = rest.get(at + 1..).unwrap_or_default();
            continue;
        }
        let (next, is_taken) = step(*escape, byte, sink);
        *escape = next;
        if is_taken {
            rest = tail;
        }
    }
}

/// One byte behind a `=`. What is no escape stands for itself, and the byte that showed it is read again.
fn step(escape: Escape, byte: u8, sink: &mut impl FnMut(&[u8])) -> (Escape, bool) {
    match (escape, byte) {
        (Escape::Equals | Escape::Space | Escape::Return, b'\n') => (Escape::None, true),
        (Escape::Equals | Escape::Space, b'\r') => (Escape::Return, true),
        (Escape::Equals | Escape::Space, b' ' | b'\t') => (Escape::Space, true),
        (Escape::Equals, digit) if digit.is_ascii_hexdigit() => (Escape::Digit(digit), true),
        (Escape::Digit(high), low) if low.is_ascii_hexdigit() => {
            sink(&[(hex_value(high) << 4) | hex_value(low)]);
            (Escape::None, true)
        }
        (Escape::Return, _) => (Escape::None, false),
        (escape, _) => {
            give_back(escape, sink);
            (Escape::None, false)
        }
    }
}

fn give_back(escape: Escape, sink: &mut impl FnMut(&[u8])) {
    match escape {
        Escape::Equals => sink(b"="),
        Escape::Space => sink(b"= "),
        Escape::Digit(digit) => sink(&[b'=', digit]),
        Escape::None | Escape::Return => {}
    }
}

/// A `=` at the very end is a soft line break whose line end the boundary took.
fn finish_quoted(escape: Escape, sink: &mut impl FnMut(&[u8])) {
    if let Escape::Digit(_) = escape {
        give_back(escape, sink);
    }
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// Counts how many bytes a `Decoder` would give, without making them.
#[derive(Debug)]
pub(super) struct Counter {
    state: State,
    bytes: u64,
    /// Base64 digits since the last padding.
    digits: u64,
}

impl Counter {
    pub fn new(encoding: Encoding) -> Counter {
        Counter { state: Decoder::new(encoding).0, bytes: 0, digits: 0 }
    }

    pub fn feed(&mut self, mut piece: &[u8]) {
        let bytes = &mut self.bytes;
        match &mut self.state {
            State::Identity => *bytes += piece.len() as u64,
            State::QuotedPrintable(escape) => feed_quoted(piece, escape, &mut |b| *bytes += b.len() as u64),
            State::Uuencode(lines) => {
                let mut opened = Vec::new();
                lines.feed(piece, &mut opened);
                *bytes += opened.len() as u64;
            }
            // No part of a message comes in this: it is found in parts.
            State::Within { .. } => {}
            State::Base64 { .. } => {
                while let Some(at) = memchr::memchr(b'=', piece) {
                    *bytes += bytes_of_digits(self.digits + count_digits(&piece[..at]));
                    self.digits = 0;
                    piece = &piece[at + 1..];
                }
                self.digits += count_digits(piece);
            }
        }
    }

    /// None: the bytes are not in this encoding.
    pub fn finish(self) -> Option<u64> {
        let mut bytes = self.bytes + bytes_of_digits(self.digits);
        match self.state {
            State::QuotedPrintable(escape) => finish_quoted(escape, &mut |b| bytes += b.len() as u64),
            State::Uuencode(lines) => {
                let mut opened = Vec::new();
                if !lines.finish(&mut opened) {
                    return None;
                }
                bytes += opened.len() as u64;
            }
            _ => {}
        }
        Some(bytes)
    }
}

fn bytes_of_digits(digits: u64) -> u64 {
    digits / 4 * 3 + [0, 0, 1, 2][(digits % 4) as usize]
}

/// Written without branches and with byte-wide sums, so that the compiler makes it a vector loop: this line reads
/// every byte of every attachment.
fn count_digits(piece: &[u8]) -> u64 {
    let is_digit = |b: u8| {
        ((b | 0x20).wrapping_sub(b'a') < 26) | (b.wrapping_sub(b'0') < 10) | (b == b'+') | (b == b'/')
    };
    piece.chunks(255).map(|c| u64::from(c.iter().map(|&b| u8::from(is_digit(b))).sum::<u8>())).sum()
}

impl Span {
    /// The span's bytes of a message that is at hand as a whole.
    pub fn of<'m>(&self, message: &'m [u8]) -> &'m [u8] {
        let start = usize::try_from(self.offset).unwrap_or(usize::MAX).min(message.len());
        let length = usize::try_from(self.length).unwrap_or(usize::MAX).min(message.len() - start);
        &message[start..start + length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn base64_is_decoded_as_far_as_it_can_be() {
        for (encoded, expected) in [
            ("aGVsbG8=", "hello"),
            ("aGVs\r\nbG8=\r\n", "hello"),
            ("aGVsbG8", "hello"),
            ("aGVs*bG8=", "hello"),
            ("aGk=aGk=", "hihi"),
            ("aGVsbG8=====", "hello"),
            ("a", ""),
            ("", ""),
        ] {
            assert_eq!(decode_span(encoded.as_bytes(), Encoding::Base64), expected.as_bytes(), "{encoded}");
        }
    }

    #[test]
    fn quoted_printable_is_decoded_as_far_as_it_can_be() {
        for (encoded, expected) in [
            ("a=3Db", "a=b"),
            ("a=3db", "a=b"),
            ("soft=\r\nbreak", "softbreak"),
            ("soft=  \nbreak", "softbreak"),
            ("soft=", "soft"),
            ("1=1 = 2", "1=1 = 2"),
            ("a=4", "a=4"),
            ("=zz", "=zz"),
            ("=4z", "=4z"),
            ("==41", "=A"),
            ("line\r\nline", "line\r\nline"),
        ] {
            assert_eq!(
                decode_span(encoded.as_bytes(), Encoding::QuotedPrintable),
                expected.as_bytes(),
                "{encoded}"
            );
        }
    }

    proptest! {
        #[test]
        fn pieces_and_counts_agree_with_the_whole(
            bytes in "(begin 644 x\n)?[A-Za-z0-9+/= \t\r\n*]{0,60}(\nend\n)?", cut in 0usize..80,
            encoding in prop_oneof![
                Just(Encoding::Identity),
                Just(Encoding::Base64),
                Just(Encoding::QuotedPrintable),
                Just(Encoding::Uuencode),
            ],
        ) {
            let bytes = bytes.as_bytes();
            let (head, tail) = bytes.split_at(cut.min(bytes.len()));
            let (mut decoder, mut counter, mut out) = (Decoder::new(encoding), Counter::new(encoding), Vec::new());
            for piece in [head, tail] {
                decoder.feed(piece, &mut out);
                counter.feed(piece);
            }
            decoder.finish(&mut out);
            prop_assert_eq!(&out, &decode_span(bytes, encoding));
            let is_file = encoding != Encoding::Uuencode || bytes.trim_ascii_start().starts_with(b"begin ");
            prop_assert_eq!(counter.finish(), is_file.then_some(out.len() as u64));
        }
    }
}
