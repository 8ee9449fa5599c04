//! Mails that the desk owes: rendered and composed once, at the moment they are owed, and queued with what caused them.

use super::Desk;
use crate::letters::{
    AgentReplyNotSent, Attached, AutoAnswer, Body, BounceOfAnswer, Entry, Forward, Letter, NewTicket, Person,
    Reply,
};
use crate::mail::compose::{AttachedSpan, Auto, Draft, compose};
use crate::mail::subject::{TagLine, with_tag};
use crate::mail::{Address, Message, MessageId, NamedAddress};
use crate::store::arrival::Pending;
use crate::store::outbox::{NewOutbox, NewRecipient, Purpose};
use crate::store::ticket::Receiver;
use crate::store::{Counter, Error, Tx};
use crate::ticket::{EventNumber, LogEntryId, OutboxId, Status, TicketId};
use crate::triage::classify::via;
use crate::triage::{Code, Effects, Finding, LoopKey, RelayRule, Rules, TypeRule};

/// Attachments travel along with a notification up to this many bytes in all; what is beyond stays on the ticket.
const ATTACHED_LIMIT: u64 = 10 << 20;

/// An inbound entry that somebody is to be told of.
pub(super) struct Inbound<'a> {
    pub message: &'a Message,
    pub pending: &'a Pending,
    pub about: About<'a>,
    pub code: Code,
    pub effects: Effects,
    /// Of a delivery report: what it says of each recipient.
    pub bounces: &'a [Finding],
    pub receivers: &'a [Receiver],
    pub is_new: bool,
    pub status_before: Status,
    pub status: Status,
    pub number: EventNumber,
}

/// What a mail is about: an entry of a ticket, under its type's name.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub rules: &'a Rules,
    pub rule: &'a TypeRule,
    pub ticket: TicketId,
    pub entry: LogEntryId,
}

/// A mail of the desk, before it is rendered.
pub(super) struct Envelope<'a> {
    pub purpose: Purpose,
    pub letter: Letter,
    pub language: &'a str,
    pub rules: &'a Rules,
    pub relay: Option<&'a RelayRule>,
    pub ticket: Option<(TicketId, LogEntryId)>,
    pub from: NamedAddress,
    pub to: Vec<NamedAddress>,
    pub auto: Auto,
    pub in_reply_to: Option<MessageId>,
    pub references: Vec<MessageId>,
    pub attachments: Vec<AttachedSpan>,
    /// The same operation queues nothing twice.
    pub operation: String,
    pub number: EventNumber,
    /// A cap of the loop breaker is met: it waits in hold.
    pub held_by: Option<LoopKey>,
}

impl<'a> About<'a> {
    pub fn tag_line(&self) -> TagLine {
        TagLine { word: self.rule.tag.clone(), ticket: self.ticket, log_entry: self.entry }
    }

    /// The subject of a mail about this entry: its tag line in front, our earlier ones taken out (C1).
    pub fn subject(&self, subject: &str) -> String {
        let tags: Vec<&str> = self.rules.types.iter().map(|t| t.tag.as_str()).collect();
        with_tag(&self.tag_line(), subject, &tags)
    }

    fn author(&self, name: String) -> NamedAddress {
        NamedAddress { name, address: self.rule.address.clone() }
    }

    /// A mail from the type, made by this program, which answers nothing and carries nothing.
    pub fn mail(
        &self,
        purpose: Purpose,
        letter: Letter,
        to: Vec<NamedAddress>,
        (operation, number): (String, EventNumber),
    ) -> Envelope<'a> {
        let domain = self.rule.address.domain();
        let thread = MessageId::parse(&format!("ticket.{}.{}@{domain}", self.ticket, self.rules.desk));
        Envelope {
            purpose,
            letter,
            language: &self.rule.language,
            rules: self.rules,
            relay: self.rules.relay_of(self.rule),
            ticket: Some((self.ticket, self.entry)),
            from: self.author(self.rule.name.clone()),
            to,
            auto: Auto::Generated,
            in_reply_to: None,
            // A reference that all mails of a ticket share keeps them in one thread of the reader's mail program.
            references: thread.into_iter().collect(),
            attachments: vec![],
            operation,
            number,
            held_by: None,
        }
    }
}

impl<'a> Inbound<'a> {
    fn tag_line(&self) -> TagLine {
        self.about.tag_line()
    }

    fn subject(&self) -> String {
        self.about.subject(&self.message.subject)
    }

    fn sender(&self) -> Option<&NamedAddress> {
        self.message.from.as_ref()
    }

    /// The entry as a letter shows it, and the attachments that travel along.
    fn shown(&self) -> (Entry, Vec<AttachedSpan>) {
        let mut room = ATTACHED_LIMIT;
        let (mut shown, mut spans) = (vec![], vec![]);
        for attachment in &self.message.attachments {
            let fits = attachment.size <= room;
            shown.push(Attached::new(&attachment.name, attachment.size, fits));
            if fits {
                room -= attachment.size;
                spans.push(AttachedSpan {
                    name: attachment.name.clone(),
                    content_type: attachment.content_type.clone(),
                    is_inline: attachment.is_inline,
                    arrival: self.pending.id,
                    span: attachment.span,
                    size: attachment.size,
                });
            }
        }
        let body = Body::of(&self.message.text, self.message.text_truncated);
        let nobody = Person { name: String::new(), address: String::new(), shown: "(no sender)".into() };
        let entry = Entry {
            ticket: self.about.ticket.0,
            tag_line: self.tag_line().to_string(),
            type_name: self.about.rule.name.clone(),
            subject: self.message.subject.clone(),
            sender: self.sender().map_or(nobody, Person::from),
            received: self.pending.received.rfc3339(),
            body: body.text,
            body_cut: body.is_cut,
            attachments: shown,
            command: format!("maildesk ticket show {}", self.about.ticket),
        };
        (entry, spans)
    }

    /// From the sender by way of the type.
    fn mail(&self, purpose: Purpose, letter: Letter, to: Vec<NamedAddress>) -> Envelope<'a> {
        let sender =
            self.sender().map(|s| if s.name.is_empty() { s.address.to_string() } else { s.name.clone() });
        let name = via(&sender.unwrap_or_default(), &self.about.rule.name).trim().to_owned();
        let operation = format!("arrival:{}:{}", self.pending.id, purpose.as_str());
        Envelope {
            from: self.about.author(name),
            in_reply_to: self.message.message_id.clone(),
            held_by: self.effects.holds_mails,
            ..self.about.mail(purpose, letter, to, (operation, self.number))
        }
    }
}

impl Desk {
    /// The mails of an inbound entry: the notification, forward copies, the automatic answer, a word to the agent.
    pub(super) async fn owe_mails(&self, tx: &mut Tx, it: &Inbound<'_>) -> Result<(), Error> {
        if !it.receivers.is_empty() {
            let to = it
                .receivers
                .iter()
                .map(|r| NamedAddress { name: r.name.clone(), address: r.address.clone() });
            let (letter, attachments) = notification(it);
            let mail = Envelope { attachments, ..it.mail(Purpose::Notification, letter, to.collect()) };
            self.enqueue(tx, mail).await?;
        }
        if it.is_new && !it.about.rule.forwards.is_empty() {
            let (entry, attachments) = it.shown();
            let letter = Letter::Forward(Forward { subject: it.subject(), entry });
            let to = it.about.rule.forwards.iter().cloned().map(NamedAddress::from).collect();
            self.enqueue(tx, Envelope { attachments, ..it.mail(Purpose::Forward, letter, to) }).await?;
        }
        if it.effects.answers && tx.claim_auto_answer(it.about.ticket).await? {
            self.queue_auto_answer(tx, it).await?;
        }
        if it.effects.tells_agent {
            self.tell_agent(tx, it).await?;
        }
        Ok(())
    }

    async fn queue_auto_answer(&self, tx: &mut Tx, it: &Inbound<'_>) -> Result<(), Error> {
        // RFC 3834 §4 would answer the return path; people expect the answer where they wrote from, and a null or
        // missing return path has been told apart as machine mail before.
        let Some(sender) = it.sender() else { return Ok(()) };
        let letter = Letter::AutoAnswer(AutoAnswer {
            subject: it.subject(),
            name: sender.name.clone(),
            ticket: it.about.ticket.0,
            tag_line: it.tag_line().to_string(),
            type_name: it.about.rule.name.clone(),
            original_subject: it.message.subject.clone(),
        });
        let mut mail = Envelope {
            auto: Auto::Replied,
            from: it.about.author(it.about.rule.name.clone()),
            held_by: it.effects.holds_mails.or(it.effects.holds_answer),
            ..it.mail(Purpose::AutoAnswer, letter, vec![sender.clone()])
        };
        mail.references.extend(it.message.references.iter().chain(&it.message.message_id).cloned());
        self.enqueue(tx, mail).await
    }

    /// Once a ticket and agent: his reply was kept inside.
    async fn tell_agent(&self, tx: &mut Tx, it: &Inbound<'_>) -> Result<(), Error> {
        let Some(agent) = it.sender() else { return Ok(()) };
        let operation = format!("ticket:{}:agent_reply_not_sent:{}", it.about.ticket, agent.address);
        if tx.is_queued(&operation).await? {
            return Ok(());
        }
        let contact = tx.contact_address_on(it.about.ticket).await?;
        let letter = Letter::AgentReplyNotSent(AgentReplyNotSent {
            subject: it.subject(),
            ticket: it.about.ticket.0,
            tag_line: it.tag_line().to_string(),
            contact: contact.map(|(c, _)| c.address.to_string()).unwrap_or_default(),
            show_command: format!("maildesk ticket show {}", it.about.ticket),
            answer_command: format!("maildesk ticket answer {}", it.about.ticket),
        });
        let mail = Envelope {
            from: it.about.author(it.about.rule.name.clone()),
            operation,
            ..it.mail(Purpose::Notice, letter, vec![agent.clone()])
        };
        self.enqueue(tx, mail).await
    }

    /// Renders and composes a mail, once, and queues it.
    pub(super) async fn enqueue(&self, tx: &mut Tx, it: Envelope<'_>) -> Result<(), Error> {
        let outbox = OutboxId(tx.draw(Counter::Outbox).await?);
        let now = self.clock.now();
        let rendered = self.render(tx, &it.letter, it.language).await?;
        let draft = Draft {
            message_id: self.keys.message_id(outbox, it.from.address.domain()),
            from: it.from,
            to: it.to.clone(),
            reply_to: None,
            subject: rendered.subject,
            text: rendered.text,
            html: rendered.html,
            in_reply_to: it.in_reply_to,
            references: it.references,
            date: now,
            boundary_seed: self.boundary_seed(outbox),
            auto: it.auto,
            desk_mark: it.rules.desk.clone(),
            attachments: it.attachments,
        };
        let return_path = self.return_path(outbox, it.relay, it.rules, &draft.from.address);
        let mut recipients = Vec::with_capacity(it.to.len());
        for to in it.to {
            let contact = if it.purpose.is_to_team() { None } else { tx.contact_of(&to.address).await? };
            recipients.push(NewRecipient { address: to.address, name: to.name, contact });
        }
        let composed = compose(&draft);
        let new = NewOutbox {
            id: outbox,
            purpose: it.purpose,
            ticket: it.ticket.map(|t| t.0),
            log_entry: it.ticket.map(|t| t.1),
            relay: it.relay.map(|r| r.id),
            message_id: &draft.message_id,
            return_path: Some(&return_path),
            sender: &draft.from.address,
            subject: &draft.subject,
            composed: &composed,
            operation: &it.operation,
            number: it.number,
            recipients: &recipients,
            held_by: it.held_by.map(LoopKey::kind),
        };
        tx.enqueue(&new, now).await
    }

    /// VERP where the sending account allows it (C7), else the account's own address.
    fn return_path(
        &self,
        outbox: OutboxId,
        relay: Option<&RelayRule>,
        rules: &Rules,
        from: &Address,
    ) -> Address {
        match relay {
            Some(relay) if relay.verp && !rules.bounce_domain.is_empty() => {
                self.keys.return_path(outbox, &rules.bounce_local, &rules.bounce_domain)
            }
            Some(relay) => relay.sender.clone(),
            None => from.clone(),
        }
    }

    /// A template that fails falls back to the built-in one and raises an alert; it never fails the message.
    pub(super) async fn render(
        &self,
        tx: &mut Tx,
        letter: &Letter,
        language: &str,
    ) -> Result<crate::letters::Rendered, Error> {
        let (rendered, problem) = self.letters.render(letter, language);
        if let Some(problem) = problem {
            let name = format!("template:{}", letter.name());
            self.alerts.state_in(tx, &name, Some(&problem.to_string())).await?;
        }
        Ok(rendered)
    }

    /// Fixed for an outbox mail, and not to be guessed: nobody can put our boundary into a body.
    fn boundary_seed(&self, outbox: OutboxId) -> [u8; 16] {
        let hash = self.keys.hash(&[b"boundary", &outbox.0.to_le_bytes()]);
        hash.try_into().expect("a keyed hash has 16 bytes")
    }
}

fn notification(it: &Inbound<'_>) -> (Letter, Vec<AttachedSpan>) {
    let (entry, spans) = it.shown();
    let code = it.code.as_str().to_owned();
    let letter = if let Some(finding) = it.bounces.first() {
        return (bounce_of_answer(it, finding), vec![]);
    } else if it.is_new {
        Letter::NewTicket(NewTicket { subject: it.subject(), entry, code, reason: String::new() })
    } else {
        Letter::Reply(Reply {
            subject: it.subject(),
            entry,
            status: it.status.to_string(),
            status_before: it.status_before.to_string(),
            is_reopened: it.status_before.is_ended() && !it.status.is_ended(),
            is_ended: it.status.is_ended(),
            code,
            reason: String::new(),
        })
    };
    (letter, spans)
}

/// An answer did not arrive: the first recipient that failed stands for the report; the ticket shows all.
fn bounce_of_answer(it: &Inbound<'_>, finding: &Finding) -> Letter {
    Letter::BounceOfAnswer(BounceOfAnswer {
        subject: it.subject(),
        ticket: it.about.ticket.0,
        tag_line: it.tag_line().to_string(),
        recipient: finding.recipient.as_ref().map(Address::to_string).unwrap_or_default(),
        what: "an answer on this ticket".into(),
        status: finding.status.clone(),
        class: finding.class.clone(),
        diagnostic: finding.diagnostic.clone(),
        at: it.pending.received.rfc3339(),
        is_hard: finding.hard,
        show_command: format!("maildesk ticket show {}", it.about.ticket),
    })
}
