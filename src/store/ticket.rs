//! Tickets, their log entries, and who belongs to them.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::tx::placeholders;
use super::{Counter, Error, Statement, Tx};
use crate::clock::Micros;
use crate::mail::quoting::Piece;
use crate::mail::{Address, Attachment, NamedAddress};
use crate::ticket::{AccountId, ArrivalId, ContactId, EventNumber, LogEntryId, Status, TicketId, TypeId};

/// Ids in one IN list.
const IDS_A_QUERY: usize = 500;

#[derive(Clone, Debug)]
pub struct TicketRow {
    pub id: TicketId,
    pub type_id: TypeId,
    pub status: Status,
    pub subject: String,
    pub contact: Option<ContactId>,
    pub assignee: Option<AccountId>,
    pub merged_into: Option<TicketId>,
    /// The number under which it was merged; 0 where it was not.
    pub merged_number: EventNumber,
    pub auto_answered: bool,
    pub is_deleted: bool,
    pub number: EventNumber,
    pub version: i64,
}

pub struct NewTicket<'a> {
    pub type_id: TypeId,
    pub tag: &'a str,
    pub subject: &'a str,
    pub contact: Option<ContactId>,
    pub follows: Option<TicketId>,
    pub number: EventNumber,
}

/// What to change of a ticket; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct TicketEdit {
    pub subject: Option<String>,
    pub status: Option<Status>,
    pub priority: Option<String>,
    pub kind: Option<String>,
    /// `Some(None)` takes it away.
    pub due: Option<Option<Micros>>,
}

impl TicketEdit {
    /// What of it changes but the status, by name.
    pub fn names(&self) -> Vec<&'static str> {
        let given = [
            ("subject", self.subject.is_some()),
            ("priority", self.priority.is_some()),
            ("kind", self.kind.is_some()),
            ("due", self.due.is_some()),
        ];
        given.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect()
    }
}

/// What a log entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A person's mail.
    Inbound,
    /// Machine mail.
    Automatic,
    /// A delivery report.
    Bounce,
    /// An answer of ours.
    Outbound,
    /// An internal note.
    Note,
}

impl EntryKind {
    pub fn as_str(self) -> &'static str {
        match self {
            EntryKind::Inbound => "inbound",
            EntryKind::Automatic => "automatic",
            EntryKind::Bounce => "bounce",
            EntryKind::Outbound => "outbound",
            EntryKind::Note => "note",
        }
    }
}

pub struct NewEntry<'a> {
    pub id: LogEntryId,
    pub ticket: TicketId,
    pub kind: EntryKind,
    pub arrival: Option<ArrivalId>,
    pub author: Option<&'a NamedAddress>,
    pub subject: &'a str,
    pub body: &'a str,
    pub body_truncated: bool,
    /// What the pieces of the body are; empty where all of it is new words.
    pub pieces: &'a [Piece],
    pub message_id: &'a str,
    pub id_hash: Option<&'a [u8]>,
    pub receivers: &'a [Receiver],
    pub code: &'a str,
    pub number: EventNumber,
    pub sent: Option<Micros>,
}

/// Whom an entry went to or was addressed to, as recorded on it (C2).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Receiver {
    pub address: Address,
    pub name: String,
    pub contact: Option<ContactId>,
}

macro_rules! columns {
    () => {
        "SELECT id, type_id, status, subject, contact_id, assignee_id, merged_into, coalesce(merged_number, 0), \
         auto_answered, deleted, number, version"
    };
}

impl Tx {
    pub async fn ticket(&mut self, id: TicketId) -> Result<TicketRow, Error> {
        if let Some(known) = self.ahead.get(&id) {
            return Ok(known.clone());
        }
        let query = sqlx::query(concat!(columns!(), " FROM ticket WHERE id = $1"));
        let row = self.maybe_row(query.bind(id.0)).await?;
        ticket_of(&row.ok_or_else(|| Error::Missing(format!("ticket #{id}")))?)
    }

    /// Reads tickets ahead, those of them that there are: `ticket` answers from here as long as nobody changes them.
    pub(super) async fn tickets_ahead(&mut self, ids: &[TicketId]) -> Result<Vec<TicketRow>, Error> {
        let text = concat!(columns!(), " FROM ticket WHERE number > $1 AND id IN ({})");
        let rows = self.rows_about(text, EventNumber(-1), ids, (1, |query, id| query.bind(id.0))).await?;
        let found: Vec<TicketRow> = rows.iter().map(ticket_of).collect::<Result<_, _>>()?;
        self.ahead.extend(found.iter().map(|ticket| (ticket.id, ticket.clone())));
        Ok(found)
    }

    /// A write that changes a ticket.
    fn change(&mut self, id: TicketId, query: Statement<'_>) -> Result<(), Error> {
        self.ahead.remove(&id);
        self.later(query)
    }

    /// The ticket that this one was merged into, in the end.
    pub async fn resolved_ticket(&mut self, id: TicketId) -> Result<TicketRow, Error> {
        let mut ticket = self.ticket(id).await?;
        while let Some(target) = ticket.merged_into {
            ticket = self.ticket(target).await?;
        }
        Ok(ticket)
    }

    pub async fn insert_ticket(&mut self, ticket: &NewTicket<'_>, now: Micros) -> Result<TicketId, Error> {
        let id = self.draw(Counter::Ticket).await?;
        let query = sqlx::query(
            "INSERT INTO ticket (id, type_id, status, subject, contact_id, follows, number, created_us, updated_us) \
             VALUES ($1, $2, 'new', $3, $4, $5, $6, $7, $7)",
        )
        .bind(id)
        .bind(ticket.type_id.0)
        .bind(ticket.subject)
        .bind(ticket.contact.map(|c| c.0))
        .bind(ticket.follows.map(|t| t.0))
        .bind(ticket.number.0)
        .bind(now.0);
        self.later(query)?;
        self.remember_tag(TicketId(id), ticket.tag, ticket.number).await?;
        Ok(TicketId(id))
    }

    /// A tag word that finds this ticket from now on.
    pub async fn remember_tag(
        &mut self,
        ticket: TicketId,
        tag: &str,
        number: EventNumber,
    ) -> Result<(), Error> {
        let query = sqlx::query(
            "INSERT INTO tag_history (ticket_id, tag, number) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        );
        self.later(query.bind(ticket.0).bind(tag).bind(number.0))
    }

    pub async fn insert_entry(&mut self, entry: &NewEntry<'_>, now: Micros) -> Result<(), Error> {
        let query = sqlx::query(
            "INSERT INTO log_entry (id, ticket_id, kind, arrival_id, author_address, author_name, subject, body, \
             body_truncated, pieces, message_id, id_hash, receivers, code, number, sent_us, created_us) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        )
        .bind(entry.id.0)
        .bind(entry.ticket.0)
        .bind(entry.kind.as_str())
        .bind(entry.arrival.map(|a| a.0))
        .bind(entry.author.map_or("", |a| a.address.as_str()))
        .bind(entry.author.map_or("", |a| a.name.as_str()))
        .bind(entry.subject)
        .bind(entry.body)
        .bind(i64::from(entry.body_truncated))
        .bind(match entry.pieces {
            [] => String::new(),
            pieces => serde_json::to_string(pieces)?,
        })
        .bind(entry.message_id)
        .bind(entry.id_hash)
        .bind(serde_json::to_string(entry.receivers)?)
        .bind(entry.code)
        .bind(entry.number.0)
        .bind(entry.sent.map(|s| s.0))
        .bind(now.0);
        self.later(query)
    }

    pub async fn insert_attachments(
        &mut self,
        entry: LogEntryId,
        arrival: ArrivalId,
        attachments: &[Attachment],
    ) -> Result<(), Error> {
        for (position, attachment) in attachments.iter().enumerate() {
            let query = sqlx::query(
                "INSERT INTO attachment (log_entry_id, position, name, content_type, size, is_inline, content_id, \
                 arrival_id, raw_offset, raw_length, encoding) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            )
            .bind(entry.0)
            .bind(position as i64)
            .bind(&attachment.name)
            .bind(&attachment.content_type)
            .bind(attachment.size as i64)
            .bind(i64::from(attachment.is_inline))
            .bind(&attachment.content_id)
            .bind(arrival.0)
            .bind(attachment.span.offset as i64)
            .bind(attachment.span.length as i64)
            .bind(attachment.span.encoding.to_string());
            self.later(query)?;
        }
        Ok(())
    }

    /// Lets addresses belong to a ticket; who belongs already stays as he is.
    pub async fn add_participants(
        &mut self,
        ticket: TicketId,
        participants: &[(Address, &str, Option<ContactId>)],
        number: EventNumber,
    ) -> Result<(), Error> {
        for (address, how, contact) in participants {
            let query = sqlx::query(
                "INSERT INTO participant (ticket_id, address, how, contact_id, number) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT DO NOTHING",
            );
            let query = query.bind(ticket.0).bind(address.as_str()).bind(*how).bind(contact.map(|c| c.0));
            self.later(query.bind(number.0))?;
        }
        Ok(())
    }

    /// Changes the status; the version guards against a change in between, where one is given.
    pub async fn set_status(&mut self, ticket: TicketId, status: Status, now: Micros) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE ticket SET status = $2, updated_us = $3, version = version + 1 WHERE id = $1",
        );
        self.change(ticket, query.bind(ticket.0).bind(status.as_str()).bind(now.0))
    }

    /// The tickets that these arrivals have opened and that are still new, oldest first.
    pub async fn new_tickets_of(&mut self, arrivals: &[ArrivalId]) -> Result<Vec<TicketId>, Error> {
        let mut found = vec![];
        for part in arrivals.chunks(IDS_A_QUERY) {
            let sql = format!(
                "SELECT t.id FROM journal j JOIN ticket t ON t.id = j.ticket_id WHERE j.act = 'open' \
                 AND t.status = 'new' AND t.deleted = 0 AND j.arrival_id IN ({}) ORDER BY t.id",
                placeholders(1, part.len())
            );
            let query = part.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, id| query.bind(id.0));
            for row in self.rows(query).await? {
                found.push(TicketId(row.try_get(0)?));
            }
        }
        Ok(found)
    }

    /// The status of a ticket of long ago, which stays as old as it is.
    pub async fn set_old_status(&mut self, ticket: TicketId, status: Status) -> Result<(), Error> {
        let query = sqlx::query("UPDATE ticket SET status = $2, version = version + 1 WHERE id = $1");
        self.change(ticket, query.bind(ticket.0).bind(status.as_str()))
    }

    pub async fn touch_ticket(&mut self, ticket: TicketId, now: Micros) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE ticket SET updated_us = column2 FROM (VALUES ($1, $2)) AS v WHERE ticket.id = column1",
        );
        self.later(query.bind(ticket.0).bind(now.0))
    }

    /// The automatic answer goes out once a ticket; `true` for the first who asks.
    pub async fn claim_auto_answer(&mut self, ticket: TicketId) -> Result<bool, Error> {
        let query = sqlx::query("UPDATE ticket SET auto_answered = 1 WHERE id = $1 AND auto_answered = 0");
        self.ahead.remove(&ticket);
        Ok(self.execute(query.bind(ticket.0)).await? == 1)
    }

    pub async fn set_assignee(
        &mut self,
        id: TicketId,
        to: Option<AccountId>,
        now: Micros,
    ) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE ticket SET assignee_id = $2, updated_us = $3, version = version + 1 WHERE id = $1",
        );
        self.change(id, query.bind(id.0).bind(to.map(|a| a.0)).bind(now.0))
    }

    pub async fn set_type(&mut self, id: TicketId, type_id: TypeId, now: Micros) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE ticket SET type_id = $2, updated_us = $3, version = version + 1 WHERE id = $1",
        );
        self.change(id, query.bind(id.0).bind(type_id.0).bind(now.0))
    }

    /// Writes what of a ticket a person corrects; its status has its own function.
    pub async fn edit_ticket(&mut self, id: TicketId, edit: &TicketEdit, now: Micros) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE ticket SET subject = coalesce($2, subject), priority = coalesce($3, priority), \
             kind = coalesce($4, kind), due_us = CASE WHEN $5 = 1 THEN $6 ELSE due_us END, updated_us = $7, \
             version = version + 1 WHERE id = $1",
        )
        .bind(id.0)
        .bind(edit.subject.clone())
        .bind(edit.priority.clone())
        .bind(edit.kind.clone())
        .bind(i64::from(edit.due.is_some()))
        .bind(edit.due.flatten().map(|due| due.0))
        .bind(now.0);
        self.change(id, query)
    }

    pub async fn set_deleted(&mut self, id: TicketId, is_deleted: bool, now: Micros) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE ticket SET deleted = $2, updated_us = $3, version = version + 1 WHERE id = $1",
        );
        self.change(id, query.bind(id.0).bind(i64::from(is_deleted)).bind(now.0))
    }

    /// Merges a ticket into another: whoever belonged to it belongs to the target, and its status ends.
    pub async fn merge(
        &mut self,
        from: TicketId,
        into: TicketId,
        number: EventNumber,
        now: Micros,
    ) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE ticket SET merged_into = $2, merged_number = $3, status = 'closed', updated_us = $4, \
             version = version + 1 WHERE id = $1",
        );
        self.change(from, query.bind(from.0).bind(into.0).bind(number.0).bind(now.0))?;
        let query = sqlx::query(
            "INSERT INTO participant (ticket_id, address, how, contact_id, number) \
             SELECT $2, address, how, contact_id, $3 FROM participant WHERE ticket_id = $1 ON CONFLICT DO NOTHING",
        );
        self.later(query.bind(from.0).bind(into.0).bind(number.0))
    }

    /// The contact that an address belongs to, and its name.
    pub async fn contact_of(&mut self, address: &Address) -> Result<Option<ContactId>, Error> {
        let query = sqlx::query("SELECT contact_id FROM contact_address WHERE address = $1");
        let row = self.maybe_row(query.bind(address.as_str())).await?;
        Ok(row.map(|r| r.try_get(0)).transpose()?.map(ContactId))
    }

    /// A new contact with its first address.
    pub async fn insert_contact(
        &mut self,
        person: &NamedAddress,
        number: EventNumber,
        now: Micros,
    ) -> Result<ContactId, Error> {
        let id = self.draw(Counter::Contact).await?;
        let query = sqlx::query(
            "INSERT INTO contact (id, name, folded, role, number, created_us) VALUES ($1, $2, $3, 'customer', $4, $5)",
        );
        let query = query.bind(id).bind(&person.name).bind(person.name.to_lowercase());
        self.later(query.bind(number.0).bind(now.0))?;
        self.add_contact_address(ContactId(id), &person.address, number).await?;
        Ok(ContactId(id))
    }

    pub async fn add_contact_address(
        &mut self,
        contact: ContactId,
        address: &Address,
        number: EventNumber,
    ) -> Result<(), Error> {
        let query = sqlx::query(
            "INSERT INTO contact_address (address, contact_id, number) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        );
        self.later(query.bind(address.as_str()).bind(contact.0).bind(number.0))
    }

    /// The contact of a ticket as a mail to him needs it: his name and the address he wrote from.
    pub async fn contact_address_on(
        &mut self,
        ticket: TicketId,
    ) -> Result<Option<(NamedAddress, ContactId)>, Error> {
        let query = sqlx::query(
            "SELECT p.address, c.name, c.id FROM participant p JOIN ticket t ON t.id = p.ticket_id \
             JOIN contact c ON c.id = t.contact_id \
             WHERE p.ticket_id = $1 AND p.contact_id = t.contact_id ORDER BY p.number LIMIT 1",
        );
        let Some(row) = self.maybe_row(query.bind(ticket.0)).await? else { return Ok(None) };
        let address: String = row.try_get(0)?;
        let address =
            Address::parse(&address).ok_or_else(|| Error::Corrupt(format!("participant {address:?}")))?;
        Ok(Some((NamedAddress { name: row.try_get(1)?, address }, ContactId(row.try_get(2)?))))
    }

    /// The Message-IDs of a ticket's mails, oldest first, for References.
    pub async fn thread_of(&mut self, ticket: TicketId, limit: i64) -> Result<Vec<String>, Error> {
        let query = sqlx::query(
            "SELECT message_id FROM log_entry WHERE ticket_id = $1 AND message_id <> '' ORDER BY id DESC LIMIT $2",
        );
        let rows = self.rows(query.bind(ticket.0).bind(limit)).await?;
        let mut ids: Vec<String> = rows.iter().map(|r| r.try_get(0)).collect::<Result<_, _>>()?;
        ids.reverse();
        Ok(ids)
    }
}

fn ticket_of(row: &AnyRow) -> Result<TicketRow, Error> {
    let status: String = row.try_get(2)?;
    Ok(TicketRow {
        id: TicketId(row.try_get(0)?),
        type_id: TypeId(row.try_get(1)?),
        status: Status::parse(&status).ok_or_else(|| Error::Corrupt(format!("ticket status {status:?}")))?,
        subject: row.try_get(3)?,
        contact: row.try_get::<Option<i64>, _>(4)?.map(ContactId),
        assignee: row.try_get::<Option<i64>, _>(5)?.map(AccountId),
        merged_into: row.try_get::<Option<i64>, _>(6)?.map(TicketId),
        merged_number: EventNumber(row.try_get(7)?),
        auto_answered: row.try_get::<i64, _>(8)? != 0,
        is_deleted: row.try_get::<i64, _>(9)? != 0,
        number: EventNumber(row.try_get(10)?),
        version: row.try_get(11)?,
    })
}
