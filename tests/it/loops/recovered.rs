//! What a flood had suspended comes in as if it had come just so.

use super::{SMALL, count, mails, sections, storm, word};
use crate::support::program::{Desk, Store};
use crate::support::trial::{Letter, Trial, by_hand, make_maildir, on_both_stores};
use maildesk::store::arrival::Of;

on_both_stores!(what_was_suspended_is_recovered_in_its_order, what_is_recovered_may_be_invalid_again);

async fn recover(trial: &Trial, code: &str, sender: &str) -> usize {
    let ids = trial.works.store.read().await.unwrap().suspended(code, sender).await.expect("ids");
    trial.works.desk.let_through(&ids, &by_hand()).await.expect("pending again");
    trial.works.intake.decide_pending(Of::All, false).await.expect("decided");
    ids.len()
}

async fn what_was_suspended_is_recovered_in_its_order(url: String) {
    let trial = Trial::with(&url, &sections(SMALL)).await;
    // The last one answers one that is suspended.
    let letter = |n: usize| match n {
        19 => Letter::new("a19").subject("Re: it").answering("a12@x.test"),
        n => Letter::new(&format!("a{n}")).subject(&word(n)),
    };
    storm(&trial, (0..20).map(letter)).await;
    assert_eq!(trial.remaining(), 0);
    assert_eq!((trial.invalid("open").await.len(), trial.invalid("journalled").await.len()), (5, 5));
    assert_eq!(recover(&trial, "", "else@x.test").await, 0);
    assert_eq!(recover(&trial, "flood_sender", "jo@x.test").await, 5);
    assert_eq!(count(&trial, "open").await, 15);
    assert_eq!(recover(&trial, "", "jo@x.test").await, 5);
    let fates = trial.fates().await;
    let mut expected: Vec<String> = (1..=19).map(|n| format!("open new_ticket #{n}")).collect();
    expected.push("append reply_by_foreign_id #13".into());
    assert_eq!(fates, expected, "in the order in which they had come");
    let subjects: Vec<String> = trial.tickets().await.into_iter().map(|t| t.subject).collect();
    assert_eq!(subjects, (0..19).map(word).collect::<Vec<_>>());
    // The team is told of each; answers to one address stay within their limit.
    assert_eq!(mails(&trial, "notification", "").await, (20, 0));
    assert_eq!(mails(&trial, "auto_answer", "address").await, (3, 16));
    assert_eq!(trial.invalid("recovered").await.len(), 10);
    assert!(trial.invalid("open").await.is_empty() && trial.invalid("journalled").await.is_empty());
    assert_eq!(recover(&trial, "", "").await, 0, "nothing is left to recover");
    trial.assert_balanced().await;
    // The same mail again is the same mail.
    assert_eq!(trial.take_in(letter(15)).await, "discard duplicate #16");
}

async fn what_is_recovered_may_be_invalid_again(url: String) {
    let trial = Trial::with(&url, &sections(SMALL)).await;
    let nowhere = |n: usize| Letter::new(&format!("a{n}")).to("nobody@example.com").subject(&word(n));
    storm(&trial, (0..12).map(nowhere)).await;
    assert_eq!(count(&trial, "invalid flood_sender").await, 2);
    assert_eq!(recover(&trial, "flood_sender", "").await, 2);
    assert_eq!(count(&trial, "invalid no_type").await, 12);
    let open = trial.invalid("open").await;
    assert_eq!(open.len(), 12);
    assert!(trial.works.desk.let_through(&[open[0].id], &by_hand()).await.is_err(), "of no flood");
    trial.assert_balanced().await;
}

/// As people type it.
#[test]
fn storms_are_listed_reset_and_recovered_by_commands() {
    let desk = Desk::new(Store::usual()).expect("a store");
    make_maildir(&desk.folder.path().join("Maildir"));
    desk.configure(&format!("min_free_mb = 0\n{}", sections(SMALL)));
    let bring = |ids: std::ops::Range<usize>| {
        for n in ids {
            let path = desk.folder.path().join(format!("Maildir/new/{n:03}.x"));
            std::fs::write(path, Letter::new(&format!("a{n}")).subject(&word(n)).bytes()).expect("delivered");
        }
        desk.run(&["poll"]).ok();
    };
    bring(0..20);
    let listed = desk.rows(&["loop", "list", "--json"]);
    let keys: Vec<String> =
        listed.iter().map(|l| format!("{} {} {}", l["key"], l["stopped"], l["state"])).collect();
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert!(keys.contains(&"\"sender:jo@x.test\" 10 \"stopping\"".to_owned()), "{keys:?}");
    assert!(keys.contains(&"\"address:jo@x.test\" 7 \"stopping\"".to_owned()), "{keys:?}");
    let held = desk.rows(&["queue", "list", "--state", "held", "--json"]);
    assert_eq!((held.len(), &held[0]["held_by"]), (7, &"address".into()));
    let done =
        desk.json(&["invalid", "recover", "--code", "flood_sender", "--sender", "jo@x.test", "--json"]);
    let done = done.as_array().expect("a list").clone();
    assert_eq!(done.len(), 5);
    assert_eq!((&done[0]["code"], &done[0]["ticket"]), (&"new_ticket".into(), &11.into()));
    let said = desk.run(&["invalid", "recover", "--sender", "jo@x.test"]).ok().stdout;
    assert!(said.contains("5 recovered; 5 open new_ticket"), "{said}");
    desk.run(&["loop", "reset", "sender:jo@x.test", "address:jo@x.test"]).ok();
    assert!(desk.rows(&["loop", "list", "--all", "--json"]).is_empty());
    assert_eq!(desk.run(&["loop", "reset", "sender:jo@x.test"]).code, Some(65), "nothing counts there");
    bring(20..21);
    assert_eq!(desk.tickets().len(), 21);
}
