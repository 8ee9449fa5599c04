//! Header blocks: kept up to their limit, read on to their blank line.

use std::io::{self, BufRead};
use std::ops::Range;

use super::super::Defect;
use super::super::field::name_length;
use super::{HEADER_LIMIT, PART_HEADER_LIMIT, SKELETON_LIMIT, Scanner, Stop};

/// A piece of a header line that is looked at in one go; longer lines are kept piece by piece.
const PIECE: usize = 4096;

/// A header block that was read.
pub(super) struct Head {
    /// In the skeleton's bytes.
    pub range: Range<usize>,
    pub body_offset: u64,
    /// The beginning of the body, where only the lines behind it showed that it is no field.
    pub held: Vec<u8>,
    /// Set where a boundary or the end came before a body.
    pub stop: Option<Stop>,
}

/// What a line in a header block is.
enum Line {
    End,
    Blank,
    Boundary(Stop),
    Field,
    Continuation,
    /// Neither field nor continuation: broken folding, or a body whose blank line is missing.
    Other,
}

/// The first line of what may already be the body.
#[derive(Clone, Copy)]
struct Doubt {
    at: usize,
    offset: u64,
}

impl<R: BufRead> Scanner<'_, R> {
    /// A line that is no field counts as broken folding where a field follows, else as the body's first line: nobody's
    /// words are lost to a missing blank line, and no Content-Type to a stray line.
    pub(super) fn head(&mut self, is_top: bool) -> io::Result<Head> {
        let start = self.skeleton.bytes.len();
        let room = if is_top { HEADER_LIMIT } else { PART_HEADER_LIMIT };
        let limit = SKELETON_LIMIT.min(start + room);
        let mut block = Block { limit, is_full: false, has_field: false };
        let mut doubt: Option<Doubt> = None;
        loop {
            let here = Doubt { at: self.skeleton.bytes.len(), offset: self.source.offset };
            let line = self.header_line(&mut block, is_top)?;
            match line {
                Line::Field => (doubt, block.has_field) = (None, true),
                Line::Other if block.is_full => {}
                Line::Other if doubt.is_none() && !self.line.starts_with(b"--") => doubt = Some(here),
                Line::Continuation => {}
                Line::End | Line::Blank | Line::Boundary(_) | Line::Other => {
                    if is_top && !block.has_field {
                        self.skeleton.note(Defect::NoHeaders);
                    }
                    let doubt = doubt.or(matches!(line, Line::Other).then_some(here));
                    return Ok(self.close_head(start, doubt.filter(|_| !block.is_full), line));
                }
            }
        }
    }

    fn close_head(&mut self, start: usize, doubt: Option<Doubt>, line: Line) -> Head {
        let stop = match line {
            Line::End => Some(Stop::End),
            Line::Boundary(stop) => Some(stop),
            _ => None,
        };
        let mut held = Vec::new();
        let mut body_offset = self.source.offset;
        if let Some(doubt) = doubt {
            held = self.skeleton.bytes.split_off(doubt.at);
            body_offset = doubt.offset;
        } else if let Some(Stop::Boundary { .. }) = stop {
            body_offset -= self.line.len() as u64;
        }
        Head { range: start..self.skeleton.bytes.len(), body_offset, held, stop }
    }

    /// Reads a line and keeps it as far as the block has room.
    fn header_line(&mut self, block: &mut Block, is_top: bool) -> io::Result<Line> {
        let is_first = self.source.offset == 0;
        self.line.clear();
        let mut is_complete = self.source.line(&mut self.line, PIECE)?;
        // A boundary inside a header block ends a part that has no body.
        let line = match self.boundary_of_line() {
            Some(stop) => Line::Boundary(stop),
            None => kind_of(&self.line, block.has_field),
        };
        // RFC 4155: a message that was taken from an mbox begins with its separator.
        let is_separator = is_top && is_first && is_mbox_separator(&self.line);
        if matches!(line, Line::End | Line::Boundary(_)) {
            return Ok(line);
        }
        loop {
            if !is_separator {
                self.keep(block);
            }
            if is_complete {
                break;
            }
            self.line.clear();
            is_complete = self.source.line(&mut self.line, PIECE)?;
        }
        Ok(if is_separator { Line::Continuation } else { line })
    }

    fn keep(&mut self, block: &mut Block) {
        block.is_full |= self.skeleton.bytes.len() + self.line.len() > block.limit;
        if block.is_full {
            self.skeleton.note(Defect::HeadersTruncated);
        } else {
            self.skeleton.bytes.extend_from_slice(&self.line);
        }
    }
}

struct Block {
    limit: usize,
    is_full: bool,
    has_field: bool,
}

fn kind_of(line: &[u8], has_field: bool) -> Line {
    match line {
        [] => Line::End,
        b"\n" | b"\r\n" => Line::Blank,
        [b' ' | b'\t', ..] if has_field => Line::Continuation,
        _ if name_length(line.trim_ascii_start()).is_some() => Line::Field,
        _ => Line::Other,
    }
}

fn is_mbox_separator(line: &[u8]) -> bool {
    line.starts_with(b"From ") || line.starts_with(b">From ")
}
