//! A desk moves: from a SQLite file into an empty PostgreSQL database.
//!
//! Rows go over in pieces, each in one transaction with a mark of how far it has come, so that a move that was broken off
//! is taken up again. Then both sides are read again and compared, table by table. From its first moment on neither side
//! is a desk to work on: the old one is marked as leaving and its write lock is held, the new one as not whole. At the
//! end the old one stays marked as gone.

use serde::{Deserialize, Serialize};
use sqlx::{AnyConnection, Connection as _, Row as _};

use super::copy::{Copied, Layout, Side, Spot, TableSum};
use super::hold::{Hold, Manner, Owner};
use super::{Engine, Error, Statement, Store, Tx, refusal};
use crate::clock::Micros;

/// The key of the advisory lock of whoever fills a database: "move" in ASCII.
const FILLS: i64 = 0x6d6f_7665;

/// The mark of the side that is left.
const LEAVING: &str = "leaving";
/// The mark of the side that is filled.
const COMING: &str = "coming";

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Leaving {
    /// The same on both sides.
    id: String,
    to: String,
    gone: Option<Micros>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Coming {
    id: String,
    from: String,
    /// None: all of it is there, and was compared.
    spot: Option<Spot>,
}

/// What a move works with.
#[derive(Clone, Debug)]
pub struct Moving {
    pub owner: Owner,
    /// Names this move if it is a new one.
    pub id: String,
}

/// A desk that has moved.
#[derive(Clone, Debug)]
pub struct Moved {
    pub tables: Vec<TableSum>,
    /// An earlier attempt had come so far.
    pub rows_before: u64,
    /// It had been done before.
    pub was_done: bool,
}

/// How far a move has come, of `rows` to be read: each row three times.
#[derive(Clone, Copy, Debug)]
pub struct MoveStep {
    pub done: u64,
    pub rows: u64,
    pub words: &'static str,
}

impl Store {
    /// Moves the desk of this store to `target`, or goes on with it. Both sides must have this program's schema.
    ///
    /// # Errors
    /// `Held`: somebody works on this desk. `Refused`: the sides do not fit, or another desk stands in the target.
    /// Whatever is temporary: the same call goes on from where it was.
    pub async fn move_to(
        &self,
        target: &Store,
        moving: &Moving,
        told: &mut (dyn FnMut(MoveStep) + Send),
    ) -> Result<Moved, Error> {
        self.require_way(target.engine)?;
        let _hold: Hold = self.hold(&moving.owner, Manner::Alone).await?;
        let mut filled = target.filler().await?;
        let Some((id, spot)) = self.mark_both(target, moving).await? else {
            let mut tx = self.write().await?;
            let layout = Layout::of_sqlite(&mut tx.inner).await?;
            let tables = layout.sums(source(&mut tx), &mut |_| ()).await?;
            let rows_before = tables.iter().map(|t| t.rows).sum();
            return Ok(Moved { tables, rows_before, was_done: true });
        };

        // Nobody writes meanwhile: SQLite's one write lock is ours.
        let mut tx = self.write().await?;
        let layout = Layout::of_sqlite(&mut tx.inner).await?;
        let rows = layout.count(source(&mut tx)).await?;
        let mut steps = |done: u64, words| told(MoveStep { done, rows: rows * 3, words });
        let from = self.place();
        let mark = |spot: &Spot| {
            set(COMING, &Coming { id: id.clone(), from: from.clone(), spot: Some(spot.clone()) })
        };
        let rows_before = layout.count(postgres(&mut filled)).await?;
        let mut copied = |step: Copied<'_>| steps(step.rows, "rows copied");
        layout
            .copy_on(&spot, (source(&mut tx), postgres(&mut filled)), &mark, (rows_before, &mut copied))
            .await?;
        let mut read = |step: Copied<'_>| steps(rows + step.rows, "rows compared");
        let tables = layout.sums(source(&mut tx), &mut read).await?;
        let mut read = |step: Copied<'_>| steps(rows * 2 + step.rows, "rows compared");
        let there = layout.sums(postgres(&mut filled), &mut read).await?;
        steps(rows * 3, "rows compared");
        compare(&tables, &there)?;

        let gone = Leaving { id: id.clone(), to: target.place(), gone: Some(moving.owner.since) };
        tx.set_moving(LEAVING, &gone).await?;
        tx.commit().await?;
        set(COMING, &Coming { id: id.clone(), from: from.clone(), spot: None })?.execute(&mut filled).await?;
        filled.close().await?;
        Ok(Moved { tables, rows_before, was_done: false })
    }

    /// Connects to where the desk of this store is to move. Refuses before a file is made there.
    pub async fn connect_target(&self, url: &str) -> Result<Store, Error> {
        self.require_way(Engine::of_url(url)?)?;
        Store::connect(url).await
    }

    fn require_way(&self, to: Engine) -> Result<(), Error> {
        if (self.engine, to) == (Engine::Sqlite, Engine::Postgres) {
            return Ok(());
        }
        Err(Error::Refused(
            "a desk moves from a SQLite file to PostgreSQL (--from sqlite:… --to postgres://…); the other way, and between \
             two of a kind, `maildesk backup` and `maildesk restore` bring it over"
                .to_owned(),
        ))
    }

    /// Takes back that the desk of this store leaves or has left. Gives where it was to go; `None`: nowhere.
    pub async fn stay(&self, owner: &Owner) -> Result<Option<String>, Error> {
        let _hold: Hold = self.hold(owner, Manner::Alone).await?;
        let mut tx = self.write().await?;
        let Some(leaving) = tx.moving::<Leaving>(LEAVING).await? else { return Ok(None) };
        tx.execute(sqlx::query("DELETE FROM moving WHERE name = $1").bind(LEAVING)).await?;
        tx.commit().await?;
        Ok(Some(leaving.to))
    }

    /// Refuses a store whose schema is not this program's, and one that a desk leaves, has left, or is coming to.
    pub async fn require_ready(&self) -> Result<(), Error> {
        self.require_schema().await?;
        let mut tx = self.read().await?;
        if let Some(Leaving { to, gone, .. }) = tx.moving::<Leaving>(LEAVING).await? {
            let from = self.place();
            return Err(Error::Moved(match gone {
                Some(gone) => format!(
                    "this desk moved from {from} to {to} at {}: set store.url to that. If it is to go on here after \
                     all, and nothing was done there yet: `maildesk migrate --undo --from sqlite:{from}`",
                    gone.rfc3339()
                ),
                None => format!(
                    "this desk is on its way from {from} to {to}: give `maildesk migrate --from … --to …` once more, which \
                     goes on with it. If it is to stay here: `maildesk migrate --undo --from sqlite:{from}`"
                ),
            }));
        }
        match tx.moving::<Coming>(COMING).await? {
            Some(Coming { from, spot: Some(_), .. }) => Err(Error::Moved(format!(
                "the desk of {from} is on its way to {}, and not all of it is here: give `maildesk migrate --from … \
                 --to …` once more, which goes on with it",
                self.place()
            ))),
            _ => Ok(()),
        }
    }

    /// Marks both sides. Gives the name of the move and where it goes on; `None`: it is done already.
    async fn mark_both(&self, target: &Store, moving: &Moving) -> Result<Option<(String, Spot)>, Error> {
        let to = target.place();
        let mut tx = self.write().await?;
        let mut there = target.write().await?;
        let left = tx.moving::<Leaving>(LEAVING).await?;
        let come = there.moving::<Coming>(COMING).await?;
        if let Some(left) = left.as_ref().filter(|left| left.to != to) {
            return Err(Error::Refused(format!(
                "this desk is on its way to {}, or has gone there: finish that, or take it back with `maildesk migrate \
                 --undo --from sqlite:{}`",
                left.to,
                self.place()
            )));
        }
        let id = left.as_ref().map_or_else(|| moving.id.clone(), |left| left.id.clone());
        let same = come.as_ref().filter(|come| come.id == id);
        match same.map(|come| &come.spot) {
            Some(None) => {
                let gone = left.and_then(|left| left.gone).unwrap_or(moving.owner.since);
                tx.set_moving(LEAVING, &Leaving { id, to, gone: Some(gone) }).await?;
                tx.commit().await?;
                return Ok(None);
            }
            Some(Some(spot)) => return Ok(Some((id, spot.clone()))),
            None => {}
        }
        // What another move has left half done may go.
        let is_half = come.is_some_and(|come| come.spot.is_some());
        if !is_half && there.is_in_use().await? {
            return Err(Error::Refused(format!("there is a desk in {to} already: name an empty database")));
        }
        tx.set_moving(LEAVING, &Leaving { id: id.clone(), to, gone: None }).await?;
        let layout = Layout::of_sqlite(&mut tx.inner).await?;
        let spot = layout.first_spot();
        tx.commit().await?;
        layout.empty(Side { engine: there.engine, connection: &mut there.inner }).await?;
        let coming = Coming { id: id.clone(), from: self.place(), spot: Some(spot.clone()) };
        there.set_moving(COMING, &coming).await?;
        there.commit().await?;
        Ok(Some((id, spot)))
    }

    /// A connection for the one that fills this database.
    async fn filler(&self) -> Result<AnyConnection, Error> {
        let mut connection = self.connection().await?;
        let lock = sqlx::query("SELECT CASE WHEN pg_try_advisory_lock($1) THEN 1 ELSE 0 END").bind(FILLS);
        match lock.fetch_one(&mut connection).await?.try_get::<i32, _>(0)? {
            1 => Ok(connection),
            _ => {
                Err(Error::Held(format!("another `maildesk migrate` fills {} at this moment", self.place())))
            }
        }
    }

    /// Where it lies, in words without a password: also the name that a move knows it by.
    pub fn place(&self) -> String {
        refusal::place(self.engine, &self.options)
    }
}

impl Tx {
    async fn moving<T: for<'de> Deserialize<'de>>(&mut self, name: &'static str) -> Result<Option<T>, Error> {
        let row = self.maybe_row(sqlx::query("SELECT state FROM moving WHERE name = $1").bind(name)).await?;
        let text = row.map(|row| row.try_get::<String, _>(0)).transpose()?;
        Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
    }

    async fn set_moving(&mut self, name: &'static str, state: &impl Serialize) -> Result<(), Error> {
        self.execute(set(name, state)?).await.map(drop)
    }
}

fn set(name: &'static str, state: &impl Serialize) -> Result<Statement<'static>, Error> {
    let query = sqlx::query(
        "INSERT INTO moving (name, state) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET state = excluded.state",
    );
    Ok(query.bind(name).bind(serde_json::to_string(state)?))
}

fn source(tx: &mut Tx) -> Side<'_> {
    Side { engine: tx.engine, connection: &mut tx.inner }
}

fn postgres(connection: &mut AnyConnection) -> Side<'_> {
    Side { engine: Engine::Postgres, connection }
}

fn compare(here: &[TableSum], there: &[TableSum]) -> Result<(), Error> {
    match here.iter().zip(there).find(|(a, b)| a != b) {
        None => Ok(()),
        Some((a, b)) => Err(Error::Corrupt(format!(
            "table {} is not the same on both sides ({} rows here, {} there): nothing goes on there. Drop that database, \
             make an empty one, and move again; if it happens once more, please report it",
            a.table, a.rows, b.rows
        ))),
    }
}
