//! What is this mail, and where does it belong: pure functions from a message, the rules and clues to a decision.
//!
//! `questions` says what must be looked up; `lookup` in intake asks the store; `decide` answers, with its trace.

pub mod classify;
pub mod clues;
pub mod code;
pub mod decide;
pub mod decision;
pub mod questions;
pub mod route;
pub mod rules;

pub use clues::Clues;
pub use code::Code;
pub use decide::decide;
pub use decision::{Act, Decision, Effects, Finding, Kind, Step};
pub use questions::{Questions, questions};
pub use rules::{Flow, ListMail, MailboxRule, OnClosed, Rules, TypeRule};
