//! The pure rooms of maildesk, and what must hold of each input of a fuzz target.

// The checks name the rooms as the tests of the program do.
extern crate self as maildesk;

pub mod checks;
#[path = "../../src/clock.rs"]
pub mod clock;
#[path = "../../src/mail/mod.rs"]
pub mod mail;
#[path = "../../src/ticket/mod.rs"]
pub mod ticket;
#[path = "../../src/triage/mod.rs"]
pub mod triage;
