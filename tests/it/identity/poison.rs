//! A message that the daemon dies of, or that cannot be written, is set aside with its bytes, and the others go on (M10).

use sqlx::Connection as _;

use maildesk::intake::replay::Grounds;
use maildesk::store::arrival::Of;

use crate::support::trial::{Letter, Trial, by_hand, on_both_stores};

on_both_stores!(
    a_message_that_the_daemon_dies_of_is_set_aside,
    a_message_that_cannot_be_written_is_set_aside,
);

/// On PostgreSQL alone, which can be told to be full for one table: the mark that a message is in hand can be written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_is_no_try() {
    let Some(url) = crate::support::postgres::database() else { return };
    let trial = Trial::new(&url).await;
    trial.deliver("1", &Letter::new("a").bytes());
    fill_up(&url, true).await;
    let failed = trial.works.poll(&trial.mailbox("support").await).await;
    assert!(failed.expect_err("the disk is full").kind.is_store_away());
    for _ in 0..4 {
        let failure = trial.works.decide_pending().await.expect_err("the disk is full");
        assert!(failure.is_temporary(), "{failure}");
    }
    // As another process would find it.
    let mut tx = trial.works.store.write().await.unwrap();
    assert_eq!(tx.count_deaths(Of::All).await.unwrap(), 0);
    drop(tx);
    fill_up(&url, false).await;
    trial.works.decide_pending().await.expect("there is room again");
    assert_eq!(trial.fates().await, ["open new_ticket #1"]);
}

/// The disk is full for tickets, or has room again.
async fn fill_up(url: &str, is_full: bool) {
    let mut connection = sqlx::AnyConnection::connect(url).await.expect("a connection");
    let sql: &[&str] = match is_full {
        true => &[
            "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$",
            "CREATE TRIGGER no_room BEFORE INSERT ON ticket EXECUTE FUNCTION no_room()",
        ],
        false => &["DROP TRIGGER no_room ON ticket"],
    };
    for statement in sql {
        sqlx::query(*statement).execute(&mut connection).await.expect("filled up");
    }
    connection.close().await.expect("closed");
}

/// Kept, and then the process dies with it in hand, three times.
async fn a_message_that_the_daemon_dies_of_is_set_aside(url: String) {
    let trial = Trial::new(&url).await;
    trial.take_in(Letter::new("a")).await;
    let poisonous = trial.journal().await[0].arrival;
    // As if it had only been kept, and never decided.
    let mut tx = trial.works.store.desk().await.unwrap();
    tx.reopen_journal(poisonous).await.unwrap();
    for death in 1..=3 {
        tx.take_in_hand(poisonous).await.unwrap();
        if death < 3 {
            tx.count_deaths(Of::All).await.unwrap();
        }
    }
    tx.commit().await.unwrap();
    trial.deliver("2", &Letter::new("b").bytes());
    trial.works.decide_pending().await.expect("decided one by one");
    trial.poll().await;
    assert_eq!(trial.fates().await, ["error poison", "open new_ticket #2"]);
    assert_eq!(trial.errors("open").await.len(), 1);
    let again = trial.works.intake.decide_again(poisonous, Grounds::Stored).await.unwrap();
    let seen = again.decision.trace.iter().map(|step| format!("{}: {}", step.rule, step.evidence));
    let expected = ["set_aside: failed 3 times: it could not be parsed, or not be written"];
    assert_eq!(seen.collect::<Vec<_>>(), expected);
    let raw = trial.works.store.read().await.unwrap().raw_chunk(poisonous, 0).await.unwrap();
    assert_eq!(raw, Some(Letter::new("a").bytes()));
    assert_eq!(trial.states().await, ["acked", "acked"]);
    assert_eq!(trial.remaining(), 0);
}

async fn a_message_that_cannot_be_written_is_set_aside(url: String) {
    let trial = Trial::new(&url).await;
    meddle(&trial.store_url(), true).await;
    trial.deliver("1", &Letter::new("a").bytes());
    trial.deliver("2", &Letter::new("b").subject("poison").bytes());
    trial.deliver("3", &Letter::new("c").bytes());
    trial.poll().await;
    assert_eq!(trial.states().await, ["acked", "kept", "acked"], "it has tries left, and the others go on");
    trial.poll().await;
    // The number that the failed ticket had drawn is not given again.
    assert_eq!(trial.fates().await, ["open new_ticket #1", "error poison", "open new_ticket #3"]);
    assert_eq!((trial.states().await, trial.remaining()), (vec!["acked".to_owned(); 3], 0));
    trial.assert_balanced().await;
    // After a fix it is decided again, and nothing of its failures stays.
    meddle(&trial.store_url(), false).await;
    let error = trial.errors("open").await[0].id;
    trial.works.desk.retry_error(error, &by_hand()).await.expect("tried again");
    trial.poll().await;
    assert!(trial.fates().await[1].starts_with("open new_ticket #"), "{:?}", trial.fates().await);
    assert_eq!(trial.owed().await.len(), 3);
    assert!(trial.errors("open").await.is_empty());
    trial.poll().await;
    assert_eq!(trial.states().await, ["acked", "acked", "acked"]);
    trial.assert_balanced().await;
}

/// The store refuses a ticket with the subject "poison", or takes it again.
async fn meddle(url: &str, refuses: bool) {
    let mut connection = sqlx::AnyConnection::connect(url).await.expect("a connection");
    let sql: &[&str] = match (url.starts_with("sqlite"), refuses) {
        (true, true) => &["CREATE TRIGGER poison BEFORE INSERT ON ticket WHEN NEW.subject = 'poison' \
                          BEGIN SELECT RAISE(ABORT, 'it cannot be written'); END"],
        (true, false) => &["DROP TRIGGER poison"],
        (false, true) => &["ALTER TABLE ticket ADD CONSTRAINT poison CHECK (subject <> 'poison')"],
        (false, false) => &["ALTER TABLE ticket DROP CONSTRAINT poison"],
    };
    for statement in sql {
        sqlx::query(*statement).execute(&mut connection).await.expect("meddled");
    }
    connection.close().await.expect("closed");
}
