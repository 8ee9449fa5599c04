//! The folders of a mailbox that have been read, and what lay in them before the start (M5).

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::tx::placeholders;
use super::{Error, Tx};
use crate::clock::Micros;
use crate::ticket::{ArrivalId, MailboxId};
use crate::triage::rules::words;

use super::arrival::Place;

/// A folder as it was read last.
#[derive(Clone, Debug)]
pub struct FolderRow {
    pub place: Place,
    /// What lay there before the start has its keys.
    pub is_keyed: bool,
    pub unknown: Option<Unknown>,
}

/// What becomes of mail that was suddenly unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// Nobody has said yet: the mailbox waits.
    Held,
    /// It is taken in.
    All,
    /// It stays there, untouched.
    Now,
}

words!(Unknown { Held => "held", All => "all", Now => "now" });

/// A message that stays at its source.
#[derive(Clone, Debug)]
pub struct BeforeStart {
    pub id: ArrivalId,
    pub epoch: i64,
    pub validity: i64,
    pub source_id: String,
    /// Empty until its headers were read.
    pub key: Vec<u8>,
}

/// Arrivals that are looked at to learn when the newest came.
const NEWEST: i64 = 100;
const KEYS_A_QUERY: usize = 200;

impl Tx {
    /// None: it has never been read.
    pub async fn folder(&mut self, mailbox: MailboxId, name: &str) -> Result<Option<FolderRow>, Error> {
        let query = sqlx::query(
            "SELECT epoch, validity, keyed, unknown FROM folder WHERE mailbox_id = $1 AND name = $2",
        );
        let Some(row) = self.maybe_row(query.bind(mailbox.0).bind(name)).await? else { return Ok(None) };
        let place =
            Place { mailbox, epoch: row.try_get(0)?, folder: name.to_owned(), validity: row.try_get(1)? };
        let unknown: String = row.try_get(3)?;
        let unknown = match unknown.as_str() {
            "" => None,
            word => Some(word.parse().map_err(|e| Error::Corrupt(format!("folder.unknown {word:?} {e}")))?),
        };
        Ok(Some(FolderRow { place, is_keyed: row.try_get::<i64, _>(2)? != 0, unknown }))
    }

    /// Writes under which numbers a folder was read.
    pub async fn set_folder(&mut self, place: &Place, is_keyed: bool) -> Result<(), Error> {
        let query = sqlx::query(
            "INSERT INTO folder (mailbox_id, name, epoch, validity, keyed, unknown) VALUES ($1, $2, $3, $4, $5, '') \
             ON CONFLICT (mailbox_id, name) DO UPDATE SET epoch = excluded.epoch, validity = excluded.validity, \
             keyed = excluded.keyed",
        );
        let query = query.bind(place.mailbox.0).bind(&place.folder).bind(place.epoch).bind(place.validity);
        self.execute(query.bind(i64::from(is_keyed))).await.map(drop)
    }

    pub async fn set_unknown(&mut self, place: &Place, unknown: Option<Unknown>) -> Result<(), Error> {
        let query = sqlx::query("UPDATE folder SET unknown = $3 WHERE mailbox_id = $1 AND name = $2");
        let query = query.bind(place.mailbox.0).bind(&place.folder);
        self.execute(query.bind(unknown.map_or("", Unknown::as_str))).await.map(drop)
    }

    /// All that stays at its source in a folder of this name, under whatever numbers.
    pub async fn before_start(
        &mut self,
        mailbox: MailboxId,
        folder: &str,
    ) -> Result<Vec<BeforeStart>, Error> {
        let query = sqlx::query(
            "SELECT id, epoch, validity, source_id, mail_key FROM arrival WHERE state = 'before_start' \
             AND mailbox_id = $1 AND folder = $2 ORDER BY id",
        );
        let rows = self.rows(query.bind(mailbox.0).bind(folder)).await?;
        rows.iter().map(before_start_of).collect()
    }

    /// Of one place alone, by its index: asked in each round with new mail.
    pub async fn before_start_at(&mut self, place: &Place) -> Result<Vec<BeforeStart>, Error> {
        let query = sqlx::query(
            "SELECT id, epoch, validity, source_id, mail_key FROM arrival WHERE mailbox_id = $1 AND epoch = $2 \
             AND folder = $3 AND validity = $4 AND state = 'before_start' ORDER BY source_id",
        );
        let query = query.bind(place.mailbox.0).bind(place.epoch).bind(&place.folder).bind(place.validity);
        self.rows(query).await?.iter().map(before_start_of).collect()
    }

    /// By what a message that stays at its source is known again under another number, and when it arrived there.
    pub async fn set_key(
        &mut self,
        id: ArrivalId,
        key: &[u8],
        received: Option<Micros>,
    ) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE arrival SET mail_key = $2, received_us = coalesce($3, received_us) WHERE id = $1",
        );
        self.later(query.bind(id.0).bind(key.to_vec()).bind(received.map(|r| r.0)))
    }

    /// How many of these keys are those of messages that a mailbox has shown before.
    pub async fn count_known_keys(&mut self, mailbox: MailboxId, keys: &[Vec<u8>]) -> Result<usize, Error> {
        let mut count = 0;
        for part in keys.chunks(KEYS_A_QUERY) {
            let sql = format!(
                "SELECT count(DISTINCT mail_key) FROM arrival WHERE mailbox_id + 0 = $1 AND mail_key IN ({})",
                placeholders(2, part.len())
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(mailbox.0);
            let query = part.iter().fold(query, |query, key| query.bind(&key[..]));
            count += self.row(query).await?.try_get::<i64, _>(0)? as usize;
        }
        Ok(count)
    }

    /// When the newest of the mail arrived that was last taken in from a mailbox.
    pub async fn newest_arrival(&mut self, mailbox: MailboxId) -> Result<Option<Micros>, Error> {
        let query = sqlx::query(
            "SELECT max(received_us) FROM (SELECT received_us FROM arrival WHERE mailbox_id + 0 = $1 AND epoch > 0 \
             ORDER BY id DESC LIMIT $2) AS newest",
        );
        let row = self.row(query.bind(mailbox.0).bind(NEWEST)).await?;
        Ok(row.try_get::<Option<i64>, _>(0)?.map(Micros))
    }
}

fn before_start_of(row: &AnyRow) -> Result<BeforeStart, Error> {
    Ok(BeforeStart {
        id: ArrivalId(row.try_get(0)?),
        epoch: row.try_get(1)?,
        validity: row.try_get(2)?,
        source_id: row.try_get(3)?,
        key: row.try_get::<Option<Vec<u8>>, _>(4)?.unwrap_or_default(),
    })
}
