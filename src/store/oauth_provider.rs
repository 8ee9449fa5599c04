//! Applications registered with identity providers.

use super::reader::Reader;
use super::secret::Stamp;
use super::settings::Kind;
use super::{Counter, Error, Tx};
use crate::config::ProviderSpec;
use crate::seal::Secret;
use crate::ticket::{ProviderId, SecretId};

/// An application as it stands.
#[derive(Clone, Debug)]
pub struct ProviderRow {
    pub id: ProviderId,
    pub spec: ProviderSpec,
    pub secret: Option<SecretId>,
    pub is_active: bool,
    pub is_provisioned: bool,
}

const SELECT: &str = "SELECT id, name, kind, client_id, secret_until_us, authorize_url, token_url, device_url, \
    revoke_url, scopes, redirect_url, refresh_days, timeout_s, client_secret_id, active, provisioned FROM oauth_provider";

pub(super) const CLIENT_SECRET: &str = "client_secret";

fn read(row: &sqlx::any::AnyRow) -> Result<ProviderRow, Error> {
    let mut row = Reader::new(row);
    Ok(ProviderRow {
        id: ProviderId(row.int()?),
        spec: ProviderSpec {
            name: row.text()?,
            kind: row.word()?,
            client_id: row.text()?,
            secret_until: row.maybe_time()?,
            authorize_url: row.text()?,
            token_url: row.text()?,
            device_url: row.text()?,
            revoke_url: row.text()?,
            scopes: row.json()?,
            redirect_url: row.text()?,
            refresh_days: row.whole()?,
            timeout_s: row.whole()?,
        },
        secret: row.maybe_int()?.map(SecretId),
        is_active: row.flag()?,
        is_provisioned: row.flag()?,
    })
}

impl Tx {
    pub async fn oauth_providers(&mut self) -> Result<Vec<ProviderRow>, Error> {
        let query = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} ORDER BY id")));
        self.rows(query).await?.iter().map(read).collect()
    }

    pub async fn oauth_provider(&mut self, id: ProviderId) -> Result<ProviderRow, Error> {
        let query = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} WHERE id = $1"))).bind(id.0);
        let row = self.maybe_row(query).await?;
        read(&row.ok_or_else(|| Error::Missing(format!("oauth_provider #{id}")))?)
    }

    /// By name, `7` or `#7`.
    pub async fn find_oauth_provider(&mut self, named: &str) -> Result<ProviderRow, Error> {
        let id = self.find_setting(Kind::Provider, named).await?;
        self.oauth_provider(ProviderId(id)).await
    }

    pub(super) async fn insert_oauth_provider(
        &mut self,
        spec: &ProviderSpec,
        secret: Option<&Secret>,
        stamp: &Stamp<'_>,
    ) -> Result<ProviderId, Error> {
        self.require_free_name(Kind::Provider, &spec.name, 0).await?;
        let id = self.draw(Counter::Setting).await?;
        let secret = match secret {
            Some(secret) => Some(self.create_secret(CLIENT_SECRET, secret, 0, stamp).await?.0),
            None => None,
        };
        let query = sqlx::query(
            "INSERT INTO oauth_provider (name, kind, client_id, secret_until_us, authorize_url, token_url, device_url, \
             revoke_url, scopes, redirect_url, refresh_days, timeout_s, client_secret_id, id, created_us) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        );
        let query = bind(query, spec)?.bind(secret).bind(id).bind(stamp.now.0);
        self.execute(query).await?;
        Ok(ProviderId(id))
    }

    pub(super) async fn write_oauth_provider(
        &mut self,
        row: &ProviderRow,
        spec: &ProviderSpec,
        (secret, stamp): (Option<&Secret>, &Stamp<'_>),
    ) -> Result<(), Error> {
        let kept = if self.is_password(row.secret, secret, stamp.key).await? {
            row.secret
        } else {
            match secret {
                Some(secret) => Some(self.create_secret(CLIENT_SECRET, secret, 0, stamp).await?),
                None => None,
            }
        };
        let query = sqlx::query(
            "UPDATE oauth_provider SET name = $1, kind = $2, client_id = $3, secret_until_us = $4, authorize_url = $5, \
             token_url = $6, device_url = $7, revoke_url = $8, scopes = $9, redirect_url = $10, refresh_days = $11, \
             timeout_s = $12, client_secret_id = $13, active = 1, version = version + 1 WHERE id = $14",
        );
        self.execute(bind(query, spec)?.bind(kept.map(|s| s.0)).bind(row.id.0)).await?;
        if kept != row.secret {
            self.delete_secret(row.secret).await?;
        }
        // What the old settings were refused for may be mended: the grants that stopped are tried again.
        let query = sqlx::query(
            "UPDATE oauth_grant SET state = 'failing', retry_us = 0 WHERE provider_id = $1 AND state = 'stopped'",
        );
        self.execute(query.bind(row.id.0)).await.map(drop)
    }
}

/// $1 to $12.
fn bind<'q>(query: super::Statement<'q>, spec: &ProviderSpec) -> Result<super::Statement<'q>, Error> {
    Ok(query
        .bind(spec.name.clone())
        .bind(spec.kind.as_str())
        .bind(spec.client_id.clone())
        .bind(spec.secret_until.map(|t| t.0))
        .bind(spec.authorize_url.clone())
        .bind(spec.token_url.clone())
        .bind(spec.device_url.clone())
        .bind(spec.revoke_url.clone())
        .bind(serde_json::to_string(&spec.scopes)?)
        .bind(spec.redirect_url.clone())
        .bind(i64::from(spec.refresh_days))
        .bind(i64::try_from(spec.timeout_s).unwrap_or(i64::MAX)))
}
