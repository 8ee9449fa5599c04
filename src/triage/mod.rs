//! What is this mail, and where does it belong: pure functions from a message, the rules and clues to a decision.
//!
//! `questions` says what must be looked up; `lookup` in intake asks the store; `decide` answers, with its trace.

//! `decide` is a list of rules in order, one file a question; it starts to be read there. `explain` shows it all.

mod absence;
mod border;
mod bounce_class;
mod case;
pub mod classify;
pub mod clues;
pub mod code;
mod copies;
pub mod decide;
pub mod decision;
pub mod explain;
mod findings;
pub mod loops;
mod open;
pub mod questions;
mod reply;
mod report;
mod route;
pub mod rules;
mod scan;
#[cfg(test)]
mod tests;
mod thread;
mod trace;
pub mod trust;
mod verdict;

pub use border::network;
pub use clues::{Clues, Scan};
pub use code::Code;
pub use decide::decide;
pub use decision::{Act, Decision, Effects, Finding, Kind, Step};
pub use explain::{Explanation, Place};
pub use loops::{LoopKey, LoopRule, Pace};
pub use questions::{Questions, questions};
pub use rules::{
    Flow, ListMail, MailboxRule, OnClosed, Reach, RelayRule, Rules, TrustRule, TypeRule, VerdictRule,
};
pub use trust::Trust;
