//! Whether a mailbox may be worked on as it is meant to be: flags set, messages removed or moved, and room left.
//!
//! For `doctor`. A folder is opened by SELECT, since EXAMINE shows nobody's rights; no message is touched.

use async_imap::imap_proto::{Response, ResponseCode};

use super::command::Command;
use super::list::select;
use super::wire::Wire;
use super::{login, utf7};
use crate::failure::Failure;
use crate::sources::ServerSettings;

/// What the server lets us do.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    /// Folders with what is missing there, in words.
    pub refused: Vec<(String, String)>,
    /// Why the folder that handled mail is moved to cannot be opened; none: it can, or nothing is moved.
    pub no_target: Option<String>,
    /// Of each limit that the server states: its name, what is used of it, and the limit.
    pub quotas: Vec<(String, u64, u64)>,
}

/// `wants_delete`: messages are removed from the folders, not only marked.
pub async fn rights(
    settings: ServerSettings,
    wants_delete: bool,
    move_to: Option<&str>,
) -> Result<Rights, Failure> {
    let (mut wire, _) = login::log_in(&settings).await?;
    let mut found = Rights::default();
    for folder in &settings.folders {
        let words = match missing(&mut wire, folder, wants_delete).await? {
            None if wire.capabilities.has("ACL") => withheld(&mut wire, folder, wants_delete).await?,
            words => words,
        };
        if let Some(words) = words {
            found.refused.push((folder.clone(), words));
        }
    }
    if let Some(target) = move_to {
        match select(&mut wire, "EXAMINE", target).await {
            Ok(_) => {}
            Err(failure) if wire.is_usable() => found.no_target = Some(failure.to_string()),
            Err(failure) => return Err(failure),
        }
    }
    if wire.capabilities.has("QUOTA") {
        found.quotas = quotas(&mut wire).await?;
    }
    wire.tell(Command::new("LOGOUT")).await?;
    Ok(found)
}

async fn missing(wire: &mut Wire, folder: &str, wants_delete: bool) -> Result<Option<String>, Failure> {
    let (mut is_read_only, mut permanent) = (false, None);
    let command = Command::new("SELECT").string(&utf7::encode(folder));
    let opened = wire
        .run(command, &mut |response, _| {
            let code = match response {
                Response::Data { outcome, .. } => &outcome.code,
                Response::Done { outcome, .. } => &outcome.code,
                _ => &None,
            };
            match code {
                Some(ResponseCode::ReadOnly) => is_read_only = true,
                Some(ResponseCode::PermanentFlags(flags)) => {
                    permanent = Some(flags.iter().map(|flag| flag.to_ascii_lowercase()).collect::<Vec<_>>());
                }
                _ => {}
            }
            Ok(())
        })
        .await;
    // That it cannot be opened at all has been found before.
    match opened {
        Ok(()) => {}
        Err(_) if wire.is_usable() => return Ok(None),
        Err(failure) => return Err(failure),
    }
    let flag = if wants_delete { "\\deleted" } else { "\\seen" };
    Ok(match permanent {
        _ if is_read_only => Some("the server opens it for reading only".to_owned()),
        // RFC 3501 §7.1: where the list is not given, all flags can be changed.
        Some(flags) if !flags.iter().any(|f| f == flag) => Some(format!(
            "the server does not let us set {}",
            if wants_delete { "\\Deleted" } else { "\\Seen" }
        )),
        _ => None,
    })
}

/// RFC 4314 §4: what each right is for. An answer that is not given, or is about another folder, says nothing.
async fn withheld(wire: &mut Wire, folder: &str, wants_delete: bool) -> Result<Option<String>, Failure> {
    let mut given: Option<Vec<char>> = None;
    let asked = wire
        .run(Command::new("MYRIGHTS").string(&utf7::encode(folder)), &mut |response, _| {
            if let Response::MyRights(mine) = response {
                given = Some(mine.rights.iter().map(|right| char::from(*right)).collect());
            }
            Ok(())
        })
        .await;
    match asked {
        Ok(()) => {}
        Err(_) if wire.is_usable() => return Ok(None),
        Err(failure) => return Err(failure),
    }
    let Some(given) = given else { return Ok(None) };
    // RFC 2086, before it: one right, d, for what are now three.
    let has = |right: char| given.contains(&right) || "te".contains(right) && given.contains(&'d');
    let needed: &[(char, &str)] = match wants_delete {
        true => &[('r', "read messages"), ('t', "flag them as deleted"), ('e', "expunge them")],
        false => &[('r', "read messages"), ('s', "flag them as seen")],
    };
    let missing: Vec<String> = needed
        .iter()
        .filter(|(right, _)| !has(*right))
        .map(|(right, what)| format!("{right} ({what})"))
        .collect();
    Ok((!missing.is_empty()).then(|| {
        let given: String = given.iter().collect();
        format!("the server gives the account the rights {given:?}, and not {}", missing.join(", "))
    }))
}

/// RFC 2087.
async fn quotas(wire: &mut Wire) -> Result<Vec<(String, u64, u64)>, Failure> {
    let mut found = vec![];
    let asked = wire
        .run(Command::new("GETQUOTAROOT").string("INBOX"), &mut |response, _| {
            if let Response::Quota(quota) = response {
                found.extend(quota.resources.iter().map(|r| (format!("{:?}", r.name), r.usage, r.limit)));
            }
            Ok(())
        })
        .await;
    match asked {
        Ok(()) => Ok(found),
        Err(_) if wire.is_usable() => Ok(vec![]),
        Err(failure) => Err(failure),
    }
}
