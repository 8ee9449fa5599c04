//! Opening a store and bringing its schema up: twice, two at a time, and with a schema that is not this program's.

use maildesk::store::{Engine, Error, Store};

use super::world::run_sql;
use crate::support::postgres;

/// As `on_both!`, for scenarios that open the store themselves.
macro_rules! from_the_start_on_both {
    ($($scenario:ident),+ $(,)?) => {$(
        mod $scenario {
            #[tokio::test]
            async fn sqlite() {
                let folder = tempfile::tempdir().expect("a folder");
                super::$scenario(&format!("sqlite:{}", folder.path().join("my desk.db").display())).await;
            }

            #[tokio::test]
            async fn postgres() {
                let Some(url) = super::postgres::database() else { return };
                super::$scenario(&url).await;
            }
        }
    )+};
}

from_the_start_on_both!(
    a_new_store_has_no_schema_until_it_is_migrated,
    a_store_is_opened_twice,
    two_migrate_at_once,
    a_newer_schema_is_refused,
    an_older_schema_is_refused,
);

async fn open(url: &str) -> Store {
    Store::connect(url).await.unwrap_or_else(|e| panic!("{e}"))
}

async fn a_new_store_has_no_schema_until_it_is_migrated(url: &str) {
    let store = open(url).await;
    let is_file = url.starts_with("sqlite:");
    assert_eq!(store.engine(), if is_file { Engine::Sqlite } else { Engine::Postgres });
    let schema = store.schema().await.unwrap();
    assert_eq!(schema.found, 0);
    assert!(schema.needed > 0);
    let said = store.require_schema().await.unwrap_err();
    assert!(matches!(said, Error::OldSchema { found: 0, .. }), "{said}");
    assert!(said.to_string().contains("run `maildesk migrate`"), "{said}");
    let schema = store.migrate().await.unwrap();
    assert_eq!(schema.found, schema.needed);
    store.require_schema().await.unwrap();
    let mut tx = store.write().await.unwrap();
    tx.set_setting("kept", "yes").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.migrate().await.unwrap(), schema, "again changes nothing");
    assert!(store.read().await.unwrap().setting("kept").await.unwrap().is_some());
    store.close().await;
    let store = open(url).await;
    store.require_schema().await.unwrap();
    assert!(store.read().await.unwrap().setting("kept").await.unwrap().is_some());
    store.close().await;
}

async fn a_store_is_opened_twice(url: &str) {
    let first = open(url).await;
    first.migrate().await.unwrap();
    let second = open(url).await;
    second.require_schema().await.unwrap();
    let mut tx = first.write().await.unwrap();
    tx.set_setting("from", "first").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(second.read().await.unwrap().setting("from").await.unwrap().as_deref(), Some("first"));
    first.close().await;
    let mut tx = second.write().await.unwrap();
    tx.set_setting("from", "second").await.unwrap();
    tx.commit().await.unwrap();
    second.close().await;
}

async fn two_migrate_at_once(url: &str) {
    let (first, second) = (open(url).await, open(url).await);
    let (one, other) = tokio::join!(first.migrate(), second.migrate());
    assert_eq!(one.unwrap(), other.unwrap());
    let mut tx = first.desk().await.unwrap();
    assert_eq!(tx.draw(maildesk::store::Counter::Event).await.unwrap(), 1);
    drop(tx);
    first.close().await;
    second.close().await;
}

async fn a_newer_schema_is_refused(url: &str) {
    let store = open(url).await;
    let needed = store.migrate().await.unwrap().needed;
    run_sql(
        url,
        &["INSERT INTO _sqlx_migrations (version, description, installed_on, success, checksum, execution_time) \
           SELECT version + 1000, 'tomorrow', installed_on, success, checksum, 0 FROM _sqlx_migrations"],
    )
    .await;
    for said in [store.require_schema().await.unwrap_err(), store.migrate().await.unwrap_err()] {
        assert!(matches!(said, Error::NewSchema { found, .. } if found > needed), "{said}");
        assert!(said.to_string().contains("install a newer maildesk"), "{said}");
    }
    store.close().await;
}

async fn an_older_schema_is_refused(url: &str) {
    let store = open(url).await;
    let needed = store.migrate().await.unwrap().needed;
    run_sql(url, &["UPDATE _sqlx_migrations SET version = version - 1000"]).await;
    let said = store.require_schema().await.unwrap_err();
    assert!(matches!(said, Error::OldSchema { found, .. } if found < needed), "{said}");
    store.close().await;
}

#[tokio::test]
async fn sqlite_is_run_as_it_must_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("desk.db");
    let store = open(&format!("sqlite:{}", path.display())).await;
    store.migrate().await.unwrap();
    let header = std::fs::read(&path).unwrap();
    assert_eq!(&header[16..18], &16384_u16.to_be_bytes(), "the page size comes first");
    assert_eq!(header[18..20], [2, 2], "write-ahead log");
    store.close().await;
    assert!(!folder.path().join("desk.db-wal").exists(), "closed, all of it is in the one file");
}

on_both!(a_sound_store_says_so, a_store_that_is_written_to_is_told_from_one_that_is_not);

async fn a_sound_store_says_so(store: &Store) {
    let (is_good, words) = store.integrity().await.unwrap();
    assert!(is_good, "{words}");
}

async fn a_store_that_is_written_to_is_told_from_one_that_is_not(store: &Store) {
    store.require_writable().await.unwrap();
    assert_eq!(store.read().await.unwrap().setting("doctor").await.unwrap(), None, "nothing stays of it");
    store.require_writable().await.unwrap();
}
