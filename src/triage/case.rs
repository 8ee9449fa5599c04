//! What the rules of a decision share: the case before them, and the outcome that one of them gives.

use super::trust::Verdict;
use super::{Act, Clues, Code, Effects, Finding, Kind, Reach, Rules};
use crate::mail::{Address, Message};
use crate::ticket::{ArrivalId, TicketId, TypeId};

/// One message with all that is known about it.
pub struct Case<'a> {
    pub message: &'a Message,
    pub rules: &'a Rules,
    pub clues: &'a Clues,
    pub kind: Kind,
    /// Whether the sender is who it says; none: nobody is to look.
    pub trust: Option<Verdict>,
}

impl<'a> Case<'a> {
    pub fn from(&self) -> Option<&'a Address> {
        self.message.from.as_ref().map(|f| &f.address)
    }

    pub fn is_from_team(&self) -> bool {
        self.clues.sender.is_team || self.from().is_some_and(|from| self.rules.is_team(from))
    }

    /// The mail may do all that a reply or a question can do, going by who sent it. None: nobody is to look.
    pub fn reach(&self) -> Option<Reach> {
        self.trust.as_ref().map(|verdict| verdict.reach)
    }

    /// The sender for evidence and reasons.
    pub fn sender(&self) -> &'a str {
        self.from().map_or("no sender", Address::as_str)
    }
}

/// A decision without what all decisions have: kind, trace and the copies it takes the place of.
#[derive(Debug)]
pub struct Outcome {
    pub act: Act,
    pub code: Code,
    /// What the code's words leave open: which ticket, which header, which address.
    pub specifics: String,
    pub type_id: Option<TypeId>,
    pub ticket: Option<TicketId>,
    pub follows: Option<TicketId>,
    pub original: Option<ArrivalId>,
    pub effects: Effects,
    pub bounces: Vec<Finding>,
}

impl Outcome {
    pub fn new(act: Act, code: Code, specifics: impl Into<String>) -> Outcome {
        Outcome {
            act,
            code,
            specifics: super::trace::clipped(&specifics.into()),
            type_id: None,
            ticket: None,
            follows: None,
            original: None,
            effects: Effects::default(),
            bounces: vec![],
        }
    }

    /// The reason in words, for people.
    pub fn reason(&self) -> String {
        match self.specifics.as_str() {
            "" => self.code.words().to_owned(),
            specifics => format!("{}: {specifics}", self.code.words()),
        }
    }
}
