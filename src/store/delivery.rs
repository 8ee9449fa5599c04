//! What the sender does with queued mail: find what is due, claim it, keep each step of an attempt, record its end.
//!
//! A claim is a lease with a fencing number, and lasts as long as its daemon lives. Whoever holds the number of the last
//! claim may record what became of the mail, also when its own life is over; whoever does not has lost the mail to
//! somebody else, and nothing of what it did is recorded. A final dot needs the life, too.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::lease::is_live;
use super::tx::without_nul;
use super::{Counter, Engine, Error, Tx};
use crate::clock::Micros;
use crate::mail::compose::Segment;
use crate::ticket::{LogEntryId, OutboxId, RelayId, TicketId};

/// Longest words of a peer that are kept.
const MAX_WORDS: usize = 500;

/// Who sends, and what time it is.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// The daemon, in its present life.
    pub owner: &'a str,
    pub now: Micros,
}

/// A mail that belongs to us while nobody else raises its fence.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub id: OutboxId,
    pub fence: i64,
    pub ticket: Option<TicketId>,
    pub log_entry: Option<LogEntryId>,
    /// Empty is the null sender.
    pub return_path: String,
    pub literal: Vec<u8>,
    pub segments: Vec<Segment>,
    pub size: u64,
    pub created: Micros,
    /// Those that are due; others wait for their time.
    pub recipients: Vec<DueRecipient>,
}

#[derive(Clone, Debug)]
pub struct DueRecipient {
    pub address: String,
    pub attempts: i64,
}

/// An attempt that was begun.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    pub id: i64,
    /// An earlier attempt's end is unknown after its final dot: this one sends the same mail perhaps again.
    pub is_possibly_repeated: bool,
}

/// What became of a recipient in an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub address: String,
    pub fate: Fate,
    /// The SMTP reply code; 0 where no reply came.
    pub code: u16,
    pub enhanced: String,
    pub words: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Sent,
    Deferred(Micros),
    Failed,
}

/// The end of an attempt.
#[derive(Clone, Debug)]
pub struct Ended<'a> {
    pub attempt: Attempt,
    /// Nobody knows whether the mail was taken: the attempt keeps standing at its final dot.
    pub is_unknown: bool,
    pub code: u16,
    pub words: &'a str,
    pub outcomes: &'a [Outcome],
}

#[derive(Clone, Debug)]
pub struct AttemptRow {
    pub id: i64,
    /// started, dot_sent, ended
    pub state: String,
    pub is_possibly_repeated: bool,
    pub relay: String,
    pub recipients: i64,
    pub started: Micros,
    pub ended: Option<Micros>,
    pub code: i64,
    pub words: String,
}

/// Mail that may be sent now by `$2`; `$1` is the time. A desk that is held after a restore sends nothing.
fn is_due(engine: Engine) -> String {
    format!(
        "o.state = 'queued' AND o.next_us <= $1 AND {} \
         AND NOT EXISTS (SELECT 1 FROM setting WHERE name = 'desk_held')",
        is_free(engine, "o.lease_owner")
    )
}

/// Nobody else who lives has it.
fn is_free(engine: Engine, owner: &str) -> String {
    format!("({owner} IN ('', $2) OR NOT {})", is_live(engine, owner))
}

const IS_OPEN: &str = "state IN ('queued', 'deferred')";

impl Tx {
    /// The relays that have mail due, are active and not paused.
    pub async fn relays_due(&mut self, sender: Sender<'_>) -> Result<Vec<RelayId>, Error> {
        let is_due = is_due(self.engine);
        let sql = format!(
            "SELECT r.id FROM relay r WHERE r.active = 1 AND r.paused = 0 \
             AND EXISTS (SELECT 1 FROM outbox o WHERE o.relay_id = r.id AND {is_due}) ORDER BY r.id"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(sender.now.0).bind(sender.owner);
        self.rows(query).await?.iter().map(|row| Ok(RelayId(row.try_get(0)?))).collect()
    }

    /// A relay's mails that are due, those that wait longest first.
    pub async fn due(
        &mut self,
        relay: RelayId,
        sender: Sender<'_>,
        limit: i64,
    ) -> Result<Vec<OutboxId>, Error> {
        let is_due = is_due(self.engine);
        let sql = format!(
            "SELECT o.id FROM outbox o WHERE {is_due} AND o.relay_id = $3 \
             AND EXISTS (SELECT 1 FROM relay r WHERE r.id = $3 AND r.active = 1 AND r.paused = 0) \
             ORDER BY o.next_us, o.id LIMIT $4"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(sender.now.0).bind(sender.owner);
        let rows = self.rows(query.bind(relay.0).bind(limit)).await?;
        rows.iter().map(|row| Ok(OutboxId(row.try_get(0)?))).collect()
    }

    /// When the next mail is due that nobody is sending; `None`: the queue is empty.
    pub async fn next_due(&mut self) -> Result<Option<Micros>, Error> {
        let query = sqlx::query(
            "SELECT min(o.next_us) FROM outbox o JOIN relay r ON r.id = o.relay_id \
             WHERE o.state = 'queued' AND o.lease_owner = '' AND r.active = 1 AND r.paused = 0",
        );
        Ok(self.row(query).await?.try_get::<Option<i64>, _>(0)?.map(Micros))
    }

    /// After the clock was set back: waits that end after `beyond` end earlier by `us`, but not before `now`. Gives the
    /// number of mails.
    pub async fn take_waits_back(&mut self, now: Micros, beyond: Micros, us: i64) -> Result<u64, Error> {
        let of_recipients = format!(
            "UPDATE outbox_recipient SET next_us = CASE WHEN next_us - $3 > $1 THEN next_us - $3 ELSE $1 END \
             WHERE {IS_OPEN} AND next_us > $2"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(of_recipients));
        self.execute(query.bind(now.0).bind(beyond.0).bind(us)).await?;
        let query = sqlx::query(
            "UPDATE outbox SET next_us = CASE WHEN next_us - $3 > $1 THEN next_us - $3 ELSE $1 END \
             WHERE state = 'queued' AND next_us > $2",
        );
        self.execute(query.bind(now.0).bind(beyond.0).bind(us)).await
    }

    /// Claims a mail that is due. `None`: somebody else has it, its relay was paused, or it is due no more.
    pub async fn claim(&mut self, id: OutboxId, sender: Sender<'_>) -> Result<Option<Claimed>, Error> {
        let sql = format!(
            "UPDATE outbox SET lease_owner = $2, fence = fence + 1 \
             WHERE id = $3 AND state = 'queued' AND next_us <= $1 AND {} \
             AND EXISTS (SELECT 1 FROM relay r WHERE r.id = outbox.relay_id AND r.active = 1 AND r.paused = 0) \
             AND NOT EXISTS (SELECT 1 FROM setting WHERE name = 'desk_held') \
             RETURNING id, fence, ticket_id, log_entry_id, return_path, literal, segments, size, created_us",
            is_free(self.engine, "outbox.lease_owner")
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(sender.now.0).bind(sender.owner).bind(id.0);
        let Some(row) = self.maybe_row(query).await? else { return Ok(None) };
        let recipients = self.due_recipients(id, sender.now).await?;
        Ok(Some(claimed_of(&row, recipients)?))
    }

    async fn due_recipients(&mut self, id: OutboxId, now: Micros) -> Result<Vec<DueRecipient>, Error> {
        let sql = format!(
            "SELECT address, attempts FROM outbox_recipient \
             WHERE outbox_id = $1 AND {IS_OPEN} AND next_us <= $2 ORDER BY address"
        );
        let rows = self.rows(sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id.0).bind(now.0)).await?;
        rows.iter()
            .map(|row| Ok(DueRecipient { address: row.try_get(0)?, attempts: row.try_get(1)? }))
            .collect()
    }

    /// Keeps that an attempt begins.
    pub async fn start_attempt(
        &mut self,
        mail: &Claimed,
        relay: &str,
        now: Micros,
    ) -> Result<Attempt, Error> {
        let unknown = self.unfinished_attempts(mail.id).await?;
        let attempt =
            Attempt { id: self.draw(Counter::Attempt).await?, is_possibly_repeated: !unknown.is_empty() };
        let query = sqlx::query(
            "INSERT INTO outbox_attempt (id, outbox_id, state, possibly_repeated, relay, recipients, started_us, fence) \
             VALUES ($1, $2, 'started', $3, $4, $5, $6, $7)",
        )
        .bind(attempt.id)
        .bind(mail.id.0)
        .bind(i64::from(attempt.is_possibly_repeated))
        .bind(relay)
        .bind(mail.recipients.len() as i64)
        .bind(now.0)
        .bind(mail.fence);
        self.execute(query).await?;
        Ok(attempt)
    }

    /// The attempts of a mail whose end after the final dot is unknown, and that no later delivery has made up for.
    pub async fn unfinished_attempts(&mut self, id: OutboxId) -> Result<Vec<i64>, Error> {
        let query = sqlx::query(
            "SELECT id FROM outbox_attempt WHERE outbox_id = $1 AND state = 'dot_sent' AND id > coalesce((SELECT max(id) \
             FROM outbox_attempt WHERE outbox_id = $1 AND state = 'ended' AND code BETWEEN 200 AND 299), 0) ORDER BY id",
        );
        self.rows(query.bind(id.0)).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Keeps that the final dot goes out now. `false`: the mail is ours no more, or its daemon's life is over, and the dot
    /// must not go.
    pub async fn dot_sent(&mut self, mail: &Claimed, attempt: Attempt) -> Result<bool, Error> {
        // The row stays as it is until the commit: whoever claims the mail comes before or behind.
        let sql = format!(
            "UPDATE outbox SET fence = fence WHERE id = $1 AND fence = $2 AND NOT EXISTS \
             (SELECT 1 FROM daemon d WHERE d.id = outbox.lease_owner AND d.until_us <= {})",
            self.engine.now()
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(mail.id.0).bind(mail.fence);
        if self.execute(query).await? == 0 {
            return Ok(false);
        }
        let query = sqlx::query("UPDATE outbox_attempt SET state = 'dot_sent' WHERE id = $1");
        Ok(self.execute(query.bind(attempt.id)).await? == 1)
    }

    /// Records what became of an attempt and its recipients, and lets the mail go. `false`: it is ours no more, and
    /// nothing was recorded.
    pub async fn end_attempt(
        &mut self,
        mail: &Claimed,
        ended: &Ended<'_>,
        now: Micros,
    ) -> Result<bool, Error> {
        if !self.record(mail, ended.outcomes, now).await? {
            return Ok(false);
        }
        let words = cut(ended.words);
        let query = match ended.is_unknown {
            true => sqlx::query("UPDATE outbox_attempt SET code = $1, words = $2 WHERE id = $3"),
            false => sqlx::query(
                "UPDATE outbox_attempt SET code = $1, words = $2, state = 'ended', ended_us = $4 WHERE id = $3",
            ),
        };
        let query = query.bind(i64::from(ended.code)).bind(words).bind(ended.attempt.id);
        let query = if ended.is_unknown { query } else { query.bind(now.0) };
        self.execute(query).await?;
        Ok(true)
    }

    /// Records outcomes of a claimed mail without an attempt, and lets it go. `false` as in `end_attempt`.
    pub async fn record(&mut self, mail: &Claimed, outcomes: &[Outcome], now: Micros) -> Result<bool, Error> {
        // First the fence: whoever claims the mail meanwhile waits for this row.
        let query = sqlx::query("UPDATE outbox SET lease_owner = '' WHERE id = $1 AND fence = $2");
        if self.execute(query.bind(mail.id.0).bind(mail.fence)).await? == 0 {
            return Ok(false);
        }
        for outcome in outcomes {
            self.record_recipient(mail.id, outcome, now).await?;
        }
        let sql = format!(
            "UPDATE outbox SET state = CASE WHEN EXISTS (SELECT 1 FROM outbox_recipient r WHERE r.outbox_id = $1 \
             AND r.{IS_OPEN}) THEN 'queued' ELSE 'done' END, next_us = coalesce((SELECT min(r.next_us) \
             FROM outbox_recipient r WHERE r.outbox_id = $1 AND r.{IS_OPEN}), next_us) WHERE id = $1"
        );
        self.execute(sqlx::query(sqlx::AssertSqlSafe(sql)).bind(mail.id.0)).await?;
        Ok(true)
    }

    async fn record_recipient(&mut self, id: OutboxId, outcome: &Outcome, now: Micros) -> Result<(), Error> {
        let (state, next, settled) = match outcome.fate {
            Fate::Sent => ("sent", now, Some(now.0)),
            Fate::Failed => ("failed", now, Some(now.0)),
            Fate::Deferred(next) => ("deferred", next, None),
        };
        let query = sqlx::query(
            "UPDATE outbox_recipient SET state = $1, attempts = attempts + 1, next_us = $2, code = $3, enhanced = $4, \
             words = $5, settled_us = $6 WHERE outbox_id = $7 AND address = $8",
        )
        .bind(state)
        .bind(next.0)
        .bind(i64::from(outcome.code))
        .bind(outcome.enhanced.as_str())
        .bind(cut(&outcome.words))
        .bind(settled)
        .bind(id.0)
        .bind(outcome.address.as_str());
        self.execute(query).await.map(drop)
    }

    /// How often the due recipients of a relay's due mails were tried, each number once.
    pub async fn tries_due(&mut self, relay: RelayId, sender: Sender<'_>) -> Result<Vec<i64>, Error> {
        let is_due = is_due(self.engine);
        let sql = format!(
            "SELECT DISTINCT r.attempts FROM outbox_recipient r JOIN outbox o ON o.id = r.outbox_id \
             WHERE o.relay_id = $3 AND {is_due} AND r.{IS_OPEN} AND r.next_us <= $1"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(sender.now.0).bind(sender.owner);
        self.rows(query.bind(relay.0)).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// The due mails of a relay with a recipient who was tried `tries` times or more, and that are older than `born`.
    pub async fn old_mails_due(
        &mut self,
        relay: RelayId,
        sender: Sender<'_>,
        tries: i64,
        born: Micros,
    ) -> Result<Vec<OutboxId>, Error> {
        let is_due = is_due(self.engine);
        let sql = format!(
            "SELECT DISTINCT o.id FROM outbox_recipient r JOIN outbox o ON o.id = r.outbox_id WHERE o.relay_id = $3 \
             AND {is_due} AND r.{IS_OPEN} AND r.next_us <= $1 AND r.attempts >= $4 AND o.created_us <= $5 ORDER BY o.id"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(sender.now.0).bind(sender.owner);
        let rows = self.rows(query.bind(relay.0).bind(tries).bind(born.0)).await?;
        rows.iter().map(|row| Ok(OutboxId(row.try_get(0)?))).collect()
    }

    /// Nothing goes through a relay: defers its due recipients, each by how often it was tried (`tries` → when next), all
    /// with the same words. Gives the number of mails.
    pub async fn defer_relay(
        &mut self,
        relay: RelayId,
        sender: Sender<'_>,
        next: &[(i64, Micros)],
        words: &str,
    ) -> Result<u64, Error> {
        for (tries, next) in next {
            let is_due = is_due(self.engine);
            let sql = format!(
                "UPDATE outbox_recipient SET state = 'deferred', attempts = attempts + 1, next_us = $4, code = 0, \
                 enhanced = '', words = $5 WHERE {IS_OPEN} AND next_us <= $1 AND attempts = $6 \
                 AND outbox_id IN (SELECT o.id FROM outbox o WHERE o.relay_id = $3 AND {is_due})"
            );
            let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(sender.now.0).bind(sender.owner);
            self.execute(query.bind(relay.0).bind(next.0).bind(cut(words)).bind(*tries)).await?;
        }
        let is_due = is_due(self.engine);
        let sql = format!(
            "UPDATE outbox SET next_us = coalesce((SELECT min(r.next_us) FROM outbox_recipient r \
             WHERE r.outbox_id = outbox.id AND r.{IS_OPEN}), next_us) \
             WHERE id IN (SELECT o.id FROM outbox o WHERE o.relay_id = $3 AND {is_due})"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(sender.now.0).bind(sender.owner);
        self.execute(query.bind(relay.0)).await
    }

    /// The attempts of a mail, oldest first.
    pub async fn attempts_of(&mut self, id: OutboxId) -> Result<Vec<AttemptRow>, Error> {
        let query = sqlx::query(
            "SELECT id, state, possibly_repeated, relay, recipients, started_us, ended_us, code, words \
             FROM outbox_attempt WHERE outbox_id = $1 ORDER BY id",
        );
        self.rows(query.bind(id.0)).await?.iter().map(attempt_of).collect()
    }
}

fn claimed_of(row: &AnyRow, recipients: Vec<DueRecipient>) -> Result<Claimed, Error> {
    let segments: String = row.try_get(6)?;
    Ok(Claimed {
        id: OutboxId(row.try_get(0)?),
        fence: row.try_get(1)?,
        ticket: row.try_get::<Option<i64>, _>(2)?.map(TicketId),
        log_entry: row.try_get::<Option<i64>, _>(3)?.map(LogEntryId),
        return_path: row.try_get(4)?,
        literal: row.try_get(5)?,
        segments: serde_json::from_str(&segments)?,
        size: u64::try_from(row.try_get::<i64, _>(7)?).unwrap_or_default(),
        created: Micros(row.try_get(8)?),
        recipients,
    })
}

fn attempt_of(row: &AnyRow) -> Result<AttemptRow, Error> {
    Ok(AttemptRow {
        id: row.try_get(0)?,
        state: row.try_get(1)?,
        is_possibly_repeated: row.try_get::<i64, _>(2)? != 0,
        relay: row.try_get(3)?,
        recipients: row.try_get(4)?,
        started: Micros(row.try_get(5)?),
        ended: row.try_get::<Option<i64>, _>(6)?.map(Micros),
        code: row.try_get(7)?,
        words: row.try_get(8)?,
    })
}

fn cut(words: &str) -> String {
    without_nul(&words[..words.floor_char_boundary(MAX_WORDS)])
}
