//! Messages over the size limit stay at the source until somebody wants them or lets them go (B2).

use maildesk::ticket::ErrorId;

use crate::support::shelf::Shelf;
use crate::support::trial::{Letter, Trial, by_hand, on_both_stores, support_with};

on_both_stores!(
    it_is_taken_in_when_the_limit_is_raised,
    an_admin_takes_it_in,
    an_admin_lets_it_go,
    it_is_left_once_under_new_numbers,
    it_has_vanished_when_somebody_removes_it,
    it_is_an_error_again_where_nothing_of_it_can_be_read,
);

fn with_limit(mb: u64) -> String {
    support_with(&format!("size_limit_mb = {mb}"))
}

/// Two messages, of which the second is over the limit, or says so.
async fn with_one_left(url: &str) -> (Trial, Shelf) {
    let trial = Trial::with(url, &with_limit(1)).await;
    let shelf = Shelf::default();
    shelf.put("INBOX", "1", &Letter::new("small").bytes());
    let big = Letter::new("big").subject("a film").from("eve@x.test").bytes();
    shelf.announce("INBOX", "2", &big, 1_500_000);
    for left in [1, 0] {
        assert_eq!(trial.round(shelf.session()).await.expect("a round").left, left, "it is told once");
    }
    assert_eq!(trial.fates().await, ["error too_big", "open new_ticket #1"]);
    assert_eq!(shelf.ids("INBOX"), ["2"]);
    let error = trial.errors("open").await.remove(0);
    assert_eq!(
        (error.from.as_str(), error.subject.as_str(), error.size),
        ("eve@x.test", "a film", 1_500_000)
    );
    assert_eq!(trial.alerts().await, ["too_big:1"]);
    trial.assert_balanced().await;
    (trial, shelf)
}

async fn it_is_taken_in_when_the_limit_is_raised(url: String) {
    let (mut trial, shelf) = with_one_left(&url).await;
    trial.configure(&with_limit(2)).await;
    trial.round(shelf.session()).await.expect("a round");
    is_taken_in(&trial, &shelf).await;
}

async fn an_admin_takes_it_in(url: String) {
    let (trial, shelf) = with_one_left(&url).await;
    trial.works.desk.fetch_error(ErrorId(1), &by_hand()).await.expect("asked for");
    trial.round(shelf.session()).await.expect("a round");
    is_taken_in(&trial, &shelf).await;
}

async fn is_taken_in(trial: &Trial, shelf: &Shelf) {
    assert_eq!(trial.fates().await, ["open new_ticket #2", "open new_ticket #1"]);
    assert_eq!((trial.states().await, shelf.ids("INBOX").len()), (vec!["acked".to_owned(); 2], 0));
    assert!(trial.errors("open").await.is_empty() && trial.alerts().await.is_empty());
    assert_eq!(trial.owed().await.len(), 2);
    trial.assert_balanced().await;
}

async fn an_admin_lets_it_go(url: String) {
    let (trial, shelf) = with_one_left(&url).await;
    trial.works.desk.discard_error(ErrorId(1), &by_hand()).await.expect("let go");
    assert_eq!(shelf.ids("INBOX"), ["2"]);
    trial.round(shelf.session()).await.expect("a round");
    assert!(shelf.ids("INBOX").is_empty() && trial.alerts().await.is_empty());
    assert_eq!(trial.fates().await, ["error too_big", "open new_ticket #1"]);
    assert_eq!(
        (trial.states().await, trial.errors("discarded").await.len()),
        (vec!["acked".to_owned(); 2], 1)
    );
    trial.assert_balanced().await;
}

async fn it_is_left_once_under_new_numbers(url: String) {
    let (trial, shelf) = with_one_left(&url).await;
    shelf.renumber("INBOX", 8);
    let report = trial.round(shelf.session()).await.expect("a round");
    assert_eq!((report.left, trial.errors("").await.len(), trial.alerts().await.len()), (0, 1, 1));
    trial.assert_balanced().await;
    trial.works.desk.fetch_error(ErrorId(1), &by_hand()).await.expect("asked for");
    trial.round(shelf.session()).await.expect("a round");
    is_taken_in(&trial, &shelf).await;
    assert_eq!(shelf.acknowledged()[1..], ["INBOX/8/1"]);
}

async fn it_has_vanished_when_somebody_removes_it(url: String) {
    let (trial, shelf) = with_one_left(&url).await;
    shelf.remove("INBOX", "2");
    trial.round(shelf.session()).await.expect("a round");
    assert_eq!(trial.states().await, ["vanished", "acked"]);
    assert!(trial.errors("open").await.is_empty() && trial.alerts().await.is_empty());
    trial.works.desk.fetch_error(ErrorId(1), &by_hand()).await.expect_err("it is gone");
    trial.assert_balanced().await;
}

async fn it_is_an_error_again_where_nothing_of_it_can_be_read(url: String) {
    let (trial, shelf) = with_one_left(&url).await;
    shelf.announce("INBOX", "2", &[0; 500], 1_500_000);
    trial.works.desk.fetch_error(ErrorId(1), &by_hand()).await.expect("asked for");
    trial.round(shelf.session()).await.expect("a round");
    assert_eq!(trial.fates().await, ["error unreadable", "open new_ticket #1"]);
    let error = trial.errors("open").await.remove(0);
    assert_eq!((error.id, error.code.as_str()), (ErrorId(1), "unreadable"));
    // And once more, after a fix that fixed nothing.
    trial.works.desk.retry_error(ErrorId(1), &by_hand()).await.expect("tried again");
    trial.round(shelf.session()).await.expect("a round");
    assert_eq!(trial.errors("open").await.len(), 1);
    assert!(shelf.ids("INBOX").is_empty());
    trial.assert_balanced().await;
}
