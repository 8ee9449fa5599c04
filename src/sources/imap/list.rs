//! What lies in a folder: SELECT, then every UID with its size.

use std::collections::BTreeMap;

use async_imap::imap_proto::{AttributeValue, MailboxDatum, Response, ResponseCode};

use super::command::Command;
use super::utf7;
use super::wire::{OpenFolder, Wire};
use crate::failure::{Failure, Kind};
use crate::intake::source::{Item, Listing};
use crate::sources::LISTING_LIMIT;

/// Stands for a size that imap-proto cannot read: 4 GiB or more.
const BEYOND_32_BITS: u64 = 1 << 32;

/// What a SELECT or EXAMINE said.
#[derive(Debug, Default)]
pub(super) struct Opened {
    pub(super) exists: Option<u32>,
    pub(super) validity: Option<u32>,
    /// RFC 3501 §2.3.1.1: it rises with every message that comes.
    pub(super) uid_next: Option<u32>,
    pub(super) is_read_only: bool,
}

/// Lists a folder; beside the listing what the server said on opening it, and what in it carries \Deleted.
pub(super) async fn open(wire: &mut Wire, folder: &str) -> Result<(Listing, Opened, Vec<String>), Failure> {
    let opened = select(wire, "SELECT", folder).await.map_err(|f| f.of(format!("folder {folder:?}")))?;
    let validity = opened.validity.ok_or_else(|| {
        // RFC 3501 §2.3.1.1: without it UIDs name a message in this session only.
        Failure::permanent(format!(
            "folder {folder:?} has no UIDVALIDITY: this server cannot name messages lastingly"
        ))
        .kind(Kind::NotUnderstood)
    })?;
    // RFC 3501 §6.4.8: "1:*" in an empty folder names a message that is not there.
    let (items, deleted) = if opened.exists == Some(0) { Default::default() } else { list(wire).await? };
    let listing = Listing { folder: folder.to_owned(), validity: i64::from(validity), items };
    Ok((listing, opened, deleted))
}

/// Opens a folder by `SELECT` or `EXAMINE`.
pub(super) async fn select(wire: &mut Wire, verb: &'static str, folder: &str) -> Result<Opened, Failure> {
    let mut opened = Opened::default();
    wire.opened = OpenFolder::default();
    let command = Command::new(verb).string(&utf7::encode(folder));
    let mut note = |response: &Response<'_>, _: &[u8]| {
        match response {
            Response::MailboxData(MailboxDatum::Exists(n)) => opened.exists = Some(*n),
            Response::Data { outcome, .. } => match outcome.code {
                Some(ResponseCode::UidValidity(validity)) => opened.validity = Some(validity),
                Some(ResponseCode::UidNext(next)) => opened.uid_next = Some(next),
                _ => {}
            },
            _ => {}
        }
        Ok(())
    };
    let reply = wire.ask(command, &mut note).await?;
    opened.is_read_only = reply.is_read_only;
    reply.or_failure(verb)?;
    wire.opened.has_news = false;
    Ok(opened)
}

/// A message in the listing; a server may speak of one more than once.
#[derive(Debug, Default)]
struct Listed {
    size: Option<u64>,
    is_deleted: bool,
}

async fn list(wire: &mut Wire) -> Result<(Vec<Item>, Vec<String>), Failure> {
    let mut listed: BTreeMap<u32, Listed> = BTreeMap::new();
    let command = Command::new("UID FETCH").word("1:*").word("(UID FLAGS RFC822.SIZE)");
    wire.run(command, &mut |response, _| {
        if let Response::Fetch(_, attributes) = response {
            note(&mut listed, attributes);
        }
        if listed.len() > LISTING_LIMIT {
            return Err(Failure::temporary(format!("the folder lists more than {LISTING_LIMIT} messages")));
        }
        Ok(())
    })
    .await?;
    // What carries \Deleted is on its way out: by another's hand; by ours, cut off before the removal; or flagged by us
    // where nothing better is offered.
    let (deleted, kept): (Vec<_>, Vec<_>) = listed.into_iter().partition(|(_, message)| message.is_deleted);
    let item = |(uid, message): (u32, Listed)| Some(Item { source_id: uid.to_string(), size: message.size? });
    let deleted = deleted.into_iter().map(|(uid, _)| uid.to_string()).collect();
    Ok((kept.into_iter().filter_map(item).collect(), deleted))
}

fn note(listed: &mut BTreeMap<u32, Listed>, attributes: &[AttributeValue<'_>]) {
    let Some(uid) =
        attributes.iter().find_map(|a| if let AttributeValue::Uid(uid) = a { Some(*uid) } else { None })
    else {
        return;
    };
    let message = listed.entry(uid).or_default();
    for attribute in attributes {
        match attribute {
            AttributeValue::Rfc822Size(size) => message.size = Some(u64::from(*size)),
            AttributeValue::Unknown => message.size = message.size.or(Some(BEYOND_32_BITS)),
            AttributeValue::Flags(flags) => {
                message.is_deleted = flags.iter().any(|flag| flag.eq_ignore_ascii_case("\\Deleted"));
            }
            _ => {}
        }
    }
}
