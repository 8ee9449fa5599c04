//! What the loop breaker counts, the storms that it has stopped, and what a flood had suspended.

use maildesk::clock::Micros;
use maildesk::store::loops::{NewCount, NewStorm, loop_hash};
use maildesk::store::queue::NewInvalid;
use maildesk::store::{Error, Store};

use super::world::{arrive, at, keys, lay_down, new_invalid};

on_both!(
    counts_add_up_by_key_and_slot,
    a_storm_is_noted_until_it_is_reset,
    what_was_suspended_is_found_and_let_through,
);

async fn counts_add_up_by_key_and_slot(store: &Store) {
    let hash = |name: &str| loop_hash(&keys(), "sender", name);
    let (jo, ann) = (hash("jo@x.test"), hash("ann@x.test"));
    assert_ne!(jo, ann);
    for _ in 0..2 {
        let mut tx = store.desk().await.unwrap();
        for (hash, slot, count) in [(jo, 7, 1), (jo, 8, 2), (ann, 8, 4)] {
            tx.add_loop_count(&NewCount { hash, slot, count }, at(1)).unwrap();
        }
        tx.commit().await.unwrap();
    }
    let mut tx = store.desk().await.unwrap();
    let mut counts = tx.loop_counts(&[jo, ann], 8).await.unwrap();
    counts.sort_by_key(|c| c.count);
    let of = |hash, count| NewCount { hash, slot: 8, count };
    assert_eq!(counts, [of(jo, 4), of(ann, 8)]);
    assert_eq!(tx.loop_counts(&[jo], 0).await.unwrap().len(), 2);
    let kept = Micros(at(1).0 + 2 * 24 * 3600 * Micros::SECOND);
    tx.clear_loop_counts(3600, kept).await.unwrap();
    assert_eq!(tx.loop_counts(&[jo], 0).await.unwrap().len(), 2);
    tx.clear_loop_counts(3600, Micros(kept.0 + 1)).await.unwrap();
    assert!(tx.loop_counts(&[jo, ann], 0).await.unwrap().is_empty());
}

async fn a_storm_is_noted_until_it_is_reset(store: &Store) {
    let mut tx = store.desk().await.unwrap();
    let storm = |stopped: u64, received: i64| NewStorm {
        hash: 5,
        kind: "sender",
        name: "jo@x.test",
        cap: 10,
        window_s: 3600,
        stopped,
        first: at(received),
        last: at(received),
    };
    tx.note_storm(&storm(2, 100), at(100)).await.unwrap();
    tx.note_storm(&storm(3, 200), at(200)).await.unwrap();
    let found = tx.storms().await.unwrap().remove(0);
    assert_eq!((found.stopped, found.first, found.last), (5, at(100), at(200)));
    assert_eq!((found.kind.as_str(), found.name.as_str(), found.cap), ("sender", "jo@x.test", 10));
    assert!(!found.is_over(at(3800)) && found.is_over(at(3801)));
    // One that was over begins anew.
    tx.note_storm(&storm(1, 9000), at(9000)).await.unwrap();
    let found = tx.storms().await.unwrap();
    assert_eq!((found.len(), found[0].stopped, found[0].first), (1, 1, at(9000)));
    assert!(tx.reset_loop(5).await.unwrap());
    assert!(!tx.reset_loop(5).await.unwrap(), "nothing is known of it any more");
    assert!(tx.storms().await.unwrap().is_empty());
}

async fn what_was_suspended_is_found_and_let_through(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let mut ids = vec![];
    for (n, (code, is_shown, sender)) in [
        ("flood_sender", true, "jo@x.test"),
        ("flood_journalled", false, "jo@x.test"),
        ("flood_sender", true, "ann@x.test"),
        ("no_type", true, "jo@x.test"),
    ]
    .into_iter()
    .enumerate()
    {
        let arrival = arrive(&mut tx, laid.mailbox, &n.to_string(), b"x").await;
        let number = tx.draw_decision().await.unwrap();
        let new = NewInvalid {
            code,
            is_shown,
            sender_address: sender,
            subject: "storm",
            ..new_invalid(arrival, number)
        };
        ids.push(tx.insert_invalid(&new, at(1)).await.unwrap());
    }
    assert_eq!(tx.suspended("", "").await.unwrap(), ids[..3]);
    assert_eq!(tx.suspended("flood_sender", "").await.unwrap(), [ids[0], ids[2]]);
    assert_eq!(tx.suspended("", "jo@x.test").await.unwrap(), ids[..2]);
    assert_eq!(tx.invalid(ids[1]).await.unwrap().state, "journalled");
    let first = tx.invalid(ids[0]).await.unwrap();
    tx.settle_invalid(&first, "recovered", None, at(2)).await.unwrap();
    tx.let_through(first.arrival).await.unwrap();
    assert!(tx.arrival(first.arrival).await.unwrap().is_let_through);
    assert_eq!(tx.suspended("", "jo@x.test").await.unwrap(), [ids[1]]);
    // It is invalid once more, for another reason.
    let number = tx.draw_decision().await.unwrap();
    let new = NewInvalid {
        is_again: true,
        sender_address: "jo@x.test",
        subject: "storm",
        ..new_invalid(first.arrival, number)
    };
    let again = tx.insert_invalid(&new, at(3)).await.unwrap();
    assert_eq!(tx.invalid(again).await.unwrap().state, "open");
    assert!(matches!(tx.invalid(ids[0]).await, Err(Error::Missing(_))));
}
