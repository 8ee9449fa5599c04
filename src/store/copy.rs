//! Every row of one store into another, whichever the engines: for backup, restore, and moving a desk to another engine.
//!
//! One of the two sides is SQLite: its catalogue says which tables there are, in which order they refer to each other,
//! and what each column holds. Rows are read in the order of their key and written in batches; each table has a count and
//! a digest, which are the same on both engines. A copy is one transaction, or a row of pieces that can be broken off and
//! taken up again.

use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::tx::{placeholders, values, without_nul};
use super::{Engine, Error, Statement};
use crate::seal::to_hex;

/// Bytes of values, and rows, in one INSERT: SQLite takes 32766 values, and the widest table has 27 columns.
const BYTES_AN_INSERT: usize = 1 << 20;
const ROWS_AN_INSERT: usize = 200;
/// Rows between two words about progress.
const ROWS_A_STEP: u64 = 1000;
/// Of a copy that is made piece by piece: INSERTs between two commits.
const INSERTS_A_PIECE: u32 = 8;

/// What is a process's own and dies with it; a copy does not carry it.
const NOT_CARRIED: &[&str] = &["daemon", "lease", "session"];
/// Tables that belong to a file and not to a desk.
const NOT_A_DESKS: &[&str] = &["_sqlx_migrations", "backup", "moving"];
/// A fresh schema lays rows into it, which make way.
const LAID_DOWN: &str = "counter";

/// Of a `Spot`: behind all tables.
const THE_END: &str = "";

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

/// How far a copy has come that is made piece by piece: all rows of the tables before `table` are there, and those of
/// `table` up to the one with this key; none: it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spot {
    pub table: String,
    key: Vec<Value>,
}

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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
                Target { table, engine: to.engine, connection: &mut *to.connection, pieces: None };
            let source = Side { engine: from.engine, connection: &mut *from.connection };
            let sum = table.read(source, &[], Some(&mut target), (before, told)).await?;
            target.link(&mut *from.connection).await?;
            before += sum.rows;
            sums.push(sum);
        }
        Ok(sums)
    }

    /// Where a copy piece by piece begins.
    pub(super) fn first_spot(&self) -> Spot {
        self.spot_at(0)
    }

    /// At the first row of a table; behind the last table nothing is left to copy.
    fn spot_at(&self, at: usize) -> Spot {
        let table = self.0.get(at).map(|table| table.name.clone());
        Spot { table: table.unwrap_or_else(|| THE_END.to_owned()), key: vec![] }
    }

    /// Copies what comes behind `spot`, one transaction a piece; each writes with its rows, by `mark`, how far it has come.
    pub(super) async fn copy_on(
        &self,
        spot: &Spot,
        (from, to): (Side<'_>, Side<'_>),
        mark: &Mark<'_>,
        (mut before, told): (u64, &mut Told<'_>),
    ) -> Result<(), Error> {
        if spot.table == THE_END {
            return Ok(());
        }
        let begun = self.0.iter().position(|table| table.name == spot.table);
        let begun = begun.ok_or_else(|| Error::Corrupt(format!("there is no table {}", spot.table)))?;
        for (at, table) in self.0.iter().enumerate().skip(begun) {
            let key: &[Value] = if at == begun { &spot.key } else { &[] };
            let pieces = Some(Pieces { mark, inserts: 0 });
            let mut target = Target { table, engine: to.engine, connection: &mut *to.connection, pieces };
            let source = Side { engine: from.engine, connection: &mut *from.connection };
            before += table.read(source, key, Some(&mut target), (before, told)).await?.rows;
            target.end_table(&mut *from.connection, &self.spot_at(at + 1)).await?;
        }
        Ok(())
    }

    /// Counts and digests of what stands in a side.
    pub(super) async fn sums(&self, side: Side<'_>, told: &mut Told<'_>) -> Result<Vec<TableSum>, Error> {
        let (mut sums, mut before) = (vec![], 0);
        for table in &self.0 {
            let again = Side { engine: side.engine, connection: &mut *side.connection };
            let sum = table.read(again, &[], None, (before, told)).await?;
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

    /// The rows behind a key, or all, in the order of the key, which is that of bytes on both engines.
    fn select(&self, engine: Engine, is_behind: bool) -> String {
        let term = |at: &usize| {
            let column = &self.columns[*at];
            format!("{}{}", column.name, if column.holds == Holds::Text { engine.by_bytes() } else { "" })
        };
        let key = self.key.iter().map(term).collect::<Vec<_>>().join(", ");
        let behind = match is_behind {
            true => format!(" WHERE ({key}) > ({})", placeholders(1, self.key.len())),
            false => String::new(),
        };
        format!("SELECT {} FROM {}{behind} ORDER BY {key}", self.column_names(), self.name)
    }

    fn key_of(&self, row: &[Value]) -> Vec<Value> {
        self.key.iter().map(|at| row[*at].clone()).collect()
    }

    /// Reads all rows behind a key, and writes them into `target` where there is one.
    async fn read(
        &self,
        from: Side<'_>,
        behind: &[Value],
        mut target: Option<&mut Target<'_>>,
        (before, told): (u64, &mut Told<'_>),
    ) -> Result<TableSum, Error> {
        told(Copied { rows: before, table: &self.name });
        let (mut digest, mut rows) = (Sha256::new(), 0);
        let mut batch = Batch::default();
        let query = sqlx::query(AssertSqlSafe(self.select(from.engine, !behind.is_empty())));
        let query = behind.iter().fold(query, |query, value| value.clone().bind(query, from.engine));
        let mut stream = query.fetch(from.connection);
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

/// Writes with each piece how far the copy has come: a statement whose one value is the spot.
pub(super) type Mark<'a> = dyn Fn(&Spot) -> Result<Statement<'static>, Error> + Send + Sync + 'a;

/// The table on the side that is written.
struct Target<'a> {
    table: &'a Table,
    engine: Engine,
    connection: &'a mut AnyConnection,
    /// None: all of it is inside a transaction of the caller's.
    pieces: Option<Pieces<'a>>,
}

struct Pieces<'a> {
    mark: &'a Mark<'a>,
    /// Since the last commit; none: no transaction is open.
    inserts: u32,
}

impl Target<'_> {
    async fn insert(&mut self, mut rows: Vec<Vec<Value>>) -> Result<(), Error> {
        let Some(last) = rows.last() else { return Ok(()) };
        let spot = Spot { table: self.table.name.clone(), key: self.table.key_of(last) };
        self.open_piece().await?;
        for row in &mut rows {
            self.table.inward.iter().for_each(|at| row[*at] = Value::Int(None));
        }
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
        match self.pieces.as_mut() {
            Some(pieces) if pieces.inserts + 1 >= INSERTS_A_PIECE => self.end_piece(&spot).await,
            Some(pieces) => {
                pieces.inserts += 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn open_piece(&mut self) -> Result<(), Error> {
        if self.pieces.as_ref().is_some_and(|pieces| pieces.inserts == 0) {
            sqlx::query(self.engine.begin_write()).execute(&mut *self.connection).await?;
        }
        Ok(())
    }

    async fn end_piece(&mut self, spot: &Spot) -> Result<(), Error> {
        if let Some(pieces) = &mut self.pieces {
            pieces.inserts = 0;
            (pieces.mark)(spot)?.execute(&mut *self.connection).await?;
            sqlx::query("COMMIT").execute(&mut *self.connection).await?;
        }
        Ok(())
    }

    /// The last piece of a table, with its references; `next` is where it goes on.
    async fn end_table(&mut self, from: &mut AnyConnection, next: &Spot) -> Result<(), Error> {
        self.open_piece().await?;
        self.link(from).await?;
        self.end_piece(next).await
    }

    /// Sets the references of rows to rows of the same table, now that all are there.
    async fn link(&mut self, from: &mut AnyConnection) -> Result<(), Error> {
        let Table { name, columns, key, inward } = self.table;
        let Some(key) = key.first().map(|at| &columns[*at].name) else { return Ok(()) };
        for column in inward.iter().map(|at| &columns[*at].name) {
            let all = format!("SELECT {key}, {column} FROM {name} WHERE {column} IS NOT NULL");
            let sql = format!("UPDATE {name} SET {column} = $1 WHERE {key} = $2");
            for row in sqlx::query(AssertSqlSafe(all)).fetch_all(&mut *from).await? {
                let (of, value): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
                let query = sqlx::query(AssertSqlSafe(sql.as_str())).bind(value).bind(of);
                query.execute(&mut *self.connection).await?;
            }
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
            // As both engines keep it.
            Value::Text(Some(text)) if text.contains('\0') => {
                return Value::Text(Some(without_nul(text))).add_to(digest);
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
