//! Relays: the accounts through which mail leaves the house.

use super::reader::Reader;
use super::secret::{PasswordChange, Stamp};
use super::settings::Kind;
use super::{Counter, Error, Tx};
use crate::clock::Micros;
use crate::config::RelaySpec;
use crate::mail::Address;
use crate::ticket::{RelayId, SecretId};

#[derive(Clone, Debug)]
pub struct RelayRow {
    pub id: RelayId,
    pub spec: RelaySpec,
    pub password: Option<SecretId>,
    pub is_paused: bool,
    pub is_provisioned: bool,
    pub version: i64,
    pub created: Micros,
}

const SELECT: &str = "SELECT id, name, kind, host, port, tls, auth, username, sender, verp, active, password_id, \
    paused, provisioned, version, created_us FROM relay";

fn read(row: &sqlx::any::AnyRow) -> Result<RelayRow, Error> {
    let mut row = Reader::new(row);
    Ok(RelayRow {
        id: RelayId(row.int()?),
        spec: RelaySpec {
            name: row.text()?,
            kind: row.word()?,
            host: row.text()?,
            port: row.whole()?,
            tls: row.word()?,
            auth: row.word()?,
            username: row.text()?,
            sender: row.word::<Address>()?,
            verp: row.flag()?,
            is_active: row.flag()?,
        },
        password: row.maybe_int()?.map(SecretId),
        is_paused: row.flag()?,
        is_provisioned: row.flag()?,
        version: row.int()?,
        created: row.time()?,
    })
}

impl Tx {
    pub async fn relays(&mut self) -> Result<Vec<RelayRow>, Error> {
        let rows = self.rows(sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} ORDER BY id")))).await?;
        rows.iter().map(read).collect()
    }

    pub async fn relay(&mut self, id: RelayId) -> Result<RelayRow, Error> {
        let query = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} WHERE id = $1"))).bind(id.0);
        let row = self.maybe_row(query).await?.ok_or_else(|| Error::Missing(format!("relay #{id}")))?;
        read(&row)
    }

    /// By name, `7` or `#7`.
    pub async fn find_relay(&mut self, named: &str) -> Result<RelayRow, Error> {
        let id = self.find_setting(Kind::Relay, named).await?;
        self.relay(RelayId(id)).await
    }

    pub async fn create_relay(
        &mut self,
        spec: &RelaySpec,
        password: &PasswordChange,
        stamp: &Stamp<'_>,
    ) -> Result<RelayId, Error> {
        self.lock_settings().await?;
        self.insert_relay(spec, password, stamp).await
    }

    /// Edits what the editor saw as `version`.
    pub async fn update_relay(
        &mut self,
        id: RelayId,
        version: i64,
        spec: &RelaySpec,
        (password, stamp): (&PasswordChange, &Stamp<'_>),
    ) -> Result<(), Error> {
        self.begin_edit(Kind::Relay, id.0, version).await?;
        let row = self.relay(id).await?;
        self.write_relay(&row, spec, (password, stamp)).await
    }

    pub async fn delete_relay(&mut self, id: RelayId, version: i64) -> Result<(), Error> {
        self.begin_delete(Kind::Relay, id.0, version).await?;
        let password = self.relay(id).await?.password;
        self.delete_grant_of("relay", id.0).await?;
        self.execute(sqlx::query("DELETE FROM relay WHERE id = $1").bind(id.0)).await?;
        self.delete_secret(password).await
    }

    /// The pause switch (C5). It is no edit: a relay of the configuration file has it too. False if it stood so.
    pub async fn pause_relay(&mut self, id: RelayId, paused: bool) -> Result<bool, Error> {
        let query =
            sqlx::query("UPDATE relay SET paused = $1, version = version + 1 WHERE id = $2 AND paused <> $1");
        Ok(self.execute(query.bind(i64::from(paused)).bind(id.0)).await? > 0)
    }

    pub(super) async fn insert_relay(
        &mut self,
        spec: &RelaySpec,
        password: &PasswordChange,
        stamp: &Stamp<'_>,
    ) -> Result<RelayId, Error> {
        self.require_free_name(Kind::Relay, &spec.name, 0).await?;
        let id = self.draw(Counter::Setting).await?;
        let password = self.change_password(None, password.beside(spec.auth), stamp).await?;
        let query = sqlx::query(
            "INSERT INTO relay (name, kind, host, port, tls, username, sender, verp, active, auth, password_id, id, \
             created_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        );
        let query = bind(query, spec).bind(password.map(|p| p.0)).bind(id).bind(stamp.now.0);
        self.execute(query).await?;
        self.take_over_mail(RelayId(id), spec).await?;
        Ok(RelayId(id))
    }

    /// Mail that belongs to no relay, since none was active or its own has left the configuration, goes out by the first
    /// that is active. That may not send with the return path of another: its own address always serves (C7).
    pub(super) async fn take_over_mail(&mut self, id: RelayId, spec: &RelaySpec) -> Result<(), Error> {
        if spec.is_active {
            let query = sqlx::query(
                "UPDATE outbox SET relay_id = $1, return_path = CASE return_path WHEN '' THEN '' ELSE $2 END \
                 WHERE relay_id IS NULL",
            );
            self.execute(query.bind(id.0).bind(spec.sender.as_str().to_owned())).await?;
        }
        Ok(())
    }

    /// What a relay still owes when it leaves the configuration.
    pub(super) async fn hand_over_mail(&mut self, gone: &[i64]) -> Result<(), Error> {
        for id in gone {
            let sql = "UPDATE outbox SET relay_id = NULL WHERE relay_id = $1 AND state IN ('queued', 'held')";
            self.execute(sqlx::query(sql).bind(*id)).await?;
        }
        match self.relays().await?.into_iter().find(|relay| relay.spec.is_active) {
            Some(first) if !gone.is_empty() => self.take_over_mail(first.id, &first.spec).await,
            _ => Ok(()),
        }
    }

    pub(super) async fn write_relay(
        &mut self,
        row: &RelayRow,
        spec: &RelaySpec,
        (password, stamp): (&PasswordChange, &Stamp<'_>),
    ) -> Result<(), Error> {
        self.require_free_name(Kind::Relay, &spec.name, row.id.0).await?;
        let kept = self.change_password(row.password, password.beside(spec.auth), stamp).await?;
        let query = sqlx::query(
            "UPDATE relay SET name = $1, kind = $2, host = $3, port = $4, tls = $5, username = $6, sender = $7, \
             verp = $8, active = $9, auth = $10, password_id = $11, version = version + 1 WHERE id = $12",
        );
        let query = bind(query, spec).bind(kept.map(|p| p.0)).bind(row.id.0);
        self.execute(query).await?;
        if kept.is_none() {
            self.delete_secret(row.password).await?;
        }
        self.take_over_mail(row.id, spec).await
    }
}

/// $1 to $10.
fn bind<'q>(query: super::Statement<'q>, spec: &RelaySpec) -> super::Statement<'q> {
    query
        .bind(spec.name.clone())
        .bind(spec.kind.as_str())
        .bind(spec.host.clone())
        .bind(i64::from(spec.port))
        .bind(spec.tls.as_str())
        .bind(spec.username.clone())
        .bind(spec.sender.as_str().to_owned())
        .bind(i64::from(spec.verp))
        .bind(i64::from(spec.is_active))
        .bind(spec.auth.as_str())
}
