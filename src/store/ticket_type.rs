//! Ticket types and the addresses they answer to.

use std::collections::HashMap;

use super::reader::Reader;
use super::secret::Stamp;
use super::settings::Kind;
use super::{Counter, Error, Tx};
use crate::clock::Micros;
use crate::config::TypeSpec;
use crate::config::conflicts::conflicts;
use crate::mail::Address;
use crate::ticket::{MailboxId, RelayId, TypeId};

#[derive(Clone, Debug)]
pub struct TypeRow {
    pub id: TypeId,
    /// Its mailbox and relay by name.
    pub spec: TypeSpec,
    pub mailbox: Option<MailboxId>,
    pub relay: Option<RelayId>,
    pub is_provisioned: bool,
    pub version: i64,
    pub created: Micros,
}

const SELECT: &str = "SELECT t.id, t.name, t.tag, t.description, t.flow, coalesce(m.name, ''), \
    coalesce(r.name, ''), t.address, t.admin_address, t.forward_addresses, t.catch_all, t.on_closed, \
    t.list_mail, t.auto_answer, t.language, t.active, t.mailbox_id, t.relay_id, t.provisioned, t.version, \
    t.created_us FROM ticket_type t LEFT JOIN mailbox m ON m.id = t.mailbox_id \
    LEFT JOIN relay r ON r.id = t.relay_id";

fn read(row: &sqlx::any::AnyRow) -> Result<TypeRow, Error> {
    let mut row = Reader::new(row);
    Ok(TypeRow {
        id: TypeId(row.int()?),
        spec: TypeSpec {
            name: row.text()?,
            tag: row.text()?,
            description: row.text()?,
            flow: row.word()?,
            mailbox: row.text()?,
            relay: row.text()?,
            patterns: vec![],
            address: row.word::<Address>()?,
            admin: row.maybe_address()?,
            forwards: row.json()?,
            is_catch_all: row.flag()?,
            on_closed: row.word()?,
            list_mail: row.word()?,
            answers_automatically: row.flag()?,
            language: row.text()?,
            is_active: row.flag()?,
        },
        mailbox: row.maybe_int()?.map(MailboxId),
        relay: row.maybe_int()?.map(RelayId),
        is_provisioned: row.flag()?,
        version: row.int()?,
        created: row.time()?,
    })
}

impl Tx {
    pub async fn types(&mut self) -> Result<Vec<TypeRow>, Error> {
        let rows = self.rows(sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} ORDER BY t.id")))).await?;
        let mut patterns = self.patterns().await?;
        rows.iter()
            .map(|row| {
                let mut row = read(row)?;
                row.spec.patterns = patterns.remove(&row.id).unwrap_or_default();
                Ok(row)
            })
            .collect()
    }

    pub async fn ticket_type(&mut self, id: TypeId) -> Result<TypeRow, Error> {
        let all = self.types().await?;
        all.into_iter().find(|t| t.id == id).ok_or_else(|| Error::Missing(format!("type #{id}")))
    }

    /// By name, `7` or `#7`.
    pub async fn find_type(&mut self, named: &str) -> Result<TypeRow, Error> {
        let id = self.find_setting(Kind::Type, named).await?;
        self.ticket_type(TypeId(id)).await
    }

    pub async fn create_type(&mut self, spec: &TypeSpec, stamp: &Stamp<'_>) -> Result<TypeId, Error> {
        self.lock_settings().await?;
        let id = self.insert_type(spec, stamp).await?;
        self.require_no_conflict().await?;
        Ok(id)
    }

    /// Edits what the editor saw as `version`.
    pub async fn update_type(&mut self, id: TypeId, version: i64, spec: &TypeSpec) -> Result<(), Error> {
        self.begin_edit(Kind::Type, id.0, version).await?;
        self.write_type(id, spec).await?;
        self.require_no_conflict().await
    }

    pub async fn delete_type(&mut self, id: TypeId, version: i64) -> Result<(), Error> {
        self.begin_delete(Kind::Type, id.0, version).await?;
        self.execute(sqlx::query("DELETE FROM type_address WHERE type_id = $1").bind(id.0)).await?;
        self.execute(sqlx::query("DELETE FROM ticket_type WHERE id = $1").bind(id.0)).await.map(drop)
    }

    /// Refuses types and mailboxes that may not be together (C6). Asked after the change, before its commit.
    pub(super) async fn require_no_conflict(&mut self) -> Result<(), Error> {
        let types: Vec<TypeSpec> = self.types().await?.into_iter().map(|t| t.spec).collect();
        let rows =
            self.rows(sqlx::query("SELECT username FROM mailbox WHERE active = 1 ORDER BY id")).await?;
        let usernames: Vec<String> =
            rows.iter().map(|row| Reader::new(row).text()).collect::<Result<_, _>>()?;
        match conflicts(&types, &usernames).first() {
            None => Ok(()),
            Some(conflict) => {
                let name = &types[conflict.at].name;
                Err(Error::Refused(format!("type {name:?}: {}: {}", conflict.key, conflict.words)))
            }
        }
    }

    pub(super) async fn patterns(&mut self) -> Result<HashMap<TypeId, Vec<String>>, Error> {
        let query = sqlx::query("SELECT type_id, pattern FROM type_address ORDER BY type_id, position");
        let mut patterns: HashMap<TypeId, Vec<String>> = HashMap::new();
        for row in self.rows(query).await? {
            let mut row = Reader::new(&row);
            patterns.entry(TypeId(row.int()?)).or_default().push(row.text()?);
        }
        Ok(patterns)
    }

    pub(super) async fn insert_type(&mut self, spec: &TypeSpec, stamp: &Stamp<'_>) -> Result<TypeId, Error> {
        self.require_free_name(Kind::Type, &spec.name, 0).await?;
        let id = self.draw(Counter::Setting).await?;
        let query = sqlx::query(
            "INSERT INTO ticket_type (name, description, tag, flow, address, admin_address, forward_addresses, \
             catch_all, on_closed, list_mail, auto_answer, language, active, mailbox_id, relay_id, id, created_us) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        );
        let query = self.bind_type(query, spec).await?.bind(id).bind(stamp.now.0);
        self.execute(query).await?;
        self.write_patterns(TypeId(id), spec).await?;
        Ok(TypeId(id))
    }

    pub(super) async fn write_type(&mut self, id: TypeId, spec: &TypeSpec) -> Result<(), Error> {
        self.require_free_name(Kind::Type, &spec.name, id.0).await?;
        let query = sqlx::query(
            "UPDATE ticket_type SET name = $1, description = $2, tag = $3, flow = $4, address = $5, \
             admin_address = $6, forward_addresses = $7, catch_all = $8, on_closed = $9, list_mail = $10, \
             auto_answer = $11, language = $12, active = $13, mailbox_id = $14, relay_id = $15, \
             version = version + 1 WHERE id = $16",
        );
        let query = self.bind_type(query, spec).await?.bind(id.0);
        self.execute(query).await?;
        self.write_patterns(id, spec).await
    }

    async fn write_patterns(&mut self, id: TypeId, spec: &TypeSpec) -> Result<(), Error> {
        self.execute(sqlx::query("DELETE FROM type_address WHERE type_id = $1").bind(id.0)).await?;
        for (position, pattern) in (0i64..).zip(&spec.patterns) {
            let query =
                sqlx::query("INSERT INTO type_address (type_id, pattern, position) VALUES ($1, $2, $3)");
            self.execute(query.bind(id.0).bind(pattern).bind(position)).await?;
        }
        Ok(())
    }

    /// $1 to $15: the names of mailbox and relay become their ids.
    async fn bind_type<'q>(
        &mut self,
        query: super::Statement<'q>,
        spec: &TypeSpec,
    ) -> Result<super::Statement<'q>, Error> {
        let mailbox = match spec.mailbox.as_str() {
            "" => None,
            name => Some(self.find_setting(Kind::Mailbox, name).await?),
        };
        let relay = match spec.relay.as_str() {
            "" => None,
            name => Some(self.find_setting(Kind::Relay, name).await?),
        };
        Ok(query
            .bind(spec.name.clone())
            .bind(spec.description.clone())
            .bind(spec.tag.clone())
            .bind(spec.flow.as_str())
            .bind(spec.address.as_str().to_owned())
            .bind(spec.admin.as_ref().map_or(String::new(), |a| a.as_str().to_owned()))
            .bind(serde_json::to_string(&spec.forwards)?)
            .bind(i64::from(spec.is_catch_all))
            .bind(spec.on_closed.as_str())
            .bind(spec.list_mail.as_str())
            .bind(i64::from(spec.answers_automatically))
            .bind(spec.language.clone())
            .bind(i64::from(spec.is_active))
            .bind(mailbox)
            .bind(relay))
    }
}
