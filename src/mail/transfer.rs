//! A span of raw mail on its way out: from the encoding it has to one that the wire may carry (RFC 2045 §6).
//!
//! base64 stays base64 and quoted-printable stays itself, in legal lines, whatever the sender's lines were; what has no
//! encoding becomes base64. Piece by piece, so that no attachment is ever whole in memory.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Encoding;
use super::decode::Decoder;

/// RFC 2045 §6.7 and §6.8: encoded lines have at most 76 characters.
pub(super) const LINE: usize = 76;
/// Bytes that make one such line of base64.
const LINE_BYTES: usize = 57;
/// How much of a quoted-printable line waits for its end; a line is as long as its sender likes.
const LONGEST_PENDING: usize = 1024;

/// The encoding under which a span goes out.
pub fn on_the_wire(encoding: Encoding) -> Encoding {
    match encoding {
        Encoding::QuotedPrintable => Encoding::QuotedPrintable,
        _ => Encoding::Base64,
    }
}

/// How many bytes a span becomes: exact for what is encoded here, else an estimate.
pub fn size_on_the_wire(length: u64, encoding: Encoding) -> u64 {
    match encoding {
        Encoding::Base64 | Encoding::QuotedPrintable | Encoding::Uuencode => length,
        Encoding::Identity => as_base64(length),
        Encoding::Within { length, .. } => as_base64(length),
    }
}

fn as_base64(length: u64) -> u64 {
    let characters = length.div_ceil(3) * 4;
    characters + characters.div_ceil(LINE as u64).saturating_sub(1) * 2
}

/// Turns the bytes of one span, as they come, into lines for the wire. No CRLF is added behind the last one.
pub struct Recoder {
    encoding: Encoding,
    /// Opens what no mail program would know, so that it goes out as base64.
    opener: Option<Decoder>,
    /// Characters on the line begun.
    column: usize,
    /// Identity: bytes that do not fill a line yet. Quoted-printable: the line begun.
    pending: Vec<u8>,
    /// The last byte was CR, so an LF now belongs to it.
    after_cr: bool,
}

impl Recoder {
    pub fn new(encoding: Encoding) -> Recoder {
        let opener = matches!(encoding, Encoding::Uuencode | Encoding::Within { .. });
        let opener = opener.then(|| Decoder::new(encoding));
        Recoder { encoding, opener, column: 0, pending: Vec::new(), after_cr: false }
    }

    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match self.encoding {
            Encoding::Base64 => {
                for &byte in bytes {
                    if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=') {
                        self.put(byte, out);
                    }
                }
            }
            Encoding::Identity => self.push_identity(bytes, out),
            Encoding::Uuencode | Encoding::Within { .. } => {
                let mut opened = Vec::with_capacity(bytes.len());
                self.opener.iter_mut().for_each(|opener| opener.feed(bytes, &mut opened));
                self.push_identity(&opened, out);
            }
            Encoding::QuotedPrintable => bytes.iter().for_each(|&byte| self.push_quoted(byte, out)),
        }
    }

    pub fn finish(mut self, out: &mut Vec<u8>) {
        match self.encoding {
            Encoding::Base64 => {}
            Encoding::Identity | Encoding::Uuencode | Encoding::Within { .. } => {
                let mut opened = Vec::new();
                if let Some(opener) = self.opener.take() {
                    opener.finish(&mut opened);
                }
                self.push_identity(&opened, out);
                let last = std::mem::take(&mut self.pending);
                STANDARD.encode(last).bytes().for_each(|byte| self.put(byte, out));
            }
            Encoding::QuotedPrintable => self.write_line(out),
        }
    }

    /// A character of base64.
    fn put(&mut self, byte: u8, out: &mut Vec<u8>) {
        if self.column == LINE {
            out.extend_from_slice(b"\r\n");
            self.column = 0;
        }
        out.push(byte);
        self.column += 1;
    }

    fn push_identity(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.pending.extend_from_slice(bytes);
        let whole = self.pending.len() / LINE_BYTES * LINE_BYTES;
        for line in self.pending[..whole].chunks_exact(LINE_BYTES) {
            if self.column > 0 {
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(STANDARD.encode(line).as_bytes());
            self.column = LINE;
        }
        self.pending.drain(..whole);
    }

    fn push_quoted(&mut self, byte: u8, out: &mut Vec<u8>) {
        let was_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
        match byte {
            b'\n' if was_cr => {}
            b'\r' | b'\n' => {
                self.write_line(out);
                out.extend_from_slice(b"\r\n");
            }
            _ => {
                self.pending.push(byte);
                if self.pending.len() > LONGEST_PENDING {
                    self.write_part_of_line(out);
                }
            }
        }
    }

    /// The end of a line is known: writes what is left of it.
    fn write_line(&mut self, out: &mut Vec<u8>) {
        let mut line = std::mem::take(&mut self.pending);
        // RFC 2045 §6.7 (3): white space at the end of a line was added on the way, and is not content.
        while matches!(line.last(), Some(b' ' | b'\t')) {
            line.pop();
        }
        self.write_quoted(&line, true, out);
        self.column = 0;
    }

    /// Writes a line that does not end, but for its last bytes: they may be half of an `=XX`, or white space at its end.
    fn write_part_of_line(&mut self, out: &mut Vec<u8>) {
        let mut end = self.pending.len() - 3;
        end = self.pending[..end].iter().rposition(|b| *b == b'=').filter(|at| at + 3 > end).unwrap_or(end);
        let part: Vec<u8> = self.pending.drain(..end).collect();
        self.write_quoted(&part, false, out);
    }

    /// `=XX` in one piece, soft breaks where the line is too long, and nothing but printable ASCII.
    fn write_quoted(&mut self, bytes: &[u8], is_line_end: bool, out: &mut Vec<u8>) {
        let mut rest = bytes;
        while let Some((&first, after)) = rest.split_first() {
            let is_escape = first == b'=' && after.len() >= 2 && after[..2].iter().all(u8::is_ascii_hexdigit);
            let is_soft_break = first == b'=' && after.is_empty() && is_line_end;
            let is_printable = matches!(first, b' '..=b'~' | b'\t') && first != b'=';
            let escaped = format!("={first:02X}");
            let (piece, taken) = match (is_escape, is_printable || is_soft_break) {
                (true, _) => (&rest[..3], 3),
                (false, true) => (&rest[..1], 1),
                (false, false) => (escaped.as_bytes(), 1),
            };
            // The last place of a line is for the `=` of a soft break, unless the line ends here anyway.
            let room = if is_line_end && taken == rest.len() { LINE } else { LINE - 1 };
            if self.column + piece.len() > room {
                out.extend_from_slice(b"=\r\n");
                self.column = 0;
            }
            out.extend_from_slice(piece);
            self.column += piece.len();
            rest = &rest[taken..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same bytes in pieces of every size give the same lines.
    fn recoded(encoding: Encoding, bytes: &[u8]) -> String {
        let mut first = None;
        for size in [1, 3, 57, 64, 1 << 20] {
            let mut out = Vec::new();
            let mut recoder = Recoder::new(encoding);
            bytes.chunks(size).for_each(|piece| recoder.push(piece, &mut out));
            recoder.finish(&mut out);
            let text = String::from_utf8(out).expect("the wire carries ASCII");
            assert_eq!(first.get_or_insert(text.clone()), &text, "in pieces of {size}");
        }
        first.unwrap_or_default()
    }

    fn assert_legal(text: &str) {
        for line in text.split("\r\n") {
            assert!(line.len() <= LINE && !line.contains(['\r', '\n']) && line.is_ascii(), "{line:?}");
        }
    }

    #[test]
    fn base64_keeps_its_characters_in_legal_lines() {
        let long = "QUJD".repeat(60);
        for raw in [long.clone(), long.replace("QUJDQUJD", "QUJD\nQUJD \r\n"), format!("\n{long}\n\n")] {
            let text = recoded(Encoding::Base64, raw.as_bytes());
            assert_legal(&text);
            assert_eq!(text.replace("\r\n", ""), raw.replace(['\r', '\n', ' '], ""));
        }
    }

    #[test]
    fn what_has_no_encoding_becomes_base64() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let text = recoded(Encoding::Identity, &bytes);
        assert_legal(&text);
        assert_eq!(text.len() as u64, size_on_the_wire(1000, Encoding::Identity));
        assert_eq!(STANDARD.decode(text.replace("\r\n", "")).unwrap(), bytes);
        assert_eq!(recoded(Encoding::Identity, b""), "");
        let line = recoded(Encoding::Identity, &bytes[..57]);
        assert_eq!(line.len() as u64, size_on_the_wire(57, Encoding::Identity));
    }

    #[test]
    fn files_within_files_and_uuencoded_ones_become_base64() {
        let within = Encoding::Within { outer: crate::mail::Outer::Base64, start: 3, length: 70 };
        let raw = STANDARD.encode([&b"abc"[..], &[b'x'; 70], b"rest"].concat());
        let text = recoded(within, raw.as_bytes());
        assert_legal(&text);
        assert_eq!(STANDARD.decode(text.replace("\r\n", "")).unwrap(), [b'x'; 70]);
        assert_eq!(text.len() as u64, size_on_the_wire(raw.len() as u64, within));
        let text = recoded(Encoding::Uuencode, b"begin 644 a.txt\r\n#8V%T\r\n`\r\nend\r\n");
        assert_eq!(STANDARD.decode(text).unwrap(), b"cat");
    }

    #[test]
    fn quoted_printable_stays_itself_in_legal_lines() {
        for (raw, expected) in [
            ("a=\r\nb=3D\r\n\r\nc\r\n", "a=\r\nb=3D\r\n\r\nc\r\n"),
            ("a\nb\rc  \t\r\n.d", "a\r\nb\r\nc\r\n.d"),
            ("caf\u{e9}=zz =", "caf=C3=A9=3Dzz ="),
            ("\u{0}\u{7f}", "=00=7F"),
        ] {
            assert_eq!(recoded(Encoding::QuotedPrintable, raw.as_bytes()), expected, "{raw:?}");
        }
        let long = format!("{}=3D{}", "x".repeat(74), "=C3=A4".repeat(900));
        let text = recoded(Encoding::QuotedPrintable, long.as_bytes());
        assert_legal(&text);
        assert_eq!(text.replace("=\r\n", ""), long);
        let full = format!("{}\r\n", "x".repeat(76));
        assert_eq!(recoded(Encoding::QuotedPrintable, full.as_bytes()), full);
    }
}
