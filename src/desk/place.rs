//! A message is placed: on a new ticket or on one that stands, with its entry, its attachments, who belongs, and the
//! mails that are owed for it.

use super::Desk;
use super::apply::{Applied, Applying};
use super::mails::{About, Inbound};
use crate::clock::Micros;
use crate::mail::subject::numbered_tags;
use crate::mail::{Address, Message, NamedAddress};
use crate::store::arrival::Pending;
use crate::store::journal::MailKey;
use crate::store::ticket::{EntryKind, NewEntry, NewTicket, Receiver, TicketRow};
use crate::store::{Cause, Counter, Error, Event, Happened, Tx};
use crate::ticket::{ContactId, EventNumber, LogEntryId, TicketId, TypeId};
use crate::triage::{Act, Code, Decision, Effects, Finding, Kind, Rules, TypeRule};

/// Cc's that come to belong to a ticket with one message.
const MAX_INCLUDED: usize = 50;

/// What is placed, and with which effects.
#[derive(Clone, Copy)]
pub(super) struct Placing<'a> {
    pub pending: &'a Pending,
    pub message: &'a Message,
    pub key: &'a MailKey,
    pub rules: &'a Rules,
    pub type_id: Option<TypeId>,
    pub follows: Option<TicketId>,
    pub code: Code,
    pub effects: Effects,
    pub kind: EntryKind,
    /// The sender's, where he has one.
    pub contact: Option<ContactId>,
    pub bounces: &'a [Finding],
    /// Its Cc's come to belong to the ticket: the sender is proven, or it is his own new ticket.
    pub includes: bool,
    pub number: EventNumber,
}

impl<'a> Placing<'a> {
    pub(super) fn of(it: &Applying<'a>) -> Placing<'a> {
        let Decision { effects, code, .. } = *it.decision;
        Placing {
            pending: it.pending,
            message: it.message,
            key: it.key,
            rules: it.rules,
            type_id: it.decision.type_id,
            follows: it.decision.follows,
            code,
            effects,
            kind: entry_kind(it.decision),
            contact: it.clues.sender.contact,
            bounces: &it.decision.bounces,
            includes: it.decision.act == Act::Open || effects.reopens,
            number: it.number,
        }
    }
}

fn entry_kind(decision: &Decision) -> EntryKind {
    match decision.kind {
        Kind::Bounce | Kind::Complaint => EntryKind::Bounce,
        _ if decision.effects.is_note => EntryKind::Note,
        _ if decision.effects.is_automatic => EntryKind::Automatic,
        _ => EntryKind::Inbound,
    }
}

impl Desk {
    /// `onto`: the ticket; none: a new one of the placing's type.
    pub(super) async fn place(
        &self,
        tx: &mut Tx,
        it: &Placing<'_>,
        onto: Option<TicketId>,
        cause: &Cause,
    ) -> Result<Applied, Error> {
        let contact = self.contact_for(tx, it).await?;
        let (ticket, is_new) = match onto {
            Some(id) => (tx.ticket(id).await?, false),
            None => (self.open(tx, it, contact, cause).await?, true),
        };
        let rule = it.rules.of_type(ticket.type_id);
        let entry = LogEntryId(tx.draw(Counter::LogEntry).await?);
        let receivers = receivers(it, &ticket, rule);
        self.insert_entry(tx, it, (ticket.id, entry), &receivers).await?;
        for tag in numbered_tags(&it.message.subject, &it.rules.predecessor_tags) {
            if tx.ticket_of_predecessor(&tag, EventNumber(i64::MAX)).await?.is_none() {
                tx.remember_tag(ticket.id, &tag, it.number).await?;
            }
        }
        if it.includes {
            tx.add_participants(ticket.id, &included(it, contact, is_new), it.number).await?;
        }
        let event = Event {
            ticket: Some(ticket.id),
            log_entry: Some(entry),
            happened: Happened::EntryAdded,
            detail: it.code.as_str().into(),
        };
        tx.append_event(&event, cause, self.clock.now()).await?;
        let status_before = ticket.status;
        let status = if is_new { ticket.status } else { self.settle_status(tx, it, &ticket, cause).await? };
        if let Some(rule) = rule
            && !it.pending.is_silent
        {
            let inbound = Inbound {
                message: it.message,
                pending: it.pending,
                about: About { rules: it.rules, rule, ticket: ticket.id, entry },
                code: it.code,
                effects: it.effects,
                bounces: it.bounces,
                receivers: &receivers,
                is_new,
                status_before,
                status,
                number: it.number,
            };
            self.owe_mails(tx, &inbound).await?;
        }
        let changes_ticket = is_new || it.includes || status != status_before;
        let makes_contact = contact != it.contact;
        Ok(Applied { ticket: Some(ticket.id), log_entry: Some(entry), changes_ticket, makes_contact })
    }

    /// What comes of old mail that is taken in silently is as old as the mail.
    fn moment(&self, it: &Placing<'_>) -> Micros {
        match it.pending.is_silent {
            true => it.pending.received.min(self.clock.now()),
            false => self.clock.now(),
        }
    }

    /// The sender's contact, made where he is new; machine mail makes none.
    async fn contact_for(&self, tx: &mut Tx, it: &Placing<'_>) -> Result<Option<ContactId>, Error> {
        let Some(from) = &it.message.from else { return Ok(None) };
        let is_stranger =
            it.contact.is_none() && it.kind == EntryKind::Inbound && !it.rules.is_team(&from.address);
        match is_stranger {
            true => tx.insert_contact(from, it.number, self.moment(it)).await.map(Some),
            false => Ok(it.contact),
        }
    }

    async fn open(
        &self,
        tx: &mut Tx,
        it: &Placing<'_>,
        contact: Option<ContactId>,
        cause: &Cause,
    ) -> Result<TicketRow, Error> {
        let type_id = it.type_id.ok_or_else(|| Error::Corrupt("a decision to open names no type".into()))?;
        let rule =
            it.rules.of_type(type_id).ok_or_else(|| Error::Missing(format!("active type {type_id}")))?;
        let words: Vec<&str> = it.rules.types.iter().map(|t| t.tag.as_str()).collect();
        let subject = crate::mail::subject::without_tags(&it.message.subject, &words);
        let new = NewTicket {
            type_id,
            tag: &rule.tag,
            subject: &subject,
            contact,
            follows: it.follows,
            number: it.number,
        };
        let id = tx.insert_ticket(&new, self.moment(it)).await?;
        self.event(tx, Event::of(Some(id), Happened::Opened, format!("type:{type_id}")), cause).await?;
        Ok(TicketRow {
            id,
            type_id,
            status: crate::ticket::Status::New,
            subject,
            contact,
            assignee: None,
            merged_into: None,
            merged_number: EventNumber(0),
            auto_answered: false,
            is_deleted: false,
            number: it.number,
            version: 1,
        })
    }

    async fn insert_entry(
        &self,
        tx: &mut Tx,
        it: &Placing<'_>,
        (ticket, id): (TicketId, LogEntryId),
        receivers: &[Receiver],
    ) -> Result<(), Error> {
        let message = it.message;
        let split = message.split();
        let entry = NewEntry {
            id,
            ticket,
            kind: it.kind,
            arrival: Some(it.pending.id),
            author: message.from.as_ref(),
            subject: &message.subject,
            body: &message.text,
            body_truncated: message.text_truncated,
            pieces: if split.is_all_new() { &[] } else { &split.pieces },
            message_id: message.message_id.as_ref().map_or("", |m| m.as_str()),
            id_hash: it.key.id_hash.as_deref(),
            receivers,
            code: it.code.as_str(),
            number: it.number,
            sent: message.date,
        };
        tx.insert_entry(&entry, self.moment(it)).await?;
        tx.insert_attachments(id, it.pending.id, &message.attachments).await
    }

    /// A proven reply reopens; any entry touches.
    async fn settle_status(
        &self,
        tx: &mut Tx,
        it: &Placing<'_>,
        ticket: &TicketRow,
        cause: &Cause,
    ) -> Result<crate::ticket::Status, Error> {
        let now = self.moment(it);
        let next = ticket.status.after_reply();
        if !it.effects.reopens || next == ticket.status {
            tx.touch_ticket(ticket.id, now).await?;
            return Ok(ticket.status);
        }
        tx.set_status(ticket.id, next, now).await?;
        let happened = if ticket.status.is_ended() { Happened::Reopened } else { Happened::StatusChanged };
        self.event(tx, Event::of(Some(ticket.id), happened, format!("{}>{next}", ticket.status)), cause)
            .await?;
        Ok(next)
    }
}

/// Whom this entry is told to: the assignee, else the type's admin (C2). They are of the team, not contacts.
fn receivers(it: &Placing<'_>, ticket: &TicketRow, rule: Option<&TypeRule>) -> Vec<Receiver> {
    if !it.effects.notifies {
        return vec![];
    }
    let assignee = ticket.assignee.and_then(|a| it.rules.accounts.iter().find(|(_, id)| *id == a));
    let address = assignee.map(|(address, _)| address).or(rule.and_then(|r| r.admin.as_ref()));
    address.map(|a| Receiver { address: a.clone(), name: String::new(), contact: None }).into_iter().collect()
}

/// Who belongs to the ticket from now on: the sender, and his Cc's.
fn included(
    it: &Placing<'_>,
    contact: Option<ContactId>,
    is_new: bool,
) -> Vec<(Address, &'static str, Option<ContactId>)> {
    let Some(from) = &it.message.from else { return vec![] };
    let how = if is_new { "contact" } else { "cc" };
    let mut who: Vec<(Address, &str, Option<ContactId>)> = vec![];
    if !it.rules.is_team(&from.address) {
        who.push((from.address.clone(), how, contact));
    }
    let cc = it.message.to.iter().chain(&it.message.cc).map(|n: &NamedAddress| &n.address);
    for address in cc.filter(|a| !it.rules.is_ours(a)).take(MAX_INCLUDED) {
        if who.iter().all(|(known, ..)| known != address) {
            who.push((address.clone(), "cc", None));
        }
    }
    who
}
