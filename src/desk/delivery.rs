//! What the desk does when a mail of a ticket reaches a recipient never.

use crate::clock::Micros;
use crate::store::{Cause, Error, Event, Happened, Tx};
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

/// Tells it on the ticket. Under the desk lock, in the transaction that records the outcome.
pub async fn failed(tx: &mut Tx, given_up: &GivenUp<'_>, now: Micros) -> Result<(), Error> {
    let operation = format!("outbox:{}", given_up.outbox);
    let event = Event {
        ticket: given_up.ticket,
        log_entry: given_up.log_entry,
        happened: Happened::DeliveryFailed,
        detail: operation.clone(),
    };
    tx.append_event(&event, &Cause::system(operation), now).await.map(drop)
}
