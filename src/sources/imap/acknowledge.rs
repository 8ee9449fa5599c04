//! What becomes of handled mail on the server. Only UIDs are ever named, and never a plain EXPUNGE: that would destroy
//! what others flagged.

use super::command::Command;
use super::wire::Wire;
use super::{uids, utf7};
use crate::failure::Failure;
use crate::intake::source::{Acknowledged, Handled};

const FLAGGED_ONLY: &str = "flagged \\Deleted only: the server offers no UIDPLUS to remove single messages";

pub(super) async fn acknowledge(
    wire: &mut Wire,
    ids: &[String],
    handled: &Handled,
) -> Result<Acknowledged, Failure> {
    let mut is_whole = true;
    for set in uids::sets(uids::parse(ids.iter().map(String::as_str))?) {
        is_whole &= match handled {
            Handled::Seen => store(wire, &set, "(\\Seen)").await.map(|()| true)?,
            Handled::Delete => delete(wire, &set).await?,
            Handled::Move(folder) => move_to(wire, &set, folder).await?,
        };
    }
    let words = if is_whole { String::new() } else { FLAGGED_ONLY.to_owned() };
    Ok(Acknowledged { words, ..Acknowledged::default() })
}

async fn store(wire: &mut Wire, set: &str, flags: &str) -> Result<(), Failure> {
    wire.tell(Command::new("UID STORE").word(set).word("+FLAGS.SILENT").word(flags)).await
}

/// Says whether the messages are gone, or only flagged.
async fn delete(wire: &mut Wire, set: &str) -> Result<bool, Failure> {
    store(wire, set, "(\\Deleted)").await?;
    if !wire.capabilities.has("UIDPLUS") {
        return Ok(false);
    }
    // RFC 4315 §2.1.
    wire.tell(Command::new("UID EXPUNGE").word(set)).await?;
    Ok(true)
}

async fn move_to(wire: &mut Wire, set: &str, folder: &str) -> Result<bool, Failure> {
    // RFC 6851 §3; without it a copy and then a removal, so that a crash between leaves two rather than none.
    if wire.capabilities.has("MOVE") {
        into_folder(wire, "UID MOVE", set, folder).await?;
        return Ok(true);
    }
    into_folder(wire, "UID COPY", set, folder).await?;
    delete(wire, set).await
}

async fn into_folder(wire: &mut Wire, verb: &'static str, set: &str, folder: &str) -> Result<(), Failure> {
    let name = utf7::encode(folder);
    let command = || Command::new(verb).word(set).string(&name);
    let of_folder = |failure: Failure| failure.of(format!("folder {folder:?}"));
    let reply = wire.ask(command(), &mut |_, _| Ok(())).await?;
    if !reply.wants_create {
        return reply.or_failure(verb).map_err(of_folder);
    }
    wire.tell(Command::new("CREATE").string(&name)).await.map_err(of_folder)?;
    wire.tell(command()).await.map_err(of_folder)
}
