//! The skeleton of a message: read once, bounded in memory whatever the message weighs.
//!
//! Header blocks and text that people or programs must read are kept; every leaf is measured and remembered as a span
//! of the message. MIME structure (RFC 2045, RFC 2046) is followed by boundaries alone, without recursion.
//! Messages inside a message are not opened: each is one attachment; of what a report returns, the beginning is kept.

use std::io::{self, BufRead};
use std::ops::Range;

use memchr::memmem;

use self::leaf::Leaf;
use self::source::Source;
use super::field::{Entity, fields};
use super::message::TEXT_LIMIT;
use super::{Defect, Encoding, Span};

mod head;
mod leaf;
mod source;
#[cfg(test)]
mod tests;

/// Kept of the top header block: the longest in the wild are some 100 KiB of Received and ARC fields.
const HEADER_LIMIT: usize = 256 << 10;
const PART_HEADER_LIMIT: usize = 16 << 10;
/// Kept altogether; so the memory that a message takes is bounded. Bodies leave a quarter to the names of what follows.
const SKELETON_LIMIT: usize = 4 << 20;
const BODIES_LIMIT: usize = SKELETON_LIMIT / 4 * 3;
/// Kept of a report's machine-readable part, of what a report returns.
const REPORT_LIMIT: usize = 256 << 10;
const RETURNED_LIMIT: usize = 64 << 10;
/// Kept of a winmail.dat, which may hold the only text there is; a bigger one stays closed.
const TNEF_LIMIT: usize = 1 << 20;
const MAX_DEPTH: usize = 100;
const MAX_PARTS: usize = 1000;
/// RFC 2046 §5.1.1 allows 70 characters in a boundary; longer ones occur.
const BOUNDARY_LIMIT: usize = 1000;

/// Header blocks and text leaves as they stand in the message; every leaf as a span of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skeleton {
    /// What was kept, one piece after the other; `parts` knows which is which.
    pub bytes: Vec<u8>,
    /// Of the whole message.
    pub size: u64,
    /// In the order of the message; the first is the message itself.
    pub parts: Vec<Part>,
    pub defects: Vec<Defect>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Index of the multipart that it stands in.
    pub parent: Option<usize>,
    /// `type/subtype`, lower case.
    pub content_type: String,
    /// A multipart that was opened; its leaves follow. Its span is empty.
    pub is_multipart: bool,
    /// In `Skeleton::bytes`.
    pub headers: Range<usize>,
    /// What was kept of the body, still in its transfer encoding, in `Skeleton::bytes`.
    pub body: Range<usize>,
    /// Whether all of the body was kept.
    pub is_whole: bool,
    pub span: Span,
    /// Bytes of the body, decoded.
    pub size: u64,
}

impl Skeleton {
    /// The header block of the message, as it stands.
    pub fn header_block(&self) -> &[u8] {
        self.parts.first().map_or(b"", |top| &self.bytes[top.headers.clone()])
    }

    fn note(&mut self, defect: Defect) {
        if !self.defects.contains(&defect) {
            self.defects.push(defect);
        }
    }
}

/// Reads a message to its end.
pub fn scan(reader: &mut impl BufRead) -> io::Result<Skeleton> {
    let mut scanner = Scanner {
        source: Source::new(reader),
        skeleton: Skeleton::default(),
        frames: Vec::new(),
        line: Vec::new(),
        has_status: false,
        line_dashes: memmem::Finder::new(b"\n--"),
    };
    scanner.run()?;
    scanner.skeleton.size = scanner.source.offset;
    Ok(scanner.skeleton)
}

struct Scanner<'r, R> {
    source: Source<'r, R>,
    skeleton: Skeleton,
    /// The open multiparts, outermost first.
    frames: Vec<Frame>,
    line: Vec<u8>,
    /// A delivery status was seen, or a mail system writes: a message behind it is a returned one, whatever the multipart
    /// calls itself.
    has_status: bool,
    line_dashes: memmem::Finder<'static>,
}

struct Frame {
    part: usize,
    /// None: not stated; the first line that looks like one will be it.
    boundary: Option<Vec<u8>>,
    /// The leaf that holds what stands before the first boundary, until that boundary comes.
    preamble: Option<usize>,
    is_closed: bool,
}

/// What ended a part.
#[derive(Clone, Copy)]
enum Stop {
    Boundary { frame: usize, is_close: bool },
    End,
}

impl<R: BufRead> Scanner<'_, R> {
    fn run(&mut self) -> io::Result<()> {
        let mut stop = self.part(None)?;
        while let Stop::Boundary { frame, is_close } = stop {
            self.leave_frames(frame + 1);
            stop = if is_close {
                // The frame stays: some programs go on with the same boundary after they closed it.
                self.frames[frame].is_closed = true;
                self.body(None)?
            } else {
                self.drop_preamble(frame);
                self.part(Some(self.frames[frame].part))?
            };
        }
        self.leave_frames(0);
        Ok(())
    }

    fn leave_frames(&mut self, depth: usize) {
        if self.frames.drain(depth..).any(|f| !f.is_closed) {
            self.skeleton.note(Defect::UnclosedMultipart);
        }
    }

    fn drop_preamble(&mut self, frame: usize) {
        if let Some(preamble) = self.frames[frame].preamble.take() {
            self.skeleton.bytes.truncate(self.skeleton.parts[preamble].headers.start);
            self.skeleton.parts.truncate(preamble);
        }
    }

    /// Reads one part from its header block to the boundary that ends it.
    fn part(&mut self, parent: Option<usize>) -> io::Result<Stop> {
        if self.skeleton.parts.len() >= MAX_PARTS {
            return self.rest(parent);
        }
        let head = self.head(parent.is_none())?;
        let parent_type = parent.map(|p| self.skeleton.parts[p].content_type.clone()).unwrap_or_default();
        let entity =
            Entity::read(&self.skeleton.bytes[head.range.clone()], parent_type == "multipart/digest");
        self.has_status |= entity.content_type.ends_with("delivery-status")
            || (parent.is_none() && is_of_mail_system(&self.skeleton.bytes[head.range.clone()]));
        let room = self.room_for(&entity, &parent_type);
        let part = self.push(parent, entity.content_type.clone(), head.range.clone());
        if !entity.is_multipart() {
            return self.leaf(part, head, entity.encoding, room);
        }
        if self.frames.len() >= MAX_DEPTH {
            self.skeleton.note(Defect::TooDeep);
            return self.leaf(part, head, Encoding::Identity, 0);
        }
        self.multipart(part, head, entity)
    }

    /// Opens a multipart. What comes before its first boundary is kept as a text leaf: where no boundary ever comes,
    /// it is all there is.
    fn multipart(&mut self, part: usize, mut head: head::Head, entity: Entity) -> io::Result<Stop> {
        self.skeleton.parts[part].is_multipart = true;
        let boundary = entity.boundary.filter(|b| b.len() <= BOUNDARY_LIMIT);
        if boundary.is_none() {
            self.skeleton.note(Defect::NoBoundary);
        }
        let preamble = self.push(Some(part), "text/plain".into(), head.range.end..head.range.end);
        self.frames.push(Frame { part, boundary, preamble: Some(preamble), is_closed: false });
        if head.held.starts_with(b"--") {
            // The blank line is missing, and the body begins with its boundary.
            std::mem::swap(&mut self.line, &mut head.held);
            head.stop = self.boundary_of_line();
            if head.stop.is_some() {
                head.held.clear();
            } else {
                std::mem::swap(&mut self.line, &mut head.held);
            }
        }
        let room = self.room(TEXT_LIMIT);
        self.leaf(preamble, head, entity.encoding, room)
    }

    /// Past the limit of parts: all that is left is one piece.
    fn rest(&mut self, parent: Option<usize>) -> io::Result<Stop> {
        self.skeleton.note(Defect::TooManyParts);
        self.frames.clear();
        let end = self.skeleton.bytes.len();
        let part = self.push(parent, "application/octet-stream".into(), end..end);
        let head =
            head::Head { range: end..end, body_offset: self.source.offset, held: Vec::new(), stop: None };
        self.leaf(part, head, Encoding::Identity, 0)
    }

    fn push(&mut self, parent: Option<usize>, content_type: String, headers: Range<usize>) -> usize {
        let end = headers.end;
        let span = Span { offset: self.source.offset, length: 0, encoding: Encoding::Identity };
        let body = end..end;
        self.skeleton.parts.push(Part {
            parent,
            content_type,
            is_multipart: false,
            headers,
            body,
            is_whole: true,
            span,
            size: 0,
        });
        self.skeleton.parts.len() - 1
    }

    /// How much of a leaf's body is worth keeping.
    fn room_for(&self, entity: &Entity, parent_type: &str) -> usize {
        let is_report = self.has_status || parent_type == "multipart/report";
        self.room(match entity.content_type.as_str() {
            "text/plain" | "text/html" if !entity.is_attachment => TEXT_LIMIT,
            "application/ms-tnef" | "application/vnd.ms-tnef" => TNEF_LIMIT,
            "message/delivery-status"
            | "message/global-delivery-status"
            | "message/feedback-report"
            | "message/disposition-notification"
            | "message/global-disposition-notification" => REPORT_LIMIT,
            "text/rfc822-headers" | "message/global-headers" | "message/rfc822-headers" | "text/rfc822" => {
                RETURNED_LIMIT
            }
            "message/rfc822" | "message/global" if is_report => RETURNED_LIMIT,
            // A machine-readable part under another name.
            "application/octet-stream" | "text/plain" if is_report => REPORT_LIMIT,
            _ => 0,
        })
    }

    fn room(&self, limit: usize) -> usize {
        limit.min(BODIES_LIMIT.saturating_sub(self.skeleton.bytes.len()))
    }

    fn leaf(&mut self, part: usize, head: head::Head, encoding: Encoding, room: usize) -> io::Result<Stop> {
        let start = self.skeleton.bytes.len();
        let mut leaf = Leaf::new(head.body_offset, encoding, room);
        leaf.feed(&head.held, &mut self.skeleton.bytes);
        let stop = match head.stop {
            Some(stop) => stop,
            None => self.body(Some(&mut leaf))?,
        };
        let measured = leaf.finish();
        let part = &mut self.skeleton.parts[part];
        part.body = start..self.skeleton.bytes.len();
        (part.span, part.size, part.is_whole) = (measured.span, measured.size, measured.is_whole);
        Ok(stop)
    }

    /// Reads on to the next boundary of an open multipart.
    fn body(&mut self, mut leaf: Option<&mut Leaf>) -> io::Result<Stop> {
        let mut at_line_start = true;
        loop {
            let chunk = self.source.chunk()?;
            let Some(first) = chunk.first() else { return Ok(Stop::End) };
            if at_line_start && *first == b'-' {
                self.line.clear();
                at_line_start = self.source.line(&mut self.line, BOUNDARY_LIMIT + 8)?;
                if let Some(stop) = self.boundary_of_line() {
                    return Ok(stop);
                }
                if let Some(leaf) = &mut leaf {
                    leaf.feed(&self.line, &mut self.skeleton.bytes);
                }
                continue;
            }
            let taken;
            (taken, at_line_start) = up_to_dashes(chunk, &self.line_dashes);
            if let Some(leaf) = &mut leaf {
                leaf.feed(&chunk[..taken], &mut self.skeleton.bytes);
            }
            self.source.consume(taken);
        }
    }

    /// Which multipart the line in `self.line` is a boundary of. The innermost that is open comes first: broken
    /// programs use one boundary on two levels.
    fn boundary_of_line(&mut self) -> Option<Stop> {
        let token = self.line.strip_prefix(b"--")?.trim_ascii_end();
        if let Some((frame, is_close)) = self.frame_of(token, false).or_else(|| self.frame_of(token, true)) {
            return Some(Stop::Boundary { frame, is_close });
        }
        let top = self.frames.last_mut().filter(|f| f.boundary.is_none())?;
        // Not "-- ", which is a signature, and not a ruler.
        let is_likely = !token.is_empty()
            && token.len() <= BOUNDARY_LIMIT
            && !token.contains(&b' ')
            && token.iter().any(|b| *b != b'-');
        is_likely.then(|| top.boundary = Some(token.to_vec()))?;
        Some(Stop::Boundary { frame: self.frames.len() - 1, is_close: false })
    }

    fn frame_of(&self, token: &[u8], is_closed: bool) -> Option<(usize, bool)> {
        let frames = self.frames.iter().enumerate().rev().filter(|(_, f)| f.is_closed == is_closed);
        let mut named = frames.filter_map(|(i, f)| f.boundary.as_deref().map(|b| (i, b)));
        named.find_map(|(frame, boundary)| match token.strip_prefix(boundary)? {
            b"" => Some((frame, false)),
            b"--" => Some((frame, true)),
            _ => None,
        })
    }
}

/// By its header block. What it decides is only whether the beginning of a message inside is kept.
fn is_of_mail_system(block: &[u8]) -> bool {
    fields(block).any(|field| match field.name.to_ascii_lowercase().as_slice() {
        b"return-path" => field.value == b"<>",
        b"from" => {
            let from = field.value.to_ascii_lowercase();
            [&b"daemon"[..], b"postmaster", b"deliver", b"administrator", b"<>"]
                .iter()
                .any(|name| memmem::find(&from, name).is_some())
        }
        b"auto-submitted" | b"x-failed-recipients" => true,
        _ => false,
    })
}

/// How much of a chunk can be taken before a line that may be a boundary begins, and whether a line begins there.
fn up_to_dashes(chunk: &[u8], line_dashes: &memmem::Finder) -> (usize, bool) {
    match line_dashes.find(chunk) {
        Some(at) => (at + 1, true),
        None if chunk.ends_with(b"\n") => (chunk.len(), true),
        None if chunk.ends_with(b"\n-") => (chunk.len() - 1, true),
        None => (chunk.len(), false),
    }
}
