//! What the desk does when a mail of a ticket reaches a recipient never.

use crate::clock::Micros;
use crate::store::ticket::{EntryKind, NewEntry};
use crate::store::{Cause, Counter, Error, Event, Happened, Tx};
use crate::ticket::{LogEntryId, OutboxId, TicketId};

/// A recipient who was given up: refused for good, or tried long enough.
#[derive(Clone, Copy, Debug)]
pub struct GivenUp<'a> {
    pub outbox: OutboxId,
    pub ticket: Option<TicketId>,
    pub log_entry: Option<LogEntryId>,
    pub recipient: &'a str,
    /// The last SMTP reply code; 0 where there was none.
    pub code: u16,
    pub words: &'a str,
}

/// Tells it on the ticket: an internal note with the server's own words, and an event. Under the desk lock, in the
/// transaction that records the outcome.
pub async fn failed(tx: &mut Tx, given_up: &GivenUp<'_>, now: Micros) -> Result<(), Error> {
    let operation = format!("outbox:{}", given_up.outbox);
    let event = Event {
        ticket: given_up.ticket,
        log_entry: given_up.log_entry,
        happened: Happened::DeliveryFailed,
        detail: operation.clone(),
    };
    let number = tx.append_event(&event, &Cause::system(operation), now).await?;
    let Some(ticket) = given_up.ticket else { return Ok(()) };
    let code = if given_up.code == 0 { String::new() } else { format!("{} ", given_up.code) };
    let words = format!(
        "The mail to {} was not delivered and is given up: {code}{}\n`maildesk queue show {}` has its attempts.",
        given_up.recipient, given_up.words, given_up.outbox
    );
    let entry = NewEntry {
        id: LogEntryId(tx.draw(Counter::LogEntry).await?),
        ticket,
        kind: EntryKind::Note,
        arrival: None,
        author: None,
        subject: "",
        body: &words,
        body_truncated: false,
        pieces: &[],
        message_id: "",
        id_hash: None,
        receivers: &[],
        code: "delivery_failed",
        number,
        sent: None,
    };
    tx.insert_entry(&entry, now).await
}
