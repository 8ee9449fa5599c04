//! Messages whole: small ones together in one command, large ones in pieces into a spool file.
//!
//! Every fetch is partial (RFC 3501 §6.4.5 `<o.n>`), so memory stays bounded whatever size the server announced, and a
//! message is whole only when it is both at its end and as long as announced, or when the server has no more of it.

use std::collections::HashMap;
use std::path::Path;

use super::answer::{Part, Section, part, unquoted};
use super::command::Command;
use super::uids;
use super::wire::Wire;
use crate::clock::Micros;
use crate::failure::{Failure, Kind, Step};
use crate::intake::source::{Bytes, Fetched, Item, PEEKED_LIMIT, Peeked, SPOOL_FROM};
use crate::sources::spool::Spool;
use crate::sources::{MANY_REFUSED, MESSAGE_LIMIT};

const PIECE: u64 = 1 << 20;
/// How much a message may exceed its announced size and stay in memory: line ends counted otherwise, a header added.
const SLACK: u64 = 64 << 10;
const SMALL_PIECE: u64 = SPOOL_FROM + SLACK;

/// What has come of a message with the first command.
struct Begun<'a> {
    received: Option<Micros>,
    content: Spool<'a>,
    /// There may be more.
    is_open: bool,
}

/// The messages asked for, and what has come of them.
struct Batch<'a> {
    spool_dir: &'a Path,
    /// UIDs and their announced sizes.
    wanted: HashMap<u32, u64>,
    begun: HashMap<u32, Begun<'a>>,
    /// What the server would not give, in its words.
    refused: HashMap<u32, String>,
}

pub(super) async fn fetch(
    wire: &mut Wire,
    spool_dir: &Path,
    items: &[Item],
) -> Result<Vec<Fetched>, Failure> {
    let uids = uids::parse(items.iter().map(|item| item.source_id.as_str()))?;
    let wanted: HashMap<u32, u64> = uids.iter().zip(items).map(|(uid, item)| (*uid, item.size)).collect();
    let small = wanted.iter().filter(|(_, size)| **size <= SPOOL_FROM).map(|(uid, _)| *uid);
    let small_sets = uids::sets(small.collect());
    let mut batch = Batch { spool_dir, wanted, begun: HashMap::new(), refused: HashMap::new() };
    for set in small_sets {
        batch.begin_each(wire, &set, SMALL_PIECE).await?;
    }
    let mut fetched = Vec::with_capacity(items.len());
    for (uid, item) in uids.iter().zip(items) {
        if item.size > SPOOL_FROM {
            batch.begin_each(wire, &uid.to_string(), PIECE).await?;
        }
        let (received, bytes) = match (batch.begun.remove(uid), batch.refused.remove(uid)) {
            (_, Some(words)) => (None, Bytes::Refused(words)),
            (Some(begun), None) => match complete(wire, *uid, begun, item.size).await {
                Ok((received, bytes)) => (received, bytes),
                Err(failure) => (None, Bytes::Refused(refusal_of_one(wire, failure)?)),
            },
            (None, None) => (None, Bytes::Gone),
        };
        let (source_id, announced_size) = (item.source_id.clone(), item.size);
        fetched.push(Fetched { source_id, announced_size, received, bytes });
    }
    require_some_given(&fetched)?;
    Ok(fetched)
}

/// What a server refuses for all messages alike is no fault of the messages. Of a few that cannot be told.
fn require_some_given(fetched: &[Fetched]) -> Result<(), Failure> {
    let refused = fetched.iter().filter_map(|message| match &message.bytes {
        Bytes::Refused(words) => Some(words),
        _ => None,
    });
    match refused.clone().next() {
        Some(words) if fetched.len() >= MANY_REFUSED && refused.count() == fetched.len() => {
            Err(Failure::temporary(format!("none of {} messages is given: {words}", fetched.len()))
                .said(Step::Read, words))
        }
        _ => Ok(()),
    }
}

/// The words of a refusal that may be about this one message, while the session goes on; all else is a failure. A command
/// that the server does not understand is about none.
fn refusal_of_one(wire: &Wire, failure: Failure) -> Result<String, Failure> {
    let is_of_one = wire.is_usable() && failure.kind == Kind::Refused;
    if is_of_one { Ok(failure.words) } else { Err(failure) }
}

/// The header block, at most `limit` bytes of it; nothing if the message is gone.
pub(super) async fn headers(wire: &mut Wire, item: &Item, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
    let uid: u32 = uids::parse_one(&item.source_id)?;
    let limit = limit.clamp(1, SPOOL_FROM as usize);
    let mut headers = None;
    let command = uid_fetch(&uid.to_string(), &format!("(UID BODY.PEEK[HEADER]<0.{limit}>)"));
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

/// INTERNALDATE and the fields that a message is known by, many with one command.
pub(super) async fn peek(wire: &mut Wire, items: &[Item]) -> Result<Vec<Peeked>, Failure> {
    let mut peeked = Vec::with_capacity(items.len());
    for set in uids::sets(uids::parse(items.iter().map(|item| item.source_id.as_str()))?) {
        let fields = "BODY.PEEK[HEADER.FIELDS (MESSAGE-ID FROM SENDER DATE SUBJECT)]";
        let command = uid_fetch(&set, &format!("(UID INTERNALDATE {fields}<0.{PEEKED_LIMIT}>)"));
        wire.run(command, &mut |response, raw| {
            if let Some(Part { uid, received, data: Some(data), .. }) = part(response, Section::Header) {
                peeked.push(Peeked { source_id: uid.to_string(), received, headers: unquoted(data, raw) });
            }
            Ok(())
        })
        .await?;
    }
    Ok(peeked)
}

fn uid_fetch(set: &str, what: &str) -> Command {
    Command::new("UID FETCH").word(set).word(what)
}

impl Batch<'_> {
    /// The same for each of the set by itself, where the server refuses them together.
    async fn begin_each(&mut self, wire: &mut Wire, set: &str, asked: u64) -> Result<(), Failure> {
        let Err(failure) = self.begin(wire, set, asked).await else { return Ok(()) };
        let words = refusal_of_one(wire, failure)?;
        let uids = uids::of_set(set);
        if let [only] = uids[..] {
            self.begun.remove(&only);
            self.refused.insert(only, words);
            return Ok(());
        }
        for uid in uids {
            if self.begun.contains_key(&uid) {
                continue;
            }
            if let Err(failure) = self.begin(wire, &uid.to_string(), asked).await {
                let words = refusal_of_one(wire, failure)?;
                self.begun.remove(&uid);
                self.refused.insert(uid, words);
            }
        }
        Ok(())
    }

    /// Fetches the first piece of each message of the set; what the server does not send is not begun.
    async fn begin(&mut self, wire: &mut Wire, set: &str, asked: u64) -> Result<(), Failure> {
        let command = uid_fetch(set, &format!("(UID INTERNALDATE BODY.PEEK[]<0.{asked}>)"));
        wire.run(command, &mut |response, raw| {
            let Some(part) = part(response, Section::Whole) else { return Ok(()) };
            let (Some(announced), Some(data)) = (self.wanted.get(&part.uid), part.data) else {
                return Ok(());
            };
            let memory_limit = if *announced > SPOOL_FROM { 0 } else { announced + SLACK };
            let mut content = Spool::new(self.spool_dir, memory_limit);
            content.add(unquoted(data, raw))?;
            // Without an offset in the answer the server knows no pieces, and this is the whole.
            let is_open =
                part.offset.is_some() && !is_whole(content.length, content.length, asked, *announced);
            self.begun.insert(part.uid, Begun { received: part.received, content, is_open });
            Ok(())
        })
        .await
    }
}

/// A piece shorter than asked for ends the message, but only if that fits the size: some servers cut pieces as they like.
fn is_whole(length: u64, last: u64, asked: u64, announced: u64) -> bool {
    last < asked && length >= announced
}

/// Fetches piece after piece until the message is whole.
async fn complete(
    wire: &mut Wire,
    uid: u32,
    begun: Begun<'_>,
    announced: u64,
) -> Result<(Option<Micros>, Bytes), Failure> {
    let Begun { received, mut content, mut is_open } = begun;
    while is_open {
        match next_piece(wire, uid, &mut content).await? {
            None => return Ok((received, Bytes::Gone)),
            Some(last) => is_open = last > 0 && !is_whole(content.length, last, PIECE, announced),
        }
        if content.length > MESSAGE_LIMIT {
            return Err(Failure::permanent(format!(
                "message UID {uid} goes on past {MESSAGE_LIMIT} bytes; announced were {announced}"
            )));
        }
    }
    if content.length == 0 && announced > 0 {
        // Taken for the message, it would be removed there, and nobody would have read it.
        let words = format!("it gives nothing of the {announced} bytes that it announces");
        return Ok((received, Bytes::Refused(words)));
    }
    Ok((received, content.finish()?))
}

/// Adds the piece that follows and says how long it is; nothing if the message is gone.
async fn next_piece(wire: &mut Wire, uid: u32, content: &mut Spool<'_>) -> Result<Option<u64>, Failure> {
    let offset = content.length;
    let mut length = None;
    let command = uid_fetch(&uid.to_string(), &format!("(UID BODY.PEEK[]<{offset}.{PIECE}>)"));
    wire.run(command, &mut |response, raw| {
        let Some(part) = part(response, Section::Whole) else { return Ok(()) };
        if part.uid != uid || length.is_some() {
            return Ok(());
        }
        if part.offset.map(u64::from) != Some(offset) {
            let words = format!("the server sent another piece of message UID {uid} than asked for");
            return Err(Failure::temporary(words).kind(Kind::Garbage));
        }
        // Past the end RFC 3501 wants an empty string; some servers say NIL.
        let data = part.data.map(|data| unquoted(data, raw)).unwrap_or_default();
        length = Some(data.len() as u64);
        content.add(data)
    })
    .await?;
    Ok(length)
}
