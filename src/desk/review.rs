//! What admins do with what was kept back: invalid tickets, error tickets, bounces (F1, F2, B2, D2).

use super::Desk;
use super::apply::Applied;
use super::place::Placing;
use crate::mail::{self, Address, Message};
use crate::store::arrival::Pending;
use crate::store::journal::{Fate, MailKey};
use crate::store::queue::InvalidRow;
use crate::store::ticket::{EntryKind, TicketRow};
use crate::store::{Cause, Error, Event, Happened, Tx};
use crate::ticket::{ArrivalId, BounceId, ErrorId, EventNumber, InvalidId, OutboxId, TicketId, TypeId};
use crate::triage::classify::{classify, refuses_answer};
use crate::triage::{Clues, Code, Effects, Kind, Rules};

impl Desk {
    /// Puts an invalid ticket onto the ticket that it named, or another; the team is told. `remembers`: the sender's
    /// address becomes one of the contact's.
    pub async fn accept(
        &self,
        id: InvalidId,
        onto: Option<TicketId>,
        remembers: bool,
        cause: &Cause,
    ) -> Result<TicketId, Error> {
        let message = self.message_of(id).await?;
        let mut tx = self.store.desk().await?;
        let invalid = open_invalid(&mut tx, id).await?;
        let named = onto.or(invalid.named_ticket).ok_or_else(|| {
            Error::Missing(format!(
                "ticket that invalid ticket #{id} names: say which with --ticket, or reassign it"
            ))
        })?;
        let ticket = tx.resolved_ticket(named).await?;
        if ticket.is_deleted {
            return Err(Error::InUse(format!(
                "ticket #{named} is deleted: restore it first, or reassign #{id}"
            )));
        }
        let kept = Kept::of(&mut tx, &invalid, message).await?;
        if remembers && let Some(from) = &kept.message.from {
            self.remember(&mut tx, &from.address, &ticket, kept.number).await?;
        }
        let effects = Effects { notifies: true, reopens: true, ..Effects::default() };
        let what = Recovered { code: Code::AcceptedByAdmin, effects, type_id: None, onto: Some(ticket.id) };
        let applied = self.recover(&mut tx, &kept, what, cause).await?;
        self.settle(&mut tx, &invalid, ("accepted", applied), cause).await?;
        tx.commit().await?;
        Ok(ticket.id)
    }

    /// Makes an invalid ticket a proper one of a type; only now its mails are queued (F1).
    pub async fn reassign(&self, id: InvalidId, type_id: TypeId, cause: &Cause) -> Result<TicketId, Error> {
        let message = self.message_of(id).await?;
        let mut tx = self.store.desk().await?;
        let invalid = open_invalid(&mut tx, id).await?;
        let kept = Kept::of(&mut tx, &invalid, message).await?;
        let rules = &kept.rules;
        let rule = rules.of_type(type_id).ok_or_else(|| Error::Missing(format!("active type {type_id}")))?;
        let answers = rule.answers_automatically && kept.may_be_answered();
        let effects = Effects { notifies: true, answers, ..Effects::default() };
        let what = Recovered { code: Code::ReassignedByAdmin, effects, type_id: Some(type_id), onto: None };
        let applied = self.recover(&mut tx, &kept, what, cause).await?;
        let ticket = applied.ticket.ok_or_else(|| Error::Corrupt("a placed message has no ticket".into()))?;
        self.settle(&mut tx, &invalid, ("reassigned", applied), cause).await?;
        tx.commit().await?;
        Ok(ticket)
    }

    /// `state`: rejected or deleted. The message stays in the journal.
    pub async fn dismiss(&self, id: InvalidId, state: &str, cause: &Cause) -> Result<(), Error> {
        let mut tx = self.store.desk().await?;
        let invalid = open_invalid(&mut tx, id).await?;
        self.settle(&mut tx, &invalid, (state, Applied::default()), cause).await?;
        tx.commit().await
    }

    /// Rejects an invalid ticket and puts its sender on the block list, or all senders of his domain; gives what stands
    /// there now.
    pub async fn block(&self, id: InvalidId, all_of_domain: bool, cause: &Cause) -> Result<String, Error> {
        let mut tx = self.store.desk().await?;
        let invalid = open_invalid(&mut tx, id).await?;
        let (address, domain) = sender_patterns(&mut tx, id).await?;
        let pattern = if all_of_domain { domain } else { address };
        tx.block(&pattern, self.clock.now()).await?;
        self.settle(&mut tx, &invalid, ("blocked", Applied::default()), cause).await?;
        tx.commit().await?;
        Ok(pattern)
    }

    /// Takes a rejection, deletion or block back.
    pub async fn undo(&self, id: InvalidId, cause: &Cause) -> Result<(), Error> {
        let mut tx = self.store.desk().await?;
        let invalid = tx.invalid(id).await?;
        if invalid.state == "blocked" {
            let (address, domain) = sender_patterns(&mut tx, id).await?;
            if !tx.unblock(&address).await? {
                tx.unblock(&domain).await?;
            }
        } else if !matches!(invalid.state.as_str(), "rejected" | "deleted") {
            return Err(Error::InUse(format!(
                "invalid ticket #{id} is {}: only reject, delete and block can be undone",
                invalid.state
            )));
        }
        self.settle(&mut tx, &invalid, ("open", Applied::default()), cause).await?;
        tx.commit().await
    }

    /// What a flood has suspended, or journalled only, is pending again as if it had come just so, with its own time of
    /// receipt; the flood has no say in it any more.
    pub async fn let_through(&self, ids: &[InvalidId], cause: &Cause) -> Result<Vec<ArrivalId>, Error> {
        let mut tx = self.store.desk().await?;
        let mut arrivals = Vec::with_capacity(ids.len());
        for id in ids {
            let invalid = tx.invalid(*id).await?;
            let code = Code::parse(&invalid.code);
            let is_of_flood = matches!(code, Some(Code::FloodSender | Code::FloodJournalled));
            if !is_of_flood || !matches!(invalid.state.as_str(), "open" | "journalled") {
                return Err(Error::InUse(format!(
                    "invalid ticket #{id} is {}, code {}: only what a flood has suspended is recovered",
                    invalid.state, invalid.code
                )));
            }
            self.settle(&mut tx, &invalid, ("recovered", Applied::default()), cause).await?;
            tx.let_through(invalid.arrival).await?;
            arrivals.push(invalid.arrival);
        }
        tx.commit().await?;
        Ok(arrivals)
    }

    /// An error ticket's message is decided again, in the next round or at once.
    pub async fn retry_error(&self, id: ErrorId, cause: &Cause) -> Result<ArrivalId, Error> {
        let mut tx = self.store.desk().await?;
        let arrival = open_error(&mut tx, id).await?;
        if tx.raw_chunk(arrival, 0).await?.is_none() {
            return Err(Error::InUse(format!(
                "the message of error ticket #{id} is still at its source: `maildesk error fetch {id}`"
            )));
        }
        tx.settle_error(id, "retried", self.clock.now()).await?;
        self.clear_left_alerts(&mut tx, arrival).await?;
        tx.reopen_journal(arrival).await?;
        self.event(&mut tx, Event::of(None, Happened::ErrorSettled, format!("error:{id} retried")), cause)
            .await?;
        tx.commit().await?;
        Ok(arrival)
    }

    /// A message too big is taken in with the next round of its mailbox, whatever it weighs.
    pub async fn fetch_error(&self, id: ErrorId, cause: &Cause) -> Result<(), Error> {
        let mut tx = self.store.desk().await?;
        let arrival = open_error(&mut tx, id).await?;
        if tx.raw_chunk(arrival, 0).await?.is_some() {
            return Err(Error::InUse(format!(
                "the message of error ticket #{id} is here already: `maildesk error retry {id}`"
            )));
        }
        tx.settle_error(id, "fetch", self.clock.now()).await?;
        self.event(&mut tx, Event::of(None, Happened::ErrorSettled, format!("error:{id} fetch")), cause)
            .await?;
        tx.commit().await
    }

    /// Nobody need look at a message any more that was left at its source.
    pub async fn clear_left_alerts(&self, tx: &mut Tx, arrival: ArrivalId) -> Result<(), Error> {
        self.alerts.state_in(tx, &too_big_alert(arrival), None).await?;
        self.alerts.state_in(tx, &refused_alert(arrival), None).await
    }

    /// The arrival of an error ticket that nobody has settled.
    pub async fn open_error(&self, id: ErrorId) -> Result<ArrivalId, Error> {
        open_error(&mut self.store.read().await?, id).await
    }

    /// Its message lies in its mailbox, and stays there.
    pub async fn settle_returned(&self, tx: &mut Tx, id: ErrorId, cause: &Cause) -> Result<(), Error> {
        let arrival = open_error(tx, id).await?;
        tx.settle_error(id, "returned", self.clock.now()).await?;
        self.clear_left_alerts(tx, arrival).await?;
        self.event(tx, Event::of(None, Happened::ErrorSettled, format!("error:{id} returned")), cause)
            .await?;
        Ok(())
    }

    /// The message is let go: what lies at the source is removed with the next round.
    pub async fn discard_error(&self, id: ErrorId, cause: &Cause) -> Result<(), Error> {
        let mut tx = self.store.desk().await?;
        let arrival = open_error(&mut tx, id).await?;
        tx.settle_error(id, "discarded", self.clock.now()).await?;
        tx.let_go(arrival).await?;
        self.clear_left_alerts(&mut tx, arrival).await?;
        self.event(&mut tx, Event::of(None, Happened::ErrorSettled, format!("error:{id} discarded")), cause)
            .await?;
        tx.commit().await
    }

    /// A mail goes out again, to everybody whom it did not reach.
    pub async fn retry_mail(&self, id: OutboxId, cause: &Cause) -> Result<(), Error> {
        let mut tx = self.store.desk().await?;
        tx.retry(id, self.clock.now()).await?;
        self.mail_event(&mut tx, id, Happened::MailRetried, cause).await?;
        tx.commit().await
    }

    /// A mail goes out to nobody any more.
    pub async fn cancel_mail(&self, id: OutboxId, cause: &Cause) -> Result<(), Error> {
        let mut tx = self.store.desk().await?;
        tx.cancel(id, self.clock.now()).await?;
        self.mail_event(&mut tx, id, Happened::MailCancelled, cause).await?;
        tx.commit().await
    }

    async fn mail_event(
        &self,
        tx: &mut Tx,
        id: OutboxId,
        happened: Happened,
        cause: &Cause,
    ) -> Result<(), Error> {
        let mail = tx.outbox_show(id).await?;
        let event = Event {
            ticket: mail.ticket,
            log_entry: mail.log_entry,
            happened,
            detail: format!("outbox:{id}"),
        };
        tx.append_event(&event, cause, self.clock.now()).await.map(drop)
    }

    pub async fn resolve_bounce(&self, id: BounceId, cause: &Cause) -> Result<(), Error> {
        let mut tx = self.store.desk().await?;
        tx.resolve_bounce(id, &cause.actor, self.clock.now()).await?;
        self.event(&mut tx, Event::of(None, Happened::BounceResolved, format!("bounce:{id}")), cause).await?;
        tx.commit().await
    }

    /// The message of an invalid ticket, read before the desk lock is taken: it may weigh much.
    async fn message_of(&self, id: InvalidId) -> Result<Message, Error> {
        let mut tx = self.store.read().await?;
        let arrival = tx.invalid(id).await?.arrival;
        let pending = tx.arrival(arrival).await?;
        drop(tx);
        let mut message = mail::parse(&self.store.skeleton(arrival).await?);
        message.add_envelope(&pending.envelope_to);
        Ok(message)
    }

    /// A stranger belongs to the ticket from now on. Where nobody has his address yet, it is one more of the contact's.
    async fn remember(
        &self,
        tx: &mut Tx,
        sender: &Address,
        ticket: &TicketRow,
        number: EventNumber,
    ) -> Result<(), Error> {
        if let Some(contact) = ticket.contact {
            tx.add_contact_address(contact, sender, number).await?;
        }
        let contact = tx.contact_of(sender).await?;
        tx.add_participants(ticket.id, &[(sender.clone(), "accepted", contact)], number).await
    }

    /// Places a message that was kept back, with its original time and threading (M7).
    async fn recover(
        &self,
        tx: &mut Tx,
        kept: &Kept,
        what: Recovered,
        cause: &Cause,
    ) -> Result<Applied, Error> {
        let contact = match &kept.message.from {
            Some(from) => tx.contact_of(&from.address).await?,
            None => None,
        };
        let key = MailKey::of(&kept.message, &kept.pending.digest, &self.keys);
        let placing = Placing {
            pending: &kept.pending,
            message: &kept.message,
            key: &key,
            rules: &kept.rules,
            type_id: what.type_id,
            follows: None,
            code: what.code,
            effects: what.effects,
            kind: match what.onto {
                Some(_) if kept.kind() == Kind::AutoReply => EntryKind::Automatic,
                // A ticket that an admin makes of it has its sender as its contact, machine or not.
                _ => EntryKind::Inbound,
            },
            contact,
            bounces: &[],
            // Who is let onto a ticket once does not belong to it for that.
            includes: what.onto.is_none(),
            number: kept.number,
        };
        let applied = self.place(tx, &placing, what.onto, cause).await?;
        let fate = Fate { ticket: applied.ticket, log_entry: applied.log_entry };
        tx.settle_journal(kept.pending.id, fate, kept.number).await?;
        Ok(applied)
    }

    async fn settle(
        &self,
        tx: &mut Tx,
        invalid: &InvalidRow,
        (state, applied): (&str, Applied),
        cause: &Cause,
    ) -> Result<(), Error> {
        let onto = applied.ticket.zip(applied.log_entry);
        tx.settle_invalid(invalid, state, onto, self.clock.now()).await?;
        let event = Event {
            ticket: applied.ticket,
            log_entry: applied.log_entry,
            happened: Happened::InvalidSettled,
            detail: format!("invalid:{} {state}", invalid.id),
        };
        tx.append_event(&event, cause, self.clock.now()).await.map(drop)
    }
}

/// The alert of a message over the size limit, which stands until somebody has decided what is to become of it.
pub fn too_big_alert(arrival: ArrivalId) -> String {
    format!("too_big:{arrival}")
}

/// The same of a message that its server lists and will not give.
pub fn refused_alert(arrival: ArrivalId) -> String {
    format!("refused:{arrival}")
}

/// A message that was kept back, with the rules of today and the number that its new place bears.
struct Kept {
    pending: Pending,
    message: Message,
    rules: Rules,
    number: EventNumber,
}

impl Kept {
    /// As a decision has it in hand.
    async fn of(tx: &mut Tx, invalid: &InvalidRow, message: Message) -> Result<Kept, Error> {
        let pending = tx.arrival(invalid.arrival).await?;
        let rules = tx.load_rules().await?;
        Ok(Kept { pending, message, rules, number: tx.draw_decision().await? })
    }

    fn kind(&self) -> Kind {
        classify(&self.message, &self.rules, &Clues::none()).kind
    }

    /// A person wrote it, and asks for no silence (RFC 3834 §2).
    fn may_be_answered(&self) -> bool {
        self.kind() == Kind::Person && refuses_answer(&self.message, &self.rules).is_none()
    }
}

/// What becomes of a message that an admin lets through.
struct Recovered {
    code: Code,
    effects: Effects,
    type_id: Option<TypeId>,
    onto: Option<TicketId>,
}

async fn open_invalid(tx: &mut Tx, id: InvalidId) -> Result<InvalidRow, Error> {
    let invalid = tx.invalid(id).await?;
    match invalid.state.as_str() {
        "open" => Ok(invalid),
        state => Err(Error::InUse(format!("invalid ticket #{id} is {state} already"))),
    }
}

/// What stands for an invalid ticket's sender on the block list: his address, or all of his domain.
async fn sender_patterns(tx: &mut Tx, id: InvalidId) -> Result<(String, String), Error> {
    let address = tx.invalid_sender(id).await?;
    match address.rsplit_once('@') {
        Some((_, domain)) => Ok((address.clone(), format!("@{domain}"))),
        None => Err(Error::InUse(format!("invalid ticket #{id} has no sender to block: reject it"))),
    }
}

async fn open_error(tx: &mut Tx, id: ErrorId) -> Result<ArrivalId, Error> {
    match tx.error_ticket(id).await? {
        (arrival, state) if matches!(state.as_str(), "open" | "fetch") => Ok(arrival),
        (_, state) => Err(Error::InUse(format!("error ticket #{id} is {state} already"))),
    }
}
