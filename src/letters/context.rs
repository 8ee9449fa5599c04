//! What each letter is told: one struct a letter, with a sample. The fields are the contract with overridden templates.

use serde::Serialize;

use crate::mail::NamedAddress;

/// A letter of the desk with its context.
///
/// The `subject` of a ticket's mail comes with its tag line already in it (`mail::subject::with_tag`).
#[derive(Clone, Debug)]
pub enum Letter {
    /// To the assignee or the type's admin: a new ticket.
    NewTicket(NewTicket),
    /// To the same: something was added to a ticket.
    Reply(Reply),
    /// To the forward addresses of a type: a copy of a new ticket.
    Forward(Forward),
    /// To the sender of a new ticket, once.
    AutoAnswer(AutoAnswer),
    /// To the contact: an agent's answer.
    Answer(Answer),
    /// To an agent, once: his reply to a notification stayed inside.
    AgentReplyNotSent(AgentReplyNotSent),
    /// To the assignee or the type's admin: an answer did not arrive.
    BounceOfAnswer(BounceOfAnswer),
    /// To the desk's admin.
    Alert(Alert),
}

/// Longest text of a message that a letter shows; the mail stays readable, the rest is on the ticket.
pub const BODY_LIMIT: usize = 64 << 10;

/// A text, cut to what a letter shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    pub text: String,
    pub is_cut: bool,
}

impl Body {
    /// `is_truncated`: the text was cut before, where it was stored.
    pub fn of(text: &str, is_truncated: bool) -> Body {
        let end = text.floor_char_boundary(BODY_LIMIT);
        Body { text: text[..end].trim_end().to_owned(), is_cut: is_truncated || end < text.len() }
    }
}

/// `name`, `address`, and `shown`: both as people write them.
#[derive(Clone, Debug, Serialize)]
pub struct Person {
    pub name: String,
    pub address: String,
    pub shown: String,
}

impl From<&NamedAddress> for Person {
    fn from(who: &NamedAddress) -> Person {
        let address = who.address.to_string();
        let shown = if who.name.is_empty() { address.clone() } else { format!("{} <{address}>", who.name) };
        Person { name: who.name.clone(), address, shown }
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Attached {
    pub name: String,
    /// For people: `12 KB`.
    pub size: String,
    /// Whether it travels along; else it is too big, and stays on the ticket.
    pub included: bool,
}

impl Attached {
    pub fn new(name: &str, size_bytes: u64, included: bool) -> Attached {
        let name = if name.is_empty() { "(no name)" } else { name };
        Attached { name: name.to_owned(), size: size_words(size_bytes), included }
    }
}

fn size_words(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{} KB", bytes.div_ceil(1_000)),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
    }
}

/// An inbound entry of a ticket.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    pub ticket: i64,
    /// `[Support #123-789]`
    pub tag_line: String,
    pub type_name: String,
    /// As the sender wrote it.
    pub subject: String,
    pub sender: Person,
    /// RFC 3339.
    pub received: String,
    pub body: String,
    pub body_cut: bool,
    pub attachments: Vec<Attached>,
    /// `maildesk ticket show 123`
    pub command: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct NewTicket {
    pub subject: String,
    pub entry: Entry,
    pub code: String,
    /// The code in words, where it is worth telling; else empty.
    pub reason: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    pub subject: String,
    pub entry: Entry,
    /// The ticket's status now, and before this entry.
    pub status: String,
    pub status_before: String,
    /// This entry opened a ticket whose work had ended.
    pub is_reopened: bool,
    /// The work on the ticket has ended, and this entry did not change that.
    pub is_ended: bool,
    pub code: String,
    pub reason: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct Forward {
    pub subject: String,
    pub entry: Entry,
}

#[derive(Clone, Debug, Serialize)]
pub struct AutoAnswer {
    pub subject: String,
    /// Of the sender; may be empty.
    pub name: String,
    pub ticket: i64,
    pub tag_line: String,
    pub type_name: String,
    pub original_subject: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    pub subject: String,
    pub ticket: i64,
    pub tag_line: String,
    pub type_name: String,
    /// Empty where the answer carries its own signature.
    pub agent_name: String,
    pub body: String,
    /// What is answered, cut short; empty: nothing is quoted.
    pub quoted: String,
    pub quoted_from: String,
    pub quoted_date: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct AgentReplyNotSent {
    pub subject: String,
    pub ticket: i64,
    pub tag_line: String,
    /// The contact's address; may be empty.
    pub contact: String,
    pub show_command: String,
    pub answer_command: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct BounceOfAnswer {
    pub subject: String,
    pub ticket: i64,
    pub tag_line: String,
    pub recipient: String,
    /// Which mail it was, such as `the answer of 2026-03-01 "Re: printer"`.
    pub what: String,
    /// `5.1.1`, or an SMTP code; may be empty.
    pub status: String,
    /// `user_unknown`; may be empty.
    pub class: String,
    pub diagnostic: String,
    pub at: String,
    pub is_hard: bool,
    pub show_command: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct Alert {
    /// What is wrong, in a few words; the mail's subject is made of it.
    pub subject: String,
    /// `relay:1:failing`
    pub name: String,
    pub words: String,
    pub advice: String,
    pub raised: String,
    /// When it was over; empty while it stands.
    pub over: String,
    pub command: String,
}

impl Entry {
    pub fn sample() -> Entry {
        Entry {
            ticket: 123,
            tag_line: "[Support #123-789]".into(),
            type_name: "Support".into(),
            subject: "The printer on floor 2 is out of toner".into(),
            sender: Person {
                name: "Ada Lovelace".into(),
                address: "ada@example.org".into(),
                shown: "Ada Lovelace <ada@example.org>".into(),
            },
            received: "2026-03-01T09:30:00Z".into(),
            body: "Hello,\n\nit says \"replace <black>\" & prints nothing.\n\nAda".into(),
            body_cut: false,
            attachments: vec![
                Attached::new("photo.jpg", 284_113, true),
                Attached::new("video.mp4", 73_400_320, false),
            ],
            command: "maildesk ticket show 123".into(),
        }
    }
}

const SUBJECT: &str = "[Support #123-789] The printer on floor 2 is out of toner";

impl Letter {
    /// The folder of its templates.
    pub fn name(&self) -> &'static str {
        match self {
            Letter::NewTicket(_) => "new_ticket",
            Letter::Reply(_) => "reply",
            Letter::Forward(_) => "forward",
            Letter::AutoAnswer(_) => "auto_answer",
            Letter::Answer(_) => "answer",
            Letter::AgentReplyNotSent(_) => "agent_reply_not_sent",
            Letter::BounceOfAnswer(_) => "bounce_of_answer",
            Letter::Alert(_) => "alert",
        }
    }

    /// One of each, to try a template with.
    pub fn samples() -> Vec<Letter> {
        vec![
            Letter::NewTicket(NewTicket::sample()),
            Letter::Reply(Reply::sample()),
            Letter::Forward(Forward::sample()),
            Letter::AutoAnswer(AutoAnswer::sample()),
            Letter::Answer(Answer::sample()),
            Letter::AgentReplyNotSent(AgentReplyNotSent::sample()),
            Letter::BounceOfAnswer(BounceOfAnswer::sample()),
            Letter::Alert(Alert::sample()),
        ]
    }
}

impl NewTicket {
    pub fn sample() -> NewTicket {
        NewTicket {
            subject: SUBJECT.into(),
            entry: Entry::sample(),
            code: "new".into(),
            reason: String::new(),
        }
    }
}

impl Reply {
    pub fn sample() -> Reply {
        Reply {
            subject: SUBJECT.into(),
            entry: Entry::sample(),
            status: "closed".into(),
            status_before: "closed".into(),
            is_reopened: false,
            is_ended: true,
            code: "reply_by_tag".into(),
            reason: "the sender is known by the From address alone".into(),
        }
    }
}

impl Forward {
    pub fn sample() -> Forward {
        Forward { subject: SUBJECT.into(), entry: Entry::sample() }
    }
}

impl AutoAnswer {
    pub fn sample() -> AutoAnswer {
        AutoAnswer {
            subject: SUBJECT.into(),
            name: "Ada Lovelace".into(),
            ticket: 123,
            tag_line: "[Support #123-789]".into(),
            type_name: "Support".into(),
            original_subject: "The printer on floor 2 is out of toner".into(),
        }
    }
}

impl Answer {
    pub fn sample() -> Answer {
        Answer {
            subject: "[Support #123-790] Re: The printer on floor 2 is out of toner".into(),
            ticket: 123,
            tag_line: "[Support #123-790]".into(),
            type_name: "Support".into(),
            agent_name: "Grace".into(),
            body: "Hello Ada,\n\na new cartridge is on its way.".into(),
            quoted: "it says \"replace <black>\"\n& prints nothing.".into(),
            quoted_from: "Ada Lovelace".into(),
            quoted_date: "2026-03-01T09:30:00Z".into(),
        }
    }
}

impl AgentReplyNotSent {
    pub fn sample() -> AgentReplyNotSent {
        AgentReplyNotSent {
            subject: SUBJECT.into(),
            ticket: 123,
            tag_line: "[Support #123-789]".into(),
            contact: "ada@example.org".into(),
            show_command: "maildesk ticket show 123".into(),
            answer_command: "maildesk ticket answer 123".into(),
        }
    }
}

impl BounceOfAnswer {
    pub fn sample() -> BounceOfAnswer {
        BounceOfAnswer {
            subject: SUBJECT.into(),
            ticket: 123,
            tag_line: "[Support #123-790]".into(),
            recipient: "ada@example.org".into(),
            what: "the answer of 2026-03-01T10:00:00Z".into(),
            status: "5.1.1".into(),
            class: "user_unknown".into(),
            diagnostic: "550 5.1.1 <ada@example.org>: user unknown".into(),
            at: "2026-03-01T10:00:02Z".into(),
            is_hard: true,
            show_command: "maildesk ticket show 123".into(),
        }
    }
}

impl Alert {
    pub fn sample() -> Alert {
        Alert {
            subject: "mailbox Support fails since 09:30".into(),
            name: "mailbox:3:failing".into(),
            words: "Mailbox \"Support\" fails: the server refuses the login.".into(),
            advice: "set a new password with `maildesk mailbox edit Support --password`".into(),
            raised: "2026-03-01T09:30:00Z".into(),
            over: String::new(),
            command: "maildesk alert list".into(),
        }
    }
}
