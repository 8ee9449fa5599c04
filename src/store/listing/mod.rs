//! What listings show: plain rows with the names that `--json` promises, newest last.
//!
//! An empty text or a zero in a filter means: whatever. Times are RFC 3339.

mod conversation;
mod journal;
mod kept;
mod mailboxes;
mod queue;
mod tickets;

pub use conversation::{AttachmentLine, AttachmentPlace, EntryLine, EventLine, ParticipantLine};
pub use journal::{JournalFilter, JournalLine};
pub use kept::{AlertLine, BounceFilter, BounceLine, ErrorLine, InvalidLine};
pub use mailboxes::{BalanceLine, MailboxLine};
pub use queue::{QueueFilter, QueueLine, RecipientLine};
pub use tickets::{TicketFilter, TicketLine};

use super::reader::Reader;
use super::{Error, Tx};
use crate::clock::Micros;

/// No limit, as LIMIT takes it.
pub const ALL: i64 = i64::MAX;

impl Tx {
    /// The rows of a query that gives the newest first, oldest first.
    async fn lines<T>(
        &mut self,
        query: super::Statement<'_>,
        read: impl Fn(&mut Reader<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let rows = self.rows(query).await?;
        rows.iter().rev().map(|row| read(&mut Reader::new(row))).collect()
    }
}

impl Reader<'_> {
    fn when(&mut self) -> Result<String, Error> {
        self.time().map(Micros::rfc3339)
    }

    fn maybe_when(&mut self) -> Result<Option<String>, Error> {
        Ok(self.maybe_time()?.map(Micros::rfc3339))
    }
}

#[cfg(test)]
mod tests;
