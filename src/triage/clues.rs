//! What the store knew when the decision was made: versioned data, kept beside the trace, so that it can be made again.

use serde::{Deserialize, Serialize};

use super::Pace;
use super::trust::Checks;
use crate::mail::subject::TagLine;
use crate::mail::{Address, MessageId};
use crate::ticket::{
    ArrivalId, ContactId, EventNumber, LogEntryId, MailboxId, OutboxId, Status, TicketId, TypeId,
};

pub const CLUES_VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clues {
    pub version: u32,
    /// Nothing born after this number was looked at.
    pub as_of: EventNumber,
    pub mailbox: Option<MailboxId>,
    /// Earlier copies of this very mail (B10), oldest first.
    pub copies: Vec<Copy>,
    /// The message's own Message-ID bears our MAC and names this outbox mail: our own mail has come back.
    pub echo: Option<OutboxId>,
    /// Mails of ours that In-Reply-To and References name (MAC verified), strongest first.
    pub ours: Vec<OurMail>,
    /// The mail of ours that the return path it was sent to (VERP) names, or of a report its original Message-ID.
    pub reported: Option<OurMail>,
    /// `by_verp`: the return path named it; else the original Message-ID did.
    pub reported_by_verp: bool,
    /// The tag line of the subject (of a report: of the returned subject).
    pub tag: Option<TagClue>,
    /// Entries whose foreign Message-ID is named by In-Reply-To or References, nearest first.
    pub foreign: Vec<ForeignEntry>,
    /// The tag of the system before this one in the subject, where a ticket has it.
    #[serde(default)]
    pub predecessor: Option<PredecessorClue>,
    /// Every ticket that any of the above names, merged ones followed to their target.
    pub tickets: Vec<TicketClue>,
    pub sender: SenderClue,
    /// What the virus scanner said of the whole message; none: there is no scanner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan: Option<Scan>,
    /// How often its keys were met lately; none: it does not count (imported mail).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
    /// What DNS had to say of the sender when it came; none: nobody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Checks>,
}

/// The word of a virus scanner about a message (B12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scan {
    /// It found nothing.
    Clean,
    /// By the name that the scanner gives it.
    Found(String),
    /// It takes none so big, and what it has not seen shall not be taken.
    TooBig,
    /// Nobody looked, for this reason, and it shall be taken all the same.
    Skipped(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Copy {
    pub arrival: ArrivalId,
    /// It stands on a ticket: only such a fate is inherited.
    pub ticket: Option<TicketId>,
    pub log_entry: Option<LogEntryId>,
    pub act: super::Act,
    pub is_same_body: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OurMail {
    pub outbox: OutboxId,
    pub message_id: MessageId,
    pub ticket: Option<TicketId>,
    pub log_entry: Option<LogEntryId>,
    /// Whom it was sent to.
    pub recipients: Vec<Address>,
    /// It went to the team (a notification), not to the contact.
    pub is_to_team: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TagClue {
    pub word: String,
    pub ticket: TicketId,
    pub log_entry: LogEntryId,
    pub verdict: TagVerdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TagVerdict {
    /// Ticket and entry agree and the ticket has or had the word.
    Holds,
    NoSuchTicket,
    /// The entry is of another ticket, or there is none.
    OtherEntry,
    /// The ticket never had that word.
    OtherWord,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredecessorClue {
    /// As it stands in the subject.
    pub tag: String,
    pub ticket: TicketId,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForeignEntry {
    pub message_id: MessageId,
    pub log_entry: LogEntryId,
    pub ticket: TicketId,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TicketClue {
    pub id: TicketId,
    /// The ticket it was merged into, in the end; itself where it was not.
    pub resolved: TicketId,
    /// Of the resolved ticket, as the rest.
    pub type_id: TypeId,
    pub status: Status,
    pub is_deleted: bool,
    /// How the sender belongs to it: contact, receiver, cc, accepted, assignee; none: a stranger.
    pub sender_is: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SenderClue {
    pub contact: Option<ContactId>,
    pub is_team: bool,
    pub blocked_by: Option<String>,
}

impl Clues {
    /// Clues of a desk that knows nothing: what `explain FILE` decides on.
    pub fn none() -> Clues {
        Clues {
            version: CLUES_VERSION,
            as_of: EventNumber(0),
            mailbox: None,
            copies: vec![],
            echo: None,
            ours: vec![],
            reported: None,
            reported_by_verp: false,
            tag: None,
            foreign: vec![],
            predecessor: None,
            tickets: vec![],
            sender: SenderClue::default(),
            scan: None,
            pace: None,
            trust: None,
        }
    }

    pub fn ticket(&self, id: TicketId) -> Option<&TicketClue> {
        self.tickets.iter().find(|t| t.id == id)
    }
}

impl TagClue {
    /// As it stands in the subject.
    pub fn line(&self) -> String {
        TagLine { word: self.word.clone(), ticket: self.ticket, log_entry: self.log_entry }.to_string()
    }
}

impl TagVerdict {
    pub fn words(self) -> &'static str {
        match self {
            TagVerdict::Holds => "holds",
            TagVerdict::NoSuchTicket => "there is no such ticket",
            TagVerdict::OtherEntry => "the ticket has no such entry",
            TagVerdict::OtherWord => "the ticket never had this tag",
        }
    }
}
