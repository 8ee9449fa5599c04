//! One worker per desk.

use maildesk::store::{Engine, Error, Manner, Owner, Store};

use super::world::at;

on_both!(one_at_a_time_holds_the_desk, daemons_hold_it_together_where_there_is_room_for_them);

async fn daemons_hold_it_together_where_there_is_room_for_them(store: &Store) {
    let owner = |command, pid| Owner { command, pid, since: at(0) };
    let mut first = store.hold(&owner("run", 11), Manner::Together).await.unwrap();
    let second = store.hold(&owner("run", 12), Manner::Together).await;
    if store.engine() == Engine::Sqlite {
        assert!(second.unwrap_err().to_string().contains("pid 11 on "));
        return;
    }
    second.unwrap().check().await.unwrap();
    super::leases::live(store, "here:7:x").await;
    let said = store.hold(&owner("restore", 13), Manner::Alone).await.unwrap_err().to_string();
    assert!(said.contains("held by `maildesk run`, pid 7 on here, since "), "{said}");
    first.check().await.unwrap();
}

async fn one_at_a_time_holds_the_desk(store: &Store) {
    let owner = |command, pid| Owner { command, pid, since: at(0) };
    let mut first = store.hold(&owner("run", 11), Manner::Alone).await.unwrap();
    first.check().await.unwrap();
    let said = store.hold(&owner("poll", 12), Manner::Together).await.unwrap_err();
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
        if let Ok(mut again) = store.hold(&owner("import", 13), Manner::Together).await {
            again.check().await.unwrap();
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the desk is still held");
}
