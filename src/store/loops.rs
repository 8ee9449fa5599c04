//! What the loop breaker counts (M8), and the storms that it has stopped. Keys are counted by a keyed hash: the words stand
//! with a storm alone, and go with it.

use sqlx::Row;

use super::reader::Reader;
use super::tx::BindKey;
use super::{Error, Tx};
use crate::clock::Micros;
use crate::mail::MailKeys;
use crate::ticket::EventNumber;

/// Counts and storms are kept so long after they were last written, and at least for two windows.
const KEPT_US: i64 = 2 * 24 * 3600 * Micros::SECOND;

/// How often a key was met in one slot of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewCount {
    pub hash: i64,
    pub slot: i64,
    pub count: u64,
}

/// A storm, as it is noted: one key over its cap.
pub struct NewStorm<'a> {
    pub hash: i64,
    pub kind: &'a str,
    pub name: &'a str,
    pub cap: u64,
    pub window_s: u64,
    /// Messages that were stopped, or whose mails were.
    pub stopped: u64,
    /// When the first and the last of them were received.
    pub first: Micros,
    pub last: Micros,
}

#[derive(Clone, Debug)]
pub struct StormRow {
    pub hash: i64,
    pub kind: String,
    pub name: String,
    pub cap: i64,
    pub window_s: i64,
    pub stopped: i64,
    pub first: Micros,
    pub last: Micros,
    /// When it was last written.
    pub noted: Micros,
}

impl StormRow {
    /// Nothing was stopped for a whole window.
    pub fn is_over(&self, now: Micros) -> bool {
        self.noted.0 + self.window_s * Micros::SECOND < now.0
    }
}

/// What a key is counted under: it says nothing of whom it names.
pub fn loop_hash(keys: &MailKeys, kind: &str, name: &str) -> i64 {
    let hash = keys.hash(&[b"loop", kind.as_bytes(), name.as_bytes()]);
    i64::from_le_bytes(hash[..8].try_into().expect("a keyed hash has 16 bytes"))
}

impl Tx {
    /// The counts of these keys, from a slot on.
    pub async fn loop_counts(&mut self, hashes: &[i64], from_slot: i64) -> Result<Vec<NewCount>, Error> {
        let text = "SELECT hash, slot, met FROM loop_count WHERE slot >= $1 AND hash IN ({})";
        let bind: BindKey<i64> = |query, hash| query.bind(*hash);
        let rows = self.rows_about(text, EventNumber(from_slot), hashes, (1, bind)).await?;
        let count = |row: &sqlx::any::AnyRow| -> Result<NewCount, Error> {
            Ok(NewCount {
                hash: row.try_get(0)?,
                slot: row.try_get(1)?,
                count: row.try_get::<i64, _>(2)? as u64,
            })
        };
        rows.iter().map(count).collect()
    }

    /// Adds to a count. A transaction adds to each once.
    pub fn add_loop_count(&mut self, new: &NewCount, now: Micros) -> Result<(), Error> {
        let query = sqlx::query(
            "INSERT INTO loop_count (hash, slot, met, written_us) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (hash, slot) DO UPDATE SET met = loop_count.met + excluded.met, \
             written_us = excluded.written_us",
        );
        self.later(query.bind(new.hash).bind(new.slot).bind(new.count as i64).bind(now.0))
    }

    /// Lets go of counts and storms that nobody asks about any more.
    pub async fn clear_loop_counts(&mut self, window_s: u64, now: Micros) -> Result<(), Error> {
        let kept = KEPT_US.max(2 * window_s as i64 * Micros::SECOND);
        for sql in
            ["DELETE FROM loop_count WHERE written_us < $1", "DELETE FROM loop_storm WHERE noted_us < $1"]
        {
            self.execute(sqlx::query(sql).bind(now.0 - kept)).await?;
        }
        Ok(())
    }

    /// Notes a storm; one that was over begins anew.
    pub async fn note_storm(&mut self, new: &NewStorm<'_>, now: Micros) -> Result<(), Error> {
        let query = sqlx::query(
            "INSERT INTO loop_storm (hash, kind, name, cap, window_s, stopped, first_us, last_us, noted_us) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (hash) DO UPDATE SET cap = excluded.cap, \
             window_s = excluded.window_s, \
             stopped = excluded.stopped + CASE WHEN loop_storm.noted_us < $10 THEN 0 ELSE loop_storm.stopped END, \
             first_us = CASE WHEN loop_storm.noted_us < $10 OR excluded.first_us < loop_storm.first_us \
             THEN excluded.first_us ELSE loop_storm.first_us END, \
             last_us = CASE WHEN loop_storm.noted_us < $10 OR excluded.last_us > loop_storm.last_us \
             THEN excluded.last_us ELSE loop_storm.last_us END, noted_us = excluded.noted_us",
        )
        .bind(new.hash)
        .bind(new.kind)
        .bind(new.name)
        .bind(new.cap as i64)
        .bind(new.window_s as i64)
        .bind(new.stopped as i64)
        .bind(new.first.0)
        .bind(new.last.0)
        .bind(now.0)
        .bind(now.0 - new.window_s as i64 * Micros::SECOND);
        self.execute(query).await.map(drop)
    }

    /// The storms that are known, the last one first.
    pub async fn storms(&mut self) -> Result<Vec<StormRow>, Error> {
        let query = sqlx::query(
            "SELECT hash, kind, name, cap, window_s, stopped, first_us, last_us, noted_us FROM loop_storm \
             ORDER BY last_us DESC, hash",
        );
        let rows = self.rows(query).await?;
        rows.iter()
            .map(|row| {
                let mut row = Reader::new(row);
                Ok(StormRow {
                    hash: row.int()?,
                    kind: row.text()?,
                    name: row.text()?,
                    cap: row.int()?,
                    window_s: row.int()?,
                    stopped: row.int()?,
                    first: Micros(row.int()?),
                    last: Micros(row.int()?),
                    noted: Micros(row.int()?),
                })
            })
            .collect()
    }

    /// A key counts from nothing again. Whether anything was known of it.
    pub async fn reset_loop(&mut self, hash: i64) -> Result<bool, Error> {
        let mut rows = 0;
        for sql in ["DELETE FROM loop_count WHERE hash = $1", "DELETE FROM loop_storm WHERE hash = $1"] {
            rows += self.execute(sqlx::query(sql).bind(hash)).await?;
        }
        Ok(rows > 0)
    }
}
