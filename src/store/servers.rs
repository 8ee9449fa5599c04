//! Several addresses of one PostgreSQL: a primary and its standbys. The one that takes writes is used; when it no longer
//! does, the others are asked.
//!
//! `postgres://user@one:5432,two:5432/desk?target_session_attrs=read-write`, as libpq writes it. Connections that were
//! open to the former one are given up: what they may still commit there nobody else would see.

use std::str::FromStr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, Connection as _, Executor as _, Row as _};
use tokio::time::timeout;

use super::mark::MarkCell;
use super::{Engine, Error, POSTGRES_CONNECTIONS, READERS, refusal};

/// How long one of several servers may take to say that it takes writes.
const ANSWER: Duration = Duration::from_secs(5);

/// The addresses in a store's url, one url each.
pub(super) fn addresses(url: &str) -> Result<Vec<String>, Error> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    let (whole, query) = rest.split_once('?').map_or((rest, ""), |(whole, query)| (whole, query));
    let mut kept = vec![];
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("target_session_attrs", "read-write" | "primary" | "any")) => {}
            Some(("target_session_attrs", other)) => {
                return Err(Error::CannotOpen(format!(
                    "store.url: target_session_attrs={other}: a desk needs a server that takes writes (read-write)"
                )));
            }
            _ => kept.push(pair),
        }
    }
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    let (authority, path) = match whole.find('/') {
        Some(at) => whole.split_at(at),
        None => (whole, ""),
    };
    let (user, hosts) = match authority.rfind('@') {
        Some(at) => authority.split_at(at + 1),
        None => ("", authority),
    };
    Ok(hosts.split(',').map(|host| format!("{scheme}://{user}{host}{path}{query}")).collect())
}

/// The places of one store, and the pools to the one that is used.
#[derive(Debug)]
pub(super) struct Servers {
    engine: Engine,
    all: Vec<AnyConnectOptions>,
    wait: Duration,
    mark: MarkCell,
    /// On PostgreSQL.
    connections: u32,
    used: RwLock<Used>,
    /// One at a time looks for another.
    looking: tokio::sync::Mutex<()>,
}

/// Which server is used, and the pools to it.
#[derive(Clone, Debug)]
pub(super) struct Used {
    at: usize,
    pub readers: AnyPool,
    pub writer: AnyPool,
}

impl Servers {
    pub fn new(
        engine: Engine,
        all: Vec<AnyConnectOptions>,
        wait: Duration,
        mark: MarkCell,
    ) -> Result<Arc<Servers>, Error> {
        let first = all.first().ok_or(Error::BadUrl)?;
        let connections = POSTGRES_CONNECTIONS;
        let used = pools(engine, first, (0, all.len() > 1), (wait, connections), &mark);
        let (used, looking) = (RwLock::new(used), Default::default());
        Ok(Arc::new(Servers { engine, wait, mark, connections, used, looking, all }))
    }

    /// The same by one connection of its own.
    pub fn apart(&self) -> Arc<Servers> {
        let (Servers { engine, all, wait, mark, .. }, at) = (self, self.used().at);
        let used = pools(*engine, &all[at], (at, self.are_several()), (*wait, 1), mark);
        let (used, looking) = (RwLock::new(used), Default::default());
        let (all, mark) = (all.clone(), mark.clone());
        Arc::new(Servers { engine: *engine, all, wait: *wait, mark, connections: 1, used, looking })
    }

    pub fn used(&self) -> Used {
        self.used.read().expect("nobody panics while holding it").clone()
    }

    pub fn options(&self) -> &AnyConnectOptions {
        &self.all[self.used().at]
    }

    pub fn are_several(&self) -> bool {
        self.all.len() > 1
    }

    /// Tries to open the store; of several servers, uses the first that takes writes, the present one before the others.
    /// Whether another is used now than `before`.
    pub(super) async fn seek(&self, before: &Used) -> Result<bool, Error> {
        let _one = self.looking.lock().await;
        let now = self.used().at;
        if now != before.at {
            return Ok(true);
        }
        let patience = if self.are_several() { ANSWER } else { self.wait };
        let mut refusals = vec![];
        for at in std::iter::once(now).chain((0..self.all.len()).filter(|at| *at != now)) {
            match self.open(&self.all[at], patience).await {
                Ok(()) if at == now => return Ok(false),
                Ok(()) => {
                    self.turn_to(at);
                    return Ok(true);
                }
                Err(error) => refusals.push(error),
            }
        }
        if refusals.len() == 1 {
            return Err(refusals.remove(0));
        }
        let words: Vec<String> = refusals.iter().map(Error::bare_words).collect();
        Err(Error::Unreachable(words.join("; ")))
    }

    /// A pool hides why it cannot connect behind a time-out; one plain connection that looks into the store says it.
    async fn open(&self, options: &AnyConnectOptions, patience: Duration) -> Result<(), Error> {
        let open = async {
            let mut connection = AnyConnection::connect_with(options).await?;
            self.engine.prepare(&mut connection, true, self.wait).await?;
            self.engine.look_into(&mut connection).await?;
            let is_standby = self.are_several() && is_standby(&mut connection).await?;
            connection.close().await?;
            Ok(is_standby)
        };
        match timeout(patience, open).await {
            Ok(Ok(false)) => Ok(()),
            Ok(Ok(true)) => {
                let place = refusal::place(self.engine, options);
                Err(Error::Unreachable(format!("{place} is a standby, which takes no writes")))
            }
            Ok(Err(error)) => Err(refusal::refusal(self.engine, options, error)),
            Err(_) => Err(refusal::no_answer(self.engine, options, patience.as_secs())),
        }
    }

    fn turn_to(&self, at: usize) {
        let options = &self.all[at];
        let how = (self.wait, self.connections);
        let fresh = pools(self.engine, options, (at, self.are_several()), how, &self.mark);
        let former = {
            let mut used = self.used.write().expect("nobody panics while holding it");
            std::mem::replace(&mut *used, fresh)
        };
        tracing::warn!("store.server_changed {} is used from now on", refusal::place(self.engine, options));
        // Closed is closed; the end of the connections that are under way is not waited for.
        drop(former.writer.close());
        drop(former.readers.close());
    }
}

fn pools(
    engine: Engine,
    options: &AnyConnectOptions,
    (at, are_several): (usize, bool),
    (wait, most): (Duration, u32),
    mark: &MarkCell,
) -> Used {
    let pool = |connections: u32, is_writer: bool| {
        let mark = mark.clone();
        AnyPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(wait)
            .test_before_acquire(false)
            .before_acquire(move |connection, _| Box::pin(engine.is_usable(connection)))
            .after_connect(move |connection, _| {
                let mark = mark.clone();
                Box::pin(async move {
                    engine.prepare(connection, is_writer, wait).await?;
                    if are_several && is_standby(connection).await? {
                        return Err(sqlx::Error::Protocol("the server is a standby".to_owned()));
                    }
                    mark.compare(connection).await
                })
            })
            .connect_lazy_with(options.clone())
    };
    match engine {
        // One writer: SQLite has one write lock, and a queue of tasks is fairer than its busy handler.
        Engine::Sqlite => Used { at, writer: pool(1, true), readers: pool(READERS, false) },
        Engine::Postgres => {
            let all = pool(most, true);
            Used { at, writer: all.clone(), readers: all }
        }
    }
}

async fn is_standby(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    let sql = "SELECT CASE WHEN pg_is_in_recovery() THEN 1 ELSE 0 END";
    Ok(connection.fetch_one(sql).await?.try_get::<i32, _>(0)? == 1)
}

/// What a store's url says, one place each.
pub(super) fn options_of(engine: Engine, url: &str) -> Result<Vec<AnyConnectOptions>, Error> {
    let urls = match engine {
        Engine::Sqlite => vec![engine.full_url(url)],
        Engine::Postgres => addresses(url)?,
    };
    let wrong = |e| Error::CannotOpen(format!("store.url cannot be read: {e}"));
    urls.iter().map(|url| AnyConnectOptions::from_str(url).map_err(wrong)).collect()
}

#[cfg(test)]
mod tests {
    use super::addresses;

    #[test]
    fn a_url_may_name_several_servers() {
        let check = |url: &str, expected: &[&str]| assert_eq!(addresses(url).unwrap(), expected, "{url}");
        check("postgres://u:p%2C@h/d", &["postgres://u:p%2C@h/d"]);
        check(
            "postgres://u@a:1,b:2/d?target_session_attrs=read-write",
            &["postgres://u@a:1/d", "postgres://u@b:2/d"],
        );
        check(
            "postgresql://[::1]:1,b/d?sslmode=require&target_session_attrs=primary&x=a,b",
            &["postgresql://[::1]:1/d?sslmode=require&x=a,b", "postgresql://b/d?sslmode=require&x=a,b"],
        );
        check("postgres:///d?host=/run/postgresql", &["postgres:///d?host=/run/postgresql"]);
        check("postgres://a,b", &["postgres://a", "postgres://b"]);
        let standby = addresses("postgres://a,b/d?target_session_attrs=standby").unwrap_err().to_string();
        assert!(standby.contains("takes writes"), "{standby}");
    }
}
