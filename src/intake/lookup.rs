//! Clues: what the store knows that a decision needs, as of a number.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::parsed::Parsed;
use crate::desk::apply::Applied;
use crate::mail::{Address, MailKeys, Message, MessageId, OurToken};
use crate::store::arrival::Pending;
use crate::store::clue::TicketAsked;
use crate::store::journal::MailKey;
use crate::store::{Error, Tx};
use crate::ticket::{ArrivalId, ContactId, EventNumber, LogEntryId, MailboxId, OutboxId, TicketId};
use crate::triage::clues::{
    CLUES_VERSION, ForeignEntry, OurMail, PredecessorClue, SenderClue, TagClue, TagVerdict,
};
use crate::triage::trust::Checks;
use crate::triage::{Clues, Questions, Rules, Scan, questions};

/// The message in hand, as far as the store knows it.
#[derive(Clone, Debug)]
pub struct InHand {
    pub arrival: ArrivalId,
    pub mailbox: MailboxId,
    pub digest: Vec<u8>,
    /// What the virus scanner said of it.
    pub scan: Option<Scan>,
    /// What DNS said of its sender.
    pub checks: Option<Checks>,
}

impl InHand {
    pub(super) fn of(Parsed { pending, scan, .. }: &Parsed) -> InHand {
        InHand::again(pending, scan.clone())
    }

    pub(super) fn again(pending: &Pending, scan: Option<Scan>) -> InHand {
        InHand {
            arrival: pending.id,
            mailbox: pending.mailbox,
            digest: pending.digest.clone(),
            scan,
            checks: pending.checks.clone(),
        }
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
    look_up_asked(tx, (&asked, in_hand), rules, as_of).await
}

/// The same, where it is known what to ask.
pub(super) async fn look_up_asked(
    tx: &mut Tx,
    message: (&Asked, &InHand),
    rules: &Rules,
    as_of: EventNumber,
) -> Result<Clues, Error> {
    let mut found = look_up_all(tx, &[message], rules, as_of).await?;
    found.pop().ok_or_else(|| Error::Corrupt("a look-up found nothing, not even nothing".into()))
}

/// The clues of many messages, in their order, with few trips to the store.
pub(super) async fn look_up_all(
    tx: &mut Tx,
    messages: &[(&Asked, &InHand)],
    rules: &Rules,
    as_of: EventNumber,
) -> Result<Vec<Clues>, Error> {
    let known = Known::of(tx, messages, as_of).await?;
    let mut found: Vec<Clues> =
        messages.iter().map(|(asked, in_hand)| known.clues(asked, in_hand, rules)).collect();
    verify_tags(tx, messages, &mut found).await?;
    for ((asked, _), clues) in messages.iter().zip(&mut found) {
        clues.predecessor = predecessor_clue(tx, &asked.questions, as_of).await?;
    }
    find_tickets(tx, messages, &mut found).await?;
    for ((asked, in_hand), clues) in messages.iter().zip(&mut found) {
        if known.mail_keys.contains(&asked.key.key) {
            clues.copies = tx.copies_of(&asked.key.key, &in_hand.digest, in_hand.arrival, as_of).await?;
        }
    }
    Ok(found)
}

/// What the store knew of all that the messages name.
struct Known {
    as_of: EventNumber,
    /// Of the messages' keys those that some arrival bears already: only these have copies.
    mail_keys: HashSet<Vec<u8>>,
    contacts: HashMap<Address, ContactId>,
    /// The entries that bear a Message-ID, by its hash.
    entries: HashMap<Vec<u8>, Vec<(LogEntryId, TicketId)>>,
    ours: HashMap<OutboxId, OurMail>,
}

impl Known {
    async fn of(tx: &mut Tx, messages: &[(&Asked, &InHand)], as_of: EventNumber) -> Result<Known, Error> {
        let asked = || messages.iter().map(|(asked, _)| *asked);
        let keys: Vec<&[u8]> = asked().map(|a| &a.key.key[..]).collect();
        let from: Vec<&Address> = asked().filter_map(|a| a.questions.from.as_ref()).collect();
        let hashes: Vec<&[u8]> = asked().flat_map(|a| a.hashes.iter().map(|h| &h[..])).collect();
        let ours: Vec<OutboxId> = asked().flat_map(|a| our_tokens(&a.questions)).map(|t| t.outbox).collect();
        Ok(Known {
            as_of,
            mail_keys: tx.known_mail_keys(&keys).await?,
            contacts: tx.contacts_as_of(&from, as_of).await?,
            entries: tx.entries_of_hashes(&hashes, as_of).await?,
            ours: tx.our_mails(&ours, as_of).await?,
        })
    }

    /// What can be said without the copies, the tag's verdict and the tickets.
    fn clues(&self, asked: &Asked, in_hand: &InHand, rules: &Rules) -> Clues {
        let questions = &asked.questions;
        let reported = questions.verp.or(questions.original);
        Clues {
            version: CLUES_VERSION,
            as_of: self.as_of,
            mailbox: Some(in_hand.mailbox),
            echo: questions.echo.map(|token| token.outbox),
            ours: questions.ours.iter().filter_map(|token| self.ours.get(&token.outbox)).cloned().collect(),
            reported_by_verp: questions.verp.is_some(),
            reported: reported.and_then(|token| self.ours.get(&token.outbox)).cloned(),
            foreign: self.foreign(asked),
            sender: self.sender(questions.from.as_ref(), rules),
            scan: in_hand.scan.clone(),
            trust: in_hand.checks.clone(),
            ..Clues::none()
        }
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

/// Every token of ours that is looked up.
fn our_tokens(questions: &Questions) -> impl Iterator<Item = &OurToken> {
    questions.ours.iter().chain(&questions.verp).chain(&questions.original)
}

async fn verify_tags(tx: &mut Tx, messages: &[(&Asked, &InHand)], found: &mut [Clues]) -> Result<(), Error> {
    let tags = || messages.iter().map(|(asked, _)| &asked.questions.tag);
    let Some(as_of) = found.first().map(|clues| clues.as_of) else { return Ok(()) };
    let verdicts = tx.tag_verdicts(&tags().flatten().collect::<Vec<_>>(), as_of).await?;
    let tagged = tags().zip(found).filter_map(|(tag, clues)| Some((tag.as_ref()?, clues)));
    for ((tag, clues), verdict) in tagged.zip(verdicts) {
        clues.tag =
            Some(TagClue { word: tag.word.clone(), ticket: tag.ticket, log_entry: tag.log_entry, verdict });
    }
    Ok(())
}

/// Every ticket that a clue names, and whether the sender belongs to it.
async fn find_tickets(tx: &mut Tx, messages: &[(&Asked, &InHand)], found: &mut [Clues]) -> Result<(), Error> {
    let Some(as_of) = found.first().map(|clues| clues.as_of) else { return Ok(()) };
    let (mut asked, mut of) = (vec![], vec![]);
    for (nth, ((message, _), clues)) in messages.iter().zip(found.iter()).enumerate() {
        let (sender, contact) = (message.questions.from.as_ref(), clues.sender.contact);
        for ticket in named_tickets(clues) {
            asked.push(TicketAsked { ticket, sender, contact });
            of.push(nth);
        }
    }
    for (nth, clue) in of.into_iter().zip(tx.ticket_clues(&asked, as_of).await?) {
        found[nth].tickets.extend(clue);
    }
    Ok(())
}

/// What a batch has written so far that a later message of it may have to see.
#[derive(Default)]
pub(super) struct Touched {
    mail_keys: HashSet<Vec<u8>>,
    id_hashes: HashSet<Vec<u8>>,
    /// Those who have become contacts.
    contacts: HashSet<Address>,
    log_entries: HashSet<LogEntryId>,
    /// Tickets that are new, have another status, or have somebody belonging to them who did not.
    tickets: HashSet<TicketId>,
    predecessor: HashSet<String>,
}

impl Touched {
    pub(super) fn add(&mut self, asked: &Asked, applied: &Applied) {
        self.mail_keys.insert(asked.key.key.clone());
        self.id_hashes.extend(asked.key.id_hash.clone());
        self.contacts.extend(asked.questions.from.clone().filter(|_| applied.makes_contact));
        self.log_entries.extend(applied.log_entry);
        self.tickets.extend(applied.ticket.filter(|_| applied.changes_ticket));
        self.predecessor.extend(asked.questions.predecessor.iter().cloned());
    }

    /// Whether clues that were looked up before the batch may have become wrong.
    pub(super) fn concerns(&self, asked: &Asked, clues: &Clues) -> bool {
        let is_touched = |ticket: &TicketId| self.tickets.contains(ticket);
        self.mail_keys.contains(&asked.key.key)
            || asked.hashes.iter().any(|hash| self.id_hashes.contains(hash))
            || asked.questions.predecessor.iter().any(|tag| self.predecessor.contains(tag))
            || asked.questions.from.as_ref().is_some_and(|from| self.contacts.contains(from))
            || asked
                .questions
                .tag
                .as_ref()
                .is_some_and(|tag| is_touched(&tag.ticket) || self.log_entries.contains(&tag.log_entry))
            || clues.tickets.iter().any(|t| is_touched(&t.id) || is_touched(&t.resolved))
    }
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
