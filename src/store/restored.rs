//! A desk that came out of a backup: held until it goes live, and careful about what its former life did since.
//!
//! What it may have done and we do not know: sent mail that was waiting, decided mail that was kept, taken mail in and
//! handed out numbers. So mail not known as sent waits in hold, numbers go on far ahead, and mailboxes are read with
//! their mails held back where the former life may have told of them already.

use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Row};

use super::arrival::Place;
use super::tx::placeholders;
use super::{Error, Tx};
use crate::clock::Micros;
use crate::config::Handled;
use crate::ticket::{ArrivalId, EventNumber, MailboxId, OutboxId};

/// While this setting stands, nothing is taken in and nothing is sent.
const HELD: &str = "desk_held";
const RESTORED: &str = "restored";
/// Clocks differ, and mail lies in a mailbox for a while: what arrived so long before the backup is looked at again.
const MARGIN_US: i64 = 24 * 3600 * Micros::SECOND;
const HOUR_US: i64 = 3600 * Micros::SECOND;

/// Why such a desk does nothing, and what to do.
pub const HELD_WORDS: &str = "this desk was restored from a backup and is held: it takes nothing in and sends nothing \
     until `maildesk restore --go-live`";

/// Where a desk comes from that was restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// When the backup was taken.
    pub taken: Micros,
    pub restored: Micros,
    /// When it went live; none: it is held.
    pub live: Option<Micros>,
    /// Mailboxes whose handled mail is still to be read again where it was moved to.
    pub rereads: Vec<MailboxId>,
}

impl Restored {
    /// Mail that came after this may have been handled by the former life.
    pub fn since(&self) -> Micros {
        Micros(self.taken.0 - MARGIN_US)
    }
}

/// Arrivals between these moments may have been told of by a former life: their mails wait in hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldSpan {
    pub from: Micros,
    pub to: Micros,
}

impl HeldSpan {
    pub fn has(self, moment: Micros) -> bool {
        self.from <= moment && moment <= self.to
    }
}

impl Tx {
    /// Whether anything of a desk stands in this store.
    pub(super) async fn is_in_use(&mut self) -> Result<bool, Error> {
        let query = sqlx::query(
            "SELECT (SELECT count(*) FROM secret) + (SELECT count(*) FROM setting) + (SELECT count(*) FROM mailbox) \
             + (SELECT count(*) FROM arrival) + (SELECT count(*) FROM ticket)",
        );
        Ok(self.row(query).await?.try_get::<i64, _>(0)? > 0)
    }

    /// Turns a fresh copy into a desk that is held.
    pub(super) async fn hold_restored(&mut self, taken: Micros, now: Micros) -> Result<(), Error> {
        // A second restore from the same backup comes later than the first: each hour has a million numbers of its own.
        let hours = (now.0 - taken.0).max(0) / HOUR_US;
        let query = sqlx::query(
            "UPDATE counter SET value = (value / 1000000 + 1 + $1) * 1000000 WHERE name NOT IN ('secret', 'setting')",
        );
        self.execute(query.bind(hours)).await?;
        for sql in [
            "UPDATE outbox SET state = 'held', version = version + 1 WHERE state = 'queued'",
            "UPDATE outbox SET lease_owner = '', fence = fence + 1 WHERE lease_owner <> ''",
            "UPDATE arrival SET silent = 2 WHERE state = 'kept' AND silent = 0",
            "UPDATE arrival SET in_hand = 0 WHERE in_hand = 1",
        ] {
            self.execute(sqlx::query(sql)).await?;
        }
        let told = sqlx::query("UPDATE alert SET told_us = $1 WHERE told_us IS NULL AND cleared_us IS NULL");
        self.execute(told.bind(now.0)).await?;
        let mut rereads = vec![];
        for row in self.rows(sqlx::query("SELECT id FROM mailbox WHERE handled = 'move' ORDER BY id")).await?
        {
            rereads.push(MailboxId(row.try_get(0)?));
        }
        self.set_restored(&Restored { taken, restored: now, live: None, rereads }).await?;
        self.set_setting(HELD, "restored").await
    }

    /// Where this desk comes from; `None`: it was never restored.
    pub async fn restored(&mut self) -> Result<Option<Restored>, Error> {
        let text = self.setting(RESTORED).await?;
        Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
    }

    async fn set_restored(&mut self, restored: &Restored) -> Result<(), Error> {
        self.set_setting(RESTORED, &serde_json::to_string(restored)?).await
    }

    /// Whether it waits for `restore --go-live`.
    pub async fn is_desk_held(&mut self) -> Result<bool, Error> {
        Ok(self.setting(HELD).await?.is_some())
    }

    /// Lets a restored desk take mail in and send. `None`: it was not held.
    pub async fn go_live(&mut self, now: Micros) -> Result<Option<Restored>, Error> {
        self.lock_settings().await?;
        if !self.is_desk_held().await? {
            return Ok(None);
        }
        let query = sqlx::query("DELETE FROM setting WHERE name = $1").bind(HELD);
        self.execute(query).await?;
        let Some(restored) = self.restored().await? else { return Ok(None) };
        let restored = Restored { live: Some(now), ..restored };
        self.set_restored(&restored).await?;
        Ok(Some(restored))
    }

    /// A mailbox whose moved mail was read again needs it no more.
    pub async fn reread_done(&mut self, mailbox: MailboxId) -> Result<(), Error> {
        self.lock_settings().await?;
        let Some(mut restored) = self.restored().await? else { return Ok(()) };
        restored.rereads.retain(|id| *id != mailbox);
        self.set_restored(&restored).await
    }

    /// Which arrivals of a place may have been told of by a former life of this desk.
    pub async fn held_span(&mut self, place: &Place, restored: &Restored) -> Result<Option<HeldSpan>, Error> {
        // What is imported has no place at a server.
        if place.epoch == 0 {
            return Ok(None);
        }
        let spec = self.mailbox(place.mailbox).await?.spec;
        Ok(match spec.handled {
            Handled::Seen => Some(HeldSpan { from: restored.since(), to: restored.restored }),
            // Only what was handled lies there.
            Handled::Move if place.folder == spec.move_to => {
                Some(HeldSpan { from: Micros(i64::MIN), to: Micros(i64::MAX) })
            }
            _ => None,
        })
    }

    /// The mails that follow from these arrivals wait in hold.
    pub async fn hold_mail_from(&mut self, arrivals: &[ArrivalId]) -> Result<(), Error> {
        for part in arrivals.chunks(500) {
            let sql = format!(
                "UPDATE arrival SET silent = 2 WHERE silent = 0 AND id IN ({})",
                placeholders(1, part.len())
            );
            let query = part.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, id| query.bind(id.0));
            self.execute(query).await?;
        }
        Ok(())
    }

    /// The mails that a decision has queued wait in hold.
    pub fn hold_mail_of(&mut self, decision: EventNumber) -> Result<(), Error> {
        let query = sqlx::query("UPDATE outbox SET state = 'held' WHERE number = $1 AND state = 'queued'");
        self.later(query.bind(decision.0))
    }

    /// The mails that wait in hold, oldest first.
    pub async fn held_mails(&mut self) -> Result<Vec<OutboxId>, Error> {
        let rows = self.rows(sqlx::query("SELECT id FROM outbox WHERE state = 'held' ORDER BY id")).await?;
        rows.iter().map(|row| Ok(OutboxId(row.try_get(0)?))).collect()
    }

    /// Lets a mail go that waits in hold, to whom it has not reached.
    pub async fn release_held(&mut self, id: OutboxId, now: Micros) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE outbox SET state = 'queued', next_us = $1, version = version + 1 WHERE id = $2 AND state = 'held'",
        );
        if self.execute(query.bind(now.0).bind(id.0)).await? == 0 {
            let mail = self.outbox_show(id).await?;
            return Err(Error::InUse(format!("outbox mail {id} is {}: it is not held", mail.state)));
        }
        let query = sqlx::query(
            "UPDATE outbox_recipient SET next_us = $1 WHERE outbox_id = $2 AND state IN ('queued', 'deferred')",
        );
        self.execute(query.bind(now.0).bind(id.0)).await.map(drop)
    }
}
