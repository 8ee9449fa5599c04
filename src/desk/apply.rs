//! A decision becomes rows, events and mails owed.

use super::Desk;
use super::place::Placing;
use crate::mail::Message;
use crate::store::arrival::Pending;
use crate::store::journal::MailKey;
use crate::store::queue::{NewBounce, NewError, NewInvalid};
use crate::store::{Cause, Error, Event, Happened, Tx};
use crate::ticket::{EventNumber, LogEntryId, TicketId};
use crate::triage::{Act, Clues, Code, Decision, Rules};

/// A decided message, and all that its placing needs.
#[derive(Clone, Copy)]
pub struct Applying<'a> {
    pub pending: &'a Pending,
    pub message: &'a Message,
    pub decision: &'a Decision,
    pub rules: &'a Rules,
    pub clues: &'a Clues,
    pub key: &'a MailKey,
    /// What is born of this decision bears its number.
    pub number: EventNumber,
}

/// Where the message stands now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub ticket: Option<TicketId>,
    pub log_entry: Option<LogEntryId>,
    /// The ticket is new, has another status, or somebody belongs to it now who did not.
    pub changes_ticket: bool,
    /// The sender has become a contact.
    pub makes_contact: bool,
}

impl Applying<'_> {
    pub(super) fn cause(&self) -> Cause {
        Cause::system(format!("arrival:{}", self.pending.id))
    }

    fn sender_address(&self) -> &str {
        self.message.from.as_ref().map_or("", |f| f.address.as_str())
    }

    fn sender_name(&self) -> &str {
        self.message.from.as_ref().map_or("", |f| f.name.as_str())
    }
}

impl Desk {
    /// Does what was decided. Nothing here looks at the clock or the network; the caller commits.
    pub async fn apply(&self, tx: &mut Tx, it: &Applying<'_>) -> Result<Applied, Error> {
        match it.decision.act {
            Act::Open | Act::Append => {
                let placing = Placing::of(it);
                self.place(tx, &placing, it.decision.ticket, &it.cause()).await
            }
            Act::Bounce => self.record_bounce(tx, it).await,
            Act::Invalid => self.keep_invalid(tx, it).await,
            Act::Error => self.keep_error(tx, it, "", &[]).await,
            // Out of sight, and still to be recovered.
            Act::Discard if it.decision.code == Code::FloodJournalled => self.keep_invalid(tx, it).await,
            Act::Discard => Ok(self.of_original(it)),
        }
    }

    /// A discarded duplicate stands where its first copy stands.
    fn of_original(&self, it: &Applying<'_>) -> Applied {
        let original = it.clues.copies.iter().find(|c| Some(c.arrival) == it.decision.original);
        original.map_or(Applied::default(), |c| Applied {
            ticket: c.ticket,
            log_entry: c.log_entry,
            ..Applied::default()
        })
    }

    async fn keep_invalid(&self, tx: &mut Tx, it: &Applying<'_>) -> Result<Applied, Error> {
        let invalid = NewInvalid {
            arrival: it.pending.id,
            code: it.decision.code.as_str(),
            is_shown: it.decision.act == Act::Invalid,
            is_again: it.pending.is_let_through,
            named_ticket: it.decision.ticket,
            sender_address: it.sender_address(),
            sender_name: it.sender_name(),
            subject: &it.message.subject,
            number: it.number,
        };
        let id = tx.insert_invalid(&invalid, self.clock.now()).await?;
        self.event(tx, Event::of(None, Happened::InvalidKept, format!("invalid:{id}")), &it.cause()).await?;
        Ok(Applied::default())
    }

    /// `words` and `headers` where the message is not here whole.
    pub async fn keep_error(
        &self,
        tx: &mut Tx,
        it: &Applying<'_>,
        words: &str,
        headers: &[u8],
    ) -> Result<Applied, Error> {
        let error = NewError {
            arrival: it.pending.id,
            code: it.decision.code.as_str(),
            words: if words.is_empty() { &it.decision.reason } else { words },
            sender_address: it.sender_address(),
            subject: &it.message.subject,
            headers,
            number: it.number,
        };
        let id = tx.insert_error(&error, self.clock.now()).await?;
        self.event(tx, Event::of(None, Happened::ErrorKept, format!("error:{id}")), &it.cause()).await?;
        Ok(Applied::default())
    }

    /// A report is shown on its ticket, if it has one, and in the review list, a row for each recipient.
    async fn record_bounce(&self, tx: &mut Tx, it: &Applying<'_>) -> Result<Applied, Error> {
        let mut applied = Applied::default();
        if let Some(ticket) = it.decision.ticket {
            let placing = Placing::of(it);
            applied = self.place(tx, &placing, Some(ticket), &it.cause()).await?;
        }
        let unattributed = [crate::triage::Finding::unattributed()];
        let findings = if it.decision.bounces.is_empty() { &unattributed[..] } else { &it.decision.bounces };
        for finding in findings {
            self.record_finding(tx, it, applied, finding).await?;
        }
        let event = Event::of(applied.ticket, Happened::BounceRecorded, it.decision.code.as_str());
        self.event(tx, event, &it.cause()).await?;
        Ok(applied)
    }

    async fn record_finding(
        &self,
        tx: &mut Tx,
        it: &Applying<'_>,
        applied: Applied,
        finding: &crate::triage::Finding,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        let bounce = NewBounce {
            arrival: it.pending.id,
            code: it.decision.code.as_str(),
            outbox: it.clues.reported.as_ref().map(|mail| mail.outbox),
            ticket: applied.ticket,
            log_entry: applied.log_entry,
            finding,
            number: it.number,
        };
        tx.insert_bounce(&bounce, now).await?;
        match &finding.recipient {
            // An address that the report names but the mail never went to is somebody's claim, not a bounce.
            Some(address) if it.decision.effects.marks_address && finding.hard && finding.is_attributed => {
                tx.mark_bounced(address, &finding.status, it.number, now).await
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn event(&self, tx: &mut Tx, event: Event, cause: &Cause) -> Result<EventNumber, Error> {
        tx.append_event(&event, cause, self.clock.now()).await
    }
}
