//! Arrivals: every message a source has shown, by its identity there, and its raw bytes (M1).

mod pending;

use std::collections::HashSet;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::tx::{placeholders, values};
use super::{Counter, Error, Tx};
use crate::clock::Micros;
use crate::ticket::{ArrivalId, MailboxId};

pub use pending::{Of, Pending};

/// Where an arrival stands between source and ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrivalState {
    /// Lies at its source and stays there: it was there before maildesk was told to start, or was put back.
    BeforeStart,
    /// Durable, not yet decided.
    Kept,
    /// Decided; the source is owed nothing.
    Decided,
    /// Decided; the source is still to be told.
    AckPending,
    /// The source has confirmed.
    Acked,
    /// Too big: stays at the source.
    Left,
    /// Its source lists it and does not give it; it is asked for again.
    Refused,
    /// Somebody else removed it before it was kept whole.
    Vanished,
    /// Durable, to be decided in shadow.
    ShadowKept,
    /// Decided in shadow; nothing came of it, and its source is not told.
    Shadow,
}

impl ArrivalState {
    const NAMES: [(ArrivalState, &'static str); 10] = [
        (ArrivalState::BeforeStart, "before_start"),
        (ArrivalState::Kept, "kept"),
        (ArrivalState::Decided, "decided"),
        (ArrivalState::AckPending, "ack_pending"),
        (ArrivalState::Acked, "acked"),
        (ArrivalState::Left, "left"),
        (ArrivalState::Refused, "refused"),
        (ArrivalState::Vanished, "vanished"),
        (ArrivalState::ShadowKept, "shadow_kept"),
        (ArrivalState::Shadow, "shadow"),
    ];

    pub fn as_str(self) -> &'static str {
        ArrivalState::NAMES.iter().find(|n| n.0 == self).expect("NAMES lists every state").1
    }

    fn parse(name: &str) -> Result<ArrivalState, Error> {
        let found = ArrivalState::NAMES.iter().find(|n| n.1 == name);
        found.map(|n| n.0).ok_or_else(|| Error::Corrupt(format!("arrival state {name:?}")))
    }
}

/// The place whose messages are told apart by their source id: one folder of one mailbox under one validity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub mailbox: MailboxId,
    /// 0: what no account holds, imported or brought by an MTA; nobody is told that it is taken in.
    pub epoch: i64,
    pub folder: String,
    pub validity: i64,
}

impl Place {
    /// It is the same folder of the same mailbox as the other, which has given up these numbers.
    pub fn is_renumbered_by(&self, now: &Place) -> bool {
        self.mailbox == now.mailbox
            && (self.epoch != now.epoch || (self.folder == now.folder && self.validity != now.validity))
    }
}

#[derive(Clone, Debug)]
pub struct NewArrival {
    pub source_id: String,
    pub state: ArrivalState,
    pub announced_size: u64,
    pub size: u64,
    /// SHA-256 of the bytes; empty where they are not here.
    pub digest: Vec<u8>,
    pub envelope_to: String,
    pub received: Micros,
    pub is_silent: bool,
}

/// What the store knows of a message that a source lists.
#[derive(Clone, Debug)]
pub struct Known {
    pub id: ArrivalId,
    pub source_id: String,
    pub state: ArrivalState,
    pub announced_size: u64,
    pub digest: Vec<u8>,
    /// What the source did instead of what it was told, or that it was told twice.
    pub ack_words: String,
}

impl Known {
    /// The source has let it go, at its first telling.
    pub fn is_acknowledged_once(&self) -> bool {
        self.state == ArrivalState::Acked && self.ack_words.is_empty()
    }
}

/// Ids in one IN list; SQLite's statement cache and PostgreSQL's planner both like it short.
const IDS_A_QUERY: usize = 500;
const ARRIVAL_COLUMNS: usize = 14;
/// Rows in one INSERT of arrivals.
const ROWS_AN_INSERT: usize = 100;

impl Tx {
    /// Writes arrivals of one place; their ids in the same order. The caller has checked that none is known.
    pub async fn insert_arrivals(
        &mut self,
        place: &Place,
        arrivals: &[NewArrival],
        now: Micros,
    ) -> Result<Vec<ArrivalId>, Error> {
        if arrivals.is_empty() {
            return Ok(vec![]);
        }
        // An MTA lets go of what is kept.
        self.must_last();
        let first = self.draw_many(Counter::Arrival, arrivals.len() as i64).await?;
        let mut id = first;
        for part in arrivals.chunks(ROWS_AN_INSERT) {
            let sql = format!(
                "INSERT INTO arrival (id, mailbox_id, epoch, folder, validity, source_id, state, announced_size, size, \
                 digest, envelope_to, received_us, silent, kept_us) VALUES {}",
                values(self.engine, part.len(), ARRIVAL_COLUMNS)
            );
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for arrival in part {
                query = query
                    .bind(id)
                    .bind(place.mailbox.0)
                    .bind(place.epoch)
                    .bind(&place.folder)
                    .bind(place.validity)
                    .bind(&arrival.source_id)
                    .bind(arrival.state.as_str())
                    .bind(arrival.announced_size as i64)
                    .bind(arrival.size as i64)
                    .bind(&arrival.digest[..])
                    .bind(&arrival.envelope_to)
                    .bind(arrival.received.0)
                    .bind(i64::from(arrival.is_silent))
                    .bind(now.0);
                id += 1;
            }
            // At once: rows that wait for each other may refer to it, and would go first.
            self.execute(query).await?;
        }
        Ok((first..id).map(ArrivalId).collect())
    }

    /// A message of a place that was decided, by its key.
    pub async fn imported_by_key(&mut self, place: &Place, key: &[u8]) -> Result<Option<ArrivalId>, Error> {
        // `+ 0`: by the key, not along the arrivals until one bears it.
        let query = sqlx::query(
            "SELECT min(id + 0) FROM arrival WHERE mail_key = $1 AND mailbox_id = $2 AND epoch = $3 AND folder = $4",
        );
        let query = query.bind(key).bind(place.mailbox.0).bind(place.epoch).bind(&place.folder);
        Ok(self.row(query).await?.try_get::<Option<i64>, _>(0)?.map(ArrivalId))
    }

    /// What is known of the messages that a place lists.
    pub async fn known_arrivals(&mut self, place: &Place, source_ids: &[&str]) -> Result<Vec<Known>, Error> {
        let mut known = Vec::new();
        for part in source_ids.chunks(IDS_A_QUERY) {
            let sql = format!(
                "SELECT id, source_id, state, announced_size, digest, ack_words FROM arrival WHERE mailbox_id = $1 AND epoch = $2 \
                 AND folder = $3 AND validity = $4 AND source_id IN ({})",
                placeholders(5, part.len())
            );
            let mut query = sqlx::query(AssertSqlSafe(sql));
            query = query.bind(place.mailbox.0).bind(place.epoch).bind(&place.folder).bind(place.validity);
            for id in part {
                query = query.bind(*id);
            }
            for row in self.rows(query).await? {
                known.push(known_of(&row)?);
            }
        }
        Ok(known)
    }

    /// Every message of a mailbox in this state, with its place.
    pub async fn arrivals_in(
        &mut self,
        mailbox: MailboxId,
        state: ArrivalState,
    ) -> Result<Vec<(Place, Known)>, Error> {
        let query = sqlx::query(
            "SELECT id, source_id, state, announced_size, digest, ack_words, epoch, folder, validity FROM arrival \
             WHERE state = $2 AND mailbox_id = $1 ORDER BY id",
        );
        let query = query.bind(mailbox.0).bind(state.as_str());
        let rows = self.rows(query).await?;
        rows.iter()
            .map(|row| {
                let place = Place {
                    mailbox,
                    epoch: row.try_get(6)?,
                    folder: row.try_get(7)?,
                    validity: row.try_get(8)?,
                };
                Ok((place, known_of(row)?))
            })
            .collect()
    }

    /// Moves a row whose identity the source has given to another message out of that identity's way.
    pub async fn retire_source_id(&mut self, id: ArrivalId) -> Result<(), Error> {
        let query =
            sqlx::query("UPDATE arrival SET source_id = source_id || '~' || CAST(id AS TEXT) WHERE id = $1");
        self.later(query.bind(id.0))
    }

    pub async fn set_announced_size(&mut self, id: ArrivalId, size: u64) -> Result<(), Error> {
        let query = sqlx::query("UPDATE arrival SET announced_size = $2 WHERE id = $1");
        self.later(query.bind(id.0).bind(size as i64))
    }

    /// The source has confirmed (or what it did instead stands in the words; without any, earlier ones stay).
    pub async fn mark_acknowledged(
        &mut self,
        ids: &[ArrivalId],
        words: &str,
        now: Micros,
    ) -> Result<(), Error> {
        for part in ids.chunks(IDS_A_QUERY) {
            let sql = format!(
                "UPDATE arrival SET state = 'acked', acked_us = $1, \
                 ack_words = CASE WHEN $2 = '' THEN ack_words ELSE $2 END WHERE state = 'ack_pending' AND id IN ({})",
                placeholders(3, part.len())
            );
            let mut query = sqlx::query(AssertSqlSafe(sql)).bind(now.0).bind(words);
            for id in part {
                query = query.bind(id.0);
            }
            self.later(query)?;
        }
        Ok(())
    }

    /// The source still lists what it had confirmed, and is to be told once more.
    pub async fn owe_again(&mut self, id: ArrivalId, words: &str) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE arrival SET state = 'ack_pending', ack_words = $2 WHERE id = $1 AND state = 'acked'",
        );
        self.later(query.bind(id.0).bind(words))
    }

    /// A message that was left at its source is here now: its decision is made anew.
    pub async fn refill_arrival(&mut self, id: ArrivalId, size: u64, digest: &[u8]) -> Result<(), Error> {
        self.reopen_journal(id).await?;
        let query = sqlx::query("UPDATE arrival SET size = $2, digest = $3 WHERE id = $1");
        self.later(query.bind(id.0).bind(size as i64).bind(digest))
    }

    /// Somebody else has removed it from the source.
    pub async fn mark_vanished(&mut self, id: ArrivalId) -> Result<(), Error> {
        self.forget_mark(id).await?;
        let query = sqlx::query("UPDATE arrival SET state = 'vanished' WHERE id = $1");
        self.later(query.bind(id.0))
    }

    /// What was left at its source may be removed there.
    pub async fn let_go(&mut self, id: ArrivalId) -> Result<(), Error> {
        self.forget_mark(id).await?;
        let query = sqlx::query("UPDATE arrival SET state = 'ack_pending' WHERE id = $1 AND state = 'left'");
        self.later(query.bind(id.0))
    }

    /// A message with these headers that was left under numbers which the place has given up.
    pub async fn left_with_headers(
        &mut self,
        place: &Place,
        headers: &[u8],
    ) -> Result<Option<ArrivalId>, Error> {
        let query = sqlx::query(
            "SELECT a.id FROM arrival a JOIN error_ticket e ON e.arrival_id = a.id WHERE a.state = 'left' \
             AND a.mailbox_id = $1 AND e.headers = $2 AND (a.epoch <> $3 OR (a.folder = $4 AND a.validity <> $5)) \
             ORDER BY a.id LIMIT 1",
        );
        let query = query.bind(place.mailbox.0).bind(headers).bind(place.epoch);
        let row = self.maybe_row(query.bind(&place.folder).bind(place.validity)).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.map(ArrivalId))
    }

    /// The source has given a message another number.
    pub async fn renumber_arrival(
        &mut self,
        id: ArrivalId,
        place: &Place,
        source_id: &str,
        announced_size: u64,
    ) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE arrival SET epoch = $2, folder = $3, validity = $4, source_id = $5, announced_size = $6 \
             WHERE id = $1",
        );
        let query = query.bind(id.0).bind(place.epoch).bind(&place.folder).bind(place.validity);
        self.execute(query.bind(source_id).bind(announced_size as i64)).await.map(drop)
    }

    /// A message that had vanished is there again, and stays there.
    pub async fn leave_arrival(&mut self, id: ArrivalId, announced_size: u64) -> Result<(), Error> {
        self.forget_mark(id).await?;
        let query = sqlx::query("UPDATE arrival SET state = 'left', announced_size = $2 WHERE id = $1");
        self.execute(query.bind(id.0).bind(announced_size as i64)).await.map(drop)
    }

    /// Its source has once more not given it. Gives how often that was.
    pub async fn mark_refused(&mut self, id: ArrivalId) -> Result<i64, Error> {
        self.forget_mark(id).await?;
        let query = sqlx::query(
            "UPDATE arrival SET state = CASE WHEN state = 'left' THEN state ELSE 'refused' END, tries = tries + 1 \
             WHERE id = $1 RETURNING tries",
        );
        Ok(self.row(query.bind(id.0)).await?.try_get(0)?)
    }

    /// Arrivals left at their source because that would not give them.
    pub async fn refused(&mut self) -> Result<HashSet<ArrivalId>, Error> {
        let sql = "SELECT arrival_id FROM error_ticket WHERE state = 'open' AND code = 'refused'";
        let rows = self.rows(sqlx::query(sql)).await?;
        rows.iter().map(|r| Ok(ArrivalId(r.try_get(0)?))).collect()
    }

    /// Arrivals left at their source that an admin wants taken in.
    pub async fn asked_for(&mut self) -> Result<HashSet<ArrivalId>, Error> {
        let rows =
            self.rows(sqlx::query("SELECT arrival_id FROM error_ticket WHERE state = 'fetch'")).await?;
        rows.iter().map(|r| Ok(ArrivalId(r.try_get(0)?))).collect()
    }

    /// Where an arrival was shown, and what is known of it there.
    pub async fn arrival_at_source(&mut self, id: ArrivalId) -> Result<(Place, Known), Error> {
        let query = sqlx::query(
            "SELECT id, source_id, state, announced_size, digest, ack_words, epoch, folder, validity, mailbox_id \
             FROM arrival WHERE id = $1",
        );
        let row = self.maybe_row(query.bind(id.0)).await?;
        let row = row.ok_or_else(|| Error::Missing(format!("arrival {id}")))?;
        let place = Place {
            mailbox: MailboxId(row.try_get(9)?),
            epoch: row.try_get(6)?,
            folder: row.try_get(7)?,
            validity: row.try_get(8)?,
        };
        Ok((place, known_of(&row)?))
    }
}

fn known_of(row: &AnyRow) -> Result<Known, Error> {
    let state: String = row.try_get(2)?;
    Ok(Known {
        id: ArrivalId(row.try_get(0)?),
        source_id: row.try_get(1)?,
        state: ArrivalState::parse(&state)?,
        announced_size: row.try_get::<i64, _>(3)? as u64,
        digest: row.try_get(4)?,
        ack_words: row.try_get(5)?,
    })
}
