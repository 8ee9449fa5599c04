//! Start from now: what lay there stays there untouched, whatever numbers the server gives it.

use std::collections::BTreeSet;

use crate::identity::renumbered::{Imap, renumber};
use crate::support::dovecot::Account;
use crate::support::long_tier;
use crate::support::shelf::{Refuses, Shelf};
use crate::support::trial::{Letter, SUPPORT, Trial, on_both_stores, with_keys};

on_both_stores!(
    the_old_stays_untouched_under_new_numbers_and_another_host,
    a_first_round_that_is_cut_off_still_knows_the_old,
    old_mail_without_a_message_id_and_copies_of_it_stay,
    names_of_files_and_of_pop3_may_change,
);

/// `SUPPORT`, or what was made of it, from now on.
pub fn from_now(sections: &str) -> String {
    with_keys(sections, "start = \"now\"")
}

fn old(n: usize) -> Letter {
    Letter::new(&format!("old{n}")).date("Mon, 2 Nov 2020 10:00:00 +0000")
}

/// Names before the ':', and that no client has flagged any of them.
fn untouched(account: &Account, kept: &BTreeSet<String>) {
    let files = account.files("");
    let names: BTreeSet<String> =
        files.iter().map(|f| f.split(':').next().unwrap_or_default().to_owned()).collect();
    assert!(names.is_superset(kept), "old mail was removed");
    let is_flagged = |file: &&String| file.split(":2,").nth(1).is_some_and(|flags| !flags.is_empty());
    assert_eq!(files.iter().find(is_flagged), None, "old mail was flagged");
}

async fn the_old_stays_untouched_under_new_numbers_and_another_host(url: String) {
    let Some(imap) = Imap::new("delete") else { return };
    // More than are looked at together.
    let old_ones = if long_tier() { 10_000 } else { 1200 };
    let kept: BTreeSet<String> = (0..old_ones).map(|n| imap.account.deliver(&old(n).bytes())).collect();
    let mut trial = Trial::with(&url, &from_now(&imap.sections("localhost"))).await;
    let started = std::time::Instant::now();
    let report = trial.poll().await;
    println!("{old_ones} old messages known after {:?}", started.elapsed());
    let before = old_ones as i64;
    assert_eq!(
        (report.before_start, report.fetched, report.balance.before_start),
        (old_ones as u64, 0, before)
    );
    imap.account.deliver(&Letter::new("a").bytes());
    assert_eq!(trial.poll().await.fetched, 1);
    renumber(&imap.account);
    imap.account.deliver(&Letter::new("b").bytes());
    assert_eq!(trial.poll().await.fetched, 1);
    trial.configure(&from_now(&imap.sections("127.0.0.1"))).await;
    imap.account.deliver(&Letter::new("c").bytes());
    let report = trial.poll().await;
    assert_eq!((report.fetched, report.balance.before_start, report.balance.tickets), (1, before, 3));
    renumber(&imap.account);
    let report = trial.poll().await;
    assert_eq!((report.fetched, report.balance.before_start), (0, before));
    untouched(&imap.account, &kept);
    assert_eq!((imap.account.files("").len(), trial.alerts().await), (old_ones, vec![]));
    let senders = trial.tickets().await.len();
    assert_eq!((senders, trial.owed().await.len()), (3, 3));
    trial.assert_balanced().await;
}

async fn a_first_round_that_is_cut_off_still_knows_the_old(url: String) {
    let trial = Trial::with(&url, &from_now(SUPPORT)).await;
    let shelf = Shelf::default();
    for n in 1..=3 {
        shelf.put("INBOX", &n.to_string(), &old(n).bytes());
    }
    shelf.refuse(Some(Refuses::Headers));
    trial.round(shelf.session()).await.expect_err("it is cut off");
    shelf.refuse(None);
    shelf.put("INBOX", "4", &Letter::new("new").bytes());
    trial.round(shelf.session()).await.expect("a round");
    assert_eq!(trial.fates().await, ["before_start", "before_start", "before_start", "open new_ticket #1"]);
    shelf.renumber("INBOX", 8);
    trial.round(shelf.session()).await.expect("a round");
    assert_eq!((trial.journal().await.len(), shelf.ids("INBOX").len()), (4, 3));
    assert_eq!(shelf.acknowledged(), ["INBOX/7/4"]);
    trial.assert_balanced().await;
}

async fn old_mail_without_a_message_id_and_copies_of_it_stay(url: String) {
    let trial = Trial::with(&url, &from_now(SUPPORT)).await;
    let shelf = Shelf::default();
    let nameless = Letter::new("").subject("nameless");
    for (id, letter) in [("1", &nameless), ("2", &old(2)), ("3", &old(2))] {
        shelf.put("INBOX", id, &letter.bytes());
    }
    trial.round(shelf.session()).await.expect("a round");
    // Under the new numbers there is one copy more than before: that one is new.
    shelf.put("INBOX", "4", &old(2).bytes());
    shelf.put("INBOX", "5", &Letter::new("").subject("another").bytes());
    shelf.renumber("INBOX", 8);
    trial.round(shelf.session()).await.expect("a round");
    let fates = ["before_start", "before_start", "before_start", "open new_ticket #1", "open new_ticket #2"];
    assert_eq!(trial.fates().await, fates);
    assert_eq!(shelf.acknowledged(), ["INBOX/8/4", "INBOX/8/5"]);
    // A folder that is read later starts from then.
    shelf.put("Second", "1", &Letter::new("lay there").bytes());
    trial.round(shelf.session()).await.expect("a round");
    shelf.put("Second", "2", &Letter::new("came").bytes());
    trial.round(shelf.session()).await.expect("a round");
    assert_eq!(trial.fates().await[5..], ["before_start", "open new_ticket #3"]);
    trial.assert_balanced().await;
}

async fn names_of_files_and_of_pop3_may_change(url: String) {
    let trial = Trial::with(&url, &from_now(SUPPORT)).await;
    for n in 1..=3 {
        trial.deliver(&format!("{n}.old"), &old(n).bytes());
    }
    assert_eq!(trial.poll().await.before_start, 3);
    let new = trial.folder.path().join("Maildir/new");
    for n in 1..=3 {
        std::fs::rename(new.join(format!("{n}.old")), new.join(format!("{n}.renamed"))).expect("renamed");
    }
    trial.deliver("4.new", &Letter::new("new").bytes());
    let report = trial.poll().await;
    assert_eq!((report.fetched, report.balance.before_start, trial.remaining()), (1, 3, 3));
    assert_eq!(trial.poll().await.fetched, 0);
    trial.assert_balanced().await;
}
