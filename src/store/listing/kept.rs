//! What waits for a person: invalid tickets, error tickets, bounces, alerts.

use serde::Serialize;

use super::super::{Error, Tx};
use crate::ticket::{
    AlertId, ArrivalId, BounceId, ContactId, ErrorId, InvalidId, LogEntryId, OutboxId, TicketId,
};

#[derive(Clone, Debug, Serialize)]
pub struct InvalidLine {
    pub id: InvalidId,
    pub arrival: ArrivalId,
    pub mailbox: String,
    pub code: String,
    pub state: String,
    /// The ticket that it named, and may not be trusted onto.
    pub named_ticket: Option<TicketId>,
    pub from: String,
    pub from_name: String,
    pub subject: String,
    /// Why it was kept back, with what was found.
    pub evidence: Option<String>,
    /// Where it ended.
    pub ticket: Option<TicketId>,
    pub log_entry: Option<LogEntryId>,
    pub created: String,
    pub settled: Option<String>,
    pub version: i64,
}

#[derive(Clone, Debug, Serialize)]
pub struct ErrorLine {
    pub id: ErrorId,
    pub arrival: ArrivalId,
    pub mailbox: String,
    pub code: String,
    pub state: String,
    pub words: String,
    pub from: String,
    pub subject: String,
    pub size: i64,
    pub created: String,
    pub settled: Option<String>,
    pub version: i64,
}

#[derive(Clone, Debug, Serialize)]
pub struct BounceLine {
    pub id: BounceId,
    pub arrival: ArrivalId,
    pub code: String,
    pub outbox: Option<OutboxId>,
    pub ticket: Option<TicketId>,
    pub log_entry: Option<LogEntryId>,
    pub contact: Option<ContactId>,
    pub recipient: String,
    pub status: String,
    pub status_stated: bool,
    pub class: String,
    pub hard: bool,
    pub action: String,
    pub diagnostic: String,
    pub original_message_id: String,
    pub resolved: Option<String>,
    pub resolved_by: String,
    pub created: String,
    pub version: i64,
}

#[derive(Clone, Debug, Default)]
pub struct BounceFilter {
    pub with_resolved: bool,
    pub ticket: i64,
    pub id: i64,
    pub limit: i64,
}

#[derive(Clone, Debug, Serialize)]
pub struct AlertLine {
    pub id: AlertId,
    pub name: String,
    /// Of a failure its kind: login, cut, …
    pub kind: String,
    pub words: String,
    /// What to do.
    pub advice: String,
    pub raised: String,
    pub told: Option<String>,
    pub cleared: Option<String>,
}

impl Tx {
    /// Of this state, or of all where it is empty; the one with this id, or all where it is 0.
    pub async fn list_invalid(
        &mut self,
        state: &str,
        id: i64,
        limit: i64,
    ) -> Result<Vec<InvalidLine>, Error> {
        let query = sqlx::query(
            "SELECT i.id, i.arrival_id, m.name, i.code, i.state, i.named_ticket_id, i.sender_address, i.sender_name, \
             i.subject, e.trace, i.ticket_id, i.log_entry_id, i.created_us, i.settled_us, i.version \
             FROM invalid_ticket i JOIN arrival a ON a.id = i.arrival_id JOIN mailbox m ON m.id = a.mailbox_id \
             LEFT JOIN evidence e ON e.arrival_id = i.arrival_id \
             WHERE ($1 = '' OR i.state = $1) AND ($2 = 0 OR i.id = $2) ORDER BY i.id DESC LIMIT $3",
        );
        self.lines(query.bind(state.to_owned()).bind(id).bind(limit), |row| {
            Ok(InvalidLine {
                id: InvalidId(row.int()?),
                arrival: ArrivalId(row.int()?),
                mailbox: row.text()?,
                code: row.text()?,
                state: row.text()?,
                named_ticket: row.maybe_int()?.map(TicketId),
                from: row.text()?,
                from_name: row.text()?,
                subject: row.text()?,
                evidence: row.maybe_text()?.and_then(|decision| reason(&decision)),
                ticket: row.maybe_int()?.map(TicketId),
                log_entry: row.maybe_int()?.map(LogEntryId),
                created: row.when()?,
                settled: row.maybe_when()?,
                version: row.int()?,
            })
        })
        .await
    }

    /// Of this state, or of all where it is empty; the one with this id, or all where it is 0.
    pub async fn list_errors(&mut self, state: &str, id: i64, limit: i64) -> Result<Vec<ErrorLine>, Error> {
        let query = sqlx::query(
            "SELECT e.id, e.arrival_id, m.name, e.code, e.state, e.words, e.sender_address, e.subject, \
             CASE WHEN a.size > 0 THEN a.size ELSE a.announced_size END, e.created_us, e.settled_us, e.version \
             FROM error_ticket e JOIN arrival a ON a.id = e.arrival_id JOIN mailbox m ON m.id = a.mailbox_id \
             WHERE ($1 = '' OR e.state = $1) AND ($2 = 0 OR e.id = $2) ORDER BY e.id DESC LIMIT $3",
        );
        self.lines(query.bind(state.to_owned()).bind(id).bind(limit), |row| {
            Ok(ErrorLine {
                id: ErrorId(row.int()?),
                arrival: ArrivalId(row.int()?),
                mailbox: row.text()?,
                code: row.text()?,
                state: row.text()?,
                words: row.text()?,
                from: row.text()?,
                subject: row.text()?,
                size: row.int()?,
                created: row.when()?,
                settled: row.maybe_when()?,
                version: row.int()?,
            })
        })
        .await
    }

    /// The headers of an error ticket whose message is still at its source; else empty.
    pub async fn error_headers(&mut self, id: ErrorId) -> Result<Vec<u8>, Error> {
        let query = sqlx::query("SELECT headers FROM error_ticket WHERE id = $1");
        let row = self.maybe_row(query.bind(id.0)).await?;
        let row = row.ok_or_else(|| Error::Missing(format!("error ticket #{id}")))?;
        super::Reader::new(&row).bytes()
    }

    /// The review list (D2).
    pub async fn list_bounces(&mut self, filter: &BounceFilter) -> Result<Vec<BounceLine>, Error> {
        let query = sqlx::query(
            "SELECT id, arrival_id, code, outbox_id, ticket_id, log_entry_id, contact_id, recipient, status, \
             status_stated, class, hard, action, diagnostic, original_message_id, resolved_us, resolved_by, \
             created_us, version FROM bounce WHERE ($1 = 1 OR resolved_us IS NULL) AND ($2 = 0 OR ticket_id = $2) \
             AND ($3 = 0 OR id = $3) ORDER BY id DESC LIMIT $4",
        );
        let query = query.bind(i64::from(filter.with_resolved)).bind(filter.ticket).bind(filter.id);
        self.lines(query.bind(filter.limit), |row| {
            Ok(BounceLine {
                id: BounceId(row.int()?),
                arrival: ArrivalId(row.int()?),
                code: row.text()?,
                outbox: row.maybe_int()?.map(OutboxId),
                ticket: row.maybe_int()?.map(TicketId),
                log_entry: row.maybe_int()?.map(LogEntryId),
                contact: row.maybe_int()?.map(ContactId),
                recipient: row.text()?,
                status: row.text()?,
                status_stated: row.flag()?,
                class: row.text()?,
                hard: row.flag()?,
                action: row.text()?,
                diagnostic: row.text()?,
                original_message_id: row.text()?,
                resolved: row.maybe_when()?,
                resolved_by: row.text()?,
                created: row.when()?,
                version: row.int()?,
            })
        })
        .await
    }

    /// Alerts that stand, or all that ever did.
    pub async fn list_alerts(&mut self, with_cleared: bool, limit: i64) -> Result<Vec<AlertLine>, Error> {
        let sql = "SELECT id, name, kind, words, advice, raised_us, told_us, cleared_us FROM alert \
             WHERE $1 = 1 OR cleared_us IS NULL ORDER BY id DESC LIMIT $2";
        self.alert_lines(sqlx::query(sql).bind(i64::from(with_cleared)).bind(limit)).await
    }

    /// One alert, whether it stands or is over.
    pub async fn alert(&mut self, id: AlertId) -> Result<AlertLine, Error> {
        let sql =
            "SELECT id, name, kind, words, advice, raised_us, told_us, cleared_us FROM alert WHERE id = $1";
        let found = self.alert_lines(sqlx::query(sql).bind(id.0)).await?;
        found.into_iter().next().ok_or_else(|| Error::Missing(format!("alert #{id}")))
    }

    /// The alert of that name that stands.
    pub async fn standing_alert(&mut self, name: &str) -> Result<Option<AlertLine>, Error> {
        let sql = "SELECT id, name, kind, words, advice, raised_us, told_us, cleared_us FROM alert \
             WHERE name = $1 AND cleared_us IS NULL";
        Ok(self.alert_lines(sqlx::query(sql).bind(name.to_owned())).await?.pop())
    }

    async fn alert_lines(&mut self, query: super::super::Statement<'_>) -> Result<Vec<AlertLine>, Error> {
        self.lines(query, |row| {
            Ok(AlertLine {
                id: AlertId(row.int()?),
                name: row.text()?,
                kind: row.text()?,
                words: row.text()?,
                advice: row.text()?,
                raised: row.when()?,
                told: row.maybe_when()?,
                cleared: row.maybe_when()?,
            })
        })
        .await
    }
}

/// What the decision was made of, in its own words.
fn reason(decision: &str) -> Option<String> {
    let decision: serde_json::Value = serde_json::from_str(decision).ok()?;
    decision["reason"].as_str().map(str::to_owned)
}
