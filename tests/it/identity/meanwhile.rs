//! Other clients read and delete mail while it is taken in.

use maildesk::intake::source::{Handled, Source as _};

use super::renumbered::Imap;
use crate::support::shelf::{Goes, Refuses, Shelf};
use crate::support::trial::{Letter, Trial, on_both_stores};

on_both_stores!(
    mail_that_somebody_has_read_is_taken_in,
    mail_deleted_before_it_was_fetched_has_vanished,
    mail_that_had_vanished_and_is_there_again_is_taken_in,
    mail_deleted_after_it_was_kept_is_acknowledged,
    mail_deleted_between_two_rounds_is_acknowledged,
);

async fn mail_that_somebody_has_read_is_taken_in(url: String) {
    let Some(imap) = Imap::new("delete") else { return };
    let trial = Trial::with(&url, &imap.sections("localhost")).await;
    for id in ["a", "b", "c"] {
        imap.account.deliver(&Letter::new(id).bytes());
    }
    let mut other = imap.client(&trial).await;
    let items = other.open("INBOX").await.expect("the inbox").items;
    let ids: Vec<String> = items.iter().map(|i| i.source_id.clone()).collect();
    other.acknowledge(&ids[..1], &Handled::Seen).await.expect("read");
    other.acknowledge(&ids[1..2], &Handled::Delete).await.expect("deleted");
    trial.poll().await;
    assert_eq!(trial.fates().await, ["open new_ticket #1", "open new_ticket #2"]);
    assert!(imap.account.files("").is_empty());
    trial.assert_balanced().await;
}

async fn mail_deleted_before_it_was_fetched_has_vanished(url: String) {
    let trial = Trial::new(&url).await;
    let shelf = Shelf::default();
    for id in ["1", "2", "3"] {
        shelf.put("INBOX", id, &Letter::new(id).bytes());
    }
    shelf.goes("INBOX", "2", Some(Goes::BeforeFetch));
    let report = trial.round(shelf.session()).await.expect("a round");
    assert_eq!(report.vanished, 1);
    assert_eq!(trial.fates().await, ["open new_ticket #1", "vanished", "open new_ticket #2"]);
    assert_eq!(shelf.acknowledged(), ["INBOX/7/1", "INBOX/7/3"]);
    trial.assert_balanced().await;
}

async fn mail_that_had_vanished_and_is_there_again_is_taken_in(url: String) {
    let trial = Trial::new(&url).await;
    let shelf = Shelf::default();
    shelf.put("INBOX", "1", &Letter::new("a").bytes());
    shelf.goes("INBOX", "1", Some(Goes::BeforeFetch));
    trial.round(shelf.session()).await.expect("a round");
    assert_eq!(trial.fates().await, ["vanished"]);
    trial.assert_balanced().await;
    shelf.goes("INBOX", "1", None);
    trial.round(shelf.session()).await.expect("a round");
    assert_eq!(trial.fates().await, ["open new_ticket #1"]);
    assert_eq!(trial.states().await, ["acked"]);
    trial.assert_balanced().await;
}

async fn mail_deleted_after_it_was_kept_is_acknowledged(url: String) {
    let trial = Trial::new(&url).await;
    let shelf = Shelf::default();
    shelf.put("INBOX", "1", &Letter::new("a").bytes());
    shelf.goes("INBOX", "1", Some(Goes::BeforeAcknowledgement));
    trial.round(shelf.session()).await.expect("a round");
    assert_eq!((trial.fates().await, trial.states().await), (open(1), vec!["acked".to_owned()]));
    trial.assert_balanced().await;
}

async fn mail_deleted_between_two_rounds_is_acknowledged(url: String) {
    let trial = Trial::new(&url).await;
    let shelf = Shelf::default();
    shelf.put("INBOX", "1", &Letter::new("a").bytes());
    shelf.refuse(Some(Refuses::ToAcknowledge));
    trial.round(shelf.session()).await.expect_err("it is not let go");
    assert_eq!((trial.fates().await, trial.states().await), (open(1), vec!["ack_pending".to_owned()]));
    shelf.refuse(None);
    shelf.remove("INBOX", "1");
    trial.round(shelf.session()).await.expect("a round");
    assert_eq!((trial.fates().await, trial.states().await), (open(1), vec!["acked".to_owned()]));
    assert!(shelf.acknowledged().is_empty());
    trial.assert_balanced().await;
}

fn open(ticket: i64) -> Vec<String> {
    vec![format!("open new_ticket #{ticket}")]
}
