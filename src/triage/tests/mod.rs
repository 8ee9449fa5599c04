//! Decisions by example. `Sample` builds a message with its rules and clues; each file holds the cases of one question.

mod classes;
mod codes;
mod effects;
mod explained;
mod loops;
mod properties;
mod questioned;
mod reports;
mod routes;
mod scans;
mod spam;
mod trust;
mod twice;

use super::clues::{Copy, ForeignEntry, OurMail, PredecessorClue, TagClue, TagVerdict, TicketClue};
use super::{
    Act, Clues, Code, Decision, Effects, Flow, ListMail, LoopRule, OnClosed, Reach, Rules, Scan, TrustRule,
    TypeRule, VerdictRule, decide,
};
use crate::mail::dsn::{Recipient, Report};
use crate::mail::{Address, Header, Message, MessageId, NamedAddress};
use crate::ticket::*;

pub const CONTACT: &str = "carla@customer.test";
pub const STRANGER: &str = "stranger@else.test";
pub const AGENT: &str = "agnes@desk.test";
pub const ADMIN: &str = "admin@desk.test";

pub const SUPPORT: TypeId = TypeId(1);
pub const SALES: TypeId = TypeId(2);
pub const BOUNCES: TypeId = TypeId(3);
pub const HERE: MailboxId = MailboxId(1);
pub const ELSEWHERE: MailboxId = MailboxId(2);
pub const TICKET: TicketId = TicketId(5);
pub const OTHER_TICKET: TicketId = TicketId(6);

pub fn at(text: &str) -> Address {
    Address::parse(text).unwrap()
}

pub fn named(text: &str) -> NamedAddress {
    at(text).into()
}

pub fn id(text: &str) -> MessageId {
    MessageId::parse(text).unwrap()
}

fn type_rule(id: TypeId, name: &str, flow: Flow, mailbox: MailboxId) -> TypeRule {
    let address = format!("{}@desk.test", name.to_lowercase());
    TypeRule {
        id,
        name: name.into(),
        tag: name.into(),
        flow,
        mailbox: Some(mailbox),
        relay: None,
        address: at(&address),
        patterns: vec![address],
        admin: Some(at(ADMIN)),
        forwards: vec![],
        is_catch_all: false,
        on_closed: OnClosed::Reopen,
        list_mail: ListMail::Invalid,
        answers_automatically: true,
        language: "en".into(),
    }
}

/// Support is read here, Sales elsewhere, and bounces come back to Bounce.
pub fn rules() -> Rules {
    Rules {
        types: vec![
            type_rule(SUPPORT, "Support", Flow::Simple, HERE),
            type_rule(SALES, "Sales", Flow::Simple, ELSEWHERE),
            type_rule(BOUNCES, "Bounce", Flow::Bounce, HERE),
        ],
        relays: vec![],
        mailboxes: vec![],
        accounts: vec![(at(AGENT), AccountId(1))],
        blocked: vec!["@spammer.test".into()],
        bounce_local: "bounce".into(),
        bounce_domain: "desk.test".into(),
        desk: "desk-1".into(),
        verdicts: VerdictRule::default(),
        trust: TrustRule::default(),
        predecessor_tags: vec![],
        loops: LoopRule::default(),
    }
}

#[derive(Clone, Debug)]
pub struct Sample {
    pub message: Message,
    pub rules: Rules,
    pub clues: Clues,
}

/// A mail to Support that answers nothing.
pub fn mail(from: &str) -> Sample {
    let message = Message {
        from: Some(named(from)),
        to: vec![named("support@desk.test")],
        subject: "printer".into(),
        text: "it burns".into(),
        message_id: Some(id("m1@customer.test")),
        ..Message::default()
    };
    let clues =
        Clues { mailbox: Some(HERE), tickets: vec![ticket(TICKET), ticket(OTHER_TICKET)], ..Clues::none() };
    Sample { message, rules: rules(), clues }
}

/// An open ticket of Support to which the sender does not belong.
fn ticket(id: TicketId) -> TicketClue {
    TicketClue {
        id,
        resolved: id,
        type_id: SUPPORT,
        status: Status::Open,
        is_deleted: false,
        sender_is: None,
    }
}

/// Our answer on `TICKET` to the contact.
pub fn our_mail() -> OurMail {
    OurMail {
        outbox: OutboxId(17),
        message_id: id("md.17.1.mac@desk.test"),
        ticket: Some(TICKET),
        log_entry: Some(LogEntryId(50)),
        recipients: vec![at(CONTACT)],
        is_to_team: false,
    }
}

pub fn failed(address: &str, status: &str) -> Recipient {
    Recipient {
        address: Some(at(address)),
        action: "failed".into(),
        status: status.into(),
        ..Recipient::default()
    }
}

pub fn copy(act: Act, ticket: Option<TicketId>) -> Copy {
    Copy { arrival: ArrivalId(100), ticket, log_entry: None, act, is_same_body: true }
}

impl Sample {
    pub fn decide(&self) -> Decision {
        decide(&self.message, &self.rules, &self.clues)
    }

    pub fn with(mut self, change: impl FnOnce(&mut Sample)) -> Sample {
        change(&mut self);
        self
    }

    pub fn header(self, name: &str, value: &str) -> Sample {
        self.with(|s| s.message.headers.push(Header { name: name.into(), value: value.into() }))
    }

    pub fn to(self, addresses: &[&str]) -> Sample {
        self.with(|s| s.message.to = addresses.iter().map(|a| named(a)).collect())
    }

    pub fn our_id(self) -> Sample {
        self.with(|s| s.clues.ours.push(our_mail()))
    }

    pub fn our_id_to_team(self) -> Sample {
        self.with(|s| {
            s.clues.ours.push(OurMail { is_to_team: true, recipients: vec![at(ADMIN)], ..our_mail() });
        })
    }

    pub fn tag(self, ticket: TicketId, verdict: TagVerdict) -> Sample {
        self.with(|s| {
            s.clues.tag =
                Some(TagClue { word: "Support".into(), ticket, log_entry: LogEntryId(50), verdict });
        })
    }

    pub fn foreign(self) -> Sample {
        self.with(|s| {
            s.clues.foreign.push(ForeignEntry {
                message_id: id("old@customer.test"),
                log_entry: LogEntryId(49),
                ticket: TICKET,
            });
        })
    }

    pub fn predecessor(self) -> Sample {
        self.with(|s| {
            s.clues.predecessor = Some(PredecessorClue { tag: "[Ticket#7]".into(), ticket: TICKET });
        })
    }

    pub fn belongs(self, how: &str) -> Sample {
        self.with(|s| s.ticket_mut().sender_is = Some(how.into()))
    }

    pub fn status(self, status: Status) -> Sample {
        self.with(|s| s.ticket_mut().status = status)
    }

    pub fn deleted(self) -> Sample {
        self.with(|s| s.ticket_mut().is_deleted = true)
    }

    fn ticket_mut(&mut self) -> &mut TicketClue {
        self.clues.tickets.iter_mut().find(|t| t.id == TICKET).unwrap()
    }

    pub fn report(self, kind: &str, recipients: Vec<Recipient>) -> Sample {
        self.with(|s| {
            s.message.report = Some(Report { kind: kind.into(), recipients, ..Report::default() });
        })
    }

    pub fn bounce(self, recipients: Vec<Recipient>) -> Sample {
        self.report("delivery-status", recipients)
    }

    pub fn about(self, mail: OurMail, by_verp: bool) -> Sample {
        self.with(|s| {
            s.clues.reported = Some(mail);
            s.clues.reported_by_verp = by_verp;
        })
    }

    pub fn scanned(self, scan: Scan) -> Sample {
        self.with(|s| s.clues.scan = Some(scan))
    }

    pub fn copies(self, copies: Vec<Copy>) -> Sample {
        self.with(|s| s.clues.copies = copies)
    }

    pub fn type_mut(&mut self, id: TypeId) -> &mut TypeRule {
        self.rules.types.iter_mut().find(|t| t.id == id).unwrap()
    }
}

#[track_caller]
pub fn assert_code(sample: &Sample, act: Act, code: Code) -> Decision {
    let decision = sample.decide();
    assert_eq!((decision.act, decision.code), (act, code), "{decision:#?}");
    decision
}
