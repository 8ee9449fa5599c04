//! What people do to tickets: answer, note, change, merge, delete. Each is one transaction under the desk lock.

use super::Desk;
use super::mails::{About, Envelope};
use crate::letters::{Answer, Body, Letter};
use crate::mail::compose::Auto;
use crate::mail::{MessageId, NamedAddress};
use crate::store::outbox::Purpose;
use crate::store::ticket::{EntryKind, NewEntry, Receiver, TicketEdit, TicketRow};
use crate::store::{Cause, Counter, Error, Event, Happened, Tx};
use crate::ticket::{ArrivalId, EventNumber, LogEntryId, Status, TicketId, TypeId};
use crate::triage::{Rules, TypeRule};

/// Message-IDs of a ticket that an answer refers to.
const THREAD: i64 = 20;
/// Tickets that change with one commit.
const TICKETS_A_COMMIT: usize = 200;

/// What an agent says on a ticket.
pub struct Words<'a> {
    pub text: &'a str,
    /// Who says it; empty: nobody by name.
    pub agent: &'a str,
}

impl Desk {
    /// An answer to the contact: an entry, and a mail to him from the type's address. `then`: what the ticket becomes.
    pub async fn answer(
        &self,
        id: TicketId,
        words: &Words<'_>,
        then: Option<Status>,
        cause: &Cause,
    ) -> Result<LogEntryId, Error> {
        let mut tx = self.store.desk().await?;
        let ticket = self.live_ticket(&mut tx, id).await?;
        let status = then.unwrap_or(ticket.status.after_answer());
        require_may_become(&ticket, status)?;
        let rules = tx.load_rules().await?;
        let rule = answering_type(&rules, &ticket, id)?;
        let (contact, contact_id) = tx
            .contact_address_on(ticket.id)
            .await?
            .ok_or_else(|| Error::Missing(format!("contact on ticket #{id} to answer")))?;
        let entry = LogEntryId(tx.draw(Counter::LogEntry).await?);
        let about = About { rules: &rules, rule, ticket: ticket.id, entry };
        let event = Event {
            ticket: Some(ticket.id),
            log_entry: Some(entry),
            happened: Happened::AnswerQueued,
            detail: String::new(),
        };
        let number = tx.append_event(&event, cause, self.clock.now()).await?;
        let receivers = [Receiver {
            address: contact.address.clone(),
            name: contact.name.clone(),
            contact: Some(contact_id),
        }];
        let author = NamedAddress { name: words.agent.to_owned(), address: rule.address.clone() };
        let kind = EntryKind::Outbound;
        let thread = thread_of(&mut tx, ticket.id).await?;
        let said = Said { id: entry, number, words, kind, author, receivers: &receivers };
        self.say(&mut tx, &ticket, said).await?;
        let receiver = [(contact.address.clone(), "receiver", Some(contact_id))];
        let mail = answer_mail(&about, &ticket, words, thread, (contact, number));
        self.enqueue(&mut tx, mail).await?;
        tx.add_participants(ticket.id, &receiver, number).await?;
        self.change_status(&mut tx, &ticket, status, cause).await?;
        tx.commit().await?;
        Ok(entry)
    }

    /// An internal note.
    pub async fn note(&self, id: TicketId, words: &Words<'_>, cause: &Cause) -> Result<LogEntryId, Error> {
        let mut tx = self.store.desk().await?;
        let ticket = self.live_ticket(&mut tx, id).await?;
        let rules = tx.load_rules().await?;
        let entry = LogEntryId(tx.draw(Counter::LogEntry).await?);
        let event = Event {
            ticket: Some(ticket.id),
            log_entry: Some(entry),
            happened: Happened::EntryAdded,
            detail: "note".into(),
        };
        let number = tx.append_event(&event, cause, self.clock.now()).await?;
        let address = rules.of_type(ticket.type_id).map(|r| r.address.clone());
        let address = address.unwrap_or_else(|| "note@localhost".parse().expect("it is an address"));
        let author = NamedAddress { name: words.agent.to_owned(), address };
        let said = Said { id: entry, number, words, kind: EntryKind::Note, author, receivers: &[] };
        self.say(&mut tx, &ticket, said).await?;
        tx.commit().await?;
        Ok(entry)
    }

    pub async fn set_status(&self, id: TicketId, status: Status, cause: &Cause) -> Result<(), Error> {
        let mut tx = self.store.desk().await?;
        let ticket = self.live_ticket(&mut tx, id).await?;
        require_may_become(&ticket, status)?;
        self.change_status(&mut tx, &ticket, status, cause).await?;
        tx.commit().await
    }

    /// Gives the tickets that imported messages have opened a status, where nobody has touched them since; says how many.
    pub async fn settle_imported(
        &self,
        arrivals: &[ArrivalId],
        status: Status,
        cause: &Cause,
    ) -> Result<u64, Error> {
        let tickets = self.store.read().await?.new_tickets_of(arrivals).await?;
        for part in tickets.chunks(TICKETS_A_COMMIT) {
            let mut tx = self.store.desk().await?;
            for id in part {
                tx.set_old_status(*id, status).await?;
                let event =
                    Event::of(Some(*id), Happened::StatusChanged, format!("{}>{status}", Status::New));
                self.event(&mut tx, event, cause).await?;
            }
            tx.commit().await?;
        }
        Ok(tickets.len() as u64)
    }

    /// `login`: none takes the assignee away.
    pub async fn assign(&self, id: TicketId, login: Option<&str>, cause: &Cause) -> Result<(), Error> {
        let mut tx = self.store.desk().await?;
        let ticket = self.live_ticket(&mut tx, id).await?;
        let account = match login {
            Some(login) => Some(tx.find_account(login).await?.id),
            None => None,
        };
        let shown =
            |account: Option<crate::ticket::AccountId>| account.map(|a| a.to_string()).unwrap_or_default();
        let detail = format!("{}>{}", shown(ticket.assignee), shown(account));
        tx.set_assignee(ticket.id, account, self.clock.now()).await?;
        self.event(&mut tx, Event::of(Some(ticket.id), Happened::Assigned, detail), cause).await?;
        tx.commit().await
    }

    /// Another type; the tags of the old one still find the ticket (B4).
    pub async fn set_type(&self, id: TicketId, type_id: TypeId, cause: &Cause) -> Result<(), Error> {
        let mut tx = self.store.desk().await?;
        let ticket = self.live_ticket(&mut tx, id).await?;
        let rules = tx.load_rules().await?;
        let rule = rules.of_type(type_id).ok_or_else(|| Error::Missing(format!("active type {type_id}")))?;
        tx.set_type(ticket.id, type_id, self.clock.now()).await?;
        let detail = format!("{}>{type_id}", ticket.type_id);
        let number =
            self.event(&mut tx, Event::of(Some(ticket.id), Happened::TypeChanged, detail), cause).await?;
        tx.remember_tag(ticket.id, &rule.tag, number).await?;
        tx.commit().await
    }

    /// Changes what is given, all of it or nothing. `version`: what the editor saw, where he says it.
    pub async fn edit(
        &self,
        id: TicketId,
        edit: &TicketEdit,
        version: Option<i64>,
        cause: &Cause,
    ) -> Result<(), Error> {
        let mut tx = self.store.desk().await?;
        let ticket = self.live_ticket(&mut tx, id).await?;
        if version.is_some_and(|version| version != ticket.version) {
            return Err(Error::Stale(format!("ticket #{}", ticket.id)));
        }
        if let Some(status) = edit.status {
            require_may_become(&ticket, status)?;
            self.change_status(&mut tx, &ticket, status, cause).await?;
        }
        let changed = edit.names();
        if !changed.is_empty() {
            tx.edit_ticket(ticket.id, edit, self.clock.now()).await?;
            self.event(&mut tx, Event::of(Some(ticket.id), Happened::Edited, changed.join(",")), cause)
                .await?;
        }
        tx.commit().await
    }

    /// Merges a ticket into another: later replies and old tag lines find the target (M11).
    pub async fn merge(&self, from: TicketId, into: TicketId, cause: &Cause) -> Result<(), Error> {
        let mut tx = self.store.desk().await?;
        let source = self.live_ticket(&mut tx, from).await?;
        let target = self.live_ticket(&mut tx, into).await?;
        if source.id != from {
            return Err(Error::InUse(format!("ticket #{from} was merged into #{} before", source.id)));
        }
        if source.id == target.id {
            return Err(Error::InUse(format!("ticket #{from} cannot be merged into itself")));
        }
        let status = format!("{}>{}", source.status, Status::Closed);
        self.event(&mut tx, Event::of(Some(from), Happened::StatusChanged, status), cause).await?;
        let detail = format!("{from}>{}", target.id);
        let number =
            self.event(&mut tx, Event::of(Some(from), Happened::Merged, detail.clone()), cause).await?;
        self.event(&mut tx, Event::of(Some(target.id), Happened::Merged, detail), cause).await?;
        tx.merge(from, target.id, number, self.clock.now()).await?;
        tx.commit().await
    }

    /// A deleted ticket takes no more mail; `is_deleted` false brings it back.
    pub async fn set_deleted(&self, id: TicketId, is_deleted: bool, cause: &Cause) -> Result<(), Error> {
        let mut tx = self.store.desk().await?;
        let ticket = tx.ticket(id).await?;
        if ticket.is_deleted == is_deleted {
            return Ok(());
        }
        tx.set_deleted(id, is_deleted, self.clock.now()).await?;
        let happened = if is_deleted { Happened::Deleted } else { Happened::Restored };
        self.event(&mut tx, Event::of(Some(id), happened, String::new()), cause).await?;
        tx.commit().await
    }

    /// A ticket that can be worked on; a merged one is followed to its target.
    async fn live_ticket(&self, tx: &mut Tx, id: TicketId) -> Result<TicketRow, Error> {
        let ticket = tx.resolved_ticket(id).await?;
        match ticket.is_deleted {
            true => Err(Error::InUse(format!(
                "ticket #{id} is deleted: `maildesk ticket restore {id}` brings it back"
            ))),
            false => Ok(ticket),
        }
    }

    async fn change_status(
        &self,
        tx: &mut Tx,
        ticket: &TicketRow,
        status: Status,
        cause: &Cause,
    ) -> Result<Option<EventNumber>, Error> {
        if ticket.status == status {
            tx.touch_ticket(ticket.id, self.clock.now()).await?;
            return Ok(None);
        }
        tx.set_status(ticket.id, status, self.clock.now()).await?;
        let is_reopened = ticket.status.is_ended() && !status.is_ended();
        let happened = if is_reopened { Happened::Reopened } else { Happened::StatusChanged };
        let detail = format!("{}>{status}", ticket.status);
        self.event(tx, Event::of(Some(ticket.id), happened, detail), cause).await.map(Some)
    }

    async fn say(&self, tx: &mut Tx, ticket: &TicketRow, said: Said<'_>) -> Result<(), Error> {
        let entry = NewEntry {
            id: said.id,
            ticket: ticket.id,
            kind: said.kind,
            arrival: None,
            author: Some(&said.author),
            subject: &ticket.subject,
            body: said.words.text,
            body_truncated: false,
            pieces: &[],
            message_id: "",
            id_hash: None,
            receivers: said.receivers,
            code: "",
            number: said.number,
            sent: None,
        };
        tx.insert_entry(&entry, self.clock.now()).await
    }
}

/// An entry that somebody of the team writes.
struct Said<'a> {
    id: LogEntryId,
    number: EventNumber,
    words: &'a Words<'a>,
    kind: EntryKind,
    author: NamedAddress,
    receivers: &'a [Receiver],
}

fn require_may_become(ticket: &TicketRow, status: Status) -> Result<(), Error> {
    match ticket.status == status || ticket.status.may_become(status) {
        true => Ok(()),
        false => Err(Error::InUse(format!(
            "ticket #{} is {}: it cannot become {status}",
            ticket.id, ticket.status
        ))),
    }
}

fn answering_type<'a>(rules: &'a Rules, ticket: &TicketRow, id: TicketId) -> Result<&'a TypeRule, Error> {
    rules.of_type(ticket.type_id).ok_or_else(|| {
        Error::InUse(format!(
            "ticket #{id} has a type that is not active: activate it, or give the ticket another"
        ))
    })
}

async fn thread_of(tx: &mut Tx, id: TicketId) -> Result<Vec<MessageId>, Error> {
    Ok(tx.thread_of(id, THREAD).await?.iter().filter_map(|id| MessageId::parse(id)).collect())
}

fn answer_mail<'a>(
    about: &About<'a>,
    ticket: &TicketRow,
    words: &Words<'_>,
    thread: Vec<MessageId>,
    (to, number): (NamedAddress, EventNumber),
) -> Envelope<'a> {
    let letter = Letter::Answer(Answer {
        subject: about.subject(&format!("Re: {}", without_re(&ticket.subject))),
        ticket: about.ticket.0,
        tag_line: about.tag_line().to_string(),
        type_name: about.rule.name.clone(),
        agent_name: words.agent.to_owned(),
        body: Body::of(words.text, false).text,
        quoted: String::new(),
        quoted_from: String::new(),
        quoted_date: String::new(),
    });
    let operation = format!("entry:{}:answer", about.entry);
    let mut mail = about.mail(Purpose::Answer, letter, vec![to], (operation, number));
    mail.auto = Auto::No;
    mail.in_reply_to = thread.last().cloned();
    mail.references.extend(thread);
    mail
}

fn without_re(subject: &str) -> &str {
    let mut rest = subject.trim();
    while rest.get(..3).is_some_and(|p| p.eq_ignore_ascii_case("re:")) {
        rest = rest[3..].trim_start();
    }
    rest
}
