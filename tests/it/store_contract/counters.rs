//! Transactions and the counters that ids are drawn from.

use maildesk::store::{Counter, Error, Store};
use maildesk::ticket::{EventNumber, MailboxId, RelayId, TicketId};

use super::world::{at, lay_down, new_arrival, open_ticket, person, place};

on_both!(
    the_ticket_counter_is_only_raised,
    what_is_not_committed_never_was,
    a_savepoint_is_taken_back_alone,
    what_waits_is_taken_back_too,
    a_snapshot_does_not_move,
    who_reads_cannot_write,
    drawn_ids_rise,
    a_desk_counter_needs_the_desk_lock,
    desks_follow_one_another,
    writers_beside_a_desk_draw_their_own,
    an_error_is_taken_back_with_its_savepoint,
);

async fn what_is_not_committed_never_was(store: &Store) {
    let mut tx = store.write().await.unwrap();
    tx.set_setting("colour", "red").await.unwrap();
    assert_eq!(tx.setting("colour").await.unwrap().as_deref(), Some("red"), "it sees its own writes");
    drop(tx);
    assert_eq!(store.read().await.unwrap().setting("colour").await.unwrap(), None);
    let mut tx = store.write().await.unwrap();
    tx.set_setting("colour", "blue").await.unwrap();
    tx.set_setting("colour", "green").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.read().await.unwrap().setting("colour").await.unwrap().as_deref(), Some("green"));
}

async fn a_savepoint_is_taken_back_alone(store: &Store) {
    let mut tx = store.write().await.unwrap();
    tx.set_setting("a", "1").await.unwrap();
    tx.savepoint().await.unwrap();
    tx.set_setting("a", "2").await.unwrap();
    tx.set_setting("b", "2").await.unwrap();
    tx.rollback_to_savepoint().await.unwrap();
    tx.savepoint().await.unwrap();
    tx.set_setting("c", "3").await.unwrap();
    tx.release_savepoint().await.unwrap();
    drop(tx);
    let mut tx = store.write().await.unwrap();
    tx.set_setting("a", "1").await.unwrap();
    for value in ["2", "3"] {
        tx.savepoint().await.unwrap();
        tx.set_setting("a", value).await.unwrap();
        if value == "2" { tx.release_savepoint().await } else { tx.rollback_to_savepoint().await }.unwrap();
    }
    tx.commit().await.unwrap();
    let mut tx = store.read().await.unwrap();
    assert_eq!(tx.setting("a").await.unwrap().as_deref(), Some("2"));
    assert_eq!((tx.setting("b").await.unwrap(), tx.setting("c").await.unwrap()), (None, None));
}

/// Writes that nobody asks about wait, and go out together; for a savepoint they count as written.
async fn what_waits_is_taken_back_too(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.write().await.unwrap();
    tx.add_shown(laid.mailbox, 1).await.unwrap();
    tx.savepoint().await.unwrap();
    tx.add_shown(laid.mailbox, 10).await.unwrap();
    tx.rollback_to_savepoint().await.unwrap();
    tx.savepoint().await.unwrap();
    tx.add_shown(laid.mailbox, 100).await.unwrap();
    tx.set_setting("sent", "so").await.unwrap();
    tx.add_shown(laid.mailbox, 1000).await.unwrap();
    tx.rollback_to_savepoint().await.unwrap();
    tx.savepoint().await.unwrap();
    tx.add_shown(laid.mailbox, 10_000).await.unwrap();
    tx.release_savepoint().await.unwrap();
    tx.add_shown(laid.mailbox, 100_000).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    assert_eq!(tx.mailbox(laid.mailbox).await.unwrap().shown, 110_001);
    tx.add_shown(laid.mailbox, 1).await.unwrap();
    drop(tx);
    assert_eq!(store.read().await.unwrap().mailbox(laid.mailbox).await.unwrap().shown, 110_001);
}

/// The balance reads what was shown and what became of it with two statements; a commit between them is not seen.
async fn a_snapshot_does_not_move(store: &Store) {
    let mut reader = store.read().await.unwrap();
    assert_eq!(reader.setting("colour").await.unwrap(), None);
    let mut tx = store.write().await.unwrap();
    tx.set_setting("colour", "red").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(reader.setting("colour").await.unwrap(), None, "it sees one moment");
    drop(reader);
    assert!(store.read().await.unwrap().setting("colour").await.unwrap().is_some());
}

async fn who_reads_cannot_write(store: &Store) {
    let mut reader = store.read().await.unwrap();
    let said = reader.set_setting("colour", "red").await.unwrap_err();
    assert!(matches!(said, Error::Unavailable(_)), "{said:?}");
}

async fn drawn_ids_rise(store: &Store) {
    let mut tx = store.write().await.unwrap();
    let first = tx.draw(Counter::Arrival).await.unwrap();
    let some = tx.draw_many(Counter::Arrival, 10).await.unwrap();
    assert_eq!((some, tx.draw(Counter::Arrival).await.unwrap()), (first + 1, first + 11));
    assert_eq!(tx.draw(Counter::Attempt).await.unwrap(), 1, "each counter counts for itself");
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    let undone = tx.draw(Counter::Arrival).await.unwrap();
    assert_eq!(undone, first + 12);
    drop(tx);
    let mut tx = store.desk().await.unwrap();
    assert_eq!(tx.draw(Counter::Arrival).await.unwrap(), undone, "the rows of the undone one never were");
    let event = tx.draw(Counter::Event).await.unwrap();
    assert_eq!(tx.draw_many(Counter::Event, 3).await.unwrap(), event + 1);
    assert_eq!(tx.last_drawn(Counter::Event), event + 3);
    assert_eq!(tx.draw(Counter::Ticket).await.unwrap(), 1);
    tx.commit().await.unwrap();
    let mut tx = store.desk().await.unwrap();
    assert_eq!(tx.last_drawn(Counter::Event), event + 3);
    tx.draw(Counter::Event).await.unwrap();
    drop(tx);
    let mut tx = store.desk().await.unwrap();
    assert_eq!(tx.draw(Counter::Event).await.unwrap(), event + 4);
}

async fn a_desk_counter_needs_the_desk_lock(store: &Store) {
    let mut tx = store.write().await.unwrap();
    let said = tx.draw(Counter::Event).await.unwrap_err().to_string();
    assert!(said.contains("event") && said.contains("desk lock"), "{said}");
    assert!(tx.draw_decision().await.is_err());
    assert!(tx.insert_contact(&person("Ann", "ann@x.test"), EventNumber(1), at(0)).await.is_err());
    tx.set_setting("still", "works").await.unwrap();
    tx.commit().await.unwrap();
}

/// Two at once: one waits for the other, and the numbers are in the order of the commits.
async fn desks_follow_one_another(store: &Store) {
    let work = |n: u32| async move {
        let mut tx = store.desk().await.unwrap();
        let number = tx.draw(Counter::Event).await.unwrap();
        let seen = tx.setting("last").await.unwrap().map_or(0, |v| v.parse::<i64>().unwrap());
        // Whoever did not wait would be overtaken here.
        tokio::time::sleep(std::time::Duration::from_millis(u64::from(10 - n))).await;
        tx.set_setting("last", &number.to_string()).await.unwrap();
        tx.commit().await.unwrap();
        (seen, number)
    };
    let mut done: Vec<(i64, i64)> = futures_util::future::join_all((0..8).map(work)).await;
    done.sort();
    let expected: Vec<(i64, i64)> = (0..8).map(|n| (n, n + 1)).collect();
    assert_eq!(done, expected, "each saw what the one before it had committed, and took the next number");
}

/// A writer without the desk lock waits for nobody's decision on PostgreSQL; on SQLite for the one write lock.
async fn writers_beside_a_desk_draw_their_own(store: &Store) {
    let draw = |desk: bool| async move {
        let mut tx = if desk { store.desk().await } else { store.write().await }.unwrap();
        let id = tx.draw_many(Counter::Arrival, 5).await.unwrap();
        tokio::task::yield_now().await;
        tx.commit().await.unwrap();
        id
    };
    let mut ids = futures_util::future::join_all((0..10).map(|n| draw(n % 2 == 0))).await;
    ids.sort();
    assert_eq!(ids, (0..10).map(|n| n * 5 + 1).collect::<Vec<i64>>());
}

/// A row that cannot be written is one message's matter; the batch goes on.
async fn an_error_is_taken_back_with_its_savepoint(store: &Store) {
    let mut tx = store.write().await.unwrap();
    tx.set_setting("before", "1").await.unwrap();
    tx.savepoint().await.unwrap();
    let said = tx.pause_relay(RelayId(1), true).await;
    assert!(!said.unwrap(), "there is no such relay");
    let nowhere = place(MailboxId(99));
    let said = tx.insert_arrivals(&nowhere, &[new_arrival("1", b"x")], at(0)).await.unwrap_err();
    assert!(matches!(said, Error::InUse(_)), "no such mailbox: {said:?}");
    tx.rollback_to_savepoint().await.unwrap();
    tx.set_setting("after", "1").await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.read().await.unwrap();
    assert!(tx.setting("before").await.unwrap().is_some() && tx.setting("after").await.unwrap().is_some());
}

async fn the_ticket_counter_is_only_raised(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    assert!(!tx.raise_ticket_counter(1).await.unwrap());
    assert!(tx.raise_ticket_counter(5000).await.unwrap());
    assert!(!tx.raise_ticket_counter(4000).await.unwrap() && !tx.raise_ticket_counter(0).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = store.desk().await.unwrap();
    assert_eq!(open_ticket(&mut tx, &laid, "ann@x.test", "printer").await.ticket, TicketId(5000));
}
