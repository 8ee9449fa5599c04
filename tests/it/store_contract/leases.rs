//! Who works on a desk, and on what: lives, leases, and fences that hold.

use std::sync::Arc;
use std::time::Duration;

use maildesk::clock::uptime;
use maildesk::store::{Error, Fence, Life, Member, Store};

on_both!(
    a_lease_is_one_daemons_until_it_is_given_back,
    a_life_ends_by_the_databases_clock,
    what_was_taken_over_commits_nothing,
    a_life_that_is_over_by_our_own_clock_writes_nothing,
    a_daemon_that_leaves_leaves_all,
);

const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

/// Begins the life of a daemon.
pub async fn live(store: &Store, id: &str) {
    join(store, id, MINUTE).await;
}

async fn join(store: &Store, id: &str, length: Option<Duration>) {
    let member =
        Member { id: id.into(), command: "run".into(), host: "here".into(), pid: 7, process: String::new() };
    let mut tx = store.write().await.unwrap();
    tx.join(&member, length).await.unwrap();
    tx.commit().await.unwrap();
}

/// Ends it.
pub async fn die(store: &Store, id: &str) {
    let mut tx = store.write().await.unwrap();
    tx.leave(id).await.unwrap();
    tx.commit().await.unwrap();
}

/// Takes a lease; gives the number, and whether it had been given back.
async fn take(store: &Store, name: &str, owner: &str) -> Option<(i64, bool)> {
    let mut tx = store.write().await.unwrap();
    tx.lock_leases().await.unwrap();
    let taken = tx.take(name, owner).await.unwrap();
    tx.commit().await.unwrap();
    taken.map(|taken| (taken.fence, taken.was_given_back))
}

fn fence(owner: &str, lease: &str, number: i64) -> Fence {
    Fence { life: Arc::new(Life::new(owner.into(), uptime(), MINUTE)), lease: lease.into(), number }
}

async fn a_lease_is_one_daemons_until_it_is_given_back(store: &Store) {
    live(store, "a").await;
    live(store, "b").await;
    assert_eq!(take(store, "mailbox:1", "a").await, Some((1, true)));
    assert_eq!(take(store, "mailbox:1", "b").await, None);
    assert_eq!(take(store, "mailbox:2", "b").await, Some((1, true)));
    let leases = store.read().await.unwrap().leases().await.unwrap();
    let held: Vec<_> = leases.iter().map(|l| (l.name.as_str(), l.owner.as_str(), l.is_live)).collect();
    assert_eq!(held, [("mailbox:1", "a", true), ("mailbox:2", "b", true)]);
    // What is no more ours cannot be given back.
    for (number, expected) in [(9, None), (1, Some((2, true)))] {
        let mut tx = store.write().await.unwrap();
        tx.give_back(&fence("a", "mailbox:1", number)).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(take(store, "mailbox:1", "b").await, expected);
    }
}

async fn a_life_ends_by_the_databases_clock(store: &Store) {
    join(store, "short", Some(Duration::from_millis(300))).await;
    join(store, "long", None).await;
    assert_eq!(take(store, "job:x", "short").await, Some((1, true)));
    let mut tx = store.write().await.unwrap();
    assert!(tx.renew("short", Some(Duration::from_millis(300))).await.unwrap());
    assert!(!tx.renew("nobody", MINUTE).await.unwrap());
    tx.commit().await.unwrap();
    let begun = std::time::Instant::now();
    while take(store, "job:x", "long").await != Some((2, false)) {
        assert!(begun.elapsed() < Duration::from_secs(20), "it never ends");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!store.write().await.unwrap().renew("short", MINUTE).await.unwrap(), "once over it is over");
    let mut tx = store.write().await.unwrap();
    tx.bury("long").await.unwrap();
    assert!(
        tx.daemons().await.unwrap().iter().all(|d| !d.is_live),
        "who is seen to be gone has no time left"
    );
    drop(tx);
    let lives: Vec<_> = store.read().await.unwrap().daemons().await.unwrap();
    let mut lives: Vec<_> = lives.iter().map(|d| (d.id.as_str(), d.pid, d.is_live)).collect();
    // Both may have come in one tick of the database's clock.
    lives.sort_unstable();
    assert_eq!(lives, [("long", 7, true), ("short", 7, false)]);
    let mut tx = store.write().await.unwrap();
    tx.forget_daemons().await.unwrap();
    assert!(tx.daemons().await.unwrap().is_empty());
}

async fn what_was_taken_over_commits_nothing(store: &Store) {
    join(store, "a", MINUTE).await;
    assert_eq!(take(store, "mailbox:1", "a").await, Some((1, true)));
    let ours = store.under(fence("a", "mailbox:1", 1));
    let mut tx = ours.write().await.unwrap();
    tx.set_setting("by", "a").await.unwrap();
    tx.commit().await.unwrap();
    ours.require_life().unwrap();
    ours.require_lease().await.unwrap();
    // Its daemon is gone without a word, and another one has the mailbox.
    let mut tx = store.write().await.unwrap();
    tx.forget_daemons().await.unwrap();
    tx.commit().await.unwrap();
    live(store, "b").await;
    assert_eq!(take(store, "mailbox:1", "b").await, Some((2, false)));
    for refused in [ours.write().await.err(), ours.desk().await.err(), ours.require_lease().await.err()] {
        assert!(matches!(refused, Some(Error::TakenOver(_))), "{refused:?}");
    }
    // And under a new life of the old name the old number is still the old number.
    live(store, "a").await;
    assert!(ours.write().await.is_err());
    store.under(fence("b", "mailbox:1", 2)).write().await.unwrap();
}

async fn a_life_that_is_over_by_our_own_clock_writes_nothing(store: &Store) {
    live(store, "a").await;
    assert_eq!(take(store, "mailbox:1", "a").await, Some((1, true)));
    let life = Arc::new(Life::new("a".into(), uptime(), Some(Duration::ZERO)));
    assert!(life.is_over() && !life.renewed(uptime()), "once over it is over");
    let ours = store.under(Fence { life, lease: "mailbox:1".into(), number: 1 });
    assert!(matches!(ours.require_life(), Err(Error::TakenOver(_))));
    assert!(matches!(ours.write().await.err(), Some(Error::TakenOver(_))));
}

async fn a_daemon_that_leaves_leaves_all(store: &Store) {
    live(store, "a").await;
    live(store, "b").await;
    for name in ["mailbox:1", "mailbox:2"] {
        assert_eq!(take(store, name, "a").await, Some((1, true)));
    }
    die(store, "a").await;
    for name in ["mailbox:1", "mailbox:2"] {
        assert_eq!(take(store, name, "b").await, Some((2, true)), "in good order");
    }
}

#[tokio::test]
async fn whoever_takes_over_waits_for_no_commit_and_gets_nothing_before_it() {
    let Some(url) = crate::support::postgres::database() else { return };
    let store = Store::connect(&url).await.unwrap();
    store.migrate().await.unwrap();
    join(&store, "a", Some(Duration::from_millis(500))).await;
    live(&store, "b").await;
    assert_eq!(take(&store, "mailbox:1", "a").await, Some((1, true)));
    let mut tx = store.under(fence("a", "mailbox:1", 1)).write().await.unwrap();
    tx.set_setting("by", "a").await.unwrap();
    let begun = std::time::Instant::now();
    while store.read().await.unwrap().daemons().await.unwrap().iter().any(|d| d.id == "a" && d.is_live) {
        assert!(begun.elapsed() < Duration::from_secs(20), "it never ends");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(take(&store, "mailbox:1", "b").await, None, "the lease is over, and its last commit is not");
    tx.commit().await.unwrap();
    assert_eq!(take(&store, "mailbox:1", "b").await, Some((2, false)));
}
