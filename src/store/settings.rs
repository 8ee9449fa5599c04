//! What mailboxes, relays, types and accounts have in common: names, versions, read-only rows, and what depends on what.

use super::reader::Reader;
use super::{Error, Tx};

/// A table of settings, and its word for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Mailbox,
    Relay,
    Type,
    Account,
    Provider,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Kind::Mailbox => "mailbox",
            Kind::Relay => "relay",
            Kind::Type => "type",
            Kind::Account => "account",
            Kind::Provider => "oauth_provider",
        }
    }

    pub(super) fn table(self) -> &'static str {
        match self {
            Kind::Type => "ticket_type",
            other => other.word(),
        }
    }

    fn name_column(self) -> &'static str {
        match self {
            Kind::Account => "login",
            _ => "name",
        }
    }

    /// What may refer to a row: a query that counts, and the words for what it counts.
    fn dependants(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Kind::Mailbox => &[
                ("SELECT count(*) FROM ticket_type WHERE mailbox_id = $1", "ticket type(s)"),
                ("SELECT count(*) FROM arrival WHERE mailbox_id = $1", "message(s) taken in"),
            ],
            Kind::Relay => &[
                ("SELECT count(*) FROM ticket_type WHERE relay_id = $1", "ticket type(s)"),
                ("SELECT count(*) FROM outbox WHERE relay_id = $1", "outbound mail(s)"),
            ],
            Kind::Type => &[
                ("SELECT count(*) FROM ticket WHERE type_id = $1", "ticket(s)"),
                ("SELECT count(*) FROM group_type WHERE type_id = $1", "group(s)"),
            ],
            Kind::Provider => &[("SELECT count(*) FROM oauth_grant WHERE provider_id = $1", "grant(s)")],
            Kind::Account => &[
                ("SELECT count(*) FROM ticket WHERE assignee_id = $1", "ticket(s)"),
                ("SELECT count(*) FROM group_member WHERE account_id = $1", "group(s)"),
            ],
        }
    }
}

/// A row as far as every kind has it.
struct Head {
    name: String,
    is_provisioned: bool,
    version: i64,
}

impl Head {
    /// Refuses a row of the configuration file, and one that is not as its editor saw it.
    fn require(&self, kind: Kind, version: i64) -> Result<(), Error> {
        if self.is_provisioned {
            return Err(Error::ReadOnly(format!("{} {:?}", kind.word(), self.name)));
        }
        if self.version != version {
            return Err(Error::Stale(format!("{} {:?}", kind.word(), self.name)));
        }
        Ok(())
    }
}

impl Tx {
    /// Changes of settings go one after the other, so that what one has checked holds until it commits.
    pub(super) async fn lock_settings(&mut self) -> Result<(), Error> {
        let query = sqlx::query("UPDATE counter SET value = value WHERE name = 'setting'");
        self.execute(query).await.map(drop)
    }

    /// Refuses to edit what the editor has not seen as `version`, or what is read-only. Until the commit nobody else edits.
    pub(super) async fn begin_edit(&mut self, kind: Kind, id: i64, version: i64) -> Result<(), Error> {
        self.lock_settings().await?;
        self.head(kind, id).await?.require(kind, version)
    }

    /// The same before a row is deleted; refused as well where others refer to it.
    pub(super) async fn begin_delete(&mut self, kind: Kind, id: i64, version: i64) -> Result<(), Error> {
        self.lock_settings().await?;
        let head = self.head(kind, id).await?;
        head.require(kind, version)?;
        self.require_unused(kind, id, &head.name).await
    }

    /// The id of the row that a person names, by its name or as `7` or `#7`.
    pub(super) async fn find_setting(&mut self, kind: Kind, named: &str) -> Result<i64, Error> {
        let sql = format!("SELECT id FROM {} WHERE {} = $1 OR id = $2", kind.table(), kind.name_column());
        let id: i64 = named.trim_start_matches('#').parse().unwrap_or(0);
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(named).bind(id);
        let row = self.maybe_row(query).await?;
        let row = row.ok_or_else(|| Error::Missing(format!("{} {named:?}", kind.word())))?;
        Reader::new(&row).int()
    }

    async fn head(&mut self, kind: Kind, id: i64) -> Result<Head, Error> {
        let columns = format!("{}, provisioned, version", kind.name_column());
        let sql = format!("SELECT {columns} FROM {} WHERE id = $1", kind.table());
        let row = self.maybe_row(sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id)).await?;
        let row = row.ok_or_else(|| Error::Missing(format!("{} #{id}", kind.word())))?;
        let mut row = Reader::new(&row);
        Ok(Head { name: row.text()?, is_provisioned: row.flag()?, version: row.int()? })
    }

    /// Refuses a name that another row has.
    pub(super) async fn require_free_name(&mut self, kind: Kind, name: &str, id: i64) -> Result<(), Error> {
        let sql =
            format!("SELECT count(*) FROM {} WHERE {} = $1 AND id <> $2", kind.table(), kind.name_column());
        let row = self.row(sqlx::query(sqlx::AssertSqlSafe(sql)).bind(name).bind(id)).await?;
        match Reader::new(&row).int()? {
            0 => Ok(()),
            _ => Err(Error::Taken(format!("the {} name {name:?}", kind.word()))),
        }
    }

    /// Refuses to let go of a row that others refer to, and says which.
    async fn require_unused(&mut self, kind: Kind, id: i64, name: &str) -> Result<(), Error> {
        let mut found = vec![];
        for (sql, words) in kind.dependants() {
            let row = self.row(sqlx::query(*sql).bind(id)).await?;
            match Reader::new(&row).int()? {
                0 => {}
                count => found.push(format!("{count} {words}")),
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        let word = kind.word();
        Err(Error::InUse(format!(
            "{word} {name:?} is not deleted: {} depend on it; `maildesk {word} edit {id} --active false` switches it off",
            found.join(" and ")
        )))
    }

    /// The rows of the configuration file: their ids and names.
    pub(super) async fn provisioned(&mut self, kind: Kind) -> Result<Vec<(i64, String)>, Error> {
        let (name, table) = (kind.name_column(), kind.table());
        let sql = format!("SELECT id, {name} FROM {table} WHERE provisioned = 1 ORDER BY id");
        let rows = self.rows(sqlx::query(sqlx::AssertSqlSafe(sql))).await?;
        let read = |row| {
            let mut row = Reader::new(row);
            Ok((row.int()?, row.text()?))
        };
        rows.iter().map(read).collect()
    }

    /// What left the configuration file is switched off, and from then on a matter of commands.
    pub(super) async fn release(&mut self, kind: Kind, id: i64) -> Result<(), Error> {
        let sql = format!(
            "UPDATE {} SET active = 0, provisioned = 0, version = version + 1 WHERE id = $1",
            kind.table()
        );
        self.execute(sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id)).await.map(drop)
    }
}
