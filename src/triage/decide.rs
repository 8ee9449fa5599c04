//! The decision.

use super::{Act, Clues, Code, Decision, Effects, Kind, Rules};
use crate::mail::Message;

/// Pure: the same message, rules and clues give the same decision.
pub fn decide(_message: &Message, _rules: &Rules, _clues: &Clues) -> Decision {
    Decision {
        kind: Kind::Person,
        act: Act::Invalid,
        code: Code::NoType,
        reason: Code::NoType.words().into(),
        type_id: None,
        ticket: None,
        follows: None,
        original: None,
        supersedes: vec![],
        effects: Effects::default(),
        bounces: vec![],
        trace: vec![],
    }
}
