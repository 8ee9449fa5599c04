//! Letters: a template and a context become subject, text and HTML. Pure; it never fails.
//!
//! The built-in templates stand in `templates/mail/<name>/{subject.txt,body.txt,body.html}.j2`, those of a language in a
//! folder below (`templates/mail/new_ticket/de/body.txt.j2`). A folder of the same layout overrides them, file by file.
//! An override that does not work is passed over for the built-in one, and the caller is told so that it raises an alert.

mod builtin;
mod context;
mod render;

pub use context::{
    AgentReplyNotSent, Alert, Answer, Attached, AutoAnswer, Body, BounceOfAnswer, Entry, Forward, Letter,
    NewTicket, Person, Reply,
};
pub use render::{Letters, Rendered, TemplateProblem};
