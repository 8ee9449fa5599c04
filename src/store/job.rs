//! Jobs: when each ran last, how that went, and when it is due next.

use super::reader::Reader;
use super::tx::without_nul;
use super::{Error, Tx};
use crate::clock::Micros;

/// A job as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    pub name: String,
    /// An interval, or a cron expression.
    pub schedule: String,
    /// Of the last run that ended; none yet where it is new.
    pub began: Option<Micros>,
    pub ended: Option<Micros>,
    pub next: Micros,
    /// In a row, up to now.
    pub failures: i64,
    /// What the last run said.
    pub words: String,
}

impl Tx {
    /// By name. A job stays here after its daemon no longer has it.
    pub async fn jobs(&mut self) -> Result<Vec<JobRow>, Error> {
        let query = sqlx::query(
            "SELECT name, schedule, began_us, ended_us, next_us, failures, words FROM job ORDER BY name",
        );
        let rows = self.rows(query).await?;
        let read = |row| {
            let mut row = Reader::new(row);
            Ok(JobRow {
                name: row.text()?,
                schedule: row.text()?,
                began: row.maybe_time()?,
                ended: row.maybe_time()?,
                next: row.time()?,
                failures: row.int()?,
                words: row.text()?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Notes a job that is new; gives the time that its next run is counted from: the last run, else the first sight.
    pub async fn know_job(&mut self, name: &str, now: Micros) -> Result<Micros, Error> {
        let query = sqlx::query(
            "INSERT INTO job (name, known_us, next_us) VALUES ($1, $2, $2) ON CONFLICT DO NOTHING",
        );
        self.execute(query.bind(name).bind(now.0)).await?;
        let query = sqlx::query("SELECT coalesce(began_us, known_us) FROM job WHERE name = $1");
        Reader::new(&self.row(query.bind(name)).await?).time()
    }

    /// When a job is due by its schedule of today.
    pub async fn set_job_next(&mut self, name: &str, schedule: &str, next: Micros) -> Result<(), Error> {
        let query = sqlx::query("UPDATE job SET schedule = $2, next_us = $3 WHERE name = $1");
        self.execute(query.bind(name).bind(schedule).bind(next.0)).await.map(drop)
    }

    /// How a run went, and when the next is due.
    pub async fn record_job(
        &mut self,
        name: &str,
        (began, ended, next): (Micros, Micros, Micros),
        (is_well, words): (bool, &str),
    ) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE job SET began_us = $2, ended_us = $3, next_us = $4, words = $5, \
             failures = CASE WHEN $6 = 1 THEN 0 ELSE failures + 1 END WHERE name = $1",
        );
        let query = query.bind(name).bind(began.0).bind(ended.0).bind(next.0);
        self.execute(query.bind(without_nul(words)).bind(i64::from(is_well))).await.map(drop)
    }
}
