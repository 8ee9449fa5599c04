//! Step 1 for a message that an MTA brings through a pipe (A2): which mailbox it is for, and keeping it.
//!
//! Its identity at the source is what came and for whom: an MTA that lost our answer brings both again, and nothing is
//! doubled. Deciding is somebody else's work: a round over the mailbox.

use sha2::{Digest, Sha256};

use super::keep::{self, Held};
use super::source::{Bytes, Fetched};
use crate::clock::Micros;
use crate::config::Protocol;
use crate::crash;
use crate::failure::Failure;
use crate::mail::Address;
use crate::store::arrival::{NewArrival, Place};
use crate::store::{Error, MailboxRow, Store, Tx};
use crate::ticket::ArrivalId;
use crate::triage::Rules;

/// A message with the recipients that the MTA names.
pub struct Delivery {
    pub bytes: Bytes,
    pub recipients: Vec<String>,
}

/// A message that is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// None where another process has kept the same one at the same moment.
    pub arrival: Option<ArrivalId>,
    /// It was brought before.
    pub is_known: bool,
}

/// The mailbox that a delivery goes to: the one that is named; else the only one of protocol pipe; else that of the type
/// which a recipient is an address of. One that is not read takes nothing: the MTA keeps its mail.
pub async fn mailbox_for(
    store: &Store,
    named: Option<&str>,
    recipients: &[String],
) -> Result<MailboxRow, Failure> {
    let mut tx = store.read().await?;
    let rules = tx.load_rules().await?;
    let mailbox = match named {
        Some(named) => tx.find_mailbox(named).await?,
        None => one_of(tx.mailboxes().await?, &rules, recipients)?,
    };
    let refused = |why: &str| Err(Failure::temporary(format!("mailbox {:?} {why}", mailbox.spec.name)));
    if mailbox.spec.protocol != Protocol::Pipe {
        return refused("takes nothing from a pipe: its protocol is another; name one of protocol pipe");
    }
    if !mailbox.spec.is_active || mailbox.is_held {
        return refused("is switched off or held; `maildesk mailbox list` shows its state");
    }
    if rules.types.iter().all(|of| of.mailbox != Some(mailbox.id)) {
        return refused("has no active type; `maildesk type add` gives it one");
    }
    Ok(mailbox)
}

fn one_of(mailboxes: Vec<MailboxRow>, rules: &Rules, recipients: &[String]) -> Result<MailboxRow, Failure> {
    let mut pipes: Vec<MailboxRow> =
        mailboxes.into_iter().filter(|m| m.spec.protocol == Protocol::Pipe && m.spec.is_active).collect();
    if pipes.len() == 1 {
        return Ok(pipes.remove(0));
    }
    if pipes.is_empty() {
        let words = "there is no mailbox of protocol pipe: declare one in the configuration and restart the daemon, or \
                     `maildesk mailbox add --protocol pipe`";
        return Err(Failure::temporary(words));
    }
    let addresses = recipients.iter().filter_map(|recipient| Address::parse(recipient));
    let wanted: Vec<_> = addresses.filter_map(|address| rules.type_of(&address)?.mailbox).collect();
    let at = wanted.iter().find_map(|id| pipes.iter().position(|m| m.id == *id));
    at.map(|at| pipes.swap_remove(at)).ok_or_else(|| {
        let words = "there are several mailboxes of protocol pipe, and no type of any of them answers to";
        let whom =
            if recipients.is_empty() { "a mail without --to".to_owned() } else { recipients.join(", ") };
        Failure::temporary(format!("{words} {whom}: give --mailbox, or --to with an address of a type"))
    })
}

/// Keeps it; once this is `Ok`, it is durable.
pub async fn keep_delivered(
    store: &Store,
    mailbox: &MailboxRow,
    delivery: Delivery,
    now: Micros,
) -> Result<Delivered, Failure> {
    let place = Place { mailbox: mailbox.id, epoch: 0, folder: "pipe".into(), validity: 0 };
    let recipients = in_order(delivery.recipients);
    let message =
        Fetched { source_id: String::new(), announced_size: 0, received: Some(now), bytes: delivery.bytes };
    let (mut row, held) = keep::describe(message, keep::Keeping::Live, now)?;
    let Some(mut held) = held else { return Err(Failure::permanent("there is no message")) };
    row.source_id = identity(&row.digest, &recipients);
    row.announced_size = row.size;
    row.envelope_to = recipients.join(", ");
    match insert(store.write().await?, &place, row, &mut held).await {
        // The same message at the same moment: the other one was first, and stands.
        Err(Error::Taken(_)) => Ok(Delivered { arrival: None, is_known: true }),
        done => Ok(done?),
    }
}

async fn insert(mut tx: Tx, place: &Place, row: NewArrival, held: &mut Held) -> Result<Delivered, Error> {
    if let Some(known) = tx.known_arrivals(place, &[&row.source_id]).await?.first() {
        return Ok(Delivered { arrival: Some(known.id), is_known: true });
    }
    let now = row.received;
    let ids = tx.insert_arrivals(place, &[row], now).await?;
    keep::insert_bytes(&mut tx, ids[0], held).await?;
    tx.add_shown(place.mailbox, 1).await?;
    crash::point("keep.before_commit");
    tx.commit().await?;
    crash::point("keep.after_commit");
    Ok(Delivered { arrival: Some(ids[0]), is_known: false })
}

/// Each once, whatever its case and place: an MTA may name them otherwise the next time.
fn in_order(recipients: Vec<String>) -> Vec<String> {
    let mut named: Vec<String> = recipients.iter().map(|r| r.trim().to_lowercase()).collect();
    named.retain(|recipient| !recipient.is_empty());
    named.sort();
    named.dedup();
    named
}

/// The recipients' part is a digest too: there may be any number of them.
fn identity(digest: &[u8], recipients: &[String]) -> String {
    let of_recipients = Sha256::digest(recipients.join("\n"));
    format!("{}:{}", crate::seal::to_hex(digest), crate::seal::to_hex(&of_recipients[..8]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_recipients_are_the_same_identity() {
        let id = |recipients: &[&str]| {
            identity(b"\x01\x02", &in_order(recipients.iter().map(|r| (*r).to_owned()).collect()))
        };
        assert!(id(&[]).starts_with("0102:"));
        assert_eq!(id(&["b@x.test", "A@x.test", ""]), id(&["a@x.test", " B@x.test", "b@X.test"]));
        let all = [id(&[]), id(&["a@x.test"]), id(&["b@x.test"]), id(&["a@x.test", "b@x.test"])];
        assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), 4);
    }
}
