//! Events: append-only, numbered in the order of commits.

use maildesk::store::{Cause, Counter, Event, Happened, Store};
use maildesk::ticket::TicketId;

use super::world::{at, lay_down, open_ticket};

on_both!(events_are_numbered_under_the_desk_lock);

async fn events_are_numbered_under_the_desk_lock(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let opened = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    let cause = Cause { actor: "account:7".into(), origin: "console", operation: "request:9".into() };
    let event = Event {
        ticket: Some(opened.ticket),
        log_entry: Some(opened.entry),
        happened: Happened::StatusChanged,
        detail: "new>open".into(),
    };
    let first = tx.append_event(&event, &cause, at(3)).await.unwrap();
    let elsewhere =
        Event { ticket: None, log_entry: None, happened: Happened::InvalidKept, detail: String::new() };
    let second = tx.append_event(&elsewhere, &Cause::system("arrival:1"), at(3)).await.unwrap();
    let third = tx
        .append_event(&Event { happened: Happened::Reopened, ..event.clone() }, &cause, at(4))
        .await
        .unwrap();
    assert_eq!((second.0, third.0), (first.0 + 1, first.0 + 2));
    assert_eq!(tx.last_drawn(Counter::Event), third.0);
    tx.commit().await.unwrap();
    let events = store.read().await.unwrap().events_of(opened.ticket).await.unwrap();
    assert_eq!(
        events.iter().map(|e| (e.number, e.kind.as_str())).collect::<Vec<_>>(),
        [(first, "status_changed"), (third, "reopened")]
    );
    let of = &events[0];
    assert_eq!(
        (of.actor.as_str(), of.origin.as_str(), of.operation.as_str()),
        ("account:7", "console", "request:9")
    );
    assert_eq!((of.detail.as_str(), of.log_entry, of.at), ("new>open", Some(opened.entry), at(3)));
    let lines = store.read().await.unwrap().list_events(opened.ticket).await.unwrap();
    assert_eq!(lines.iter().map(|l| l.number).collect::<Vec<_>>(), [first.0, third.0]);
    assert!(store.read().await.unwrap().events_of(TicketId(99)).await.unwrap().is_empty());
    let mut tx = store.write().await.unwrap();
    assert!(tx.append_event(&event, &cause, at(5)).await.is_err());
}
