//! Clues: what the store knows that a decision needs, as of a number.

use std::collections::BTreeSet;

use crate::mail::{Address, MailKeys, Message};
use crate::store::arrival::Pending;
use crate::store::journal::MailKey;
use crate::store::{Error, Tx};
use crate::ticket::{ArrivalId, EventNumber, MailboxId, TicketId};
use crate::triage::clues::{CLUES_VERSION, SenderClue, TagClue, TagVerdict};
use crate::triage::{Clues, Questions, Rules, questions};

/// The message in hand, as far as the store knows it.
#[derive(Clone, Debug)]
pub struct InHand {
    pub arrival: ArrivalId,
    pub mailbox: MailboxId,
    pub digest: Vec<u8>,
}

impl InHand {
    pub fn of(pending: &Pending) -> InHand {
        InHand { arrival: pending.id, mailbox: pending.mailbox, digest: pending.digest.clone() }
    }
}

/// Asks the store what it knew at `as_of`.
pub async fn look_up(
    tx: &mut Tx,
    message: &Message,
    in_hand: &InHand,
    rules: &Rules,
    keys: &MailKeys,
    as_of: EventNumber,
) -> Result<Clues, Error> {
    let asked = questions(message, rules, keys);
    let key = MailKey::of(message, &in_hand.digest, keys);
    let mut clues = Clues { version: CLUES_VERSION, as_of, mailbox: Some(in_hand.mailbox), ..Clues::none() };
    clues.copies = tx.copies_of(&key.key, &in_hand.digest, in_hand.arrival, as_of).await?;
    clues.echo = asked.echo.map(|token| token.outbox);
    for token in &asked.ours {
        clues.ours.extend(tx.our_mail(token.outbox, as_of).await?);
    }
    clues.reported_by_verp = asked.verp.is_some();
    if let Some(token) = asked.verp.or(asked.original) {
        clues.reported = tx.our_mail(token.outbox, as_of).await?;
    }
    clues.tag = tag_clue(tx, &asked, as_of).await?;
    let hashes: Vec<Vec<u8>> =
        asked.foreign.iter().map(|id| keys.hash(&[b"id", id.as_str().as_bytes()])).collect();
    clues.foreign = tx.entries_of_ids(&asked.foreign, &hashes, as_of).await?;
    clues.sender = sender_clue(tx, asked.from.as_ref(), rules, as_of).await?;
    for ticket in named_tickets(&clues) {
        clues.tickets.extend(tx.ticket_clue(ticket, asked.from.as_ref(), clues.sender.contact, as_of).await?);
    }
    Ok(clues)
}

async fn tag_clue(tx: &mut Tx, asked: &Questions, as_of: EventNumber) -> Result<Option<TagClue>, Error> {
    let Some(tag) = &asked.tag else { return Ok(None) };
    let verdict = tx.tag_verdict(tag, as_of).await?;
    Ok(Some(TagClue { word: tag.word.clone(), ticket: tag.ticket, log_entry: tag.log_entry, verdict }))
}

async fn sender_clue(
    tx: &mut Tx,
    from: Option<&Address>,
    rules: &Rules,
    as_of: EventNumber,
) -> Result<SenderClue, Error> {
    let Some(from) = from else { return Ok(SenderClue::default()) };
    Ok(SenderClue {
        contact: tx.contact_as_of(from, as_of).await?,
        is_team: rules.is_team(from),
        blocked_by: rules.blocked_by(from).map(str::to_owned),
    })
}

/// Every ticket that a clue names, once.
fn named_tickets(clues: &Clues) -> BTreeSet<TicketId> {
    let ours = clues.ours.iter().chain(&clues.reported).filter_map(|m| m.ticket);
    let tag = clues.tag.iter().filter(|t| t.verdict != TagVerdict::NoSuchTicket).map(|t| t.ticket);
    ours.chain(tag).chain(clues.foreign.iter().map(|f| f.ticket)).collect()
}
