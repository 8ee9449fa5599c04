//! Secrets in and out of the store, sealed (L2), and single settings by name.

use super::reader::Reader;
use super::{Counter, Error, Tx};
use crate::clock::Micros;
use crate::config::Auth;
use crate::seal::{NONCE_BYTES, SealingKey, Secret};
use crate::ticket::SecretId;

/// What a change of settings needs from outside: the key to seal with, the time, and fresh random bytes.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'k> {
    pub key: &'k SealingKey,
    pub now: Micros,
    pub random: fn() -> [u8; 32],
}

impl Stamp<'_> {
    fn nonce(&self) -> [u8; NONCE_BYTES] {
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&(self.random)()[..NONCE_BYTES]);
        nonce
    }
}

/// What becomes of the password of a row that is edited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordChange {
    Keep,
    Clear,
    Set(Secret),
}

impl From<Option<Secret>> for PasswordChange {
    /// As a configuration says it: what is not there is to go.
    fn from(password: Option<Secret>) -> PasswordChange {
        password.map_or(PasswordChange::Clear, PasswordChange::Set)
    }
}

impl PasswordChange {
    /// What it comes to for an account that signs in so: with a grant there is no password.
    pub(super) fn beside(&self, auth: Auth) -> &PasswordChange {
        match auth {
            Auth::Password => self,
            Auth::Oauth2 => &PasswordChange::Clear,
        }
    }
}

const PASSWORD: &str = "password";

impl Tx {
    pub async fn create_secret(
        &mut self,
        purpose: &str,
        plain: &Secret,
        key_id: i64,
        stamp: &Stamp<'_>,
    ) -> Result<SecretId, Error> {
        let id = self.draw(Counter::Secret).await?;
        let query = sqlx::query(
            "INSERT INTO secret (id, purpose, sealed, key_id, created_us) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(id)
        .bind(purpose)
        .bind(stamp.key.seal(purpose, plain, stamp.nonce()))
        .bind(key_id)
        .bind(stamp.now.0);
        self.execute(query).await?;
        Ok(SecretId(id))
    }

    /// The words of a secret. `WrongKey` if it was sealed under another key.
    pub async fn open_secret(&mut self, id: SecretId, key: &SealingKey) -> Result<Secret, Error> {
        let query = sqlx::query("SELECT purpose, sealed FROM secret WHERE id = $1").bind(id.0);
        let row = self.maybe_row(query).await?.ok_or_else(|| Error::Missing(format!("secret #{id}")))?;
        let mut row = Reader::new(&row);
        let purpose = row.text()?;
        key.open(&purpose, &row.bytes()?).map_err(|_| Error::WrongKey)
    }

    /// Seals every secret anew, under what the stamp's key is now. Gives their number.
    pub async fn reseal(&mut self, stamp: &Stamp<'_>) -> Result<u64, Error> {
        self.lock_settings().await?;
        let rows = self.rows(sqlx::query("SELECT id, purpose, sealed FROM secret ORDER BY id")).await?;
        for row in &rows {
            let mut row = Reader::new(row);
            let (id, purpose) = (row.int()?, row.text()?);
            let plain = stamp.key.open(&purpose, &row.bytes()?).map_err(|_| Error::WrongKey)?;
            let sealed = stamp.key.seal(&purpose, &plain, stamp.nonce());
            let query = sqlx::query("UPDATE secret SET sealed = $1 WHERE id = $2").bind(sealed).bind(id);
            self.execute(query).await?;
        }
        Ok(rows.len() as u64)
    }

    /// How many secrets there are, and how many of them a key opens.
    pub async fn count_opened(&mut self, key: &SealingKey) -> Result<(usize, usize), Error> {
        let rows = self.rows(sqlx::query("SELECT purpose, sealed FROM secret")).await?;
        let mut opened = 0;
        for row in &rows {
            let mut row = Reader::new(row);
            let purpose = row.text()?;
            opened += usize::from(key.open(&purpose, &row.bytes()?).is_ok());
        }
        Ok((rows.len(), opened))
    }

    /// Whether this is the key of the desk; a desk without secrets has none yet, and any will do.
    pub async fn opens_with(&mut self, key: &SealingKey) -> Result<bool, Error> {
        let row =
            self.maybe_row(sqlx::query("SELECT purpose, sealed FROM secret ORDER BY id LIMIT 1")).await?;
        let Some(row) = row else { return Ok(true) };
        let mut row = Reader::new(&row);
        let purpose = row.text()?;
        Ok(key.open(&purpose, &row.bytes()?).is_ok())
    }

    /// Whether anything is sealed here at all: then a fresh key would be the wrong one.
    pub async fn has_secrets(&mut self) -> Result<bool, Error> {
        let row = self.row(sqlx::query("SELECT count(*) FROM secret")).await?;
        Ok(Reader::new(&row).int()? > 0)
    }

    /// Every secret of a purpose, with the id of its key, oldest first.
    pub(super) async fn secrets_for(
        &mut self,
        purpose: &str,
        key: &SealingKey,
    ) -> Result<Vec<(i64, Secret)>, Error> {
        let query = sqlx::query("SELECT key_id, sealed FROM secret WHERE purpose = $1 ORDER BY key_id, id");
        let rows = self.rows(query.bind(purpose)).await?;
        rows.iter()
            .map(|row| {
                let mut row = Reader::new(row);
                let key_id = row.int()?;
                let secret = key.open(purpose, &row.bytes()?).map_err(|_| Error::WrongKey)?;
                Ok((key_id, secret))
            })
            .collect()
    }

    /// Lays a change over the password that a row has; gives the one that it has then. Where it has none any more, the
    /// row has to let go of the old one before `delete_secret`.
    pub(super) async fn change_password(
        &mut self,
        old: Option<SecretId>,
        change: &PasswordChange,
        stamp: &Stamp<'_>,
    ) -> Result<Option<SecretId>, Error> {
        match (old, change) {
            (old, PasswordChange::Keep) => Ok(old),
            (_, PasswordChange::Clear) => Ok(None),
            (None, PasswordChange::Set(plain)) => {
                self.create_secret(PASSWORD, plain, 0, stamp).await.map(Some)
            }
            (Some(id), PasswordChange::Set(plain)) => {
                let sealed = stamp.key.seal(PASSWORD, plain, stamp.nonce());
                let query =
                    sqlx::query("UPDATE secret SET sealed = $1 WHERE id = $2").bind(sealed).bind(id.0);
                self.execute(query).await?;
                Ok(Some(id))
            }
        }
    }

    /// Whether a row's password would stay what it is.
    pub(super) async fn is_password(
        &mut self,
        old: Option<SecretId>,
        wanted: Option<&Secret>,
        key: &SealingKey,
    ) -> Result<bool, Error> {
        Ok(match (old, wanted) {
            (None, None) => true,
            (Some(id), Some(wanted)) => self.open_secret(id, key).await? == *wanted,
            _ => false,
        })
    }

    pub(super) async fn delete_secret(&mut self, id: Option<SecretId>) -> Result<(), Error> {
        let Some(id) = id else { return Ok(()) };
        self.execute(sqlx::query("DELETE FROM secret WHERE id = $1").bind(id.0)).await.map(drop)
    }

    pub async fn setting(&mut self, name: &str) -> Result<Option<String>, Error> {
        let query = sqlx::query("SELECT value FROM setting WHERE name = $1").bind(name);
        self.maybe_row(query).await?.map(|row| Reader::new(&row).text()).transpose()
    }

    pub async fn set_setting(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let query = sqlx::query(
            "INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        );
        self.execute(query.bind(name).bind(value)).await.map(drop)
    }
}
