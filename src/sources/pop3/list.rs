//! What lies in the mailbox: every unique id with its number in this session and its size.

use std::collections::{BTreeMap, HashMap};

use super::session::{Command, Session};
use super::wire::{code, size, uidl};
use crate::failure::Failure;
use crate::intake::source::Item;
use crate::sources::LISTING_LIMIT;

pub(super) struct Listed {
    pub(super) number: u32,
    pub(super) item: Item,
}

/// In order of arrival. Not listed is what has no unique id yet: Exchange lists no more than so many at a time.
pub(super) async fn list(session: &mut Session) -> Result<Vec<Listed>, Failure> {
    // Asked first: some servers refuse to list an empty mailbox.
    if messages(session).await? == 0 {
        return Ok(vec![]);
    }
    let ids = ids(session).await?;
    let sizes = sizes(session).await?;
    let mut copies: HashMap<String, u32> = HashMap::new();
    let listed = ids.into_iter().map(|(number, id)| {
        let size = sizes.get(&number).copied();
        let size =
            size.ok_or_else(|| Failure::temporary(format!("the server's LIST leaves out message {number}")))?;
        let seen = copies.entry(id.clone()).or_default();
        *seen += 1;
        // RFC 1939 §7: identical copies may share an id, which has no space in it.
        let source_id = if *seen == 1 { id } else { format!("{id} {seen}") };
        Ok(Listed { number, item: Item { source_id, size } })
    });
    listed.collect()
}

/// How many messages there are, RFC 1939 §5 STAT.
pub(super) async fn messages(session: &mut Session) -> Result<u64, Failure> {
    let words = session.tell(Command::new("STAT")).await?;
    let count = words.split(' ').next().and_then(|count| count.parse().ok());
    count.ok_or_else(|| Failure::temporary(format!("the server's answer to STAT has no number: +OK {words}")))
}

async fn ids(session: &mut Session) -> Result<BTreeMap<u32, String>, Failure> {
    let mut ids = BTreeMap::new();
    let reply = session
        .ask_lines(Command::new("UIDL"), &mut |line| {
            let (number, id) = uidl(line).ok_or_else(|| unreadable("UIDL", line))?;
            ids.insert(number, id);
            within_limit(ids.len())
        })
        .await?;
    if !reply.is_ok {
        let is_busy = matches!(code(&reply.words), "SYS/TEMP" | "IN-USE");
        let is_offered = session.capabilities.as_ref().is_some_and(|c| c.has("UIDL"));
        let words = format!("the server refused UIDL: -ERR {}", reply.words);
        return Err(if is_busy || is_offered {
            Failure::temporary(words)
        } else {
            Failure::permanent(format!(
                "{words}. A server without UIDL cannot name messages lastingly, so mail could be taken in twice: \
                 read the mailbox by IMAP, or ask the server's operator for UIDL"
            ))
        });
    }
    if ids.is_empty() {
        return Err(Failure::temporary("the server has messages, and its UIDL lists none"));
    }
    Ok(ids)
}

async fn sizes(session: &mut Session) -> Result<HashMap<u32, u64>, Failure> {
    let mut sizes = HashMap::new();
    let reply = session
        .ask_lines(Command::new("LIST"), &mut |line| {
            let (number, size) = size(line).ok_or_else(|| unreadable("LIST", line))?;
            sizes.insert(number, size);
            within_limit(sizes.len())
        })
        .await?;
    reply.or_failure("LIST")?;
    Ok(sizes)
}

fn within_limit(listed: usize) -> Result<(), Failure> {
    if listed <= LISTING_LIMIT {
        return Ok(());
    }
    Err(Failure::temporary(format!("the server lists more than {LISTING_LIMIT} messages")))
}

fn unreadable(command: &str, line: &[u8]) -> Failure {
    let start: String = String::from_utf8_lossy(line).chars().take(60).collect();
    Failure::temporary(format!("the server's {command} has a line that cannot be read: {start:?}"))
}
