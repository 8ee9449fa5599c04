//! A transaction, and the counters that ids are drawn from.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::AnyPool;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, Row, Transaction};
use tokio::sync::OwnedMutexGuard;

use super::later::Later;
use super::mark::MarkCell;
use super::ticket::TicketRow;
use super::{Engine, Error, Statement};
use crate::ticket::{EventNumber, TicketId};

/// A transaction on the store. Dropped without `commit`, it never was. After an error of the database it goes no further
/// on PostgreSQL: it is taken back to a savepoint, or dropped.
pub struct Tx {
    pub(super) inner: Transaction<'static, Any>,
    pub(super) engine: Engine,
    /// Writes that wait to go to the engine together.
    later: Later,
    savepoint: Savepoint,
    /// The desk's counters while this transaction holds the desk lock, and which of them were drawn from.
    desk: Option<[(i64, bool); DESK_COUNTERS]>,
    /// Until this is over, nobody else in this process asks for the desk lock.
    turn: Option<OwnedMutexGuard<()>>,
    /// Tickets that were read before they are asked for one by one.
    pub(super) ahead: HashMap<TicketId, TicketRow>,
    /// Where it is noted that this was confirmed.
    mark: MarkCell,
    /// Something will be done that cannot be taken back, on the strength of this transaction.
    is_marked: bool,
}

/// Where the savepoint of the message in hand stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Savepoint {
    None,
    /// Asked for, and nothing said to the engine since: it is set with the first statement.
    Wanted,
    Set,
}

/// What ids are drawn from. Ids are ours, not the engine's: they are known before the row is written, both engines give
/// the same ones, and a restored desk can jump ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    // Drawn under the desk lock.
    Event,
    Ticket,
    LogEntry,
    Contact,
    Outbox,
    Invalid,
    Error,
    Bounce,
    // Drawn in any transaction that writes.
    Arrival,
    Attempt,
    Alert,
    Secret,
    /// Mailboxes, relays, types, accounts, applications.
    Setting,
}

const DESK_COUNTERS: usize = 8;

impl Counter {
    const NAMES: [&'static str; 13] = [
        "event",
        "ticket",
        "log_entry",
        "contact",
        "outbox",
        "invalid",
        "error",
        "bounce",
        "arrival",
        "attempt",
        "alert",
        "secret",
        "setting",
    ];

    pub fn name(self) -> &'static str {
        Counter::NAMES[self as usize]
    }

    pub(super) fn names() -> &'static [&'static str] {
        &Counter::NAMES
    }
}

impl Tx {
    pub(super) async fn begin(engine: Engine, pool: &AnyPool, how: &'static str) -> Result<Tx, Error> {
        Tx::begin_marked(engine, pool, how, MarkCell::default()).await
    }

    /// The same, of a process that remembers what it has seen confirmed.
    pub(super) async fn begin_marked(
        engine: Engine,
        pool: &AnyPool,
        how: &'static str,
        mark: MarkCell,
    ) -> Result<Tx, Error> {
        Ok(Tx {
            inner: pool.begin_with(how).await?,
            engine,
            later: Later::default(),
            savepoint: Savepoint::None,
            desk: None,
            turn: None,
            ahead: HashMap::new(),
            mark,
            is_marked: false,
        })
    }

    /// Takes the desk lock: on SQLite the write transaction is it, on PostgreSQL the counters' rows are.
    pub(super) async fn lock_desk(&mut self, turn: Option<OwnedMutexGuard<()>>) -> Result<(), Error> {
        self.turn = turn;
        let sql = match self.engine.for_update() {
            "" => "SELECT name, value FROM counter",
            _ => {
                "SELECT name, value FROM counter WHERE name IN ('event', 'ticket', 'log_entry', 'contact', 'outbox', \
                  'invalid', 'error', 'bounce') ORDER BY name FOR UPDATE"
            }
        };
        let mut counters = [(0, false); DESK_COUNTERS];
        for row in self.rows(sqlx::query(sql)).await? {
            let name: String = row.try_get(0)?;
            if let Some(at) = Counter::NAMES[..DESK_COUNTERS].iter().position(|n| *n == name) {
                counters[at].0 = row.try_get(1)?;
            }
        }
        self.desk = Some(counters);
        Ok(())
    }

    /// The next id. Desk counters need the desk lock.
    pub async fn draw(&mut self, counter: Counter) -> Result<i64, Error> {
        self.draw_many(counter, 1).await
    }

    /// The first of `n` ids in a row.
    pub async fn draw_many(&mut self, counter: Counter, n: i64) -> Result<i64, Error> {
        let at = counter as usize;
        if at < DESK_COUNTERS {
            let counters = self.desk.as_mut().ok_or_else(|| {
                Error::Corrupt(format!("counter {} was drawn from without the desk lock", counter.name()))
            })?;
            let first = counters[at].0 + 1;
            counters[at] = (counters[at].0 + n, true);
            return Ok(first);
        }
        let query = sqlx::query("UPDATE counter SET value = value + $1 WHERE name = $2 RETURNING value");
        let last: i64 = self.row(query.bind(n).bind(counter.name())).await?.try_get(0)?;
        Ok(last - n + 1)
    }

    /// The last number that was drawn from a desk counter; of `Event`: what a decision made now may look at.
    pub fn last_drawn(&self, counter: Counter) -> i64 {
        self.desk.as_ref().map_or(0, |counters| counters[counter as usize].0)
    }

    pub async fn commit(mut self) -> Result<(), Error> {
        let drawn = self.desk.take().unwrap_or_default();
        for (at, (value, is_drawn)) in drawn.into_iter().enumerate() {
            if is_drawn {
                self.is_marked = true;
                let query = sqlx::query(
                    "UPDATE counter SET value = column1 FROM (VALUES ($1, $2)) AS v WHERE name = column2",
                );
                self.later(query.bind(value).bind(Counter::NAMES[at]))?;
            }
        }
        self.flush().await?;
        let marked = if self.is_marked { self.mark.raise(&mut self.inner).await? } else { None };
        in_time(self.engine, self.inner.commit()).await?;
        if let Some(number) = marked {
            self.mark.note(number);
        }
        Ok(())
    }

    /// What follows from this transaction cannot be taken back: a database that loses it later is found out.
    pub(super) fn must_last(&mut self) {
        self.is_marked = true;
    }

    /// What is written from here on can be taken back alone, with `rollback_to_savepoint`.
    pub async fn savepoint(&mut self) -> Result<(), Error> {
        self.flush().await?;
        self.savepoint = Savepoint::Wanted;
        Ok(())
    }

    /// Keeps what was written since the savepoint; an error of any of it comes at the latest here.
    pub async fn release_savepoint(&mut self) -> Result<(), Error> {
        self.flush().await?;
        if std::mem::replace(&mut self.savepoint, Savepoint::None) == Savepoint::Set {
            sqlx::query(RELEASE).execute(&mut *self.inner).await?;
        }
        Ok(())
    }

    pub async fn rollback_to_savepoint(&mut self) -> Result<(), Error> {
        self.later.clear();
        self.ahead.clear();
        if std::mem::replace(&mut self.savepoint, Savepoint::None) == Savepoint::Set {
            sqlx::query("ROLLBACK TO SAVEPOINT message").execute(&mut *self.inner).await?;
            sqlx::query(RELEASE).execute(&mut *self.inner).await?;
        }
        Ok(())
    }

    /// A write whose effect nobody asks about: it goes to the engine with others, before the next read or the commit.
    pub(super) fn later(&mut self, query: Query<'_, Any, AnyArguments>) -> Result<(), Error> {
        self.later.push(query)
    }

    /// Before any statement: what waits goes first, and the savepoint before that. A read needs it too: PostgreSQL goes
    /// no further after an error of whatever statement.
    async fn make_way(&mut self) -> Result<(), Error> {
        self.flush().await?;
        self.set_savepoint().await
    }

    async fn set_savepoint(&mut self) -> Result<(), Error> {
        if self.savepoint == Savepoint::Wanted {
            sqlx::query("SAVEPOINT message").execute(&mut *self.inner).await?;
            self.savepoint = Savepoint::Set;
        }
        Ok(())
    }

    /// Sends what waits: rows to insert table by table, then the rest in order.
    async fn flush(&mut self) -> Result<(), Error> {
        if self.later.is_empty() {
            return Ok(());
        }
        let later = std::mem::take(&mut self.later);
        self.set_savepoint().await?;
        for (sql, arguments) in later.into_statements(self.engine) {
            in_time(self.engine, sqlx::query_with(AssertSqlSafe(sql), arguments).execute(&mut *self.inner))
                .await?;
        }
        Ok(())
    }

    /// Runs a statement; gives the number of rows that it changed.
    pub(super) async fn execute(&mut self, query: Query<'_, Any, AnyArguments>) -> Result<u64, Error> {
        self.make_way().await?;
        Ok(in_time(self.engine, query.execute(&mut *self.inner)).await?.rows_affected())
    }

    pub(super) async fn row(&mut self, query: Query<'_, Any, AnyArguments>) -> Result<AnyRow, Error> {
        self.make_way().await?;
        Ok(in_time(self.engine, query.fetch_one(&mut *self.inner)).await?)
    }

    pub(super) async fn maybe_row(
        &mut self,
        query: Query<'_, Any, AnyArguments>,
    ) -> Result<Option<AnyRow>, Error> {
        self.make_way().await?;
        Ok(in_time(self.engine, query.fetch_optional(&mut *self.inner)).await?)
    }

    pub(super) async fn rows(&mut self, query: Query<'_, Any, AnyArguments>) -> Result<Vec<AnyRow>, Error> {
        self.make_way().await?;
        Ok(in_time(self.engine, query.fetch_all(&mut *self.inner)).await?)
    }

    /// Asks about many keys with few statements. `{}` in the text stands for the keys, as rows of a VALUES list with
    /// `columns` values each; `$1` is `number`. Lists come in few lengths, filled up with the last key, so that the engine
    /// finds most statements compiled already: a key may be answered more than once.
    pub(super) async fn rows_about<K>(
        &mut self,
        text: &str,
        number: EventNumber,
        keys: &[K],
        (columns, bind): (usize, BindKey<K>),
    ) -> Result<Vec<AnyRow>, Error> {
        let mut rows = vec![];
        for part in keys.chunks(KEYS_A_STATEMENT[KEYS_A_STATEMENT.len() - 1]) {
            let length = KEYS_A_STATEMENT.into_iter().find(|n| *n >= part.len()).unwrap_or(part.len());
            let row = |r: usize| format!("({})", placeholders(2 + r * columns, columns));
            let list = (0..length).map(row).collect::<Vec<_>>().join(", ");
            let mut query =
                sqlx::query(AssertSqlSafe(text.replace("{}", &format!("VALUES {list}")))).bind(number.0);
            for at in 0..length {
                query = bind(query, part.get(at).unwrap_or(&part[part.len() - 1]));
            }
            rows.append(&mut self.rows(query).await?);
        }
        Ok(rows)
    }
}

/// How long a server may take for one statement: longer than it waits for a transaction that stands still. A host that is
/// gone without a word would keep us waiting for a quarter of an hour.
const STATEMENT: Duration = Duration::from_secs(90);

async fn in_time<T>(
    engine: Engine,
    statement: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match engine {
        Engine::Sqlite => statement.await,
        Engine::Postgres => tokio::time::timeout(STATEMENT, statement).await.unwrap_or_else(|_| {
            let words = format!("the server does not answer within {} s", STATEMENT.as_secs());
            Err(std::io::Error::new(std::io::ErrorKind::TimedOut, words).into())
        }),
    }
}

/// Binds the values of one key.
pub(super) type BindKey<K> = for<'q> fn(Statement<'q>, &K) -> Statement<'q>;
/// The lengths of a list of keys.
const KEYS_A_STATEMENT: [usize; 4] = [1, 8, 32, 128];

const RELEASE: &str = "RELEASE SAVEPOINT message";
/// Words of a peer as both engines keep them: PostgreSQL takes no NUL in a text, SQLite does.
pub(super) fn without_nul(words: &str) -> String {
    words.replace('\0', "")
}

/// `$1, $2, $3` for `n` values from number `first`, to stand in an IN list or a row of VALUES.
pub(super) fn placeholders(first: usize, n: usize) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(n * 5);
    for i in first..first + n {
        let comma = if i == first { "" } else { ", " };
        write!(text, "{comma}${i}").expect("writing to a String cannot fail");
    }
    text
}

/// `($1, $2), ($3, $4)`: the VALUES of `rows` rows with `columns` columns each. SQLite takes bare `?`, which it need not
/// look up by name.
pub(super) fn values(engine: Engine, rows: usize, columns: usize) -> String {
    let row = |r: usize| match engine {
        Engine::Sqlite => format!("({})", vec!["?"; columns].join(", ")),
        Engine::Postgres => format!("({})", placeholders(r * columns + 1, columns)),
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}
