//! Is it there, and what is still owed?

use std::time::{Duration, Instant};

use maildesk::store::{Ping, Store};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::outbox::queue;
use super::world::{arrive, at, lay_down, run_sql_here};
use crate::support::postgres;

on_both!(a_store_that_is_there_answers, what_is_owed_is_counted_by_state);

const PATIENCE: Duration = Duration::from_secs(10);

async fn a_store_that_is_there_answers(store: &Store) {
    assert!(matches!(store.ping(PATIENCE).await, Ping::Answers));
}

async fn what_is_owed_is_counted_by_state(store: &Store) {
    let owed = store.read().await.unwrap().owed().await.unwrap();
    assert!(owed.arrivals.is_empty() && owed.recipients.is_empty() && owed.oldest.is_none());
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    arrive(&mut tx, laid.mailbox, "1", b"one").await;
    arrive(&mut tx, laid.mailbox, "2", b"two").await;
    queue(&mut tx, &laid, "op:1", &["ann@x.test", "bea@x.test"]).await;
    queue(&mut tx, &laid, "op:2", &["cy@x.test"]).await;
    queue(&mut tx, &laid, "op:3", &["dan@x.test"]).await;
    tx.commit().await.unwrap();
    run_sql_here("UPDATE outbox SET state = 'held', created_us = 5 WHERE operation = 'op:2'").await;
    run_sql_here("UPDATE outbox SET state = 'done', created_us = 1 WHERE operation = 'op:3'").await;
    run_sql_here("UPDATE outbox_recipient SET state = 'deferred' WHERE address = 'ann@x.test'").await;
    let owed = store.read().await.unwrap().owed().await.unwrap();
    assert_eq!(owed.arrivals, [("kept".to_owned(), 2)]);
    let counts = [("deferred", 1), ("held", 1), ("queued", 1)].map(|(state, n)| (state.to_owned(), n));
    assert_eq!(owed.recipients, counts);
    assert_eq!(owed.oldest, Some(maildesk::clock::Micros(5)));
    assert!(at(0) > maildesk::clock::Micros(5));
}

/// Lets connections through to the server until it is dropped; then nobody answers at its port.
async fn gate(listener: TcpListener, to: String) {
    let mut open = JoinSet::new();
    while let Ok((mut here, _)) = listener.accept().await {
        let to = to.clone();
        open.spawn(async move {
            let mut there = TcpStream::connect(to).await?;
            tokio::io::copy_bidirectional(&mut here, &mut there).await
        });
    }
}

#[tokio::test]
async fn a_server_that_refuses_is_away_and_not_silent() {
    let Some(url) = postgres::database() else { return };
    let (_, rest) = url.split_once('@').expect("user@host/database");
    let server = rest.split('/').next().expect("host:port").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let through = url.replace(&server, &listener.local_addr().unwrap().to_string());
    let mut gates = JoinSet::new();
    gates.spawn(gate(listener, server));
    let store = Store::connect(&through).await.unwrap();
    store.migrate().await.unwrap();
    assert!(matches!(store.ping(PATIENCE).await, Ping::Answers));
    gates.shutdown().await;
    let asked = Instant::now();
    let said = store.ping(Duration::from_secs(2)).await;
    assert!(matches!(said, Ping::Away(_)), "{said:?}");
    assert!(asked.elapsed() < PATIENCE);
}
