//! Accounts: the people who sign in, and the addresses that make a mail theirs.

use std::collections::HashMap;

use super::reader::Reader;
use super::secret::Stamp;
use super::settings::Kind;
use super::{Counter, Error, Tx};
use crate::clock::Micros;
use crate::config::AccountSpec;
use crate::mail::Address;
use crate::ticket::AccountId;

#[derive(Clone, Debug)]
pub struct AccountRow {
    pub id: AccountId,
    pub spec: AccountSpec,
    pub is_provisioned: bool,
    pub version: i64,
    pub created: Micros,
}

const SELECT: &str = "SELECT id, login, name, role, active, provisioned, version, created_us FROM account";

fn read(row: &sqlx::any::AnyRow) -> Result<AccountRow, Error> {
    let mut row = Reader::new(row);
    Ok(AccountRow {
        id: AccountId(row.int()?),
        spec: AccountSpec {
            login: row.text()?,
            name: row.text()?,
            role: row.word()?,
            addresses: vec![],
            is_active: row.flag()?,
        },
        is_provisioned: row.flag()?,
        version: row.int()?,
        created: row.time()?,
    })
}

impl Tx {
    pub async fn accounts(&mut self) -> Result<Vec<AccountRow>, Error> {
        let rows = self.rows(sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} ORDER BY id")))).await?;
        let mut addresses: HashMap<AccountId, Vec<Address>> = HashMap::new();
        let query =
            sqlx::query("SELECT account_id, address FROM account_address ORDER BY account_id, position");
        for row in self.rows(query).await? {
            let mut row = Reader::new(&row);
            addresses.entry(AccountId(row.int()?)).or_default().push(row.word()?);
        }
        rows.iter()
            .map(|row| {
                let mut row = read(row)?;
                row.spec.addresses = addresses.remove(&row.id).unwrap_or_default();
                Ok(row)
            })
            .collect()
    }

    pub async fn account(&mut self, id: AccountId) -> Result<AccountRow, Error> {
        let all = self.accounts().await?;
        all.into_iter().find(|a| a.id == id).ok_or_else(|| Error::Missing(format!("account #{id}")))
    }

    /// By login, `7` or `#7`.
    pub async fn find_account(&mut self, named: &str) -> Result<AccountRow, Error> {
        let id = self.find_setting(Kind::Account, named).await?;
        self.account(AccountId(id)).await
    }

    pub async fn create_account(
        &mut self,
        spec: &AccountSpec,
        stamp: &Stamp<'_>,
    ) -> Result<AccountId, Error> {
        self.lock_settings().await?;
        let id = self.insert_account(spec, stamp).await?;
        self.write_addresses(id, spec).await?;
        Ok(id)
    }

    /// Edits what the editor saw as `version`.
    pub async fn update_account(
        &mut self,
        id: AccountId,
        version: i64,
        spec: &AccountSpec,
    ) -> Result<(), Error> {
        self.begin_edit(Kind::Account, id.0, version).await?;
        self.write_account(id, spec).await?;
        self.forget_addresses(id).await?;
        self.write_addresses(id, spec).await
    }

    pub async fn delete_account(&mut self, id: AccountId, version: i64) -> Result<(), Error> {
        self.begin_delete(Kind::Account, id.0, version).await?;
        self.forget_addresses(id).await?;
        self.execute(sqlx::query("DELETE FROM account WHERE id = $1").bind(id.0)).await.map(drop)
    }

    /// Without its addresses: another account may have to let go of them first.
    pub(super) async fn insert_account(
        &mut self,
        spec: &AccountSpec,
        stamp: &Stamp<'_>,
    ) -> Result<AccountId, Error> {
        self.require_free_name(Kind::Account, &spec.login, 0).await?;
        let id = self.draw(Counter::Setting).await?;
        let query = sqlx::query(
            "INSERT INTO account (login, name, role, active, id, created_us) VALUES ($1, $2, $3, $4, $5, $6)",
        );
        self.execute(bind(query, spec).bind(id).bind(stamp.now.0)).await?;
        Ok(AccountId(id))
    }

    pub(super) async fn write_account(&mut self, id: AccountId, spec: &AccountSpec) -> Result<(), Error> {
        self.require_free_name(Kind::Account, &spec.login, id.0).await?;
        let query = sqlx::query(
            "UPDATE account SET login = $1, name = $2, role = $3, active = $4, version = version + 1 WHERE id = $5",
        );
        self.execute(bind(query, spec).bind(id.0)).await.map(drop)
    }

    pub(super) async fn forget_addresses(&mut self, id: AccountId) -> Result<(), Error> {
        let query = sqlx::query("DELETE FROM account_address WHERE account_id = $1").bind(id.0);
        self.execute(query).await.map(drop)
    }

    pub(super) async fn write_addresses(&mut self, id: AccountId, spec: &AccountSpec) -> Result<(), Error> {
        for (position, address) in (0i64..).zip(&spec.addresses) {
            let query = sqlx::query(
                "SELECT a.login FROM account_address d JOIN account a ON a.id = d.account_id WHERE d.address = $1",
            );
            if let Some(row) = self.maybe_row(query.bind(address.as_str())).await? {
                let login = Reader::new(&row).text()?;
                return Err(Error::Taken(format!("{address} belongs to account {login:?}; it")));
            }
            let query = sqlx::query(
                "INSERT INTO account_address (address, account_id, position) VALUES ($1, $2, $3)",
            );
            self.execute(query.bind(address.as_str()).bind(id.0).bind(position)).await?;
        }
        Ok(())
    }
}

/// $1 to $4.
fn bind<'q>(query: super::Statement<'q>, spec: &AccountSpec) -> super::Statement<'q> {
    query
        .bind(spec.login.clone())
        .bind(spec.name.clone())
        .bind(spec.role.as_str())
        .bind(i64::from(spec.is_active))
}
