//! Shadow mode: all is decided and explained, nothing is touched and nothing is sent; live, what is still there is
//! decided anew.

use std::collections::BTreeMap;

use crate::support::shelf::Shelf;
use crate::support::trial::{Letter, SUPPORT, Trial, on_both_stores, support_with, with_keys};

on_both_stores!(
    nothing_comes_of_it_and_threads_are_seen,
    live_what_is_still_there_is_decided_anew,
    a_shadow_that_the_server_renumbers_is_not_doubled,
    mail_that_is_too_big_is_only_noted,
    what_was_owed_before_waits,
    a_whole_desk_in_shadow,
);

pub fn in_shadow() -> String {
    support_with("mode = \"shadow\"")
}

/// What became of each, and of whose ticket it would be.
async fn shadows(trial: &Trial) -> Vec<String> {
    let fate = |line: &maildesk::store::listing::JournalLine| {
        let word = |word: &Option<String>| word.clone().unwrap_or_default();
        let root = line.shadow_of.map_or(String::new(), |root| format!(" of {root}"));
        format!("{} {} {}{root}", line.state, word(&line.act), word(&line.code))
    };
    trial.journal().await.iter().map(fate).collect()
}

async fn nothing_comes_of_it_and_threads_are_seen(url: String) {
    let trial = Trial::with(&url, &in_shadow()).await;
    let letters = [
        ("1.a", Letter::new("a")),
        ("2.b", Letter::new("b").answering("<a@x.test>")),
        ("3.c", Letter::new("c").answering("<b@x.test>").from("eve@y.test")),
        ("4.a", Letter::new("a")),
        ("5.d", Letter::new("d").to("nobody@example.com")),
    ];
    for (name, letter) in &letters[..3] {
        trial.deliver(name, &letter.bytes());
    }
    trial.poll().await;
    for (name, letter) in &letters[3..] {
        trial.deliver(name, &letter.bytes());
    }
    let report = trial.poll().await;
    assert_eq!((report.fetched, report.acknowledged), (2, 0));
    let expected = [
        "shadow open new_ticket of 1",
        "shadow append reply_by_foreign_id of 1",
        "shadow invalid stranger_on_thread of 1",
        "shadow discard duplicate of 1",
        "shadow invalid no_type",
    ];
    assert_eq!(shadows(&trial).await, expected);
    assert_eq!(trial.remaining(), 5, "nothing is touched at the source");
    assert_eq!((trial.tickets().await.len(), trial.owed().await.len()), (0, 0));
    assert!(trial.invalid("").await.is_empty() && trial.alerts().await.is_empty());
    assert_eq!(trial.poll().await.fetched, 0, "each is read once");
    assert_eq!(report.balance.shadow, 5);
    trial.assert_balanced().await;
}

async fn live_what_is_still_there_is_decided_anew(url: String) {
    let mut trial = Trial::with(&url, &in_shadow()).await;
    // Its parent will be gone by then: live it opens a ticket of its own.
    trial.deliver("1.a", &Letter::new("a").bytes());
    trial.deliver("2.b", &Letter::new("b").answering("<a@x.test>").bytes());
    trial.deliver("3.c", &Letter::new("c").from("eve@y.test").bytes());
    trial.deliver("4.d", &Letter::new("d").answering("<c@x.test>").from("eve@y.test").bytes());
    trial.deliver("5.c", &Letter::new("c").from("eve@y.test").bytes());
    trial.poll().await;
    assert_eq!(trial.states().await, ["shadow"; 5]);
    std::fs::remove_file(trial.folder.path().join("Maildir/new/1.a")).expect("taken by another");
    trial.configure(SUPPORT).await;
    trial.deliver("6.e", &Letter::new("e").answering("<b@x.test>").bytes());
    let report = trial.poll().await;
    assert_eq!((report.fetched, trial.remaining()), (1, 0));
    let expected = [
        "shadow open new_ticket of 1",
        "acked open new_ticket",
        "acked open new_ticket",
        "acked append reply_by_foreign_id",
        "acked discard duplicate",
        "acked append reply_by_foreign_id",
    ];
    assert_eq!(shadows(&trial).await, expected);
    let tickets: BTreeMap<i64, usize> =
        trial.journal().await.iter().filter_map(|l| l.ticket).fold(BTreeMap::new(), |mut all, t| {
            *all.entry(t.0).or_default() += 1;
            all
        });
    assert_eq!(tickets, BTreeMap::from([(1, 2), (2, 3)]), "real numbers begin at 1");
    assert_eq!(trial.owed().await.len(), 4, "the team is told as of any mail");
    assert_eq!((report.balance.shadow, report.balance.tickets), (1, 2));
    trial.assert_balanced().await;
}

async fn a_shadow_that_the_server_renumbers_is_not_doubled(url: String) {
    let mut trial = Trial::with(&url, &in_shadow()).await;
    let shelf = Shelf::default();
    shelf.put("INBOX", "1", &Letter::new("a").bytes());
    trial.round(shelf.session()).await.expect("a round");
    shelf.renumber("INBOX", 8);
    trial.round(shelf.session()).await.expect("a round");
    assert_eq!(shadows(&trial).await, ["shadow open new_ticket of 1", "shadow discard duplicate of 1"]);
    trial.configure(SUPPORT).await;
    // Under this number there is another message by now.
    shelf.put("INBOX", "1", &Letter::new("b").body("another").bytes());
    shelf.put("INBOX", "2", &Letter::new("a").bytes());
    trial.round(shelf.session()).await.expect("a round");
    let expected = [
        "shadow open new_ticket of 1",
        "shadow discard duplicate of 1",
        "acked open new_ticket",
        "acked open new_ticket",
    ];
    assert_eq!(shadows(&trial).await, expected);
    assert_eq!(shelf.acknowledged(), ["INBOX/8/1", "INBOX/8/2"]);
    trial.assert_balanced().await;
}

async fn mail_that_is_too_big_is_only_noted(url: String) {
    let small = |sections: &str| with_keys(sections, "size_limit_mb = 1");
    let mut trial = Trial::with(&url, &small(&in_shadow())).await;
    let shelf = Shelf::default();
    shelf.announce("INBOX", "1", &Letter::new("big").bytes(), 2_000_000);
    trial.round(shelf.session()).await.expect("a round");
    trial.round(shelf.session()).await.expect("a round");
    assert_eq!(shadows(&trial).await, ["shadow error too_big"]);
    assert!(trial.errors("").await.is_empty() && trial.alerts().await.is_empty());
    trial.assert_balanced().await;
    trial.configure(&small(SUPPORT)).await;
    trial.round(shelf.session()).await.expect("a round");
    assert_eq!(
        (shadows(&trial).await, trial.errors("open").await.len()),
        (vec!["left error too_big".into()], 1)
    );
    trial.assert_balanced().await;
}

async fn what_was_owed_before_waits(url: String) {
    use crate::support::shelf::Refuses;
    let mut trial = Trial::new(&url).await;
    let shelf = Shelf::default();
    shelf.put("INBOX", "1", &Letter::new("a").bytes());
    shelf.refuse(Some(Refuses::ToAcknowledge));
    trial.round(shelf.session()).await.expect_err("it is not let go");
    shelf.refuse(None);
    trial.configure(&in_shadow()).await;
    trial.round(shelf.session()).await.expect("a round");
    assert_eq!((trial.states().await, shelf.acknowledged()), (vec!["ack_pending".to_owned()], vec![]));
    trial.configure(SUPPORT).await;
    trial.round(shelf.session()).await.expect("a round");
    assert_eq!((trial.states().await, shelf.ids("INBOX").len()), (vec!["acked".to_owned()], 0));
    trial.assert_balanced().await;
}

/// `run --shadow`: a mailbox that is live is read in shadow for this once.
async fn a_whole_desk_in_shadow(url: String) {
    let mut trial = Trial::new(&url).await;
    let live = trial.works.clone();
    trial.works = live.clone().in_shadow();
    trial.deliver("1.a", &Letter::new("a").bytes());
    let report = trial.poll().await;
    assert_eq!((report.fetched, report.acknowledged, trial.remaining()), (1, 0, 1));
    assert_eq!(shadows(&trial).await, ["shadow open new_ticket of 1"]);
    assert_eq!((trial.tickets().await.len(), trial.owed().await.len()), (0, 0));
    assert_eq!(trial.mailbox("support").await.spec.mode.as_str(), "live", "its settings stay as they are");
    trial.works = live;
    let report = trial.poll().await;
    assert_eq!((report.fates.total(), trial.remaining(), trial.tickets().await.len()), (1, 0, 1));
    trial.assert_balanced().await;
}
