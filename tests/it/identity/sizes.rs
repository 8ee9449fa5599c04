//! The server announces sizes that are wrong, and changes its mind.

use crate::support::shelf::{Refuses, Shelf};
use crate::support::trial::{Letter, Trial, on_both_stores, support_with};

on_both_stores!(
    a_wrong_size_is_taken_in_once,
    another_size_and_the_same_bytes_are_the_same_message,
    another_size_and_other_bytes_are_a_new_message,
    a_number_given_anew_is_not_let_go_before_its_new_mail_is_kept,
);

/// What was handled stays on the server.
fn seen() -> String {
    support_with("handled = \"seen\"")
}

async fn a_wrong_size_is_taken_in_once(url: String) {
    let trial = Trial::with(&url, &seen()).await;
    let shelf = Shelf::default();
    for (id, announced) in [("1", 1), ("2", 900_000), ("3", 0)] {
        shelf.announce("INBOX", id, &Letter::new(id).bytes(), announced);
    }
    trial.round(shelf.session()).await.expect("a round");
    trial.round(shelf.session()).await.expect("a round");
    assert_eq!(trial.fates().await, ["open new_ticket #1", "open new_ticket #2", "open new_ticket #3"]);
    let sizes: Vec<i64> = trial.journal().await.iter().map(|line| line.size).collect();
    assert_eq!(sizes, [Letter::new("1").bytes().len() as i64; 3], "the size is that of the bytes");
    assert_eq!(shelf.ids("INBOX").len(), 3);
    trial.assert_balanced().await;
}

async fn another_size_and_the_same_bytes_are_the_same_message(url: String) {
    let trial = Trial::with(&url, &seen()).await;
    let shelf = Shelf::default();
    for announced in [100, 200, 50, 200] {
        shelf.announce("INBOX", "1", &Letter::new("a").bytes(), announced);
        trial.round(shelf.session()).await.expect("a round");
    }
    let quiet = trial.round(shelf.session()).await.expect("a round");
    assert_eq!(quiet.fetched, 0);
    assert_eq!(trial.fates().await, ["open new_ticket #1"]);
    assert_eq!(trial.owed().await, ["notification #1 admin@example.net"]);
    trial.assert_balanced().await;
}

async fn another_size_and_other_bytes_are_a_new_message(url: String) {
    let trial = Trial::with(&url, &seen()).await;
    let shelf = Shelf::default();
    shelf.put("INBOX", "1", &Letter::new("a").bytes());
    trial.round(shelf.session()).await.expect("a round");
    shelf.put("INBOX", "1", &Letter::new("b").subject("another matter").bytes());
    trial.round(shelf.session()).await.expect("a round");
    trial.round(shelf.session()).await.expect("a round");
    assert_eq!(trial.fates().await, ["open new_ticket #1", "open new_ticket #2"]);
    // The same number once more, and over the limit now: its headers are told of.
    shelf.announce("INBOX", "1", &Letter::new("c").subject("huge").bytes(), 60_000_000);
    trial.round(shelf.session()).await.expect("a round");
    trial.round(shelf.session()).await.expect("a round");
    assert_eq!(trial.fates().await[2..], ["error too_big"]);
    assert_eq!(shelf.ids("INBOX"), ["1"]);
    trial.assert_balanced().await;
}

async fn a_number_given_anew_is_not_let_go_before_its_new_mail_is_kept(url: String) {
    let trial = Trial::new(&url).await;
    let shelf = Shelf::default();
    shelf.put("INBOX", "1", &Letter::new("a").bytes());
    shelf.refuse(Some(Refuses::ToAcknowledge));
    trial.round(shelf.session()).await.expect_err("it is not let go");
    assert_eq!(trial.states().await, ["ack_pending"]);
    shelf.refuse(None);
    shelf.put("INBOX", "1", &Letter::new("b").subject("another matter").bytes());
    trial.round(shelf.session()).await.expect("a round");
    assert_eq!(trial.fates().await, ["open new_ticket #1", "open new_ticket #2"]);
    assert_eq!(shelf.acknowledged(), ["INBOX/7/1"], "once, for the new mail");
    assert_eq!(trial.states().await, ["acked", "acked"]);
    trial.assert_balanced().await;
}
