//! The intake journal: a row for each message ever seen, with what became of it.

use serde::Serialize;

use super::super::{Error, Tx};
use crate::ticket::{ArrivalId, LogEntryId, TicketId};

#[derive(Clone, Debug, Serialize)]
pub struct JournalLine {
    pub arrival: ArrivalId,
    pub mailbox: String,
    /// At the source: epoch/folder/UIDVALIDITY/UID.
    pub identity: String,
    pub message_id: Option<String>,
    pub state: String,
    /// These are null until the message is decided.
    pub number: Option<i64>,
    pub kind: Option<String>,
    pub act: Option<String>,
    pub code: Option<String>,
    #[serde(rename = "type")]
    pub of_type: Option<String>,
    pub ticket: Option<TicketId>,
    pub log_entry: Option<LogEntryId>,
    /// Of a duplicate: the first copy.
    pub original: Option<ArrivalId>,
    pub superseded_by: Option<ArrivalId>,
    /// Of one decided in shadow: the arrival that would have opened its ticket. What it says of fate would have been.
    pub shadow_of: Option<ArrivalId>,
    pub size: i64,
    pub received: String,
    pub kept: String,
    pub decided: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct JournalFilter {
    pub mailbox: String,
    pub act: String,
    pub code: String,
    pub state: String,
    pub message_id: String,
    pub ticket: i64,
    pub limit: i64,
}

impl Tx {
    pub async fn list_journal(&mut self, filter: &JournalFilter) -> Result<Vec<JournalLine>, Error> {
        let query = sqlx::query(
            "SELECT a.id, m.name, a.epoch, a.folder, a.validity, a.source_id, a.message_id, a.state, j.number, \
             coalesce(j.kind, s.kind), coalesce(j.act, s.act), coalesce(j.code, s.code), y.name, \
             coalesce(j.ticket_id, s.ticket_id), j.log_entry_id, \
             coalesce(j.original_arrival_id, s.original_arrival_id), j.superseded_by, s.root_id, \
             a.size, a.received_us, a.kept_us, coalesce(j.decided_us, s.decided_us) \
             FROM arrival a JOIN mailbox m ON m.id = a.mailbox_id \
             LEFT JOIN journal j ON j.arrival_id = a.id LEFT JOIN shadow s ON s.arrival_id = a.id \
             LEFT JOIN ticket_type y ON y.id = coalesce(j.type_id, s.type_id) \
             WHERE ($1 = '' OR m.name = $1) AND ($2 = '' OR coalesce(j.act, s.act) = $2) \
             AND ($3 = '' OR coalesce(j.code, s.code) = $3) AND ($4 = '' OR a.state = $4) \
             AND ($5 = '' OR a.message_id = $5) AND ($6 = 0 OR coalesce(j.ticket_id, s.ticket_id) = $6) \
             ORDER BY a.id DESC LIMIT $7",
        );
        let query = query
            .bind(filter.mailbox.clone())
            .bind(filter.act.clone())
            .bind(filter.code.clone())
            .bind(filter.state.clone())
            .bind(filter.message_id.clone())
            .bind(filter.ticket)
            .bind(filter.limit);
        self.lines(query, |row| {
            Ok(JournalLine {
                arrival: ArrivalId(row.int()?),
                mailbox: row.text()?,
                identity: format!("{}/{}/{}/{}", row.int()?, row.text()?, row.int()?, row.text()?),
                message_id: Some(row.text()?).filter(|id| !id.is_empty()),
                state: row.text()?,
                number: row.maybe_int()?,
                kind: row.maybe_text()?,
                act: row.maybe_text()?,
                code: row.maybe_text()?,
                of_type: row.maybe_text()?,
                ticket: row.maybe_int()?.map(TicketId),
                log_entry: row.maybe_int()?.map(LogEntryId),
                original: row.maybe_int()?.map(ArrivalId),
                superseded_by: row.maybe_int()?.map(ArrivalId),
                shadow_of: row.maybe_int()?.map(ArrivalId),
                size: row.int()?,
                received: row.when()?,
                kept: row.when()?,
                decided: row.maybe_when()?,
            })
        })
        .await
    }
}
