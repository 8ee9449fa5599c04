//! Grants of identity providers: what a mailbox or relay signs in by, and who refreshes it at the moment.
//!
//! A claim says who: it ends by the database's clock, and each has a number of its own. Whoever comes back with an answer
//! under an old number records it only where nobody has changed the token since.

use super::oauth_provider::CLIENT_SECRET;
use super::reader::Reader;
use super::secret::Stamp;
use super::tx::without_nul;
use super::{Counter, Error, Tx};
use crate::clock::Micros;
use crate::seal::Secret;
use crate::ticket::{GrantId, ProviderId, SecretId};

/// A grant as it stands. Its secrets are ids: they are opened where they are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRow {
    pub id: GrantId,
    /// mailbox, relay.
    pub owner_kind: String,
    pub owner_id: i64,
    pub provider: ProviderId,
    /// code, device, client_credentials, import.
    pub flow: String,
    /// Who has signed in; empty where that is not known.
    pub username: String,
    pub scopes: Vec<String>,
    /// Of its own; else the provider's holds.
    pub client_secret: Option<SecretId>,
    pub secret_until: Option<Micros>,
    pub access_token: Option<SecretId>,
    pub access_issued: Option<Micros>,
    pub access_until: Option<Micros>,
    pub refresh_token: Option<SecretId>,
    pub previous_token: Option<SecretId>,
    pub refresh_until: Option<Micros>,
    /// The provider has said when; else it follows from the provider's rules.
    pub is_refresh_stated: bool,
    pub granted: Micros,
    pub rotated: Option<Micros>,
    pub forced: Option<Micros>,
    pub refused_words: String,
    pub asked: Option<Micros>,
    /// working, failing, stopped (somebody has to act).
    pub state: String,
    pub failures: i64,
    /// Not before this.
    pub retry: Micros,
    pub last_code: String,
    pub last_error: String,
    pub fence: i64,
}

/// What a sign-in lays down.
#[derive(Clone, Debug)]
pub struct NewGrant {
    pub owner_kind: &'static str,
    pub owner_id: i64,
    pub provider: ProviderId,
    pub flow: String,
    pub username: String,
    pub scopes: Vec<String>,
    /// Of its own, with its end.
    pub client_secret: Option<Secret>,
    pub secret_until: Option<Micros>,
    pub refresh_token: Option<Secret>,
}

/// What a provider has given.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub access: Secret,
    pub access_until: Micros,
    /// `None`: the one that it had stays.
    pub refresh: Option<Secret>,
    pub refresh_until: Option<Micros>,
    pub is_refresh_stated: bool,
}

/// How a try failed, as it is recorded.
#[derive(Clone, Debug)]
pub struct FailedTry<'a> {
    /// Somebody has to act; it is not tried again by itself.
    pub is_stopped: bool,
    pub retry: Micros,
    pub code: &'a str,
    pub words: &'a str,
    /// The provider has answered, or was never reached: nothing is under way.
    pub is_settled: bool,
}

const SELECT: &str = "id, owner_kind, owner_id, provider_id, flow, username, scopes, client_secret_id, secret_until_us, \
    access_token_id, access_us, access_until_us, refresh_token_id, previous_token_id, refresh_until_us, refresh_stated, \
    granted_us, rotated_us, forced_us, refused_words, asked_us, state, failures, retry_us, last_code, last_error, fence";

const ACCESS_TOKEN: &str = "access_token";
const REFRESH_TOKEN: &str = "refresh_token";

fn read(row: &sqlx::any::AnyRow) -> Result<GrantRow, Error> {
    let mut row = Reader::new(row);
    Ok(GrantRow {
        id: GrantId(row.int()?),
        owner_kind: row.text()?,
        owner_id: row.int()?,
        provider: ProviderId(row.int()?),
        flow: row.text()?,
        username: row.text()?,
        scopes: row.json()?,
        client_secret: row.maybe_int()?.map(SecretId),
        secret_until: row.maybe_time()?,
        access_token: row.maybe_int()?.map(SecretId),
        access_issued: row.maybe_time()?,
        access_until: row.maybe_time()?,
        refresh_token: row.maybe_int()?.map(SecretId),
        previous_token: row.maybe_int()?.map(SecretId),
        refresh_until: row.maybe_time()?,
        is_refresh_stated: row.flag()?,
        granted: row.time()?,
        rotated: row.maybe_time()?,
        forced: row.maybe_time()?,
        refused_words: row.text()?,
        asked: row.maybe_time()?,
        state: row.text()?,
        failures: row.int()?,
        retry: row.time()?,
        last_code: row.text()?,
        last_error: row.text()?,
        fence: row.int()?,
    })
}

impl Tx {
    pub async fn grants(&mut self) -> Result<Vec<GrantRow>, Error> {
        let sql = format!("SELECT {SELECT} FROM oauth_grant ORDER BY owner_kind, owner_id");
        self.rows(sqlx::query(sqlx::AssertSqlSafe(sql))).await?.iter().map(read).collect()
    }

    pub async fn grant_of(&mut self, kind: &str, owner: i64) -> Result<Option<GrantRow>, Error> {
        let sql = format!("SELECT {SELECT} FROM oauth_grant WHERE owner_kind = $1 AND owner_id = $2");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(kind).bind(owner);
        self.maybe_row(query).await?.as_ref().map(read).transpose()
    }

    pub async fn grant(&mut self, id: GrantId) -> Result<GrantRow, Error> {
        let sql = format!("SELECT {SELECT} FROM oauth_grant WHERE id = $1");
        let row = self.maybe_row(sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id.0)).await?;
        read(&row.ok_or_else(|| Error::Missing(format!("grant #{id}")))?)
    }

    /// A sign-in takes the place of the grant that its owner had. What was claimed then is recorded no more.
    pub async fn lay_grant(&mut self, new: &NewGrant, stamp: &Stamp<'_>) -> Result<GrantRow, Error> {
        self.lock_settings().await?;
        let old = self.grant_of(new.owner_kind, new.owner_id).await?;
        let fence = old.as_ref().map_or(0, |old| old.fence + 1);
        self.delete_grant_of(new.owner_kind, new.owner_id).await?;
        let id = self.draw(Counter::Setting).await?;
        let client_secret = match &new.client_secret {
            Some(secret) => Some(self.create_secret(CLIENT_SECRET, secret, 0, stamp).await?.0),
            None => None,
        };
        let refresh_token = match &new.refresh_token {
            Some(token) => Some(self.create_secret(REFRESH_TOKEN, token, 0, stamp).await?.0),
            None => None,
        };
        let query = sqlx::query(
            "INSERT INTO oauth_grant (id, owner_kind, owner_id, provider_id, flow, username, scopes, client_secret_id, \
             secret_until_us, refresh_token_id, granted_us, fence) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        );
        let query = query.bind(id).bind(new.owner_kind).bind(new.owner_id).bind(new.provider.0);
        let query = query.bind(new.flow.clone()).bind(without_nul(&new.username));
        let query = query.bind(serde_json::to_string(&new.scopes)?).bind(client_secret);
        let query =
            query.bind(new.secret_until.map(|t| t.0)).bind(refresh_token).bind(stamp.now.0).bind(fence);
        self.execute(query).await?;
        self.grant(GrantId(id)).await
    }

    /// Lets go of a grant with its secrets; `false` where there is none.
    pub async fn delete_grant_of(&mut self, kind: &str, owner: i64) -> Result<bool, Error> {
        let Some(grant) = self.grant_of(kind, owner).await? else { return Ok(false) };
        self.execute(sqlx::query("DELETE FROM oauth_grant WHERE id = $1").bind(grant.id.0)).await?;
        for secret in [grant.client_secret, grant.access_token, grant.refresh_token, grant.previous_token] {
            self.delete_secret(secret).await?;
        }
        Ok(true)
    }

    /// Takes the right to refresh for so long; `None` where somebody else has it, or the grant is gone. What comes back
    /// is the grant as it is now.
    pub async fn claim_grant(
        &mut self,
        id: GrantId,
        who: &str,
        lasts_us: i64,
        now: Micros,
    ) -> Result<Option<GrantRow>, Error> {
        let clock = self.engine.clock_us();
        let sql = format!(
            "UPDATE oauth_grant SET claim = $2, claim_until_us = {clock} + $3, fence = fence + 1 \
             WHERE id = $1 AND (claim = '' OR claim_until_us <= {clock}) RETURNING {SELECT}"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id.0).bind(who).bind(lasts_us);
        let row = self.maybe_row(query).await?;
        let Some(claimed) = row.as_ref().map(read).transpose()? else { return Ok(None) };
        // `asked` comes back as it was before this claim: what an earlier one left.
        let query = sqlx::query("UPDATE oauth_grant SET asked_us = $2 WHERE id = $1");
        self.execute(query.bind(id.0).bind(now.0)).await?;
        Ok(Some(claimed))
    }

    /// Makes a claim last from now on; `false` where it is another's by now.
    pub async fn extend_claim(&mut self, claimed: &GrantRow, lasts_us: i64) -> Result<bool, Error> {
        let clock = self.engine.clock_us();
        let sql = format!(
            "UPDATE oauth_grant SET claim_until_us = {clock} + $3 WHERE id = $1 AND fence = $2 AND claim <> ''"
        );
        let query =
            sqlx::query(sqlx::AssertSqlSafe(sql)).bind(claimed.id.0).bind(claimed.fence).bind(lasts_us);
        Ok(self.execute(query).await? > 0)
    }

    /// Gives the right back, nothing having been asked.
    pub async fn release_grant(&mut self, claimed: &GrantRow) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE oauth_grant SET claim = '', claim_until_us = 0, asked_us = $3 WHERE id = $1 AND fence = $2",
        );
        let query = query.bind(claimed.id.0).bind(claimed.fence).bind(claimed.asked.map(|t| t.0));
        self.execute(query).await.map(drop)
    }

    /// What the provider has given for `presented`, and the end of the claim. The token before it stays, sealed, as long as
    /// the new one has not worked itself. `None`: somebody else has changed the grant since; what was given is dropped.
    pub async fn record_tokens(
        &mut self,
        claimed: &GrantRow,
        presented: Option<SecretId>,
        tokens: &Tokens,
        stamp: &Stamp<'_>,
    ) -> Result<Option<GrantRow>, Error> {
        let Some(now) = self.locked_grant(claimed.id).await? else { return Ok(None) };
        if now.fence != claimed.fence && now.refresh_token != claimed.refresh_token {
            return Ok(None);
        }
        let access = self.create_secret(ACCESS_TOKEN, &tokens.access, 0, stamp).await?;
        // The one that has just worked is what we fall back to; it may be the previous one.
        let (refresh, previous, rotated) = match &tokens.refresh {
            Some(new) => {
                let new = self.create_secret(REFRESH_TOKEN, new, 0, stamp).await?;
                (Some(new), presented, Some(stamp.now))
            }
            None => (presented, None, now.rotated),
        };
        let query = sqlx::query(
            "UPDATE oauth_grant SET access_token_id = $2, access_us = $3, access_until_us = $4, refresh_token_id = $5, \
             previous_token_id = $6, refresh_until_us = $7, rotated_us = $8, refresh_stated = $10, refused_words = '', state = 'working', \
             failures = 0, retry_us = 0, last_code = '', last_error = '', \
             asked_us = CASE WHEN fence = $9 THEN NULL ELSE asked_us END, \
             claim = CASE WHEN fence = $9 THEN '' ELSE claim END, \
             claim_until_us = CASE WHEN fence = $9 THEN 0 ELSE claim_until_us END WHERE id = $1",
        );
        let query = query.bind(now.id.0).bind(access.0).bind(stamp.now.0).bind(tokens.access_until.0);
        let query = query.bind(refresh.map(|s| s.0)).bind(previous.map(|s| s.0));
        let query = query.bind(tokens.refresh_until.map(|t| t.0)).bind(rotated.map(|t| t.0));
        self.execute(query.bind(claimed.fence).bind(i64::from(tokens.is_refresh_stated))).await?;
        for old in [now.access_token, now.refresh_token, now.previous_token] {
            if old.is_some() && old != refresh && old != previous {
                self.delete_secret(old).await?;
            }
        }
        self.grant(now.id).await.map(Some)
    }

    /// How a try failed, and the end of the claim. `None`: somebody else has it in hand by now.
    pub async fn record_failed_try(
        &mut self,
        claimed: &GrantRow,
        failed: &FailedTry<'_>,
    ) -> Result<Option<GrantRow>, Error> {
        let query = sqlx::query(
            "UPDATE oauth_grant SET state = $3, failures = failures + 1, retry_us = $4, last_code = $5, last_error = $6, \
             asked_us = CASE WHEN $7 = 1 THEN NULL ELSE asked_us END, claim = '', claim_until_us = 0 \
             WHERE id = $1 AND fence = $2",
        );
        let state = if failed.is_stopped { "stopped" } else { "failing" };
        let query = query.bind(claimed.id.0).bind(claimed.fence).bind(state).bind(failed.retry.0);
        let query = query.bind(without_nul(failed.code)).bind(without_nul(failed.words));
        match self.execute(query.bind(i64::from(failed.is_settled))).await? {
            0 => Ok(None),
            _ => self.grant(claimed.id).await.map(Some),
        }
    }

    /// A mail server has refused this access token. Whether it is still the one of now; then it is used no more where
    /// `forces`.
    pub async fn refuse_access_token(
        &mut self,
        id: GrantId,
        token: SecretId,
        words: &str,
        forces: Option<Micros>,
    ) -> Result<bool, Error> {
        let query = sqlx::query(
            "UPDATE oauth_grant SET refused_words = $3, \
             access_until_us = CASE WHEN $4 IS NULL THEN access_until_us ELSE 0 END, forced_us = coalesce($4, forced_us) \
             WHERE id = $1 AND access_token_id = $2",
        );
        let query = query.bind(id.0).bind(token.0).bind(without_nul(words)).bind(forces.map(|t| t.0));
        Ok(self.execute(query).await? > 0)
    }

    /// The grant, with its row locked where the engine locks rows.
    async fn locked_grant(&mut self, id: GrantId) -> Result<Option<GrantRow>, Error> {
        let sql = format!("SELECT {SELECT} FROM oauth_grant WHERE id = $1{}", self.engine.for_update());
        let row = self.maybe_row(sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id.0)).await?;
        row.as_ref().map(read).transpose()
    }
}
