//! One leaf while it is read: counted, and kept as far as there is room.

use super::super::decode::Counter;
use super::super::{Encoding, Span};

pub(super) struct Leaf {
    offset: u64,
    length: u64,
    encoding: Encoding,
    counter: Counter,
    room: usize,
    kept: usize,
    /// A line end that is not counted yet: in front of a boundary it belongs to the boundary (RFC 2046 §5.1.1).
    line_end: &'static [u8],
}

/// What became of a leaf.
pub(super) struct Measured {
    pub span: Span,
    pub size: u64,
    pub is_whole: bool,
}

impl Leaf {
    pub fn new(offset: u64, encoding: Encoding, room: usize) -> Leaf {
        Leaf { offset, length: 0, encoding, counter: Counter::new(encoding), room, kept: 0, line_end: b"" }
    }

    pub fn feed(&mut self, piece: &[u8], kept: &mut Vec<u8>) {
        if piece.is_empty() {
            return;
        }
        if self.line_end == b"\r" && piece == b"\n" {
            self.line_end = b"\r\n";
            return;
        }
        let held = std::mem::take(&mut self.line_end);
        self.take(held, kept);
        self.line_end = match piece {
            [.., b'\r', b'\n'] => b"\r\n",
            [.., b'\n'] => b"\n",
            [.., b'\r'] => b"\r",
            _ => b"",
        };
        self.take(&piece[..piece.len() - self.line_end.len()], kept);
    }

    fn take(&mut self, piece: &[u8], kept: &mut Vec<u8>) {
        self.length += piece.len() as u64;
        self.counter.feed(piece);
        let fits = piece.len().min(self.room);
        kept.extend_from_slice(&piece[..fits]);
        self.room -= fits;
        self.kept += fits;
    }

    pub fn finish(self) -> Measured {
        let (encoding, size) = match self.counter.finish() {
            Some(size) => (self.encoding, size),
            // What its header says of it is not so, and no word of it may be lost.
            None => (Encoding::Identity, self.length),
        };
        Measured {
            span: Span { offset: self.offset, length: self.length, encoding },
            size,
            is_whole: self.kept as u64 == self.length,
        }
    }
}
