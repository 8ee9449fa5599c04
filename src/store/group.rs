//! Groups of accounts, and the types they own.

use super::reader::Reader;
use super::settings::Kind;
use super::{Counter, Error, Tx};

#[derive(Clone, Debug, serde::Serialize)]
pub struct GroupRow {
    pub id: i64,
    pub name: String,
    /// Logins.
    pub members: Vec<String>,
    /// Names of types.
    pub types: Vec<String>,
    pub version: i64,
}

impl Tx {
    pub async fn groups(&mut self) -> Result<Vec<GroupRow>, Error> {
        let rows = self.rows(sqlx::query("SELECT id, name, version FROM account_group ORDER BY id")).await?;
        let mut groups = vec![];
        for row in rows {
            let mut row = Reader::new(&row);
            let (id, name, version) = (row.int()?, row.text()?, row.int()?);
            let members = self
                .names(
                    "SELECT a.login FROM group_member m JOIN account a ON a.id = m.account_id WHERE m.group_id = $1 \
                     ORDER BY a.login",
                    id,
                )
                .await?;
            let types = self
                .names(
                    "SELECT t.name FROM group_type g JOIN ticket_type t ON t.id = g.type_id WHERE g.group_id = $1 \
                     ORDER BY t.name",
                    id,
                )
                .await?;
            groups.push(GroupRow { id, name, members, types, version });
        }
        Ok(groups)
    }

    pub async fn create_group(
        &mut self,
        name: &str,
        members: &[String],
        types: &[String],
    ) -> Result<i64, Error> {
        self.lock_settings().await?;
        if self.groups().await?.iter().any(|g| g.name == name) {
            return Err(Error::Taken(format!("the group name {name:?}")));
        }
        let id = self.draw(Counter::Setting).await?;
        let query = sqlx::query("INSERT INTO account_group (id, name) VALUES ($1, $2)");
        self.execute(query.bind(id).bind(name)).await?;
        self.fill_group(id, members, types).await?;
        Ok(id)
    }

    /// Gives the group these members and types, and no others.
    pub async fn fill_group(&mut self, id: i64, members: &[String], types: &[String]) -> Result<(), Error> {
        self.execute(sqlx::query("DELETE FROM group_member WHERE group_id = $1").bind(id)).await?;
        self.execute(sqlx::query("DELETE FROM group_type WHERE group_id = $1").bind(id)).await?;
        for login in members {
            let account = self.find_setting(Kind::Account, login).await?;
            let query = sqlx::query(
                "INSERT INTO group_member (group_id, account_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            );
            self.execute(query.bind(id).bind(account)).await?;
        }
        for name in types {
            let of_type = self.find_setting(Kind::Type, name).await?;
            let query = sqlx::query(
                "INSERT INTO group_type (group_id, type_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            );
            self.execute(query.bind(id).bind(of_type)).await?;
        }
        let query = sqlx::query("UPDATE account_group SET version = version + 1 WHERE id = $1");
        self.execute(query.bind(id)).await.map(drop)
    }

    pub async fn delete_group(&mut self, id: i64) -> Result<(), Error> {
        self.lock_settings().await?;
        let row = self.row(sqlx::query("SELECT count(*) FROM ticket WHERE group_id = $1").bind(id)).await?;
        let tickets = Reader::new(&row).int()?;
        if tickets > 0 {
            return Err(Error::InUse(format!(
                "group #{id} is not deleted: {tickets} ticket(s) depend on it"
            )));
        }
        self.fill_group(id, &[], &[]).await?;
        self.execute(sqlx::query("DELETE FROM account_group WHERE id = $1").bind(id)).await.map(drop)
    }

    async fn names(&mut self, sql: &'static str, id: i64) -> Result<Vec<String>, Error> {
        let rows = self.rows(sqlx::query(sql).bind(id)).await?;
        rows.iter().map(|row| Reader::new(row).text()).collect()
    }
}
