//! Writes that wait for each other, so that many messages cost the engine a few statements.
//!
//! SQLite lives on a thread of its own and PostgreSQL behind a socket: a trip there costs more than most statements do.
//! Rows to insert are gathered by table and go first, in the order in which tables refer to each other; whatever else
//! was written follows in its own order. That is sound because no other write of ours looks at a row that is inserted
//! after it.

use std::fmt::Write;

use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, Execute as _};

use super::{Engine, Error};

/// Tables whose rows are gathered, those referred to before those that refer.
const TABLES: &[&str] = &[
    "contact",
    "contact_address",
    "ticket",
    "tag_history",
    "participant",
    "log_entry",
    "attachment",
    "outbox",
    "outbox_recipient",
    "invalid_ticket",
    "error_ticket",
    "bounce",
    "ticket_event",
    "journal",
    "evidence",
    "loop_count",
    // Rows of these are only updated here: they stand before anything refers to them.
    "arrival",
    "counter",
];
/// Rows that one statement takes: few sizes, so that the engine finds most statements compiled already. The widest row has
/// 17 values, and both engines take more than 32,000 in a statement.
const ROWS_A_STATEMENT: [usize; 4] = [64, 16, 4, 1];

#[derive(Default)]
pub(super) struct Later {
    rows: Vec<(&'static str, Vec<Rows>)>,
    rest: Vec<(String, AnyArguments)>,
}

/// Rows of one INSERT: `INSERT INTO t (…) VALUES`, the pattern of a row, what stands behind, and the values.
struct Rows {
    head: String,
    row: String,
    tail: String,
    values: Vec<AnyArguments>,
}

impl Later {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.rest.is_empty()
    }

    pub(super) fn clear(&mut self) {
        *self = Later::default();
    }

    pub(super) fn push(&mut self, mut query: Query<'_, Any, AnyArguments>) -> Result<(), Error> {
        let values =
            query.take_arguments().map_err(|e| Error::Corrupt(format!("a value cannot be bound: {e}")))?;
        let values = values.unwrap_or_default();
        let sql = query.sql();
        match taken_apart(sql.as_str()) {
            Some((table, [head, row, tail])) => self.push_row(table, [head, row, tail], values),
            None => self.rest.push((sql.as_str().to_owned(), values)),
        }
        Ok(())
    }

    fn push_row(&mut self, table: &'static str, [head, row, tail]: [&str; 3], values: AnyArguments) {
        let of_table = match self.rows.iter().position(|(t, _)| *t == table) {
            Some(at) => &mut self.rows[at].1,
            None => {
                self.rows.push((table, vec![]));
                &mut self.rows.last_mut().expect("it was pushed").1
            }
        };
        match of_table.iter_mut().find(|r| r.head == head && r.row == row && r.tail == tail) {
            Some(rows) => rows.values.push(values),
            None => of_table.push(Rows {
                head: head.to_owned(),
                row: row.to_owned(),
                tail: tail.to_owned(),
                values: vec![values],
            }),
        }
    }

    /// As few statements as the rows allow, in the order in which they are to run.
    pub(super) fn into_statements(mut self, engine: Engine) -> Vec<(String, AnyArguments)> {
        self.rows.sort_by_key(|(table, _)| TABLES.iter().position(|t| t == table));
        for (_, of_table) in &mut self.rows {
            of_table.sort_by_key(|rows| rows.head.starts_with("UPDATE"));
        }
        let mut statements = vec![];
        for rows in self.rows.into_iter().flat_map(|(_, rows)| rows) {
            let mut values = rows.values.into_iter();
            for size in ROWS_A_STATEMENT {
                while values.len() >= size {
                    let some = values.by_ref().take(size);
                    statements.push(one_statement((&rows.head, &rows.row, &rows.tail), some, engine));
                }
            }
        }
        statements.extend(self.rest);
        statements
    }
}

/// A write of one row of values into a gathered table, in three pieces: `INSERT INTO t (…) VALUES (…)`, or
/// `UPDATE t SET … FROM (VALUES (…)) AS v WHERE …`.
fn taken_apart(sql: &str) -> Option<(&'static str, [&str; 3])> {
    let name = sql.strip_prefix("INSERT INTO ").or_else(|| sql.strip_prefix("UPDATE "))?.split_once(' ')?.0;
    let table = TABLES.iter().find(|t| **t == name)?;
    let at = sql.find("VALUES (")? + "VALUES ".len();
    let end = at + closing(&sql[at..])? + 1;
    // An INSERT that brings many rows of its own, as arrivals do, stays as it is.
    let is_one_row = !sql[end..].trim_start().starts_with(',') && sql[at..end].contains('$');
    let is_gathered = is_one_row && (*table != "arrival" || sql.starts_with("UPDATE"));
    is_gathered.then_some((*table, [&sql[..at], &sql[at..end], &sql[end..]]))
}

/// Where the parenthesis closes that a text begins with.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    text.bytes().position(|byte| {
        depth += i32::from(byte == b'(') - i32::from(byte == b')');
        depth == 0
    })
}

fn one_statement(
    (head, row, tail): (&str, &str, &str),
    values: impl Iterator<Item = AnyArguments>,
    engine: Engine,
) -> (String, AnyArguments) {
    let mut sql = String::with_capacity(head.len() + 64 * row.len());
    let mut all = AnyArguments::default();
    sql.push_str(head);
    for (nth, values) in values.enumerate() {
        sql.push_str(if nth == 0 { "" } else { ", " });
        push_row(&mut sql, &mut all, (row, values), engine);
    }
    sql.push_str(tail);
    (sql, all)
}

/// A row's pattern with each `$n` counted on. SQLite takes a bare `?`: it looks named ones up one by one.
fn push_row(sql: &mut String, all: &mut AnyArguments, (row, values): (&str, AnyArguments), engine: Engine) {
    let mut pieces = row.split('$');
    sql.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
        let number: usize = piece[..digits].parse().expect("a placeholder of ours is $ and a number");
        all.values.0.push(values.values.0[number - 1].clone());
        match engine {
            Engine::Sqlite => sql.push('?'),
            Engine::Postgres => {
                write!(sql, "${}", all.values.0.len()).expect("writing to a String cannot fail");
            }
        }
        sql.push_str(&piece[digits..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(engine: Engine) -> Vec<(String, usize)> {
        let mut later = Later::default();
        for n in 1..=4_i64 {
            later
                .push(sqlx::query("UPDATE ticket SET status = $2 WHERE id = $1").bind(n).bind("open"))
                .unwrap();
            let entry = "INSERT INTO log_entry (id, a, b) VALUES ($1, $2, $2)";
            later.push(sqlx::query(entry).bind(n).bind("x")).unwrap();
            let contact = "INSERT INTO contact (id, kind) VALUES ($1, 'new') ON CONFLICT DO NOTHING";
            later.push(sqlx::query(contact).bind(n)).unwrap();
        }
        later.into_statements(engine).into_iter().map(|(sql, values)| (sql, values.values.0.len())).collect()
    }

    #[test]
    fn rows_are_gathered_by_table_and_the_rest_keeps_its_order() {
        let update = "UPDATE ticket SET status = $2 WHERE id = $1";
        let expected = [
            (
                "INSERT INTO contact (id, kind) VALUES (?, 'new'), (?, 'new'), (?, 'new'), (?, 'new') \
                 ON CONFLICT DO NOTHING",
                4,
            ),
            ("INSERT INTO log_entry (id, a, b) VALUES (?, ?, ?), (?, ?, ?), (?, ?, ?), (?, ?, ?)", 12),
            (update, 2),
            (update, 2),
            (update, 2),
            (update, 2),
        ];
        assert_eq!(statements(Engine::Sqlite), expected.map(|(sql, n)| (sql.to_owned(), n)));
    }

    #[test]
    fn a_row_of_bare_placeholders_keeps_its_values() {
        let mut later = Later::default();
        let sql = "INSERT INTO arrival (id, size) VALUES (?, ?)";
        later.push(sqlx::query(sql).bind(1_i64).bind(2_i64)).unwrap();
        let (found, values) = later.into_statements(Engine::Sqlite).remove(0);
        assert_eq!((found.as_str(), values.values.0.len()), (sql, 2));
    }

    #[test]
    fn rows_go_in_few_sizes() {
        let mut later = Later::default();
        for n in 0..87_i64 {
            later.push(sqlx::query("INSERT INTO contact (id) VALUES ($1)").bind(n)).unwrap();
        }
        let sizes: Vec<usize> =
            later.into_statements(Engine::Sqlite).iter().map(|(_, values)| values.values.0.len()).collect();
        assert_eq!(sizes, [64, 16, 4, 1, 1, 1]);
    }

    #[test]
    fn postgres_counts_its_placeholders_through() {
        let sql = &statements(Engine::Postgres)[1].0;
        assert!(sql.ends_with("VALUES ($1, $2, $3), ($4, $5, $6), ($7, $8, $9), ($10, $11, $12)"), "{sql}");
    }
}
