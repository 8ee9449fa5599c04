//! A mailbox whose mail is suddenly unknown waits for a person, instead of being answered; one with much new mail does not.

use std::fs::File;
use std::time::{Duration, SystemTime};

use maildesk::clock::Clock;
use maildesk::store::Unknown;

use crate::identity::renumbered::{Imap, renumber};
use crate::support::trial::{Letter, SUPPORT, Trial, on_both_stores};

on_both_stores!(
    restored_mail_waits_until_it_is_taken_in,
    restored_mail_waits_until_it_is_left_there,
    a_burst_of_new_mail_is_taken_in,
    old_mail_on_another_server_waits,
    renumbered_mail_is_known_and_a_burst_beside_it_is_new,
);

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn letter(n: usize) -> Letter {
    Letter::new(&format!("{n}")).from(&format!("Jo <jo{n}@x.test>"))
}

/// Lies in the Maildir as if it had arrived a year ago.
fn restore(trial: &Trial, n: usize) {
    let name = format!("{n}.restored");
    trial.deliver(&name, &letter(n).bytes());
    let path = trial.folder.path().join("Maildir/new").join(name);
    let file = File::options().write(true).open(path).expect("our own file");
    file.set_modified(now() - YEAR).expect("our own file");
}

#[expect(clippy::disallowed_methods, reason = "the time of a file, which is the system's")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// What is written today.
fn today(letter: Letter) -> Letter {
    let date = chrono::DateTime::from_timestamp_micros(Clock::system().now().0).expect("a time");
    letter.date(&date.to_rfc2822())
}

async fn held(url: &str) -> Trial {
    let mut trial = Trial::new(url).await;
    trial.deliver("1.first", &letter(1).bytes());
    trial.poll().await;
    for n in 100..140 {
        restore(&trial, n);
    }
    // Another account, as far as anybody can tell.
    trial.configure(&SUPPORT.replace("path = \"Maildir\"", "path = \"./Maildir\"")).await;
    let report = trial.poll().await;
    assert!(report.is_held && trial.mailbox("support").await.is_held);
    assert_eq!((report.fetched, trial.tickets().await.len(), trial.remaining()), (0, 1, 40));
    assert_eq!(trial.alerts().await, [format!("mailbox:{}:unknown", trial.mailbox("support").await.id)]);
    assert!(trial.works.mailboxes_to_read().await.expect("mailboxes").is_empty(), "it is not read");
    trial
}

async fn resume(trial: &Trial, unknown: Unknown) {
    let mailbox = trial.mailbox("support").await;
    let mut tx = trial.works.store.write().await.unwrap();
    assert!(tx.resume_mailbox(mailbox.id, unknown).await.unwrap());
    tx.commit().await.unwrap();
}

async fn restored_mail_waits_until_it_is_taken_in(url: String) {
    let trial = held(&url).await;
    resume(&trial, Unknown::All).await;
    assert_eq!(trial.poll().await.fetched, 40);
    assert_eq!((trial.tickets().await.len(), trial.remaining()), (41, 0));
    // What comes now has come since, whenever it was written.
    for n in 200..220 {
        restore(&trial, n);
    }
    let report = trial.poll().await;
    assert_eq!((report.is_held, report.fetched), (false, 20));
    trial.assert_balanced().await;
}

async fn restored_mail_waits_until_it_is_left_there(url: String) {
    let trial = held(&url).await;
    resume(&trial, Unknown::Now).await;
    let report = trial.poll().await;
    assert_eq!((report.before_start, report.fetched, report.balance.before_start), (40, 0, 40));
    trial.deliver("2.second", &letter(2).bytes());
    assert_eq!(trial.poll().await.fetched, 1);
    assert_eq!((trial.tickets().await.len(), trial.remaining()), (2, 40));
    trial.assert_balanced().await;
}

/// Dates of senders say nothing about when a message came.
async fn a_burst_of_new_mail_is_taken_in(url: String) {
    let Some(imap) = Imap::new("delete") else { return };
    let trial = Trial::with(&url, &imap.sections("localhost")).await;
    imap.account.deliver(&letter(1).bytes());
    trial.poll().await;
    for n in 100..160 {
        imap.account.deliver(&letter(n).date("Mon, 2 Nov 2020 10:00:00 +0000").bytes());
    }
    let report = trial.poll().await;
    assert_eq!((report.is_held, report.fetched), (false, 60));
    // A burst while the server gave new numbers.
    renumber(&imap.account);
    for n in 200..260 {
        imap.account.deliver(&today(letter(n)).bytes());
    }
    let report = trial.poll().await;
    assert_eq!((report.is_held, report.fetched, trial.alerts().await), (false, 60, vec![]));
    trial.assert_balanced().await;
}

async fn old_mail_on_another_server_waits(url: String) {
    let Some(imap) = Imap::new("delete") else { return };
    let mut trial = Trial::with(&url, &imap.sections("localhost")).await;
    imap.account.deliver(&letter(1).bytes());
    trial.poll().await;
    for n in 100..140 {
        imap.account.deliver(&letter(n).date("Mon, 2 Nov 2020 10:00:00 +0000").bytes());
    }
    trial.configure(&imap.sections("127.0.0.1")).await;
    let report = trial.poll().await;
    assert_eq!((report.is_held, report.fetched, imap.account.files("").len()), (true, 0, 40));
    assert_eq!(trial.poll().await.fetched, 0, "nobody has said anything yet");
    resume(&trial, Unknown::Now).await;
    assert_eq!(trial.poll().await.before_start, 40);
    imap.account.deliver(&letter(2).bytes());
    let report = trial.poll().await;
    assert_eq!((report.fetched, report.balance.before_start, trial.tickets().await.len()), (1, 40, 2));
    trial.assert_balanced().await;
}

async fn renumbered_mail_is_known_and_a_burst_beside_it_is_new(url: String) {
    let Some(imap) = Imap::new("seen") else { return };
    let trial = Trial::with(&url, &imap.sections("localhost")).await;
    for n in 100..150 {
        imap.account.deliver(&letter(n).date("Mon, 2 Nov 2020 10:00:00 +0000").bytes());
    }
    trial.poll().await;
    renumber(&imap.account);
    for n in 200..230 {
        imap.account.deliver(&today(letter(n)).bytes());
    }
    let report = trial.poll().await;
    assert_eq!((report.is_held, report.fetched), (false, 80));
    assert_eq!((trial.tickets().await.len(), trial.owed().await.len()), (80, 80));
    trial.assert_balanced().await;
}
