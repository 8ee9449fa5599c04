//! The limits of one answer, kept before async-imap sees its bytes.
//!
//! async-imap reserves what a literal announces (up to 512 MiB) and parses a line anew with every read; imap-proto recurses
//! over nested lists until the stack overflows, which no task boundary catches. So lines, literals and nesting are
//! counted here, as the bytes come in.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest answer outside its literals: COPYUID answers a set with two.
const LINE_LIMIT: usize = 128 << 10;
/// All literals of one answer: a server that does not know partial fetches sends a message whole.
const LITERAL_LIMIT: u64 = 32 << 20;
/// What we ask for nests three deep.
const NESTING_LIMIT: u32 = 32;

/// Follows the framing of answers: lines, and the literals that they announce at their end.
#[derive(Debug, Default)]
struct Bounds {
    line: usize,
    nesting: u32,
    literals: u64,
    /// Bytes of the literal in hand yet to come.
    literal_left: u64,
    count: Count,
    /// How much of `* 1`, the start of a FETCH, the answer has had; only such an answer has literals for us. In a status
    /// text `{n}` announces nothing, and must not blind us to what follows.
    start: Start,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Start {
    #[default]
    None,
    Star,
    Space,
    Fetch,
    Other,
}

impl Start {
    fn then(self, byte: u8) -> Start {
        match (self, byte) {
            (Start::None, b'*') => Start::Star,
            (Start::Star, b' ') => Start::Space,
            (Start::Space, b'0'..=b'9') => Start::Fetch,
            (Start::Fetch, _) => Start::Fetch,
            _ => Start::Other,
        }
    }
}

/// How much of `{n}CRLF` has been seen.
#[derive(Debug, Default, Clone, Copy)]
enum Count {
    #[default]
    None,
    Open(u64),
    Closed(u64),
    Return(u64),
}

impl Bounds {
    fn admit(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while !bytes.is_empty() {
            if self.literal_left > 0 {
                let skip = self.literal_left.min(bytes.len() as u64);
                self.literal_left -= skip;
                bytes = &bytes[skip as usize..];
            } else {
                self.admit_byte(bytes[0])?;
                bytes = &bytes[1..];
            }
        }
        Ok(())
    }

    fn admit_byte(&mut self, byte: u8) -> Result<(), &'static str> {
        self.line += 1;
        if self.line > LINE_LIMIT {
            return Err("has a line longer than any server needs");
        }
        match byte {
            b'(' => self.nesting += 1,
            b')' => self.nesting = self.nesting.saturating_sub(1),
            b'\n' => return self.end_line(),
            _ => {}
        }
        if self.nesting > NESTING_LIMIT {
            return Err("is nested deeper than any server needs");
        }
        self.start = self.start.then(byte);
        self.count = match (self.count, byte) {
            (_, b'{') => Count::Open(0),
            (Count::Open(n), b'0'..=b'9') => {
                Count::Open(n.saturating_mul(10).saturating_add(u64::from(byte - b'0')))
            }
            (Count::Open(n), b'}') => Count::Closed(n),
            (Count::Closed(n), b'\r') => Count::Return(n),
            _ => Count::None,
        };
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), &'static str> {
        let n = match self.count {
            Count::Return(n) if self.start == Start::Fetch => n,
            _ => {
                *self = Bounds::default();
                return Ok(());
            }
        };
        self.count = Count::None;
        self.literal_left = n;
        self.literals = self.literals.saturating_add(n);
        if self.literals > LITERAL_LIMIT {
            return Err("is larger than was asked for");
        }
        Ok(())
    }
}

/// A stream whose incoming bytes keep within bounds.
#[derive(Debug)]
pub(super) struct Bounded<S> {
    inner: S,
    bounds: Bounds,
}

impl<S> Bounded<S> {
    pub(super) fn new(inner: S) -> Bounded<S> {
        Bounded { inner, bounds: Bounds::default() }
    }

    pub(super) fn into_inner(self) -> S {
        self.inner
    }

    pub(super) fn inner_mut(&mut self) -> &mut S {
        &mut self.inner
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        let admitted = this.bounds.admit(&buf.filled()[before..]);
        Poll::Ready(admitted.map_err(|words| io::Error::new(io::ErrorKind::InvalidData, words)))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(parts: &[&[u8]]) -> bool {
        let mut bounds = Bounds::default();
        parts.iter().all(|part| bounds.admit(part).is_ok())
    }

    #[test]
    fn a_message_may_hold_anything() {
        let deep = vec![b'('; LINE_LIMIT * 2];
        let head = format!("* 1 FETCH (BODY[] {{{}}}\r\n", deep.len());
        assert!(admitted(&[head.as_bytes(), &deep, b" UID 1)\r\n* OK\r\n"]));
    }

    #[test]
    fn deep_lists_endless_lines_and_huge_literals_are_refused() {
        assert!(!admitted(&[b"* 1 FETCH (BODYSTRUCTURE ", &[b'('; 40]]));
        assert!(!admitted(&[&vec![b'x'; LINE_LIMIT + 1]]));
        assert!(!admitted(&[b"* 1 FETCH (BODY[] {4294967295}\r\n"]));
        assert!(!admitted(&[b"* OK see {4000}\r\n* 1 FETCH (BODY ", &[b'('; 40]]));
        assert!(admitted(&[&b"* 1 FETCH (UID 1 FLAGS ())\r\n".repeat(100_000)]));
    }

    #[test]
    fn many_literals_in_one_answer_add_up() {
        let mut bounds = Bounds::default();
        let piece = vec![b'x'; 8 << 20];
        let refused = (0..6).any(|_| {
            bounds.admit(format!("* 1 FETCH BODY[] {{{}}}\r\n", piece.len()).as_bytes()).is_err()
                || bounds.admit(&piece).is_err()
        });
        assert!(refused);
    }
}
