//! Messages whole, as they come: in memory while they are small, else into a spool file.

use std::path::Path;

use super::Pop3Source;
use super::session::{Command, Session};
use crate::failure::{Failure, Kind, Step, meaning};
use crate::intake::source::{Bytes, Fetched, Item, SPOOL_FROM};
use crate::sources::spool::Spool;
use crate::sources::{MANY_REFUSED, MESSAGE_LIMIT};

/// How much a message may exceed its announced size and stay in memory: servers count line ends as they like.
const SLACK: u64 = 64 << 10;

/// What came of a RETR.
enum Retrieved {
    Whole(Bytes),
    /// In the server's words.
    Refused(String),
}

pub(super) async fn fetch(source: &mut Pop3Source, items: &[Item]) -> Result<Vec<Fetched>, Failure> {
    let mut fetched = Vec::with_capacity(items.len());
    let mut refused = vec![];
    for ahead in items.chunks(source.ahead()) {
        let number = |item: &Item| source.numbers.get(&item.source_id).copied();
        let commands: Vec<Command> =
            ahead.iter().filter_map(number).map(|n| Command::new("RETR").word(n)).collect();
        source.session.send(&commands).await?;
        for item in ahead {
            let is_listed = source.numbers.contains_key(&item.source_id);
            let retrieved = match is_listed {
                true => retrieve(&mut source.session, &source.settings.spool_dir, item).await?,
                false => Retrieved::Whole(Bytes::Gone),
            };
            let bytes = match retrieved {
                Retrieved::Whole(bytes) => bytes,
                Retrieved::Refused(words) => {
                    refused.push((item, words));
                    Bytes::Gone
                }
            };
            let (source_id, announced_size) = (item.source_id.clone(), item.size);
            fetched.push(Fetched { source_id, announced_size, received: None, bytes });
        }
    }
    let still = still_there(source, &refused).await?;
    // All alike is no fault of the messages; of a few that cannot be told.
    if still.len() == items.len() && items.len() >= MANY_REFUSED {
        require_gone(source, &refused).await?;
    }
    for (item, words) in still {
        if let Some(message) = fetched.iter_mut().find(|message| message.source_id == item.source_id) {
            message.bytes = Bytes::Refused(format!("the server refused RETR: -ERR {words}"));
        }
    }
    Ok(fetched)
}

/// Which of the refused messages a new session lists all the same, and are refused for themselves: the others were removed
/// by another client. A refusal that speaks of the whole account is a failure.
async fn still_there<'i>(
    source: &mut Pop3Source,
    refused: &[(&'i Item, String)],
) -> Result<Vec<(&'i Item, String)>, Failure> {
    if refused.is_empty() {
        return Ok(vec![]);
    }
    if refused.iter().any(|(_, words)| meaning(Step::Read, words) != Kind::Refused) {
        require_gone(source, refused).await?;
        return Ok(vec![]);
    }
    source.renew().await?;
    let is_listed = |(item, _): &&(&Item, String)| source.numbers.contains_key(&item.source_id);
    Ok(refused.iter().filter(is_listed).cloned().collect())
}

/// A refused message that a new session does not list any more has been removed by another client. One that it lists
/// is refused for a reason of the server's own.
async fn require_gone(source: &mut Pop3Source, refused: &[(&Item, String)]) -> Result<(), Failure> {
    if refused.is_empty() {
        return Ok(());
    }
    source.renew().await?;
    match refused.iter().find(|(item, _)| source.numbers.contains_key(&item.source_id)) {
        None => Ok(()),
        Some((item, words)) => Err(Failure::temporary(format!(
            "message {} of {} bytes: the server refused RETR: -ERR {words}",
            item.source_id, item.size
        ))
        .said(Step::Read, words)),
    }
}

async fn retrieve(session: &mut Session, spool_dir: &Path, item: &Item) -> Result<Retrieved, Failure> {
    let memory_limit = if item.size > SPOOL_FROM { 0 } else { item.size + SLACK };
    let mut content = Spool::new(spool_dir, memory_limit);
    let reply = session
        .answer_of("RETR", &mut |piece| {
            if content.length > MESSAGE_LIMIT {
                return Err(Failure::permanent(format!(
                    "message {} goes on past {MESSAGE_LIMIT} bytes; announced were {}",
                    item.source_id, item.size
                )));
            }
            content.add(piece.to_vec())
        })
        .await?;
    if !reply.is_ok {
        return Ok(Retrieved::Refused(reply.words));
    }
    Ok(Retrieved::Whole(content.finish()?))
}

/// The header block, at most `limit` bytes of it; nothing if the message is gone.
pub(super) async fn headers(
    source: &mut Pop3Source,
    item: &Item,
    limit: usize,
) -> Result<Option<Vec<u8>>, Failure> {
    let Some(number) = source.numbers.get(&item.source_id).copied() else { return Ok(None) };
    let has_top = source.session.capabilities.as_ref().is_none_or(|c| c.has("TOP"));
    if has_top {
        let top = Command::new("TOP").word(number).word(0);
        if let Ok(headers) = start_of(&mut source.session, top, limit).await? {
            return Ok(Some(headers));
        }
    }
    // RFC 1939 §7: TOP is optional. The whole goes by, and its start is kept.
    match start_of(&mut source.session, Command::new("RETR").word(number), limit).await? {
        Ok(headers) => Ok(Some(headers)),
        Err(words) => {
            require_gone(source, &[(item, words)]).await?;
            Ok(None)
        }
    }
}

/// The header block of what a command answers; the server's words where it refuses.
async fn start_of(
    session: &mut Session,
    command: Command,
    limit: usize,
) -> Result<Result<Vec<u8>, String>, Failure> {
    let mut start = vec![];
    let reply = session
        .ask_pieces(command, &mut |piece| {
            let room = limit.saturating_sub(start.len()).min(piece.len());
            start.extend_from_slice(&piece[..room]);
            Ok(())
        })
        .await?;
    if !reply.is_ok {
        return Ok(Err(reply.words));
    }
    if let Some(at) = memchr::memmem::find(&start, b"\r\n\r\n") {
        start.truncate(at + 4);
    }
    Ok(Ok(start))
}
