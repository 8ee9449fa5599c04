//! A text as the body of a part (RFC 2045 §6): as it is where the wire takes it so, else quoted-printable, or base64 where
//! that would be longer.

use lettre::message::Body;
use lettre::message::header::ContentTransferEncoding;

use crate::mail::Encoding;
use crate::mail::transfer::{LINE, Recoder};

/// RFC 5322 §2.1.1: so long a line should be at most where nothing encodes it.
const PLAIN_LINE: usize = 78;
const HEX: &[u8; 16] = b"0123456789ABCDEF";

pub(super) fn body(text: &str) -> Body {
    let odd: usize = lines(text).map(|(line, _)| line.iter().filter(|byte| !is_plain(**byte)).count()).sum();
    if odd == 0 && lines(text).all(|(line, _)| line.len() <= PLAIN_LINE) {
        return encoded(text, ContentTransferEncoding::SevenBit, |line, out| out.extend_from_slice(line));
    }
    if odd * 3 <= text.len() {
        return encoded(text, ContentTransferEncoding::QuotedPrintable, quoted_line);
    }
    let lines = encoded(text, ContentTransferEncoding::Binary, |line, out| out.extend_from_slice(line));
    let (mut recoder, mut out) = (Recoder::new(Encoding::Identity), Vec::new());
    recoder.push(lines.as_ref(), &mut out);
    recoder.finish(&mut out);
    Body::dangerous_pre_encoded(out, ContentTransferEncoding::Base64)
}

/// What may stand in a line as it is, but for white space at its end.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~')
}

/// Each line, and whether it ends: the last one may not.
fn lines(text: &str) -> impl Iterator<Item = (&[u8], bool)> {
    text.as_bytes().split_inclusive(|byte| *byte == b'\n').map(|line| match line.strip_suffix(b"\n") {
        Some(line) => (line.strip_suffix(b"\r").unwrap_or(line), true),
        None => (line, false),
    })
}

/// Every line by `write`, with CRLF behind it where it ends.
fn encoded(text: &str, encoding: ContentTransferEncoding, write: fn(&[u8], &mut Vec<u8>)) -> Body {
    let mut out = Vec::with_capacity(text.len() + text.len() / 8);
    for (line, is_ended) in lines(text) {
        write(line, &mut out);
        if is_ended {
            out.extend_from_slice(b"\r\n");
        }
    }
    Body::dangerous_pre_encoded(out, encoding)
}

/// RFC 2045 §6.7: runs of plain characters as they are, the others as `=XX`, soft breaks where the line is too long.
fn quoted_line(line: &[u8], out: &mut Vec<u8>) {
    let (mut rest, mut column) = (line, 0);
    while let Some(&first) = rest.first() {
        let near = &rest[..rest.len().min(LINE + 1)];
        let run = near.iter().position(|byte| !matches!(byte, b'\t' | b' '..=b'<' | b'>'..=b'~'));
        let mut run = run.unwrap_or(near.len());
        // (3): white space at the end of a line would be lost.
        run -= usize::from(run == rest.len() && matches!(rest[run - 1], b' ' | b'\t'));
        let is_end = run.max(1) == rest.len();
        // The last place of a line is for the `=` of a soft break, unless the line ends here anyway.
        let room = if is_end && column + run.max(1) <= LINE { LINE } else { LINE - 1 } - column;
        if room < if run == 0 { 3 } else { 1 } {
            out.extend_from_slice(b"=\r\n");
            column = 0;
        } else if run == 0 {
            out.extend_from_slice(&[b'=', HEX[usize::from(first >> 4)], HEX[usize::from(first & 15)]]);
            (rest, column) = (&rest[1..], column + 3);
        } else {
            let taken = run.min(room);
            out.extend_from_slice(&rest[..taken]);
            (rest, column) = (&rest[taken..], column + taken);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> (ContentTransferEncoding, String) {
        let body = body(text);
        (body.encoding(), String::from_utf8(body.into_vec()).expect("ASCII"))
    }

    /// The builder's own encoder, slower and surer, as the measure.
    fn as_the_builder(text: &str, encoding: ContentTransferEncoding) -> String {
        let body = Body::new_with_encoding(text.to_owned(), encoding).expect("this one takes everything");
        String::from_utf8(body.into_vec()).expect("ASCII")
    }

    #[test]
    fn short_ascii_goes_as_it_is() {
        let wide = "x".repeat(78);
        for (text, expected) in
            [("", ""), ("a\nb", "a\r\nb"), ("a \t\r\nb\n", "a \t\r\nb\r\n"), (wide.as_str(), wide.as_str())]
        {
            assert_eq!(written(text), (ContentTransferEncoding::SevenBit, expected.to_owned()));
        }
    }

    #[test]
    fn long_or_foreign_lines_are_quoted_as_the_builder_quotes_them() {
        let mut texts = vec![
            "Viele Grüße\n".to_owned(),
            "a\0bc".to_owned(),
            "ends in a bare CR\r".to_owned(),
            "a bare \r within\n".to_owned(),
            "=".repeat(79),
        ];
        // Each place around the end of a line, for each kind of character that may stand there.
        for length in 70..=82 {
            for piece in ["x", " ", "\t", "=", "ü", " x", "x ", "=x", "ü ", "ü=", "==", "üü", "  "] {
                for before in ["ü", "=", " "] {
                    let head = format!("ä\n{before}{}", "y".repeat(length));
                    texts.push(format!("{head}{piece}"));
                    texts.push(format!("{head}{piece}\nz"));
                    texts.push(format!("{head}{piece}\r\nz"));
                    texts.push(format!("{head}{piece}{}", "w".repeat(200)));
                }
            }
        }
        for text in texts {
            let (encoding, quoted) = written(&text);
            assert_eq!(encoding, ContentTransferEncoding::QuotedPrintable, "{text:?}");
            assert_eq!(quoted, as_the_builder(&text, encoding), "{text:?}");
            assert!(quoted.split("\r\n").all(|line| line.len() <= 76), "{quoted}");
        }
    }

    #[test]
    fn what_quoting_would_blow_up_becomes_base64() {
        for text in ["Привет, как дела?\n".repeat(9), "印刷機".to_owned(), "\r".to_owned()] {
            let (encoding, written) = written(&text);
            assert_eq!(encoding, ContentTransferEncoding::Base64);
            assert_eq!(written, as_the_builder(&text, encoding));
        }
    }
}
