//! Arrivals that are kept and wait for their decision.

use std::collections::HashSet;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::{ArrivalState, IDS_A_QUERY};
use crate::clock::Micros;
use crate::store::lease::is_live;
use crate::store::tx::placeholders;
use crate::store::{Error, Tx};
use crate::ticket::{ArrivalId, MailboxId};
use crate::triage::trust::Checks;

/// An arrival that is kept and waits for its decision.
#[derive(Clone, Debug)]
pub struct Pending {
    pub id: ArrivalId,
    pub mailbox: MailboxId,
    pub size: u64,
    pub digest: Vec<u8>,
    pub envelope_to: String,
    pub received: Micros,
    pub is_silent: bool,
    /// To be decided in shadow.
    pub is_shadow: bool,
    /// A former life of this desk may have told of it: the mails that follow from it wait in hold.
    pub is_mail_held: bool,
    /// An admin has said that it is of no flood.
    pub is_let_through: bool,
    pub tries: i64,
    /// What DNS said of its sender; none: nobody has asked yet.
    pub checks: Option<Checks>,
    /// Brought by an MTA, over the limit of its mailbox, and nobody has looked at it yet.
    pub is_too_big: bool,
}

const PENDING: &str = "SELECT id, mailbox_id, size, digest, envelope_to, received_us, silent, tries, \
     CAST(CASE WHEN epoch = 0 AND folder = 'pipe' \
     AND size > (SELECT m.size_limit_bytes FROM mailbox m WHERE m.id = arrival.mailbox_id) \
     AND NOT EXISTS (SELECT 1 FROM error_ticket e WHERE e.arrival_id = arrival.id) THEN 1 ELSE 0 END AS BIGINT), state, let_through, checks \
     FROM arrival";

/// Arrivals of which mailboxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    All,
    /// Those that no daemon has a lease on.
    Nobodys,
    /// One, and those that are switched off.
    Mailbox(MailboxId),
}

const ALL: i64 = 0;
const NOBODYS: i64 = -1;

impl Of {
    fn number(self) -> i64 {
        match self {
            Of::All => ALL,
            Of::Nobodys => NOBODYS,
            Of::Mailbox(id) => id.0,
        }
    }
}

impl Tx {
    /// Arrivals behind this one that are kept and not decided, oldest first.
    pub async fn pending_arrivals(
        &mut self,
        of: Of,
        after: ArrivalId,
        limit: i64,
    ) -> Result<Vec<Pending>, Error> {
        let sql = format!(
            "{PENDING} WHERE state IN ('kept', 'shadow_kept') AND {} AND id > $3 ORDER BY id LIMIT $2",
            self.is_of()
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(of.number()).bind(limit).bind(after.0);
        self.rows(query).await?.iter().map(pending_of).collect()
    }

    /// Which of these are still kept and not decided: under the desk lock nobody else decides them now.
    pub async fn still_kept(&mut self, ids: &[ArrivalId]) -> Result<HashSet<ArrivalId>, Error> {
        let mut kept = HashSet::new();
        for part in ids.chunks(IDS_A_QUERY) {
            let sql = format!(
                "SELECT id FROM arrival WHERE state IN ('kept', 'shadow_kept') AND id IN ({})",
                placeholders(1, part.len())
            );
            let query = part.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, id| query.bind(id.0));
            for row in self.rows(query).await? {
                kept.insert(ArrivalId(row.try_get(0)?));
            }
        }
        Ok(kept)
    }

    pub async fn arrival(&mut self, id: ArrivalId) -> Result<Pending, Error> {
        let sql = format!("{PENDING} WHERE id = $1");
        let row = self.maybe_row(sqlx::query(AssertSqlSafe(sql)).bind(id.0)).await?;
        pending_of(&row.ok_or_else(|| Error::Missing(format!("arrival {id}")))?)
    }

    /// It is pending again, and of no flood.
    pub async fn let_through(&mut self, id: ArrivalId) -> Result<(), Error> {
        self.reopen_journal(id).await?;
        let query = sqlx::query("UPDATE arrival SET let_through = 1 WHERE id = $1");
        self.later(query.bind(id.0))
    }

    /// What DNS said of a message's sender: it is asked only once.
    pub async fn set_checks(&mut self, id: ArrivalId, checks: &Checks) -> Result<(), Error> {
        let query = sqlx::query("UPDATE arrival SET checks = $2 WHERE id = $1");
        self.later(query.bind(id.0).bind(serde_json::to_string(checks)?))
    }

    /// Marks a message as in hand, before it is parsed: a process that dies now has died of it, perhaps.
    pub async fn take_in_hand(&mut self, id: ArrivalId) -> Result<(), Error> {
        let query = sqlx::query("UPDATE arrival SET in_hand = 1 WHERE id = $1");
        self.later(query.bind(id.0))
    }

    /// It is in hand no more, and nobody has died of it.
    pub async fn let_go_of(&mut self, id: ArrivalId) -> Result<(), Error> {
        let query = sqlx::query("UPDATE arrival SET in_hand = 0 WHERE id = $1");
        self.later(query.bind(id.0))
    }

    /// After an unclean stop: what was in hand has one try more against it.
    pub async fn count_deaths(&mut self, of: Of) -> Result<u64, Error> {
        let sql = format!(
            "UPDATE arrival SET tries = tries + 1, in_hand = 0 WHERE state IN ('kept', 'shadow_kept') AND in_hand = 1 \
             AND {}",
            self.is_of()
        );
        self.execute(sqlx::query(AssertSqlSafe(sql)).bind(of.number())).await
    }

    /// Whether an arrival is one of those that `$1` stands for.
    fn is_of(&self) -> String {
        format!(
            "($1 = {ALL} OR mailbox_id = $1 OR mailbox_id IN (SELECT id FROM mailbox WHERE active = 0) \
             OR $1 = {NOBODYS} AND NOT EXISTS (SELECT 1 FROM lease l \
             WHERE l.name = 'mailbox:' || CAST(mailbox_id AS TEXT) AND {}))",
            is_live(self.engine, "l.owner")
        )
    }

    /// A message has made its parser panic, or has gone over a limit.
    pub async fn count_try(&mut self, id: ArrivalId) -> Result<(), Error> {
        let query = sqlx::query("UPDATE arrival SET tries = tries + 1, in_hand = 0 WHERE id = $1");
        self.later(query.bind(id.0))
    }
}

fn pending_of(row: &AnyRow) -> Result<Pending, Error> {
    Ok(Pending {
        id: ArrivalId(row.try_get(0)?),
        mailbox: MailboxId(row.try_get(1)?),
        size: row.try_get::<i64, _>(2)? as u64,
        digest: row.try_get(3)?,
        envelope_to: row.try_get(4)?,
        received: Micros(row.try_get(5)?),
        is_silent: row.try_get::<i64, _>(6)? == 1,
        is_mail_held: row.try_get::<i64, _>(6)? == 2,
        tries: row.try_get(7)?,
        is_too_big: row.try_get::<i64, _>(8)? != 0,
        is_shadow: row.try_get::<String, _>(9)? == ArrivalState::ShadowKept.as_str(),
        is_let_through: row.try_get::<i64, _>(10)? != 0,
        checks: match row.try_get::<String, _>(11)?.as_str() {
            "" => None,
            text => Some(serde_json::from_str(text)?),
        },
    })
}
