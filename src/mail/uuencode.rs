//! Files that old programs put into a text, or make the body of a part, as lines (POSIX uuencode): `begin 644 name`, lines,
//! `end`.

use std::ops::Range;

use memchr::memmem;

/// The longest line that a program writes: 45 bytes make 61 characters, and some add a checksum.
const MAX_LINE: usize = 100;
/// What is looked at of a line; blanks may stand behind what a program wrote, and a file may have a long name.
const MAX_LOOKED_AT: usize = 4 * MAX_LINE;
const MAX_FILES: usize = 100;

pub(super) struct File<'b> {
    pub name: &'b [u8],
    /// From `begin` to the end of the `end` line.
    pub range: Range<usize>,
    /// Decoded bytes.
    pub size: u64,
}

/// The files in a text, in order.
pub(super) fn files(text: &[u8]) -> Vec<File<'_>> {
    let mut files: Vec<File> = Vec::new();
    let mut at = 0;
    for begin in memmem::find_iter(text, b"begin ") {
        if begin < at || (begin > 0 && text[begin - 1] != b'\n') || files.len() == MAX_FILES {
            continue;
        }
        match file(text, begin) {
            Ok(file) => {
                at = file.range.end;
                files.push(file);
            }
            Err(looked_at) => at = looked_at,
        }
    }
    files
}

/// The same text without them.
pub(super) fn without(text: &[u8], files: &[File<'_>]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(text.len());
    let mut at = 0;
    for file in files {
        kept.extend_from_slice(&text[at..file.range.start]);
        at = file.range.end;
    }
    kept.extend_from_slice(&text[at..]);
    kept
}

/// The file that begins at `begin`, or up to where there is none.
fn file(text: &[u8], begin: usize) -> Result<File<'_>, usize> {
    let mut lines = text[begin..].split_inclusive(ends_line);
    let head = lines.next().unwrap_or_default();
    let mut end = begin + head.len();
    let Some(name) = name_in(head) else { return Err(end) };
    let mut size = 0;
    for line in lines {
        end += line.len();
        let line = line.trim_ascii_end();
        if line == b"end" {
            end += usize::from(text[..end].ends_with(b"\r") && text[end..].starts_with(b"\n"));
            return Ok(File { name, range: begin..end, size });
        }
        match length_of(line) {
            Some(bytes) => size += bytes as u64,
            None => return Err(end),
        }
    }
    Err(end)
}

/// A bare CR ends a line as well; CRLF are the end of a line and a blank line, which holds nothing.
fn ends_line(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// The name in a line that begins a file: `begin 644 name`.
fn name_in(line: &[u8]) -> Option<&[u8]> {
    let words = line.strip_prefix(b"begin ")?.trim_ascii();
    let mode = words.iter().take_while(|b| (b'0'..=b'7').contains(b)).count();
    let name = words[mode..].trim_ascii();
    let is_whole = !name.is_empty() && line.len() <= MAX_LOOKED_AT;
    ((3..=4).contains(&mode) && words.get(mode) == Some(&b' ') && is_whole).then_some(name)
}

/// How many bytes a line says that it holds; none if it is no such line.
fn length_of(line: &[u8]) -> Option<usize> {
    let Some(first) = line.first() else { return Some(0) };
    let is_line = line.len() <= MAX_LINE && line.iter().all(|b| (b' '..=b'`').contains(b));
    let length = usize::from(first.wrapping_sub(b' ') & 0x3f);
    let room = (line.len() - 1).div_ceil(4) * 3;
    // Blanks at the end of a line get lost on the way: a line may be shorter than it says.
    (is_line && (*first >= b' ') && (room + 24 >= length || length == 0)).then_some(length)
}

/// Opens such lines, from `begin` to `end`, as they come.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pending: Vec<u8>,
    at: At,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum At {
    /// No line but blank ones.
    #[default]
    Start,
    Within,
    End,
    /// The first line begins no file, so there is none.
    NoFile,
}

impl Lines {
    pub fn feed(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        for part in piece.split_inclusive(ends_line) {
            let room = MAX_LOOKED_AT.saturating_sub(self.pending.len());
            self.pending.extend_from_slice(&part[..part.len().min(room)]);
            if part.last().is_some_and(ends_line) {
                self.line(out);
            }
        }
    }

    /// Whether these were the lines of a file.
    pub fn finish(mut self, out: &mut Vec<u8>) -> bool {
        self.line(out);
        matches!(self.at, At::Within | At::End)
    }

    fn line(&mut self, out: &mut Vec<u8>) {
        let line = std::mem::take(&mut self.pending);
        let line = line.trim_ascii_end();
        if line.is_empty() {
            return;
        }
        let before = self.at;
        self.at = match before {
            At::Start if name_in(line).is_some() => At::Within,
            At::Start => At::NoFile,
            At::Within if line == b"end" => At::End,
            other => other,
        };
        let is_of_file = before == At::Within && self.at == At::Within;
        let Some(length) = length_of(line).filter(|_| is_of_file) else { return };
        let digit = |at: usize| line.get(at).map_or(0, |b| b.wrapping_sub(b' ') & 0x3f);
        for at in 0..length {
            let from = 1 + at / 3 * 4 + at % 3;
            let (high, low) = (digit(from), digit(from + 1));
            out.push(match at % 3 {
                0 => high << 2 | low >> 4,
                1 => high << 4 | low >> 2,
                _ => high << 6 | low,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Encoding;
    use super::super::decode::decode_span;
    use super::*;

    const TEXT: &str =
        "Here it is\n\nbegin 644 a file.txt\n#8V%T\n`\nend\nand on\nbegin 644 words\nof mine\nend\n";

    #[test]
    fn files_are_told_from_words() {
        let files = files(TEXT.as_bytes());
        assert_eq!(files.len(), 1);
        assert_eq!((files[0].name, files[0].size), (&b"a file.txt"[..], 3));
        assert_eq!(decode_span(&TEXT.as_bytes()[files[0].range.clone()], Encoding::Uuencode), b"cat");
        let rest = without(TEXT.as_bytes(), &files);
        assert_eq!(rest, b"Here it is\n\nand on\nbegin 644 words\nof mine\nend\n");
    }

    #[test]
    fn what_is_found_is_what_is_opened_wherever_lines_end() {
        let blanks = " ".repeat(MAX_LOOKED_AT);
        for (text, found) in [
            ("begin 644 a\r#8V%T\r`\rend\rand on", 1),
            ("begin 644 a\r\n#8V%T\r\n`\r\nend\r\nand on", 1),
            ("begin 644 a\r#8V%T\n`\nend\nand on", 1),
            ("begin 644 \r a\n#8V%T\n`\nend\nand on", 0),
            (&format!("begin 644{blanks}a\n#8V%T\n`\nend\nand on"), 0),
            (&format!("begin 644 a\n#8V%T{blanks}\n`\nend{blanks}\nand on"), 1),
        ] {
            let files = super::files(text.as_bytes());
            assert_eq!(files.len(), found, "{text:?}");
            for file in files {
                let opened = decode_span(&text.as_bytes()[file.range.clone()], Encoding::Uuencode);
                assert_eq!(
                    (file.size, &opened[..], &text[file.range.end..]),
                    (3, &b"cat"[..], "and on"),
                    "{text:?}"
                );
            }
        }
    }

    #[test]
    fn a_text_of_many_beginnings_takes_linear_time() {
        let text = "begin 644 x\n".repeat(100_000);
        assert!(super::files(text.as_bytes()).is_empty());
    }
}
