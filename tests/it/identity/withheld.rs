//! A message that its server lists and will not give: asked for in some rounds, then left there under an error ticket. The
//! others go on.

use maildesk::store::listing::ErrorLine;
use maildesk::ticket::ErrorId;

use crate::support::shelf::{Goes, Shelf};
use crate::support::trial::{Letter, Trial, by_hand, on_both_stores};

on_both_stores!(
    what_is_given_after_all_is_taken_in,
    what_is_gone_meanwhile_has_vanished,
    what_is_listed_and_never_comes_is_told,
);

/// Messages 1, 2 and 3, of which the second is not given.
fn withholding() -> Shelf {
    let shelf = Shelf::default();
    for (id, name) in [("1", "a"), ("2", "b"), ("3", "c")] {
        shelf.put("INBOX", id, &Letter::new(name).bytes());
    }
    shelf.goes("INBOX", "2", Some(Goes::Withheld));
    shelf
}

async fn fails(trial: &Trial, shelf: &Shelf) {
    let failure = trial.round(shelf.session()).await.expect_err("one is not given");
    assert!(failure.is_temporary());
    let words = "the server lists it and will not give it: NO cannot read it";
    assert!(failure.words.starts_with("message 2 of ") && failure.words.ends_with(words), "{failure}");
}

/// On SQLite alone: without optimisation these rounds, one in another, take more stack on PostgreSQL than a test has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_five_rounds_it_is_left() {
    let (trial, shelf) = (Trial::new("sqlite:desk.db").await, withholding());
    fails(&trial, &shelf).await;
    assert_eq!(trial.fates().await, ["open new_ticket #1", "refused", "open new_ticket #2"]);
    assert_eq!(shelf.ids("INBOX"), ["2"], "the others are taken in and let go");
    for n in 4..7 {
        shelf.put("INBOX", &n.to_string(), &Letter::new(&format!("m{n}")).bytes());
        fails(&trial, &shelf).await;
        assert_eq!((shelf.ids("INBOX"), trial.tickets().await.len()), (vec!["2".into()], n - 1));
    }
    let report = trial.round(shelf.session()).await.expect("it is an error ticket now");
    assert_eq!(report.left, 1);
    assert_eq!(
        (&trial.fates().await[1], &trial.states().await[1]),
        (&"error refused".into(), &"left".into())
    );
    assert_eq!(trial.alerts().await, ["refused:2"]);
    let ErrorLine { id, code, words, .. } = trial.errors("open").await.remove(0);
    assert!(code == "refused" && words.contains("NO cannot read it; it stays at the source"), "{words}");
    trial.assert_balanced().await;

    let asked = shelf.fetched();
    trial.round(shelf.session()).await.expect("nobody asks any more");
    assert_eq!((shelf.fetched(), shelf.ids("INBOX")), (asked, vec!["2".into()]));

    // Once more, because an admin wants it; and once more when the server has come to its senses.
    trial.works.desk.fetch_error(id, &by_hand()).await.expect("asked for");
    trial.round(shelf.session()).await.expect("it is left again");
    assert_eq!((trial.errors("open").await.len(), shelf.fetched()), (1, asked + 2));
    trial.works.desk.fetch_error(ErrorId(1), &by_hand()).await.expect("asked for");
    shelf.goes("INBOX", "2", None);
    trial.round(shelf.session()).await.expect("a round");
    assert_eq!((&trial.fates().await[1], trial.alerts().await), (&"open new_ticket #6".into(), vec![]));
    assert_eq!((shelf.ids("INBOX").len(), trial.errors("fetched").await.len()), (0, 1));
    trial.assert_balanced().await;
}

async fn what_is_given_after_all_is_taken_in(url: String) {
    let (trial, shelf) = (Trial::new(&url).await, withholding());
    for _ in 0..4 {
        fails(&trial, &shelf).await;
    }
    shelf.goes("INBOX", "2", None);
    let report = trial.round(shelf.session()).await.expect("all is well");
    assert_eq!((report.fetched, report.acknowledged), (1, 1));
    assert_eq!(trial.fates().await[1], "open new_ticket #3");
    assert!(shelf.ids("INBOX").is_empty() && trial.errors("").await.is_empty());
    trial.assert_balanced().await;
}

async fn what_is_gone_meanwhile_has_vanished(url: String) {
    let (trial, shelf) = (Trial::new(&url).await, withholding());
    fails(&trial, &shelf).await;
    shelf.remove("INBOX", "2");
    trial.round(shelf.session()).await.expect("all is well");
    assert_eq!(trial.states().await, ["acked", "vanished", "acked"]);
    trial.assert_balanced().await;
}

/// It has not vanished, as it seems at first: somebody has to know.
async fn what_is_listed_and_never_comes_is_told(url: String) {
    let (trial, shelf) = (Trial::new(&url).await, withholding());
    shelf.goes("INBOX", "2", Some(Goes::BeforeFetch));
    let report = trial.round(shelf.session()).await.expect("somebody may have removed it");
    assert_eq!((report.vanished, &*trial.states().await[1]), (1, "vanished"));
    for _ in 0..3 {
        let failure = trial.round(shelf.session()).await.expect_err("it is listed again");
        assert!(failure.words.ends_with("will not give it: nothing comes when it is asked for"), "{failure}");
    }
    assert_eq!(trial.round(shelf.session()).await.expect("it is an error ticket now").left, 1);
    assert_eq!((&*trial.fates().await[1], &*trial.states().await[1]), ("error refused", "left"));
    trial.assert_balanced().await;
    shelf.goes("INBOX", "2", None);
    trial.works.desk.fetch_error(ErrorId(1), &by_hand()).await.expect("asked for");
    trial.round(shelf.session()).await.expect("a round");
    assert_eq!((&*trial.fates().await[1], shelf.ids("INBOX").len()), ("open new_ticket #3", 0));
    trial.assert_balanced().await;
}
