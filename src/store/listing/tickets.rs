//! The list of tickets.

use serde::Serialize;

use super::super::{Error, Tx};
use crate::mail::subject::TagLine;
use crate::ticket::{ContactId, LogEntryId, TicketId};

#[derive(Clone, Debug, Serialize)]
pub struct TicketLine {
    pub id: TicketId,
    #[serde(rename = "type")]
    pub of_type: String,
    pub status: String,
    pub subject: String,
    /// The contact's first address.
    pub contact: Option<String>,
    pub contact_name: String,
    pub contact_id: Option<ContactId>,
    /// Of its newest entry.
    pub tag_line: Option<String>,
    pub entries: i64,
    pub created: String,
    pub updated: String,
    /// A login.
    pub assignee: Option<String>,
    pub priority: String,
    pub kind: String,
    pub merged_into: Option<TicketId>,
    pub follows: Option<TicketId>,
    pub due: Option<String>,
    /// Taken out of sight: only shown where it is asked for by its id.
    pub deleted: bool,
    pub version: i64,
}

#[derive(Clone, Debug, Default)]
pub struct TicketFilter {
    /// Any of these; none: all.
    pub statuses: Vec<String>,
    pub of_type: String,
    pub assignee: String,
    /// One of the contact's addresses.
    pub contact: String,
    pub id: i64,
    pub limit: i64,
}

impl Tx {
    pub async fn list_tickets(&mut self, filter: &TicketFilter) -> Result<Vec<TicketLine>, Error> {
        let query = sqlx::query(
            "SELECT t.id, y.name, y.tag, t.status, t.subject, \
             (SELECT d.address FROM contact_address d WHERE d.contact_id = t.contact_id \
              ORDER BY d.number, d.address LIMIT 1), \
             coalesce(c.name, ''), t.contact_id, \
             (SELECT count(*) FROM log_entry e WHERE e.ticket_id = t.id), \
             (SELECT max(e.id) FROM log_entry e WHERE e.ticket_id = t.id), \
             t.created_us, t.updated_us, a.login, t.priority, t.kind, t.merged_into, t.follows, t.due_us, t.deleted, t.version \
             FROM ticket t JOIN ticket_type y ON y.id = t.type_id LEFT JOIN contact c ON c.id = t.contact_id \
             LEFT JOIN account a ON a.id = t.assignee_id \
             WHERE (t.deleted = 0 OR t.id = $5) AND ($1 = '' OR $1 LIKE '%,' || t.status || ',%') AND ($2 = '' OR y.name = $2) \
             AND ($3 = '' OR a.login = $3) AND ($4 = '' OR EXISTS (SELECT 1 FROM contact_address d \
              WHERE d.contact_id = t.contact_id AND d.address = $4)) AND ($5 = 0 OR t.id = $5) \
             ORDER BY t.id DESC LIMIT $6",
        );
        let statuses = match filter.statuses.as_slice() {
            [] => String::new(),
            some => format!(",{},", some.join(",")),
        };
        let query = query
            .bind(statuses)
            .bind(filter.of_type.clone())
            .bind(filter.assignee.clone())
            .bind(filter.contact.to_lowercase())
            .bind(filter.id)
            .bind(filter.limit);
        self.lines(query, |row| {
            let id = TicketId(row.int()?);
            let (of_type, word) = (row.text()?, row.text()?);
            let mut line = TicketLine {
                id,
                of_type,
                status: row.text()?,
                subject: row.text()?,
                contact: row.maybe_text()?,
                contact_name: row.text()?,
                contact_id: row.maybe_int()?.map(ContactId),
                entries: row.int()?,
                tag_line: None,
                created: String::new(),
                updated: String::new(),
                assignee: None,
                priority: String::new(),
                kind: String::new(),
                merged_into: None,
                follows: None,
                due: None,
                deleted: false,
                version: 0,
            };
            let newest = row.maybe_int()?.map(LogEntryId);
            line.tag_line = newest.map(|log_entry| TagLine { word, ticket: id, log_entry }.to_string());
            line.created = row.when()?;
            line.updated = row.when()?;
            line.assignee = row.maybe_text()?;
            line.priority = row.text()?;
            line.kind = row.text()?;
            line.merged_into = row.maybe_int()?.map(TicketId);
            line.follows = row.maybe_int()?.map(TicketId);
            line.due = row.maybe_when()?;
            line.deleted = row.flag()?;
            line.version = row.int()?;
            Ok(line)
        })
        .await
    }
}
