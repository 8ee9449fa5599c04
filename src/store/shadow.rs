//! What would have become of the messages of a mailbox in shadow mode (M5). Nothing else knows of these rows.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::tx::placeholders;
use super::{Error, Tx};
use crate::clock::Micros;
use crate::mail::Address;
use crate::store::journal::MailKey;
use crate::ticket::{ArrivalId, MailboxId, TicketId, TypeId};
use crate::triage::{Act, Decision};

/// A decision in shadow, to be kept.
pub struct NewShadow<'a> {
    pub arrival: ArrivalId,
    pub key: &'a MailKey,
    pub decision: &'a Decision,
    /// The real ticket that it would be added to.
    pub ticket: Option<TicketId>,
    /// Or the arrival that would have opened its ticket.
    pub root: Option<ArrivalId>,
    /// Who would belong to the ticket that it opens, the sender first.
    pub addresses: &'a [Address],
    pub clues_json: &'a str,
}

/// A decision in shadow, as far as a later one asks for it.
#[derive(Clone, Debug)]
pub struct ShadowRow {
    pub arrival: ArrivalId,
    pub digest: Vec<u8>,
    pub act: Act,
    pub type_id: Option<TypeId>,
    pub ticket: Option<TicketId>,
    pub root: Option<ArrivalId>,
    pub addresses: Vec<Address>,
}

/// As the journal shows it.
#[derive(Clone, Debug)]
pub struct ShadowLine {
    pub act: String,
    pub code: String,
    pub ticket: Option<TicketId>,
    pub root: Option<ArrivalId>,
    /// JSON.
    pub decision: String,
}

const ROWS: &str = "SELECT s.arrival_id, a.digest, s.act, s.type_id, s.ticket_id, s.root_id, s.addresses \
    FROM shadow s JOIN arrival a ON a.id = s.arrival_id";
/// Copies, or answered messages, that are looked at.
const MOST: i64 = 20;
const IDS_A_QUERY: usize = 500;

impl Tx {
    /// Ends the keeping of a message in shadow.
    pub async fn insert_shadow(&mut self, new: &NewShadow<'_>, now: Micros) -> Result<(), Error> {
        let decision = new.decision;
        let query = sqlx::query(
            "INSERT INTO shadow (arrival_id, kind, act, code, type_id, ticket_id, root_id, original_arrival_id, \
             mail_key, id_hash, addresses, clues, trace, decided_us) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        )
        .bind(new.arrival.0)
        .bind(decision.kind.as_str())
        .bind(decision.act.as_str())
        .bind(decision.code.as_str())
        .bind(decision.type_id.map(|t| t.0))
        .bind(new.ticket.map(|t| t.0))
        .bind(new.root.map(|a| a.0))
        .bind(decision.original.map(|a| a.0))
        .bind(&new.key.key[..])
        .bind(new.key.id_hash.as_deref())
        .bind(serde_json::to_string(new.addresses)?)
        .bind(new.clues_json)
        .bind(serde_json::to_string(decision)?)
        .bind(now.0);
        self.execute(query).await?;
        let query = sqlx::query(
            "UPDATE arrival SET state = 'shadow', message_id = $2, mail_key = $3, id_hash = $4, in_hand = 0 WHERE id = $1",
        )
        .bind(new.arrival.0)
        .bind(new.key.message_id.as_ref().map_or("", |m| m.as_str()))
        .bind(&new.key.key[..])
        .bind(new.key.id_hash.as_deref());
        self.execute(query).await.map(drop)
    }

    /// Earlier copies of a mail, decided in shadow, oldest first.
    pub async fn shadow_copies(&mut self, key: &[u8], this: ArrivalId) -> Result<Vec<ShadowRow>, Error> {
        let sql =
            format!("{ROWS} WHERE s.mail_key = $1 AND s.arrival_id <> $2 ORDER BY s.arrival_id LIMIT $3");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(key).bind(this.0).bind(MOST);
        self.rows(query).await?.iter().map(read).collect()
    }

    /// What was decided in shadow about the messages with this Message-ID, by its hash.
    pub async fn shadows_of_hash(&mut self, id_hash: &[u8]) -> Result<Vec<ShadowRow>, Error> {
        let sql = format!("{ROWS} WHERE s.id_hash = $1 ORDER BY s.arrival_id LIMIT $2");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(id_hash).bind(MOST);
        self.rows(query).await?.iter().map(read).collect()
    }

    pub async fn shadow(&mut self, arrival: ArrivalId) -> Result<Option<ShadowRow>, Error> {
        let sql = format!("{ROWS} WHERE s.arrival_id = $1");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(arrival.0);
        self.maybe_row(query).await?.as_ref().map(read).transpose()
    }

    pub async fn shadow_line(&mut self, arrival: ArrivalId) -> Result<Option<ShadowLine>, Error> {
        let query =
            sqlx::query("SELECT act, code, ticket_id, root_id, trace FROM shadow WHERE arrival_id = $1");
        let Some(row) = self.maybe_row(query.bind(arrival.0)).await? else { return Ok(None) };
        Ok(Some(ShadowLine {
            act: row.try_get(0)?,
            code: row.try_get(1)?,
            ticket: row.try_get::<Option<i64>, _>(2)?.map(TicketId),
            root: row.try_get::<Option<i64>, _>(3)?.map(ArrivalId),
            decision: row.try_get(4)?,
        }))
    }

    /// How many messages of a mailbox were decided in shadow.
    pub async fn count_shadows(&mut self, mailbox: MailboxId) -> Result<i64, Error> {
        let query = sqlx::query("SELECT count(*) FROM arrival WHERE state = 'shadow' AND mailbox_id = $1");
        Ok(self.row(query.bind(mailbox.0)).await?.try_get(0)?)
    }

    /// Messages that were decided in shadow are to be decided anew, for good.
    pub async fn leave_shadow(&mut self, ids: &[ArrivalId]) -> Result<(), Error> {
        for part in ids.chunks(IDS_A_QUERY) {
            self.forget_mark(part[0]).await?;
            let list = placeholders(1, part.len());
            for sql in [
                format!("DELETE FROM shadow WHERE arrival_id IN ({list})"),
                format!(
                    "UPDATE arrival SET state = 'kept', tries = 0, in_hand = 0 WHERE state = 'shadow' AND id IN ({list})"
                ),
            ] {
                let query = part.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, id| query.bind(id.0));
                self.execute(query).await?;
            }
        }
        Ok(())
    }
}

fn read(row: &AnyRow) -> Result<ShadowRow, Error> {
    let act: String = row.try_get(2)?;
    Ok(ShadowRow {
        arrival: ArrivalId(row.try_get(0)?),
        digest: row.try_get(1)?,
        act: Act::parse(&act).ok_or_else(|| Error::Corrupt(format!("shadow act {act:?}")))?,
        type_id: row.try_get::<Option<i64>, _>(3)?.map(TypeId),
        ticket: row.try_get::<Option<i64>, _>(4)?.map(TicketId),
        root: row.try_get::<Option<i64>, _>(5)?.map(ArrivalId),
        addresses: serde_json::from_str(&row.try_get::<String, _>(6)?)?,
    })
}
