//! The queues for an admin: invalid tickets, error tickets, bounces.

use sqlx::Row;

use super::tx::without_nul;
use super::{Counter, Error, Tx};
use crate::clock::Micros;
use crate::mail::Address;
use crate::ticket::{ArrivalId, BounceId, ErrorId, EventNumber, InvalidId, LogEntryId, OutboxId, TicketId};
use crate::triage::Finding;

pub struct NewInvalid<'a> {
    pub arrival: ArrivalId,
    pub code: &'a str,
    /// It stands in the list; else it is known only to whoever asks for it.
    pub is_shown: bool,
    /// It was an invalid ticket before, was recovered, and is one for another reason.
    pub is_again: bool,
    pub named_ticket: Option<TicketId>,
    pub sender_address: &'a str,
    pub sender_name: &'a str,
    pub subject: &'a str,
    pub number: EventNumber,
}

#[derive(Clone, Debug)]
pub struct InvalidRow {
    pub id: InvalidId,
    pub arrival: ArrivalId,
    pub code: String,
    pub state: String,
    pub named_ticket: Option<TicketId>,
    pub version: i64,
}

pub struct NewError<'a> {
    pub arrival: ArrivalId,
    pub code: &'a str,
    pub words: &'a str,
    pub sender_address: &'a str,
    pub subject: &'a str,
    pub headers: &'a [u8],
    pub number: EventNumber,
}

pub struct NewBounce<'a> {
    pub arrival: ArrivalId,
    pub code: &'a str,
    pub outbox: Option<OutboxId>,
    pub ticket: Option<TicketId>,
    pub log_entry: Option<LogEntryId>,
    pub finding: &'a Finding,
    pub number: EventNumber,
}

impl Tx {
    pub async fn insert_invalid(&mut self, new: &NewInvalid<'_>, now: Micros) -> Result<InvalidId, Error> {
        if new.is_again {
            let query =
                sqlx::query("DELETE FROM invalid_ticket WHERE arrival_id = $1 AND state = 'recovered'");
            self.execute(query.bind(new.arrival.0)).await?;
        }
        let id = self.draw(Counter::Invalid).await?;
        let query = sqlx::query(
            "INSERT INTO invalid_ticket (id, arrival_id, code, state, named_ticket_id, sender_address, sender_name, \
             subject, number, created_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(id)
        .bind(new.arrival.0)
        .bind(new.code)
        .bind(if new.is_shown { "open" } else { "journalled" })
        .bind(new.named_ticket.map(|t| t.0))
        .bind(new.sender_address)
        .bind(new.sender_name)
        .bind(new.subject)
        .bind(new.number.0)
        .bind(now.0);
        self.later(query)?;
        Ok(InvalidId(id))
    }

    /// Invalid tickets that a flood has suspended, oldest first: of this code and this sender, or of any where that is
    /// empty. Those that were journalled only belong to them.
    pub async fn suspended(&mut self, code: &str, sender: &str) -> Result<Vec<InvalidId>, Error> {
        let query = sqlx::query(
            "SELECT id FROM invalid_ticket WHERE state IN ('open', 'journalled') AND code IN ('flood_sender', \
             'flood_journalled') AND ($1 = '' OR code = $1) AND ($2 = '' OR sender_address = $2) ORDER BY arrival_id",
        );
        let rows = self.rows(query.bind(code).bind(sender)).await?;
        rows.iter().map(|row| Ok(InvalidId(row.try_get(0)?))).collect()
    }

    pub async fn invalid(&mut self, id: InvalidId) -> Result<InvalidRow, Error> {
        let query = sqlx::query(
            "SELECT arrival_id, code, state, named_ticket_id, version FROM invalid_ticket WHERE id = $1",
        );
        let row = self.maybe_row(query.bind(id.0)).await?;
        let row = row.ok_or_else(|| Error::Missing(format!("invalid ticket #{id}")))?;
        Ok(InvalidRow {
            id,
            arrival: ArrivalId(row.try_get(0)?),
            code: row.try_get(1)?,
            state: row.try_get(2)?,
            named_ticket: row.try_get::<Option<i64>, _>(3)?.map(TicketId),
            version: row.try_get(4)?,
        })
    }

    /// The address that an invalid ticket came from.
    pub async fn invalid_sender(&mut self, id: InvalidId) -> Result<String, Error> {
        let query = sqlx::query("SELECT sender_address FROM invalid_ticket WHERE id = $1");
        Ok(self.row(query.bind(id.0)).await?.try_get(0)?)
    }

    /// Settles an invalid ticket; refused where somebody else did meanwhile.
    pub async fn settle_invalid(
        &mut self,
        invalid: &InvalidRow,
        state: &str,
        onto: Option<(TicketId, LogEntryId)>,
        now: Micros,
    ) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE invalid_ticket SET state = $2, ticket_id = $3, log_entry_id = $4, settled_us = $5, \
             version = version + 1 WHERE id = $1 AND version = $6",
        )
        .bind(invalid.id.0)
        .bind(state)
        .bind(onto.map(|o| o.0.0))
        .bind(onto.map(|o| o.1.0))
        .bind(now.0)
        .bind(invalid.version);
        match self.execute(query).await? {
            1 => Ok(()),
            _ => Err(Error::Stale(format!("invalid ticket #{}", invalid.id))),
        }
    }

    /// An arrival has one error ticket, however often it fails: an earlier one is opened again, and keeps the number
    /// under which it became one.
    pub async fn insert_error(&mut self, new: &NewError<'_>, now: Micros) -> Result<ErrorId, Error> {
        let id = self.draw(Counter::Error).await?;
        let query = sqlx::query(
            "INSERT INTO error_ticket (id, arrival_id, code, state, words, subject, sender_address, headers, number, \
             created_us) VALUES ($1, $2, $3, 'open', $4, $5, $6, $7, $8, $9) ON CONFLICT (arrival_id) DO UPDATE \
             SET code = excluded.code, state = 'open', words = excluded.words, subject = excluded.subject, \
             sender_address = excluded.sender_address, headers = excluded.headers, \
             settled_us = NULL, version = error_ticket.version + 1 RETURNING id",
        )
        .bind(id)
        .bind(new.arrival.0)
        .bind(new.code)
        .bind(without_nul(new.words))
        .bind(new.subject)
        .bind(new.sender_address)
        .bind(new.headers)
        .bind(new.number.0)
        .bind(now.0);
        Ok(ErrorId(self.row(query).await?.try_get(0)?))
    }

    /// An error ticket's arrival and state.
    pub async fn error_ticket(&mut self, id: ErrorId) -> Result<(ArrivalId, String), Error> {
        let query = sqlx::query("SELECT arrival_id, state FROM error_ticket WHERE id = $1");
        let row = self.maybe_row(query.bind(id.0)).await?;
        let row = row.ok_or_else(|| Error::Missing(format!("error ticket #{id}")))?;
        Ok((ArrivalId(row.try_get(0)?), row.try_get(1)?))
    }

    /// Of a message that stays at the source: the headers that were kept of it.
    pub async fn headers_of_error(&mut self, arrival: ArrivalId) -> Result<Vec<u8>, Error> {
        let query = sqlx::query("SELECT headers FROM error_ticket WHERE arrival_id = $1");
        let row = self.maybe_row(query.bind(arrival.0)).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
    }

    pub async fn settle_error(&mut self, id: ErrorId, state: &str, now: Micros) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE error_ticket SET state = $2, settled_us = $3, version = version + 1 WHERE id = $1",
        );
        self.execute(query.bind(id.0).bind(state).bind(now.0)).await.map(drop)
    }

    /// Settles the error ticket of an arrival, if it has one that is open.
    pub async fn settle_error_of(
        &mut self,
        arrival: ArrivalId,
        state: &str,
        now: Micros,
    ) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE error_ticket SET state = $2, settled_us = $3, version = version + 1 \
             WHERE arrival_id = $1 AND state IN ('open', 'fetch')",
        );
        self.execute(query.bind(arrival.0).bind(state).bind(now.0)).await.map(drop)
    }

    pub async fn insert_bounce(&mut self, new: &NewBounce<'_>, now: Micros) -> Result<BounceId, Error> {
        let id = self.draw(Counter::Bounce).await?;
        let finding = new.finding;
        let query = sqlx::query(
            "INSERT INTO bounce (id, arrival_id, code, outbox_id, ticket_id, log_entry_id, contact_id, recipient, \
             status, status_stated, class, hard, action, diagnostic, original_message_id, number, created_us) \
             VALUES ($1, $2, $3, $4, $5, $6, \
             (SELECT contact_id FROM contact_address WHERE address = $7 AND number < $15), \
             $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        )
        .bind(id)
        .bind(new.arrival.0)
        .bind(new.code)
        .bind(new.outbox.map(|o| o.0))
        .bind(new.ticket.map(|t| t.0))
        .bind(new.log_entry.map(|e| e.0))
        .bind(finding.recipient.as_ref().map_or("", Address::as_str))
        .bind(&finding.status)
        .bind(i64::from(finding.status_stated))
        .bind(&finding.class)
        .bind(i64::from(finding.hard))
        .bind(&finding.action)
        .bind(without_nul(&finding.diagnostic))
        .bind(&finding.original_message_id)
        .bind(new.number.0)
        .bind(now.0);
        self.later(query)?;
        Ok(BounceId(id))
    }

    /// A hard bounce marks the address: the next send to it warns (D3). Only one that was known before the report:
    /// this is written after what later messages bring.
    pub async fn mark_bounced(
        &mut self,
        address: &Address,
        status: &str,
        number: EventNumber,
        now: Micros,
    ) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE contact_address SET bounced_us = $2, bounce_status = $3 WHERE address = $1 AND number < $4",
        );
        self.later(query.bind(address.as_str()).bind(now.0).bind(status).bind(number.0))
    }

    pub async fn resolve_bounce(&mut self, id: BounceId, by: &str, now: Micros) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE bounce SET resolved_us = $2, resolved_by = $3, version = version + 1 \
             WHERE id = $1 AND resolved_us IS NULL",
        );
        match self.execute(query.bind(id.0).bind(now.0).bind(by)).await? {
            0 => Err(Error::Missing(format!("unresolved bounce #{id}"))),
            _ => Ok(()),
        }
    }
}
