//! One worker per desk.

use maildesk::store::{Error, Owner, Store};

use super::world::at;

on_both!(one_at_a_time_holds_the_desk);

async fn one_at_a_time_holds_the_desk(store: &Store) {
    let owner = |command, pid| Owner { command, pid, since: at(0) };
    let mut first = store.hold(&owner("run", 11)).await.unwrap();
    first.check().await.unwrap();
    let said = store.hold(&owner("poll", 12)).await.unwrap_err();
    assert!(matches!(said, Error::Held(_)), "{said:?}");
    let said = said.to_string();
    assert!(said.contains("`maildesk run`, pid 11 on ") && said.contains("since 2023-11-14"), "{said}");
    // Who works elsewhere on the store is not kept out: `ticket list` while `run` runs.
    let mut tx = store.write().await.unwrap();
    tx.set_setting("while", "held").await.unwrap();
    tx.commit().await.unwrap();
    drop(first);
    // A PostgreSQL server notices the end of a connection a moment later.
    for _ in 0..200 {
        if let Ok(mut again) = store.hold(&owner("import", 13)).await {
            again.check().await.unwrap();
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the desk is still held");
}
