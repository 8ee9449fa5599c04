//! Messages whole: small ones together in one command, large ones in pieces into a spool file.
//!
//! Every fetch is partial (RFC 3501 §6.4.5 `<o.n>`), so memory stays bounded whatever size the server announced:
//! a message that fills its piece goes on in a file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::Path;

use async_imap::imap_proto::{AttributeValue, MessageSection, Response, SectionPath};

use super::command::Command;
use super::uids;
use super::wire::Wire;
use crate::clock::Micros;
use crate::failure::Failure;
use crate::intake::source::{Bytes, Fetched, Item, SPOOL_FROM};

const PIECE: u64 = 1 << 20;
/// How much a message may exceed its announced size and stay in memory: line ends counted otherwise, a header added.
const SLACK: u64 = 64 << 10;
const SMALL_PIECE: u64 = SPOOL_FROM + SLACK;
/// Where a server sends a message without end.
const MESSAGE_LIMIT: u64 = 2 << 30;

/// What has come of one message so far.
struct Piece {
    received: Option<Micros>,
    bytes: Bytes,
    /// More may follow.
    is_open: bool,
}

pub(super) async fn fetch(wire: &mut Wire, spool: &Path, items: &[Item]) -> Result<Vec<Fetched>, Failure> {
    let uids = uids::parse(items.iter().map(|item| item.source_id.as_str()))?;
    let mut pieces = fetch_small(wire, spool, &uids, items).await?;
    let mut fetched = Vec::with_capacity(items.len());
    for (uid, item) in uids.iter().zip(items) {
        let piece = if item.size > SPOOL_FROM {
            fetch_large(wire, spool, *uid, item.size).await?
        } else {
            match pieces.remove(uid) {
                Some(Piece { is_open: true, received, bytes: Bytes::Spool(file, length) }) => {
                    let bytes = fetch_rest(wire, *uid, Spool { file, length }, item.size).await?;
                    Some(Piece { received, bytes, is_open: false })
                }
                other => other,
            }
        };
        let (received, bytes) = piece.map_or((None, Bytes::Gone), |piece| (piece.received, piece.bytes));
        fetched.push(Fetched {
            source_id: item.source_id.clone(),
            announced_size: item.size,
            received,
            bytes,
        });
    }
    Ok(fetched)
}

/// The header block, at most `limit` bytes of it; nothing if the message is gone.
pub(super) async fn headers(wire: &mut Wire, item: &Item, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
    let uid = uids::parse(std::iter::once(item.source_id.as_str()))?[0];
    let limit = limit.clamp(1, SPOOL_FROM as usize);
    let mut headers = None;
    let command =
        Command::new("UID FETCH").word(&uid.to_string()).word(&format!("(UID BODY.PEEK[HEADER]<0.{limit}>)"));
    wire.run(command, &mut |response, raw| {
        if let Some(Part { uid: of, data: Some(data), .. }) = part(response, Section::Header)
            && of == uid
        {
            let mut bytes = unquoted(data, raw);
            bytes.truncate(limit);
            headers = Some(bytes);
        }
        Ok(())
    })
    .await?;
    Ok(headers)
}

async fn fetch_small(
    wire: &mut Wire,
    spool: &Path,
    uids: &[u32],
    items: &[Item],
) -> Result<HashMap<u32, Piece>, Failure> {
    let wanted: HashMap<u32, u64> = uids
        .iter()
        .zip(items)
        .filter(|(_, item)| item.size <= SPOOL_FROM)
        .map(|(uid, item)| (*uid, item.size))
        .collect();
    let mut pieces = HashMap::with_capacity(wanted.len());
    for set in uids::sets(wanted.keys().copied().collect()) {
        let what = format!("(UID INTERNALDATE BODY.PEEK[]<0.{SMALL_PIECE}>)");
        wire.run(Command::new("UID FETCH").word(&set).word(&what), &mut |response, raw| {
            if let Some(part) = part(response, Section::Whole)
                && let Some(announced) = wanted.get(&part.uid)
                && let Some(data) = part.data
            {
                let bytes = unquoted(data, raw);
                let length = bytes.len() as u64;
                let bytes = if length > announced + SLACK || length >= SMALL_PIECE {
                    let mut file = Spool::new(spool)?;
                    file.add(&bytes)?;
                    Bytes::Spool(file.file, file.length)
                } else {
                    Bytes::Memory(bytes)
                };
                // Without an offset in the answer the server knows no pieces, and this is the whole.
                let is_open = part.offset.is_some() && length >= SMALL_PIECE;
                pieces.insert(part.uid, Piece { received: part.received, bytes, is_open });
            }
            Ok(())
        })
        .await?;
    }
    for piece in pieces.values_mut().filter(|piece| !piece.is_open) {
        if let Bytes::Spool(file, _) = &mut piece.bytes {
            file.rewind().map_err(spool_failed)?;
        }
    }
    Ok(pieces)
}

async fn fetch_large(
    wire: &mut Wire,
    spool: &Path,
    uid: u32,
    announced: u64,
) -> Result<Option<Piece>, Failure> {
    let mut file = Spool::new(spool)?;
    let mut first = None;
    let mut is_open = true;
    let what = format!("(UID INTERNALDATE BODY.PEEK[]<0.{PIECE}>)");
    wire.run(Command::new("UID FETCH").word(&uid.to_string()).word(&what), &mut |response, raw| {
        if let Some(Part { uid: of, offset, received, data: Some(data) }) = part(response, Section::Whole)
            && of == uid
            && first.is_none()
        {
            file.add(&unquoted(data, raw))?;
            first = Some(received);
            is_open = offset.is_some();
        }
        Ok(())
    })
    .await?;
    let Some(received) = first else { return Ok(None) };
    let bytes = if is_open && !file.is_complete(PIECE, PIECE, announced) {
        fetch_rest(wire, uid, file, announced).await?
    } else {
        file.finish()?
    };
    Ok(Some(Piece { received, bytes, is_open: false }))
}

/// Goes on where the spool file ends.
async fn fetch_rest(wire: &mut Wire, uid: u32, mut file: Spool, announced: u64) -> Result<Bytes, Failure> {
    loop {
        let offset = file.length;
        if offset > MESSAGE_LIMIT {
            let words =
                format!("message UID {uid} goes on past {MESSAGE_LIMIT} bytes; announced were {announced}");
            return Err(Failure::permanent(words));
        }
        let mut answered = None;
        let what = format!("(UID BODY.PEEK[]<{offset}.{PIECE}>)");
        wire.run(Command::new("UID FETCH").word(&uid.to_string()).word(&what), &mut |response, raw| {
            let Some(part) = part(response, Section::Whole) else { return Ok(()) };
            if part.uid != uid || answered.is_some() {
                return Ok(());
            }
            if part.offset.map(u64::from) != Some(offset) {
                let words = format!("the server sent another piece of message UID {uid} than asked for");
                return Err(Failure::temporary(words));
            }
            // Past the end RFC 3501 wants an empty string; some servers say NIL.
            let data = part.data.map(|data| unquoted(data, raw)).unwrap_or_default();
            file.add(&data)?;
            answered = Some(data.len() as u64);
            Ok(())
        })
        .await?;
        match answered {
            None => return Ok(Bytes::Gone),
            Some(length) if length == 0 || file.is_complete(length, PIECE, announced) => {
                return file.finish();
            }
            Some(_) => {}
        }
    }
}

struct Spool {
    file: File,
    length: u64,
}

impl Spool {
    fn new(dir: &Path) -> Result<Spool, Failure> {
        let file = tempfile::tempfile_in(dir).map_err(|error| {
            Failure::temporary(format!("cannot make a spool file in {}", dir.display())).because(error)
        })?;
        Ok(Spool { file, length: 0 })
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.length += bytes.len() as u64;
        self.file.write_all(bytes).map_err(spool_failed)
    }

    /// A short piece ends the message, but only if that fits the size: some servers cut pieces as they like.
    fn is_complete(&self, last: u64, asked: u64, announced: u64) -> bool {
        last < asked && self.length >= announced
    }

    fn finish(mut self) -> Result<Bytes, Failure> {
        self.file.rewind().map_err(spool_failed)?;
        Ok(Bytes::Spool(self.file, self.length))
    }
}

fn spool_failed(error: std::io::Error) -> Failure {
    Failure::temporary("cannot write the spool file: check the free space").because(error)
}

/// A body section of a FETCH answer.
struct Part<'a> {
    uid: u32,
    received: Option<Micros>,
    offset: Option<u32>,
    data: Option<&'a [u8]>,
}

#[derive(Clone, Copy, PartialEq)]
enum Section {
    Whole,
    Header,
}

/// The section of a FETCH answer that also has its UID. An answer without (a flag that somebody changed, a UID beyond
/// 32 bits) is none of ours.
fn part<'a>(response: &'a Response<'_>, wanted: Section) -> Option<Part<'a>> {
    let Response::Fetch(_, attributes) = response else { return None };
    let (mut uid, mut received, mut body) = (None, None, None);
    for attribute in attributes {
        match attribute {
            AttributeValue::Uid(n) => uid = Some(*n),
            AttributeValue::InternalDate(date) => received = internal_date(date),
            AttributeValue::BodySection { section, index, data } => {
                let is_wanted = match section {
                    None => wanted == Section::Whole,
                    Some(SectionPath::Full(MessageSection::Header)) => wanted == Section::Header,
                    Some(_) => false,
                };
                if is_wanted {
                    body = Some((*index, data.as_deref()));
                }
            }
            _ => {}
        }
    }
    let (offset, data) = body?;
    Some(Part { uid: uid?, received, offset, data })
}

/// RFC 3501 §9 `date-time`: the day may have a space for its first digit.
fn internal_date(date: &str) -> Option<Micros> {
    let parsed = chrono::DateTime::parse_from_str(date.trim(), "%d-%b-%Y %H:%M:%S %z").ok()?;
    Some(Micros(parsed.timestamp_micros()))
}

/// The bytes as the server means them: imap-proto leaves the backslashes of a quoted string in place, and only the byte
/// in front of the data tells it from a literal.
fn unquoted(data: &[u8], raw: &[u8]) -> Vec<u8> {
    let at = (data.as_ptr() as usize).wrapping_sub(raw.as_ptr() as usize);
    let is_quoted = at.checked_sub(1).and_then(|before| raw.get(before)) == Some(&b'"');
    if !is_quoted || !data.contains(&b'\\') {
        return data.to_vec();
    }
    let mut bytes = Vec::with_capacity(data.len());
    let mut rest = data.iter();
    while let Some(byte) = rest.next() {
        let byte = if *byte == b'\\' { rest.next().unwrap_or(byte) } else { byte };
        bytes.push(*byte);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_dates_are_read_with_their_zone() {
        assert_eq!(internal_date("17-Jul-1996 02:44:25 -0700"), Some(Micros::from_seconds(837_596_665)));
        assert_eq!(internal_date(" 1-Jan-1970 00:00:01 +0000"), Some(Micros::from_seconds(1)));
        assert_eq!(internal_date("yesterday"), None);
    }

    #[test]
    fn a_quoted_body_loses_its_backslashes_and_a_literal_keeps_them() {
        for (raw, body) in [
            (&b"* 1 FETCH (UID 7 BODY[]<0> \"a\\\"b\\\\c\")\r\n"[..], &b"a\"b\\c"[..]),
            (b"* 1 FETCH (UID 7 BODY[]<0> {4}\r\na\\\\b)\r\n", b"a\\\\b"),
            (b"* 1 FETCH (UID 7 BODY[]<0> \"\")\r\n", b""),
        ] {
            let (_, response) = Response::parse(raw).expect("well formed");
            let part = part(&response, Section::Whole).expect("a body");
            assert_eq!(unquoted(part.data.expect("data"), raw), body);
        }
    }
}
