//! Bytes as they come, with their place in the message. Where a message ends its lines with a bare CR, as programs of
//! old did, its CRs are shown as LFs; whatever is kept of it elsewhere stays as it came.

use std::io::{self, BufRead};

/// Bytes of a message with bare CRs that are rewritten at once.
const PIECE: usize = 4096;

pub(super) struct Source<'r, R> {
    reader: &'r mut R,
    pub offset: u64,
    ends: Ends,
    /// Bytes with their CRs rewritten, and how many of them were taken; the reader still holds them.
    piece: Vec<u8>,
    taken: usize,
    /// A byte that the reader gave away, because the one behind it had to be seen.
    ahead: Option<u8>,
}

/// What ends a line. The first line says so for all: in a message of LF or CRLF a bare CR is a byte like others, and
/// nobody can hide a header field behind it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    Unknown,
    Lf,
    Cr,
}

impl<'r, R: BufRead> Source<'r, R> {
    pub fn new(reader: &'r mut R) -> Self {
        Source { reader, offset: 0, ends: Ends::Unknown, piece: Vec::new(), taken: 0, ahead: None }
    }

    /// The bytes at hand; empty at the end of the message.
    pub fn chunk(&mut self) -> io::Result<&[u8]> {
        if self.ahead.is_some() {
            return Ok(self.ahead.as_slice());
        }
        if self.ends != Ends::Lf {
            return self.chunk_of_other_ends();
        }
        filled(self.reader)
    }

    fn chunk_of_other_ends(&mut self) -> io::Result<&[u8]> {
        if self.taken < self.piece.len() {
            return Ok(&self.piece[self.taken..]);
        }
        let chunk = filled(self.reader)?;
        if chunk == b"\r" {
            return self.last_return();
        }
        // Of a CR at the end nothing can be said yet.
        let end = chunk.len() - usize::from(chunk.ends_with(b"\r"));
        if self.ends == Ends::Unknown {
            match memchr::memchr2(b'\r', b'\n', &chunk[..end]) {
                Some(at) if chunk[at] == b'\r' && chunk[at + 1] != b'\n' => self.ends = Ends::Cr,
                Some(_) => self.ends = Ends::Lf,
                None => {}
            }
        }
        if self.ends != Ends::Cr {
            // Asked again because the borrow of the first answer would outlive what is changed here.
            let chunk = filled(self.reader)?;
            return Ok(if self.ends == Ends::Lf { chunk } else { &chunk[..end] });
        }
        let chunk = filled(self.reader)?;
        let end = end.min(PIECE);
        self.piece.clear();
        self.piece.extend_from_slice(&chunk[..end]);
        self.taken = 0;
        for at in memchr::memchr_iter(b'\r', &chunk[..end]) {
            if chunk[at + 1] != b'\n' {
                self.piece[at] = b'\n';
            }
        }
        Ok(&self.piece)
    }

    /// A CR that is all the reader has: what it is depends on the byte that comes next.
    fn last_return(&mut self) -> io::Result<&[u8]> {
        self.reader.consume(1);
        let is_bare = filled(self.reader)?.first() != Some(&b'\n');
        if self.ends == Ends::Unknown {
            self.ends = if is_bare { Ends::Cr } else { Ends::Lf };
        }
        self.ahead = Some(if is_bare { b'\n' } else { b'\r' });
        Ok(self.ahead.as_slice())
    }

    pub fn consume(&mut self, count: usize) {
        self.offset += count as u64;
        if self.ahead.is_some() {
            if count > 0 {
                self.ahead = None;
            }
            return;
        }
        self.taken += count;
        self.reader.consume(count);
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

fn filled<R: BufRead>(reader: &mut R) -> io::Result<&[u8]> {
    loop {
        match reader.fill_buf() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // Asked again because the borrow of the first answer would outlive the loop.
            Ok(_) => return reader.fill_buf(),
            Err(e) => return Err(e),
        }
    }
}
