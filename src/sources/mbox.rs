//! Messages out of an mbox, one after the other (RFC 4155; mboxo and mboxrd, see qmail's mbox(5)).
//!
//! A message begins behind a blank line with a line `From somebody date`. Lines of its text that would look so are quoted:
//! `>From ` (mboxo), and `>>From ` where it was quoted before (mboxrd); one `>` is taken off. Content-Length is not
//! believed. The file is read once, and memory holds one message of up to 1 MiB; a bigger one is spooled.

use std::fs::File;
use std::io::{self, BufRead, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use crate::clock::Micros;
use crate::intake::import::Imported;
use crate::intake::source::{Bytes, SPOOL_FROM};

/// Read at a time; a longer line comes in pieces.
const PIECE: u64 = 64 << 10;
const SEPARATOR: &[u8] = b"From ";

pub struct Mbox<R> {
    reader: R,
    spool: PathBuf,
    /// The separator of the message to come, once it was read.
    separator: Option<Vec<u8>>,
    /// The first separator bears a date: a line without one is text, and somebody has forgotten to quote it.
    is_dated: bool,
    is_begun: bool,
    /// Bytes read so far, and of them those before the separator of the message to come.
    offset: u64,
    next_start: u64,
}

impl<R: BufRead> Mbox<R> {
    /// `spool`: the folder for messages over 1 MiB.
    pub fn new(reader: R, spool: PathBuf) -> Mbox<R> {
        Mbox { reader, spool, separator: None, is_dated: false, is_begun: false, offset: 0, next_start: 0 }
    }

    /// From the separator of a message in the midst of an mbox on; `is_dated` as the first reading had it.
    pub fn at(reader: R, spool: PathBuf, start: u64, is_dated: bool) -> Mbox<R> {
        Mbox { is_dated, offset: start, next_start: start, ..Mbox::new(reader, spool) }
    }

    /// Where the separator of the message to come stands.
    pub fn next_start(&self) -> u64 {
        self.next_start
    }

    /// The separators bear dates.
    pub fn is_dated(&self) -> bool {
        self.is_dated
    }

    /// The next message; none at the end.
    pub fn next(&mut self) -> io::Result<Option<Imported>> {
        let mut line = Vec::new();
        if !self.is_begun {
            self.is_begun = true;
            if self.piece(&mut line)? == 0 {
                return Ok(None);
            }
            // Read from the midst, it knows already.
            self.is_dated |= self.next_start == 0 && arrived(&line).is_some();
            self.separator = Some(std::mem::take(&mut line));
        }
        let Some(separator) = self.separator.take() else { return Ok(None) };
        let mut message = Gathered { memory: Vec::new(), file: None, size: 0, spool: &self.spool.clone() };
        // A blank line belongs to the separator behind it, if one follows.
        let mut blank = Vec::new();
        let mut is_at_line_start = true;
        while self.piece(&mut line)? > 0 {
            if is_at_line_start && !blank.is_empty() && self.is_separator(&line) {
                self.next_start = self.offset - line.len() as u64;
                self.separator = Some(line);
                blank.clear();
                break;
            }
            message.add(&blank)?;
            blank.clear();
            let is_quoted = is_at_line_start && is_quoted(&line);
            match is_at_line_start && matches!(&line[..], b"\n" | b"\r\n") {
                true => blank.extend_from_slice(&line),
                false => message.add(&line[usize::from(is_quoted)..])?,
            }
            is_at_line_start = line.ends_with(b"\n");
            line.clear();
        }
        Ok(Some(Imported { bytes: message.bytes()?, received: arrived(&separator) }))
    }

    /// A line, or the next piece of a long one.
    fn piece(&mut self, line: &mut Vec<u8>) -> io::Result<usize> {
        let read = (&mut self.reader).take(PIECE).read_until(b'\n', line)?;
        self.offset += read as u64;
        Ok(read)
    }

    fn is_separator(&self, line: &[u8]) -> bool {
        line.starts_with(SEPARATOR) && (!self.is_dated || arrived(line).is_some())
    }
}

/// Whether a file that begins so is an mbox.
pub fn begins_mbox(beginning: &[u8]) -> bool {
    beginning.starts_with(SEPARATOR)
}

fn is_quoted(line: &[u8]) -> bool {
    let bare = line.iter().position(|b| *b != b'>').unwrap_or(line.len());
    bare > 0 && line[bare..].starts_with(SEPARATOR)
}

/// The date of a separator: `From a@example.com Thu Jan  1 00:00:00 1970`, UTC by RFC 4155. Not RFC 4155, but common: a
/// zone behind the time or the year, the year in front of the time.
fn arrived(separator: &[u8]) -> Option<Micros> {
    let text = std::str::from_utf8(separator).ok()?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let at = words.iter().rposition(|word| time(word).is_some())?;
    let year = |word: &str| -> Option<i32> {
        (word.len() == 4).then(|| word.parse().ok()).flatten().filter(|year| *year > 1900)
    };
    let before = |n: usize| at.checked_sub(n).map(|i| words[i]);
    let (year, month, day) = match year(before(1)?) {
        Some(year) => (year, before(2)?, before(3)?),
        None => (words[at + 1..].iter().find_map(|word| year(word))?, before(2)?, before(1)?),
    };
    let month = 1 + MONTHS.iter().position(|name| month.eq_ignore_ascii_case(name))? as u32;
    let date = chrono::NaiveDate::from_ymd_opt(year, month, day.parse().ok()?)?;
    let zone = words[at + 1..].iter().find_map(|word| zone(word)).unwrap_or(0);
    Some(Micros::from_seconds(date.and_time(time(words[at])?).and_utc().timestamp() - zone))
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn time(word: &str) -> Option<chrono::NaiveTime> {
    let parse = |format| chrono::NaiveTime::parse_from_str(word, format).ok();
    parse("%H:%M:%S").or_else(|| parse("%H:%M"))
}

/// `+0130` in seconds.
fn zone(word: &str) -> Option<i64> {
    let sign = match word.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: i64 = word.get(1..).filter(|rest| rest.len() == 4)?.parse().ok()?;
    Some(sign * (digits / 100 * 3600 + digits % 100 * 60))
}

/// A message as it grows: in memory, past the limit in a spool file that vanishes when it is dropped.
struct Gathered<'a> {
    memory: Vec<u8>,
    file: Option<File>,
    size: u64,
    spool: &'a std::path::Path,
}

impl Gathered<'_> {
    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.memory.extend_from_slice(bytes);
        self.size += bytes.len() as u64;
        if self.memory.len() as u64 > SPOOL_FROM {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile_in(self.spool)?);
        }
        if let Some(file) = &mut self.file {
            file.write_all(&self.memory)?;
        }
        self.memory.clear();
        Ok(())
    }

    fn bytes(mut self) -> io::Result<Bytes> {
        if self.file.is_some() {
            self.spill()?;
        }
        match self.file {
            None => Ok(Bytes::Memory(self.memory)),
            Some(mut file) => {
                file.seek(SeekFrom::Start(0))?;
                Ok(Bytes::Spool(file, self.size))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mbox: &str, expected: &[&str]) {
        let mut mbox = Mbox::new(mbox.as_bytes(), std::env::temp_dir());
        let mut found = vec![];
        while let Some(message) = mbox.next().unwrap() {
            let Bytes::Memory(bytes) = message.bytes else { panic!("a small one was spooled") };
            found.push(String::from_utf8(bytes).unwrap());
        }
        assert_eq!(found, expected);
    }

    const FROM: &str = "From a@example.org Thu Jan  1 00:00:10 2026\n";

    #[test]
    fn quoted_lines_lose_one_mark_and_unquoted_text_stays_text() {
        check("", &[]);
        check(&format!("{FROM}A: 1\n\nx\n"), &["A: 1\n\nx\n"]);
        check(&format!("{FROM}A: 1\n\n{FROM}B: 2\n\ny\n\n"), &["A: 1\n", "B: 2\n\ny\n"]);
        check(
            &format!("{FROM}A: 1\n\n>From x\n>>From y\n> From z\n>>z\n\nFrom now on it rains.\n{FROM}\n"),
            &[&format!("A: 1\n\nFrom x\n>From y\n> From z\n>>z\n\nFrom now on it rains.\n{FROM}")],
        );
        let crlf = FROM.replace('\n', "\r\n");
        check(
            &format!("{crlf}A: 1\r\n\r\n>From\r\n>From x\r\n\r\n{crlf}B: 2\r\n"),
            &["A: 1\r\n\r\n>From\r\nFrom x\r\n", "B: 2\r\n"],
        );
        // Where separators bear no date, none is asked for.
        check("From -\nA: 1\n\nFrom -\nB: 2\n", &["A: 1\n", "B: 2\n"]);
        let long = format!("{}\n", "From x".repeat(50_000));
        check(&format!("{FROM}A: 1\n\n{long}"), &[&format!("A: 1\n\n{long}")]);
    }

    #[test]
    fn a_big_message_is_spooled() {
        let line = "0123456789\n".repeat(200_000);
        let text = format!("{FROM}A: 1\n\n{line}\n{FROM}B: 2\n");
        let mut mbox = Mbox::new(text.as_bytes(), std::env::temp_dir());
        let Bytes::Spool(mut file, size) = mbox.next().unwrap().unwrap().bytes else { panic!("in memory") };
        let mut bytes = String::new();
        file.read_to_string(&mut bytes).unwrap();
        assert_eq!((bytes.len() as u64, bytes), (size, format!("A: 1\n\n{line}")));
        assert!(matches!(mbox.next().unwrap().unwrap().bytes, Bytes::Memory(bytes) if bytes == b"B: 2\n"));
        assert!(mbox.next().unwrap().is_none());
    }

    #[test]
    fn the_separator_says_when_it_arrived() {
        for (separator, expected) in [
            ("From a@example.org Thu Jan  1 00:00:10 1970", "1970-01-01T00:00:10Z"),
            ("From - Sat Nov 21 17:03:04 2026", "2026-11-21T17:03:04Z"),
            ("From 1@xxx Tue Sep 20 00:30:00 +0100 2016", "2016-09-19T23:30:00Z"),
            ("From a Tue Sep 20 01:30 2016 -0130", "2016-09-20T03:00:00Z"),
            ("From a Tue, 20 Sep 2016 10:00:00 +0000", "2016-09-20T10:00:00Z"),
        ] {
            assert_eq!(arrived(separator.as_bytes()).map(Micros::rfc3339).as_deref(), Some(expected));
        }
        for text in ["From now on", "From 10:30 to 11:00 we meet", "From", "From a 99 Foo 10:00:00 2016"] {
            assert_eq!(arrived(text.as_bytes()), None, "{text}");
        }
    }
}
