//! One message from an MTA's pipe, as it comes: in memory, past 1 MiB in a spool file.
//!
//! Some MTAs put the separator of an mbox in front of it, `From somebody date` (RFC 4155). It is no part of the message,
//! and its date is that of the attempt, so it is taken off: the message stays the same when it is brought again.

use std::path::Path;

use super::spool::Spool;
use crate::failure::Failure;
use crate::intake::source::{Bytes, SPOOL_FROM};

/// Longest separator that is looked for.
const SEPARATOR_LIMIT: usize = 4 << 10;
/// Ends a pipe that never ends: 2 GiB.
const MESSAGE_LIMIT: u64 = 2 << 30;

pub struct Piped<'a> {
    /// What has come of it while that may still be a separator.
    beginning: Option<Vec<u8>>,
    content: Spool<'a>,
}

impl<'a> Piped<'a> {
    /// `spool`: the folder for messages over 1 MiB.
    pub fn new(spool: &'a Path) -> Piped<'a> {
        Piped { beginning: Some(vec![]), content: Spool::new(spool, SPOOL_FROM) }
    }

    pub fn add(&mut self, mut piece: Vec<u8>) -> Result<(), Failure> {
        if let Some(mut beginning) = self.beginning.take() {
            beginning.append(&mut piece);
            match after_separator(&beginning) {
                Some(at) => piece = beginning.split_off(at),
                None => {
                    self.beginning = Some(beginning);
                    return Ok(());
                }
            }
        }
        self.content.add(piece)?;
        match self.content.length > MESSAGE_LIMIT {
            true => Err(Failure::permanent(format!("the message is over {MESSAGE_LIMIT} bytes"))),
            false => Ok(()),
        }
    }

    /// The whole. A message without a byte is none: nothing came through the pipe.
    pub fn finish(mut self) -> Result<Bytes, Failure> {
        if let Some(beginning) = self.beginning.take() {
            self.content.add(beginning)?;
        }
        match self.content.length {
            0 => Err(Failure::permanent("there is no message on standard input")),
            _ => self.content.finish(),
        }
    }
}

/// Where the message begins; none: more of it must be seen.
fn after_separator(beginning: &[u8]) -> Option<usize> {
    const MARK: &[u8] = b"From ";
    if beginning.len() < MARK.len() {
        return (!MARK.starts_with(beginning)).then_some(0);
    }
    // RFC 5322 §4.5: the obsolete `From : jo@example.org` is a field.
    let is_field = || beginning[MARK.len()..].trim_ascii_start().starts_with(b":");
    if !beginning.starts_with(MARK) {
        return Some(0);
    }
    match memchr::memchr(b'\n', beginning) {
        Some(_) if is_field() => Some(0),
        Some(end) => Some(end + 1),
        None => (beginning.len() > SEPARATOR_LIMIT).then_some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(piped: &str, expected: &str) {
        let spool = std::env::temp_dir();
        // Whole, and byte by byte: it comes as the pipe gives it.
        for size in [piped.len(), 1] {
            let mut message = Piped::new(&spool);
            for piece in piped.as_bytes().chunks(size) {
                message.add(piece.to_vec()).unwrap();
            }
            let Bytes::Memory(bytes) = message.finish().unwrap() else { panic!("a small one was spooled") };
            assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        }
    }

    #[test]
    fn a_separator_in_front_is_taken_off_and_nothing_else() {
        check("From jo@example.org Thu Jan  1 00:00:10 2026\nA: 1\n\nFrom x\n", "A: 1\n\nFrom x\n");
        check("From jo@example.org Thu Jan  1 00:00:10 2026\r\nA: 1\r\n", "A: 1\r\n");
        for whole in ["From: jo\n\nx", "From : jo\n\nx", "Fr", "F", "x", "A: 1\nFrom b\n"] {
            check(whole, whole);
        }
        let long = format!("From {}\nA: 1\n", "x".repeat(2 * SEPARATOR_LIMIT));
        let mut message = Piped::new(Path::new("/nowhere"));
        message.add(long.as_bytes()[..SEPARATOR_LIMIT + 1].to_vec()).unwrap();
        assert!(
            matches!(message.finish().unwrap(), Bytes::Memory(bytes) if bytes.len() == SEPARATOR_LIMIT + 1)
        );
    }

    #[test]
    fn nothing_is_no_message() {
        assert!(Piped::new(Path::new("/nowhere")).finish().unwrap_err().to_string().contains("no message"));
    }

    #[test]
    fn a_big_message_is_spooled() {
        let folder = tempfile::tempdir().unwrap();
        let mut message = Piped::new(folder.path());
        message.add(b"From x\n".to_vec()).unwrap();
        for _ in 0..40 {
            message.add(vec![b'x'; 64 << 10]).unwrap();
        }
        assert!(matches!(message.finish().unwrap(), Bytes::Spool(_, size) if size == 40 * (64 << 10)));
    }
}
