//! Clues: what the store knows that a decision needs, as of a number.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::mail::{Address, MailKeys, Message, MessageId};
use crate::store::arrival::Pending;
use crate::store::journal::MailKey;
use crate::store::{Error, Tx};
use crate::ticket::{ArrivalId, ContactId, EventNumber, LogEntryId, MailboxId, TicketId};
use crate::triage::clues::{CLUES_VERSION, ForeignEntry, PredecessorClue, SenderClue, TagClue, TagVerdict};
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

/// What is asked about a message, worked out from the message alone.
pub struct Asked {
    pub questions: Questions,
    pub key: MailKey,
    /// Of `questions.foreign`, in its order.
    pub hashes: Vec<Vec<u8>>,
}

impl Asked {
    pub fn of(message: &Message, in_hand: &InHand, rules: &Rules, keys: &MailKeys) -> Asked {
        let questions = questions(message, rules, keys);
        let hash = |id: &MessageId| keys.hash(&[b"id", id.as_str().as_bytes()]);
        let hashes = questions.foreign.iter().map(hash).collect();
        Asked { questions, key: MailKey::of(message, &in_hand.digest, keys), hashes }
    }
}

/// What a look-up goes by, and how far it sees.
#[derive(Clone, Copy)]
pub struct Sight<'a> {
    pub rules: &'a Rules,
    pub keys: &'a MailKeys,
    /// Nothing born after this number is looked at.
    pub as_of: EventNumber,
}

/// Asks the store what it knew then.
pub async fn look_up(
    tx: &mut Tx,
    message: &Message,
    in_hand: &InHand,
    Sight { rules, keys, as_of }: Sight<'_>,
) -> Result<Clues, Error> {
    let asked = Asked::of(message, in_hand, rules, keys);
    let ahead = Ahead::of(tx, std::slice::from_ref(&asked), as_of).await?;
    clues(tx, &asked, in_hand, rules, &ahead).await
}

/// The clues of one message, with what was looked up ahead.
pub(super) async fn clues(
    tx: &mut Tx,
    asked: &Asked,
    in_hand: &InHand,
    rules: &Rules,
    ahead: &Ahead,
) -> Result<Clues, Error> {
    let (questions, as_of) = (&asked.questions, ahead.as_of);
    let mut clues = Clues { version: CLUES_VERSION, as_of, mailbox: Some(in_hand.mailbox), ..Clues::none() };
    if ahead.mail_keys.contains(&asked.key.key) {
        clues.copies = tx.copies_of(&asked.key.key, &in_hand.digest, in_hand.arrival, as_of).await?;
    }
    clues.echo = questions.echo.map(|token| token.outbox);
    for token in &questions.ours {
        clues.ours.extend(tx.our_mail(token.outbox, as_of).await?);
    }
    clues.reported_by_verp = questions.verp.is_some();
    if let Some(token) = questions.verp.or(questions.original) {
        clues.reported = tx.our_mail(token.outbox, as_of).await?;
    }
    clues.tag = tag_clue(tx, questions, as_of).await?;
    clues.foreign = ahead.foreign(asked);
    clues.predecessor = predecessor_clue(tx, questions, as_of).await?;
    clues.sender = ahead.sender(questions.from.as_ref(), rules);
    for ticket in named_tickets(&clues) {
        let found = tx.ticket_clue(ticket, questions.from.as_ref(), clues.sender.contact, as_of).await?;
        clues.tickets.extend(found);
    }
    Ok(clues)
}

/// What is asked about every message, looked up for a batch at once.
pub(super) struct Ahead {
    as_of: EventNumber,
    /// Of the messages' keys those that some arrival bears already: only these have copies.
    mail_keys: HashSet<Vec<u8>>,
    contacts: HashMap<Address, ContactId>,
    /// The entries that bear a Message-ID, by its hash.
    entries: HashMap<Vec<u8>, Vec<(LogEntryId, TicketId)>>,
}

impl Ahead {
    pub(super) async fn of(tx: &mut Tx, asked: &[Asked], as_of: EventNumber) -> Result<Ahead, Error> {
        let keys: Vec<&[u8]> = asked.iter().map(|a| &a.key.key[..]).collect();
        let from: Vec<&Address> = asked.iter().filter_map(|a| a.questions.from.as_ref()).collect();
        let hashes: Vec<&[u8]> = asked.iter().flat_map(|a| a.hashes.iter().map(|h| &h[..])).collect();
        Ok(Ahead {
            as_of,
            mail_keys: tx.known_mail_keys(&keys).await?,
            contacts: tx.contacts_as_of(&from, as_of).await?,
            entries: tx.entries_of_hashes(&hashes, as_of).await?,
        })
    }

    /// The entries that a message names, nearest first.
    fn foreign(&self, asked: &Asked) -> Vec<ForeignEntry> {
        let ids = asked.questions.foreign.iter().zip(&asked.hashes);
        let named = ids.filter_map(|(id, hash)| self.entries.get(hash).map(|entries| (id, entries)));
        let entry =
            |id: &MessageId, (log_entry, ticket)| ForeignEntry { message_id: id.clone(), log_entry, ticket };
        named.flat_map(|(id, entries)| entries.iter().map(move |e| entry(id, *e))).collect()
    }

    fn sender(&self, from: Option<&Address>, rules: &Rules) -> SenderClue {
        let Some(from) = from else { return SenderClue::default() };
        SenderClue {
            contact: self.contacts.get(from).copied(),
            is_team: rules.is_team(from),
            blocked_by: rules.blocked_by(from).map(str::to_owned),
        }
    }
}

/// What a batch has written so far that a later message of it may have to see.
#[derive(Default)]
pub(super) struct Touched {
    mail_keys: HashSet<Vec<u8>>,
    id_hashes: HashSet<Vec<u8>>,
    senders: HashSet<Address>,
    tickets: HashSet<TicketId>,
    predecessor: HashSet<String>,
}

impl Touched {
    pub(super) fn add(&mut self, asked: &Asked, ticket: Option<TicketId>) {
        self.mail_keys.insert(asked.key.key.clone());
        self.id_hashes.extend(asked.key.id_hash.clone());
        self.senders.extend(asked.questions.from.clone());
        self.tickets.extend(ticket);
        self.predecessor.extend(asked.questions.predecessor.iter().cloned());
    }

    /// Whether clues that were looked up before the batch may have become wrong.
    pub(super) fn concerns(&self, asked: &Asked, clues: &Clues) -> bool {
        self.mail_keys.contains(&asked.key.key)
            || asked.hashes.iter().any(|hash| self.id_hashes.contains(hash))
            || asked.questions.predecessor.iter().any(|tag| self.predecessor.contains(tag))
            || asked.questions.from.as_ref().is_some_and(|from| self.senders.contains(from))
            || asked.questions.tag.as_ref().is_some_and(|tag| self.tickets.contains(&tag.ticket))
            || clues
                .tickets
                .iter()
                .any(|t| self.tickets.contains(&t.id) || self.tickets.contains(&t.resolved))
    }
}

async fn tag_clue(tx: &mut Tx, asked: &Questions, as_of: EventNumber) -> Result<Option<TagClue>, Error> {
    let Some(tag) = &asked.tag else { return Ok(None) };
    let verdict = tx.tag_verdict(tag, as_of).await?;
    Ok(Some(TagClue { word: tag.word.clone(), ticket: tag.ticket, log_entry: tag.log_entry, verdict }))
}

async fn predecessor_clue(
    tx: &mut Tx,
    asked: &Questions,
    as_of: EventNumber,
) -> Result<Option<PredecessorClue>, Error> {
    for tag in &asked.predecessor {
        if let Some(ticket) = tx.ticket_of_predecessor(tag, as_of).await? {
            return Ok(Some(PredecessorClue { tag: tag.clone(), ticket }));
        }
    }
    Ok(None)
}

/// Every ticket that a clue names, once.
fn named_tickets(clues: &Clues) -> BTreeSet<TicketId> {
    let ours = clues.ours.iter().chain(&clues.reported).filter_map(|m| m.ticket);
    let tag = clues.tag.iter().filter(|t| t.verdict != TagVerdict::NoSuchTicket).map(|t| t.ticket);
    let predecessor = clues.predecessor.iter().map(|p| p.ticket);
    ours.chain(tag).chain(clues.foreign.iter().map(|f| f.ticket)).chain(predecessor).collect()
}
