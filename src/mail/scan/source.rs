//! Bytes as they come, with their place in the message.

use std::io::{self, BufRead};

pub(super) struct Source<'r, R> {
    reader: &'r mut R,
    pub offset: u64,
}

impl<'r, R: BufRead> Source<'r, R> {
    pub fn new(reader: &'r mut R) -> Self {
        Source { reader, offset: 0 }
    }

    /// The bytes at hand; empty at the end of the message.
    pub fn chunk(&mut self) -> io::Result<&[u8]> {
        loop {
            match self.reader.fill_buf() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // Asked again because the borrow of the first answer would outlive the loop.
                Ok(_) => return self.reader.fill_buf(),
                Err(e) => return Err(e),
            }
        }
    }

    pub fn consume(&mut self, count: usize) {
        self.reader.consume(count);
        self.offset += count as u64;
    }

    /// Appends the rest of the line with its line end, at most `room` bytes. False: the line goes on.
    pub fn line(&mut self, out: &mut Vec<u8>, mut room: usize) -> io::Result<bool> {
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Ok(true);
            }
            let chunk = &chunk[..chunk.len().min(room)];
            let end = memchr::memchr(b'\n', chunk).map(|at| at + 1);
            let taken = end.unwrap_or(chunk.len());
            out.extend_from_slice(&chunk[..taken]);
            self.consume(taken);
            room -= taken;
            if end.is_some() || room == 0 {
                return Ok(end.is_some());
            }
        }
    }
}
