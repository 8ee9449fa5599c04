//! Every row of one store into another, whichever the engines: for backup, restore, and moving a desk to another engine.
//!
//! One of the two sides is SQLite: its catalogue says which tables there are, in which order they refer to each other,
//! and what each column holds. Rows are read in the order of their key and written in batches; each table has a count and
//! a digest, which are the same on both engines.

use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::tx::{values, without_nul};
use super::{Engine, Error, Statement};
use crate::seal::to_hex;

/// Bytes of values, and rows, in one INSERT: SQLite takes 32766 values, and the widest table has 27 columns.
const BYTES_AN_INSERT: usize = 1 << 20;
const ROWS_AN_INSERT: usize = 200;
/// Rows between two words about progress.
const ROWS_A_STEP: u64 = 1000;

/// What is a process's own and dies with it; a copy does not carry it.
const NOT_CARRIED: &[&str] = &["daemon", "lease", "session"];
/// Tables that belong to a file and not to a desk.
const NOT_A_DESKS: &[&str] = &["_sqlx_migrations", "backup"];
/// A fresh schema lays rows into it, which make way.
const LAID_DOWN: &str = "counter";

/// A table as it was copied: how many rows, and a digest of all their values in the order of their key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSum {
    pub table: String,
    pub rows: u64,
    pub digest: String,
}

/// How far a copy has come.
#[derive(Clone, Copy, Debug)]
pub struct Copied<'a> {
    pub rows: u64,
    pub table: &'a str,
}

/// Hears how far a copy has come.
pub type Told<'a> = dyn FnMut(Copied<'_>) + Send + 'a;

/// A connection to one of the two sides, inside a transaction where one is wanted.
pub(super) struct Side<'a> {
    pub engine: Engine,
    pub connection: &'a mut AnyConnection,
}

/// The tables of a desk, those referred to before those that refer.
#[derive(Clone, Debug)]
pub(super) struct Layout(Vec<Table>);

#[derive(Clone, Debug)]
struct Table {
    name: String,
    columns: Vec<Column>,
    /// Of `columns`, those of the primary key in its order.
    key: Vec<usize>,
    /// Of `columns`, those that refer to this very table: a row may name one that comes after it.
    inward: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Column {
    name: String,
    holds: Holds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Int,
    Text,
    Bytes,
}

#[derive(Clone, Debug)]
enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

impl Layout {
    /// Reads the catalogue of a SQLite side.
    pub(super) async fn of_sqlite(connection: &mut AnyConnection) -> Result<Layout, Error> {
        let names = sqlx::query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name");
        let mut waiting = vec![];
        for row in names.fetch_all(&mut *connection).await? {
            let name: String = row.try_get(0)?;
            let is_left_out = name.starts_with("sqlite_")
                || NOT_A_DESKS.contains(&name.as_str())
                || NOT_CARRIED.contains(&name.as_str());
            if !is_left_out {
                waiting.push(Table::of_sqlite(connection, name).await?);
            }
        }
        let mut ordered: Vec<Table> = vec![];
        while !waiting.is_empty() {
            let is_placed = |name: &String| ordered.iter().any(|t| t.name == *name);
            let next = waiting.iter().position(|(_, refers_to)| refers_to.iter().all(is_placed));
            let next =
                next.ok_or_else(|| Error::Corrupt("tables refer to each other in a ring".to_owned()))?;
            ordered.push(waiting.remove(next).0);
        }
        Ok(Layout(ordered))
    }

    /// How many rows a side has in all.
    pub(super) async fn count(&self, side: Side<'_>) -> Result<u64, Error> {
        let mut all = 0;
        for table in &self.0 {
            let sql = format!("SELECT count(*) FROM {}", table.name);
            let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut *side.connection).await?;
            all += row.try_get::<i64, _>(0)? as u64;
        }
        Ok(all)
    }

    /// Takes every row out of a side; its schema stays.
    pub(super) async fn empty(&self, side: Side<'_>) -> Result<(), Error> {
        for table in self.0.iter().rev() {
            for column in &table.inward {
                let sql = format!("UPDATE {} SET {} = NULL", table.name, table.columns[*column].name);
                sqlx::query(AssertSqlSafe(sql)).execute(&mut *side.connection).await?;
            }
            let sql = format!("DELETE FROM {}", table.name);
            sqlx::query(AssertSqlSafe(sql)).execute(&mut *side.connection).await?;
        }
        Ok(())
    }

    /// Copies every row. `to` has the same schema and no rows, and is inside a transaction: half a copy is none.
    pub(super) async fn copy(
        &self,
        from: Side<'_>,
        to: Side<'_>,
        told: &mut Told<'_>,
    ) -> Result<Vec<TableSum>, Error> {
        let sql = format!("DELETE FROM {LAID_DOWN}");
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *to.connection).await?;
        let (mut sums, mut before) = (vec![], 0);
        for table in &self.0 {
            let mut target =
                Target { table, engine: to.engine, connection: &mut *to.connection, later: vec![] };
            let sum =
                table.read(from.engine, &mut *from.connection, Some(&mut target), (before, told)).await?;
            target.link().await?;
            before += sum.rows;
            sums.push(sum);
        }
        Ok(sums)
    }

    /// Counts and digests of what stands in a side.
    pub(super) async fn sums(&self, side: Side<'_>, told: &mut Told<'_>) -> Result<Vec<TableSum>, Error> {
        let (mut sums, mut before) = (vec![], 0);
        for table in &self.0 {
            let sum = table.read(side.engine, &mut *side.connection, None, (before, told)).await?;
            before += sum.rows;
            sums.push(sum);
        }
        Ok(sums)
    }
}

impl Table {
    /// With the tables that it refers to.
    async fn of_sqlite(connection: &mut AnyConnection, name: String) -> Result<(Table, Vec<String>), Error> {
        let query =
            sqlx::query("SELECT name, type, CAST(pk AS INTEGER) FROM pragma_table_info($1) ORDER BY cid");
        let (mut columns, mut key) = (vec![], vec![]);
        for row in query.bind(&name).fetch_all(&mut *connection).await? {
            let declared: String = row.try_get(1)?;
            let holds = match declared.as_str() {
                "INTEGER" | "BIGINT" => Holds::Int,
                "TEXT" => Holds::Text,
                "BLOB" => Holds::Bytes,
                other => return Err(Error::Corrupt(format!("table {name} has a column of type {other}"))),
            };
            match row.try_get::<i64, _>(2)? {
                0 => {}
                position => key.push((position, columns.len())),
            }
            columns.push(Column { name: row.try_get(0)?, holds });
        }
        key.sort_unstable();
        let key = key.into_iter().map(|(_, at)| at).collect();
        let mut table = Table { name, columns, key, inward: vec![] };
        let refers_to = table.note_references(connection).await?;
        Ok((table, refers_to))
    }

    async fn note_references(&mut self, connection: &mut AnyConnection) -> Result<Vec<String>, Error> {
        let query =
            sqlx::query("SELECT \"table\", \"from\" FROM pragma_foreign_key_list($1)").bind(&self.name);
        let mut refers_to = vec![];
        for row in query.fetch_all(&mut *connection).await? {
            let (other, column): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            match other == self.name {
                true => self.inward.extend(self.columns.iter().position(|c| c.name == column)),
                false => refers_to.push(other),
            }
        }
        Ok(refers_to)
    }

    fn column_names(&self) -> String {
        self.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// All rows in the order of the key, which is that of bytes on both engines.
    fn select(&self, engine: Engine) -> String {
        let term = |at: &usize| {
            let column = &self.columns[*at];
            format!("{}{}", column.name, if column.holds == Holds::Text { engine.by_bytes() } else { "" })
        };
        let key: Vec<String> = self.key.iter().map(term).collect();
        format!("SELECT {} FROM {} ORDER BY {}", self.column_names(), self.name, key.join(", "))
    }

    /// Reads all rows, and writes them into `target` where there is one.
    async fn read(
        &self,
        engine: Engine,
        connection: &mut AnyConnection,
        mut target: Option<&mut Target<'_>>,
        (before, told): (u64, &mut Told<'_>),
    ) -> Result<TableSum, Error> {
        told(Copied { rows: before, table: &self.name });
        let (mut digest, mut rows) = (Sha256::new(), 0);
        let mut batch = Batch::default();
        let sql = self.select(engine);
        let mut stream = sqlx::query(AssertSqlSafe(sql)).fetch(connection);
        while let Some(row) = stream.try_next().await? {
            let row = self.values(&row)?;
            row.iter().for_each(|value| value.add_to(&mut digest));
            rows += 1;
            if rows % ROWS_A_STEP == 0 {
                told(Copied { rows: before + rows, table: &self.name });
            }
            if let Some(target) = &mut target {
                batch.bytes += row.iter().map(Value::weight).sum::<usize>();
                batch.rows.push(row);
                if batch.rows.len() >= ROWS_AN_INSERT || batch.bytes >= BYTES_AN_INSERT {
                    target.insert(std::mem::take(&mut batch).rows).await?;
                }
            }
        }
        if let Some(target) = target {
            target.insert(batch.rows).await?;
        }
        Ok(TableSum { table: self.name.clone(), rows, digest: to_hex(&digest.finalize()) })
    }

    fn values(&self, row: &AnyRow) -> Result<Vec<Value>, Error> {
        let value = |(at, column): (usize, &Column)| {
            Ok(match column.holds {
                Holds::Int => Value::Int(row.try_get(at)?),
                Holds::Text => Value::Text(row.try_get(at)?),
                Holds::Bytes => Value::Bytes(row.try_get(at)?),
            })
        };
        self.columns.iter().enumerate().map(value).collect()
    }
}

#[derive(Default)]
struct Batch {
    rows: Vec<Vec<Value>>,
    bytes: usize,
}

/// The table on the side that is written.
struct Target<'a> {
    table: &'a Table,
    engine: Engine,
    connection: &'a mut AnyConnection,
    /// References of rows to rows of the same table, set once all are there: key, column, value.
    later: Vec<(i64, usize, i64)>,
}

impl Target<'_> {
    async fn insert(&mut self, mut rows: Vec<Vec<Value>>) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        rows.iter_mut().for_each(|row| self.put_off(row));
        let sql = format!(
            "INSERT INTO {} ({}) VALUES {}",
            self.table.name,
            self.table.column_names(),
            values(self.engine, rows.len(), self.table.columns.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for value in rows.into_iter().flatten() {
            query = value.bind(query, self.engine);
        }
        query.execute(&mut *self.connection).await?;
        Ok(())
    }

    fn put_off(&mut self, row: &mut [Value]) {
        let Some(Value::Int(Some(key))) = self.table.key.first().map(|at| row[*at].clone()) else { return };
        for at in &self.table.inward {
            if let Value::Int(value @ Some(_)) = &mut row[*at] {
                self.later.extend(value.take().map(|value| (key, *at, value)));
            }
        }
    }

    async fn link(&mut self) -> Result<(), Error> {
        for (key, at, value) in std::mem::take(&mut self.later) {
            let Table { name, columns, key: of, .. } = self.table;
            let sql =
                format!("UPDATE {name} SET {} = $1 WHERE {} = $2", columns[at].name, columns[of[0]].name);
            sqlx::query(AssertSqlSafe(sql)).bind(value).bind(key).execute(&mut *self.connection).await?;
        }
        Ok(())
    }
}

impl Value {
    fn bind(self, query: Statement<'_>, engine: Engine) -> Statement<'_> {
        match self {
            Value::Int(value) => query.bind(value),
            // PostgreSQL takes no NUL in a text.
            Value::Text(value) if engine == Engine::Postgres => query.bind(value.map(|v| without_nul(&v))),
            Value::Text(value) => query.bind(value),
            Value::Bytes(value) => query.bind(value),
        }
    }

    fn weight(&self) -> usize {
        match self {
            Value::Int(_) => 8,
            Value::Text(value) => value.as_ref().map_or(0, String::len),
            Value::Bytes(value) => value.as_ref().map_or(0, Vec::len),
        }
    }

    /// Each value with its kind and length: no two rows look the same to the digest that are not.
    fn add_to(&self, digest: &mut Sha256) {
        let (kind, bytes): (u8, Option<&[u8]>) = match self {
            Value::Int(value) => {
                digest.update([u8::from(value.is_some())]);
                digest.update(value.unwrap_or_default().to_le_bytes());
                return;
            }
            Value::Text(value) => (2, value.as_ref().map(String::as_bytes)),
            Value::Bytes(value) => (3, value.as_deref()),
        };
        digest.update([if bytes.is_some() { kind } else { 0 }]);
        let bytes = bytes.unwrap_or_default();
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    }
}
