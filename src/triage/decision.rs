//! A decision as data: what becomes of the message, by which code, with what effects, and the trace that led there.

use serde::{Deserialize, Serialize};

use super::{Code, LoopKey, Trust};
use crate::mail::Address;
use crate::ticket::{ArrivalId, TicketId, TypeId};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub kind: Kind,
    pub act: Act,
    pub code: Code,
    /// In words, for people.
    pub reason: String,
    pub type_id: Option<TypeId>,
    /// Of append and bounce: the ticket it goes onto. Of invalid: the ticket it named.
    pub ticket: Option<TicketId>,
    /// Opens a new ticket because this one has ended and its type wants a follow-up.
    pub follows: Option<TicketId>,
    /// Of a duplicate: the first copy.
    pub original: Option<ArrivalId>,
    /// First copies that ended invalid, error or discarded, which this one takes the place of.
    pub supersedes: Vec<ArrivalId>,
    pub effects: Effects,
    pub bounces: Vec<Finding>,
    /// Whether the sender is who it says; none: nobody was to look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
    pub trace: Vec<Step>,
}

/// What is this mail?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Person,
    AutoReply,
    Bounce,
    Complaint,
    List,
    OwnEcho,
    Unreadable,
}

/// What becomes of it?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    Open,
    Append,
    Bounce,
    Invalid,
    Error,
    Discard,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effects {
    /// The entry is shown as machine mail, not as a person's words.
    pub is_automatic: bool,
    /// The entry is an internal note.
    pub is_note: bool,
    /// A proven reply: an ended ticket reopens, a waiting one is taken up again (`Status::after_reply`).
    pub reopens: bool,
    /// The assignee, else the type's admin, is told (C2).
    pub notifies: bool,
    /// The sender may get the type's automatic answer.
    pub answers: bool,
    /// The agent is told, once a ticket, that his reply was kept and not sent on.
    pub tells_agent: bool,
    /// A hard bounce marks the address (D3).
    pub marks_address: bool,
    /// A cap of the loop breaker is met: the automatic answer waits in hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds_answer: Option<LoopKey>,
    /// The same of every mail that is owed for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds_mails: Option<LoopKey>,
}

/// One failed or delayed recipient of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub recipient: Option<Address>,
    /// RFC 3463; 5.0.0 or 4.0.0 where the report states none.
    pub status: String,
    pub status_stated: bool,
    pub class: String,
    pub hard: bool,
    /// failed, delayed, delivered, relayed, expanded.
    pub action: String,
    pub diagnostic: String,
    /// RFC 5321 §4.2: of the server that refused, as far as the report tells.
    #[serde(default)]
    pub reply_code: Option<u16>,
    pub original_message_id: String,
    /// `recipient` is one of those that the mail it is about was sent to: only such an address may be marked.
    #[serde(default)]
    pub is_attributed: bool,
}

/// One rule that looked at the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub rule: String,
    pub evidence: String,
    pub verdict: String,
}

impl Decision {
    /// What `other` decides otherwise about the same message, by name; reasons and trace are words, and not compared.
    pub fn differs_in(&self, other: &Decision) -> Vec<&'static str> {
        let parts = [
            ("kind", self.kind != other.kind),
            ("act", self.act != other.act),
            ("code", self.code != other.code),
            ("type", self.type_id != other.type_id),
            ("ticket", self.ticket != other.ticket),
            ("follows", self.follows != other.follows),
            ("original", self.original != other.original),
            ("supersedes", self.supersedes != other.supersedes),
            ("effects", self.effects != other.effects),
            ("bounces", self.bounces != other.bounces),
        ];
        parts.into_iter().filter(|(_, is_other)| *is_other).map(|(name, _)| name).collect()
    }
}

impl Finding {
    /// About nobody: what is recorded of a report that names no recipient. Soft, for nothing says that it will fail again.
    pub fn unattributed() -> Finding {
        Finding {
            recipient: None,
            status: "4.0.0".into(),
            status_stated: false,
            class: "undefined".into(),
            hard: false,
            action: "failed".into(),
            diagnostic: String::new(),
            reply_code: None,
            original_message_id: String::new(),
            is_attributed: false,
        }
    }
}

macro_rules! names {
    ($type:ident { $($variant:ident => $name:literal),+ $(,)? }) => {
        impl $type {
            pub fn as_str(self) -> &'static str {
                match self { $($type::$variant => $name),+ }
            }

            pub fn parse(name: &str) -> Option<$type> {
                match name { $($name => Some($type::$variant),)+ _ => None }
            }
        }
    };
}

names!(Kind {
    Person => "person",
    AutoReply => "auto_reply",
    Bounce => "bounce",
    Complaint => "complaint",
    List => "list",
    OwnEcho => "own_echo",
    Unreadable => "unreadable",
});

names!(Act {
    Open => "open",
    Append => "append",
    Bounce => "bounce",
    Invalid => "invalid",
    Error => "error",
    Discard => "discard",
});
