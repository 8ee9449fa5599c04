//! Programs that answer each other: real SMTP and IMAP between a desk and a responder, and two desks.

use std::time::Duration;

use super::{SMALL, mails, sections};
use crate::support::inbox;
use crate::support::program::{Desk, Store};
use crate::support::say;
use crate::support::smtp::SmtpSink;
use crate::support::trial::{Letter, Trial, on_both_stores};
use crate::support::wait_until;

on_both_stores!(two_desks_end, two_desks_behind_relays_that_strip_headers_end, a_responder_of_the_team_ends);

#[test]
fn a_responder_without_a_header_ends_sqlite() {
    a_responder_without_a_header_ends(Store::Sqlite);
}

#[test]
fn a_responder_without_a_header_ends_postgres() {
    a_responder_without_a_header_ends(Store::Postgres);
}

/// It echoes what it gets, without any header that tells, and with a new number in the subject each time.
fn a_responder_without_a_header_ends(store: Store) {
    let (Some(inbox), Some(sink)) = (inbox::new(), SmtpSink::start()) else { return };
    let Some(desk) = Desk::with_mailbox(store, &inbox, sink.port) else { return };
    let config = std::fs::read_to_string(desk.config()).expect("config.toml");
    let config = config.replace("tag = \"Support\"\n", "tag = \"Support\"\nauto_answer = true\n");
    assert!(config.contains("auto_answer"), "{config}");
    std::fs::write(desk.config(), config).expect("config.toml");
    let echo = |n: usize, words: &str| {
        let subject = format!("Case {}: we have your mail", 4711 + 13 * n);
        Letter::new(&format!("robot{n}")).from("robot@loop.test").subject(&subject).body(words).bytes()
    };
    inbox.deliver(&echo(0, "Hello"));
    let mut answered = 0;
    loop {
        desk.run(&["poll"]).ok();
        desk.run(&["queue", "send"]).ok();
        let queued = desk.queue();
        let out = queued.iter().filter(|m| m.purpose == "auto_answer" && m.state == "done").count();
        if out == answered {
            break;
        }
        assert_eq!(out, answered + 1, "one mail, one answer");
        let to_robot = || {
            sink.received().into_iter().filter(|m| m.recipients == ["robot@loop.test"]).collect::<Vec<_>>()
        };
        let got = wait_until("the answer at the robot", Duration::from_secs(30), || {
            Some(to_robot()).filter(|got| got.len() == out)
        });
        answered = out;
        let last = got.last().expect("an answer");
        inbox.deliver(&echo(answered, &String::from_utf8_lossy(&last.bytes).replace(['\r', '<', '>'], " ")));
        assert!(answered <= 5, "it goes on");
    }
    say(&format!("a responder without a header, {store:?}: {answered} answers, then none\n"));
    assert_eq!(answered, 5, "the limit of a new desk");
    assert_eq!(inbox.remaining(), 0);
    let held: Vec<_> = desk.queue().into_iter().filter(|m| m.state == "held").collect();
    assert_eq!((held.len(), held[0].purpose.as_str()), (1, "auto_answer"));
    assert_eq!(desk.tickets().len(), 6, "each of its mails is a ticket that somebody sees");
    let alerts = desk.rows(&["alert", "list", "--json"]);
    assert_eq!(alerts.len(), 1, "{alerts:?}");
}

/// Two desks whose types answer by themselves, each with its address.
async fn desks(url: &str) -> [(Trial, &'static str); 2] {
    let other = if url.starts_with("sqlite:") {
        url.to_owned()
    } else {
        crate::support::postgres::database().expect("there was one before")
    };
    let at = |address: &str| {
        sections(SMALL).replace("support@example.com", address).replace("admin@example.net", "boss@else.test")
    };
    [
        (Trial::with(url, &at("support@example.com")).await, "support@example.com"),
        (Trial::with(&other, &at("help@other.test")).await, "help@other.test"),
    ]
}

/// What lies in a desk's outbound folder for this address, in its order; it is taken out.
async fn sent_to(trial: &Trial, address: &str) -> Vec<String> {
    trial.works.outbound().pass(1000).await.expect("a pass");
    let mut found = vec![];
    for entry in std::fs::read_dir(trial.folder.path().join("out")).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        let mail = String::from_utf8_lossy(&std::fs::read(&path).expect("a mail")).into_owned();
        std::fs::remove_file(&path).expect("taken out");
        if mail.lines().any(|line| line.starts_with("To: ") && line.contains(address)) {
            found.push(mail);
        }
    }
    found.sort();
    found
}

/// Carries mails between two desks until none is under way; gives how many were carried. `carry`: what becomes of one.
async fn carry_until_quiet(desks: &[(Trial, &str); 2], carry: impl Fn(usize, &str) -> String) -> usize {
    let mut carried = 0;
    for turn in 0.. {
        assert!(turn < 200, "it goes on");
        let ((from, _), (to, address)) = (&desks[turn % 2], &desks[(turn + 1) % 2]);
        let under_way = sent_to(from, address).await;
        for mail in &under_way {
            to.deliver(&format!("{carried:04}.carried"), carry(carried, mail).as_bytes());
            carried += 1;
        }
        to.poll().await;
        if under_way.is_empty() && turn > 1 {
            break;
        }
    }
    carried
}

async fn two_desks_end(url: String) {
    let desks = desks(&url).await;
    desks[0].0.take_in(Letter::new("a").from("help@other.test")).await;
    let carried = carry_until_quiet(&desks, |_, mail| mail.to_owned()).await;
    assert_eq!(carried, 1, "an answer says that it is one");
}

async fn two_desks_behind_relays_that_strip_headers_end(url: String) {
    let desks = desks(&url).await;
    desks[0].0.take_in(Letter::new("a").from("help@other.test")).await;
    // Only what people see is left, with a Message-ID and a number of the relay's own.
    let carry = |n: usize, mail: &str| {
        let head: Vec<&str> = mail
            .lines()
            .take_while(|line| !line.trim().is_empty())
            .filter(|line| ["From: ", "To: ", "Date: "].iter().any(|name| line.starts_with(name)))
            .collect();
        format!(
            "{}\r\nMessage-ID: <{n}@relay.test>\r\nSubject: Ticket {n} opened\r\n\r\nHello\r\n",
            head.join("\r\n")
        )
    };
    let carried = carry_until_quiet(&desks, carry).await;
    say(&format!("two desks behind relays that strip headers: {carried} answers, then none\n"));
    for (trial, _) in &desks {
        let (answers, held) = mails(trial, "auto_answer", "address").await;
        assert!(answers <= 3 && held <= 1, "{answers} {held}");
    }
    assert!((4..=6).contains(&carried), "{carried}: three of each at most");
}

/// The team's mailbox answers each notification, from an address that nobody knows and with another subject each time.
async fn a_responder_of_the_team_ends(url: String) {
    let trial = Trial::with(&url, &sections(SMALL)).await;
    trial.take_in(Letter::new("a")).await;
    let mut answered = 0;
    loop {
        let notified = sent_to(&trial, "admin@example.net").await.len();
        if notified == 0 {
            break;
        }
        assert!(notified == 1 && answered < 50, "it goes on: {notified}");
        let subject = super::word(answered);
        trial.take_in(Letter::new(&format!("away{answered}")).from("me@away.test").subject(&subject)).await;
        // The answer to it goes elsewhere.
        answered += 1;
    }
    assert_eq!(answered, 11, "ten are tickets, and nobody was told of the one that was suspended");
    assert_eq!(trial.invalid("open").await.len(), 1);
}
