//! A storm of each key, measured: with small limits in every run, with the limits of a new desk in the long tier.

use std::time::Duration;

use maildesk::alert;
use maildesk::config::{Config, Env};
use maildesk::intake::replay::Grounds;
use maildesk::triage::{Decision, LoopRule};

use super::{SMALL, count, deliver_aged, mails, sections, storm, word};
use crate::support::trial::{Letter, SUPPORT, Trial, by_hand, on_both_stores};
use crate::support::{long_tier, say};

on_both_stores!(
    each_key_stops_its_storm_within_its_cap,
    old_mail_is_no_flood,
    reports_are_no_flood,
    a_key_that_is_reset_counts_from_nothing,
    a_storm_is_told_once_and_is_over_by_itself,
    a_decision_within_a_storm_is_made_again,
);

const JO: &str = "jo@x.test";

/// The limits of this run, and what they are as a section.
fn limits() -> (String, LoopRule) {
    let loops = if long_tier() { String::new() } else { SMALL.to_owned() };
    let text = sections(&loops);
    let config = Config::of_text("maildesk.toml".into(), text.clone(), &Env::default()).expect("a config");
    (text, config.rules().loops)
}

/// So many messages are a storm beyond a cap.
fn beyond(cap: u64) -> usize {
    cap as usize + (cap as usize / 2).clamp(5, 250)
}

fn tell(key: &str, cap: u64, sent: usize, through: usize, stopped: &str) {
    say(&format!("{key}: limit {cap}, {sent} messages, {through} through, {stopped}\n"));
}

async fn each_key_stops_its_storm_within_its_cap(url: String) {
    let (text, caps) = limits();
    let trial = Trial::with(&url, &text).await;

    // From one sender: all different, and far too many.
    let sent = beyond(caps.sender_journalled);
    storm(&trial, (0..sent).map(|n| Letter::new(&format!("s{n}")).subject(&word(n)))).await;
    let opened = count(&trial, "open").await;
    let suspended = count(&trial, "invalid flood_sender").await;
    let journalled = count(&trial, "discard flood_journalled").await;
    tell("sender", caps.sender, sent, opened, &format!("{suspended} suspended, {journalled} journalled"));
    let expected = (caps.sender as usize, (caps.sender_journalled - caps.sender) as usize);
    assert_eq!((opened, suspended), expected);
    assert_eq!(opened + suspended + journalled, sent);
    assert_eq!(trial.invalid("open").await.len(), suspended);
    assert_eq!(trial.invalid("journalled").await.len(), journalled);
    // The same storm stood against the limit on answers to one address.
    let (answers, held) = mails(&trial, "auto_answer", "address").await;
    tell("address", caps.address, opened, answers, &format!("{held} answers wait in hold"));
    assert_eq!((answers, held), (caps.address as usize, opened - answers));
    assert_eq!(mails(&trial, "notification", "").await, (opened, 0), "the team is told of each");

    // From a domain whose addresses change each time.
    let trial = Trial::with(&fresh(&url).await, &text).await;
    let sent = beyond(caps.domain);
    let letter = |n| Letter::new(&format!("d{n}")).from(&format!("u{n}@x.test")).subject(&word(n));
    storm(&trial, (0..sent).map(letter)).await;
    let (answers, held) = mails(&trial, "auto_answer", "domain").await;
    tell("domain", caps.domain, sent, answers, &format!("{held} answers wait in hold"));
    assert_eq!((answers, held), (caps.domain as usize, sent - answers));

    // One subject but for its number, from anywhere.
    let trial = Trial::with(&fresh(&url).await, &text).await;
    let sent = beyond(caps.subject);
    let letter = |n: usize| {
        Letter::new(&format!("n{n}"))
            .from(&format!("u@x{n}.test"))
            .subject(&format!("Re: order {n}/26 received"))
    };
    storm(&trial, (0..sent).map(letter)).await;
    assert_eq!(count(&trial, "open").await, sent, "nothing is lost");
    let (told, held) = mails(&trial, "notification", "subject").await;
    tell("subject", caps.subject, sent, told, &format!("the mails about {held} wait in hold"));
    assert_eq!((told, held), (caps.subject as usize, sent - told));
    assert_eq!(mails(&trial, "auto_answer", "subject").await, (told, held));

    // On one ticket, by its tag line, from its contact; its subject changes.
    let trial = Trial::with(&fresh(&url).await, &text).await;
    trial.take_in(Letter::new("t")).await;
    let tag = trial.ticket(1).await.tag_line.expect("a tag line");
    let sent = beyond(caps.ticket);
    let letter = |n| Letter::new(&format!("t{n}")).subject(&format!("{tag} {}", word(n)));
    storm(&trial, (0..sent).map(letter)).await;
    assert_eq!(count(&trial, "append reply_by_tag #1").await, sent.min(caps.sender as usize - 1));
    let (told, held) = mails(&trial, "notification", "ticket").await;
    tell("ticket", caps.ticket, sent, told - 1, &format!("the mails about {held} wait in hold"));
    assert_eq!((told, held), (1 + caps.ticket as usize, sent.min(caps.sender as usize - 1) - told + 1));
    trial.assert_balanced().await;
}

/// Another store of the same kind.
async fn fresh(url: &str) -> String {
    match url.starts_with("sqlite:") {
        true => url.to_owned(),
        false => crate::support::postgres::database().expect("there was one before"),
    }
}

async fn old_mail_is_no_flood(url: String) {
    let trial = Trial::with(&url, &format!("{SUPPORT}[loops]\n{SMALL}")).await;
    let minutes = |n: u32| Duration::from_secs(60 * u64::from(n));
    // Seven an hour, all of them waiting when the desk was started: as the mailbox dates them.
    for n in 0..40 {
        let letter = Letter::new(&format!("m{n}")).subject(&word(n as usize));
        deliver_aged(&trial, &format!("{n:03}.x"), &letter, minutes(9 * (40 - n)));
    }
    trial.poll().await;
    // The same of another sender, by the Received of the last server, in a mailbox that says they are new.
    let now = maildesk::clock::Clock::system().now();
    for n in 0..40 {
        let at =
            maildesk::clock::Micros(now.0 - i64::from(9 * (40 - n)) * 60 * maildesk::clock::Micros::SECOND);
        let received = format!("from a.test by mx.example.com with ESMTP id {n}; {}", at.rfc3339());
        let letter = Letter::new(&format!("r{n}")).from("ann@y.test").subject(&word(n as usize));
        trial.deliver(&format!("{n:03}.y"), &letter.header("Received", &received).bytes());
    }
    trial.poll().await;
    assert_eq!(count(&trial, "open").await, 80, "{:?}", trial.fates().await);
    // Nor is old mail that is imported, all of it in one moment.
    let mailbox = trial.mailbox("support").await;
    let imported = (0..40).map(|n| maildesk::intake::import::Imported {
        bytes: maildesk::intake::source::Bytes::Memory(
            Letter::new(&format!("i{n}")).from("bob@z.test").bytes(),
        ),
        received: None,
    });
    let report = trial.works.import(&mailbox, imported.collect(), true).await.expect("imported");
    assert_eq!(report.fates.total(), 40);
    assert_eq!(count(&trial, "open").await, 120);
    assert_eq!(trial.alerts().await, Vec::<String>::new());
    // A storm that was missed is one all the same, however long ago it was.
    for n in 0..20 {
        let letter = Letter::new(&format!("o{n}")).from("eve@y.test").subject(&word(n));
        deliver_aged(&trial, &format!("{n:03}.z"), &letter, Duration::from_secs(200 * 3600 - n as u64));
    }
    trial.poll().await;
    assert_eq!(count(&trial, "open").await, 130);
    assert_eq!(count(&trial, "invalid flood_sender").await, 5);
    assert_eq!(count(&trial, "discard flood_journalled").await, 5);
}

async fn reports_are_no_flood(url: String) {
    let trial = Trial::with(&url, &sections(SMALL)).await;
    let report = "--b\r\nContent-Type: text/plain\r\n\r\nIt could not be delivered.\r\n--b\r\n\
                  Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.x.test\r\n\r\n\
                  Final-Recipient: rfc822; jo@x.test\r\nAction: failed\r\nStatus: 5.1.1\r\n--b--\r\n";
    let bounce = |n: usize| {
        Letter::new(&format!("b{n}"))
            .from("MAILER-DAEMON@mx.x.test")
            .subject("Undelivered Mail Returned to Sender")
            .header("Return-Path", "<>")
            .header("Content-Type", "multipart/report; report-type=delivery-status; boundary=b")
            .body(report)
    };
    storm(&trial, (0..40).map(bounce)).await;
    assert_eq!(count(&trial, "bounce bounce_unmatched").await, 40);
    assert_eq!(trial.alerts().await, Vec::<String>::new());
}

async fn a_key_that_is_reset_counts_from_nothing(url: String) {
    let trial = Trial::with(&url, &sections(SMALL)).await;
    storm(&trial, (0..12).map(|n| Letter::new(&format!("a{n}")).subject(&word(n)))).await;
    assert_eq!(trial.take_in(Letter::new("b").subject("once more")).await, "invalid flood_sender");
    assert!(trial.alerts().await.iter().any(|name| name.starts_with("loop:sender:")));
    let desk = &trial.works.desk;
    for (typed, key) in [
        ("sender:Jo+new@X.test", "sender:jo@x.test"),
        ("address:jo@x.test", "address:jo@x.test"),
        ("domain:X.test", "domain:x.test"),
    ] {
        assert_eq!(desk.reset_loop(typed, &by_hand()).await.expect("reset"), key);
    }
    let alerts = trial.alerts().await;
    assert!(!alerts.iter().any(|name| name.starts_with("loop:sender:")), "{alerts:?}");
    assert_eq!(trial.take_in(Letter::new("c").subject("and once more")).await, "open new_ticket #11");
    assert_eq!(mails(&trial, "auto_answer", "address").await, (4, 7), "and it is answered again");
    for wrong in ["jo@x.test", "sender:nobody", "postman:jo@x.test", "sender:else@x.test"] {
        assert!(desk.reset_loop(wrong, &by_hand()).await.is_err(), "{wrong}");
    }
    assert_eq!(trial.invalid("open").await.len(), 3, "what was suspended stays until somebody settles it");
}

async fn a_storm_is_told_once_and_is_over_by_itself(url: String) {
    use maildesk::clock::{Clock, Micros};

    let trial = Trial::with(&url, &sections(SMALL)).await;
    let clock = Clock::fixed(Clock::system().now());
    let works = trial.works_on(trial.works.store.clone(), clock.clone()).await;
    let round = async |ids: std::ops::Range<usize>, age: Duration| {
        for n in ids {
            let letter = Letter::new(&format!("w{n}")).subject("Order 7 received");
            deliver_aged(&trial, &format!("{n:03}.w"), &letter, age);
        }
        works.poll(&trial.mailbox("support").await).await.expect("a round");
        works.desk.end_storms().await.expect("looked at");
        works.desk.tell_alerts().await.expect("told")
    };
    let hour = Duration::from_secs(3600);
    // Three keys: the sender, the answers to his address, and the mails on the subject.
    assert_eq!(round(0..12, hour * 3).await, 3, "{:?}", trial.alerts().await);
    assert_eq!(round(12..14, hour * 3).await, 0, "it is told once");
    let alerts = trial.works.store.read().await.unwrap().list_alerts(false, 10).await.expect("alerts");
    let mut shown: Vec<String> = alerts
        .iter()
        .map(|a| {
            let name = a.name.rsplit_once(':').expect("a hash").0;
            format!("{name}\n  {}\n  {}", a.words, a.advice)
        })
        .collect();
    shown.sort();
    insta::assert_snapshot!("loop_alerts", shown.join("\n"));
    assert!(!format!("{alerts:?}").contains("x.test"), "words that name somebody: {alerts:?}");
    assert!(alert::CATALOGUE.iter().any(|entry| entry.name == "loop:KIND:KEY"));
    let storms = trial.works.store.read().await.unwrap().storms().await.expect("storms");
    let mut storms: Vec<String> =
        storms.iter().map(|s| format!("{}:{} {} of {}", s.kind, s.name, s.stopped, s.cap)).collect();
    storms.sort();
    assert_eq!(
        storms,
        ["address:jo@x.test 5 of 3", "sender:jo@x.test 4 of 10", "subject:order # received 2 of 8"]
    );
    clock.set(clock.now().plus(hour + Duration::from_secs(1)));
    // Received two hours after the storm: the sender is answered again.
    assert_eq!(round(20..21, hour).await, 3, "who was told is told that it is over");
    assert_eq!(trial.alerts().await, Vec::<String>::new());
    assert_eq!(trial.fates().await.pop().as_deref(), Some("open new_ticket #11"));
    let answer =
        trial.queue().await.into_iter().rev().find(|m| m.purpose == "auto_answer").expect("an answer");
    assert_eq!((answer.state.as_str(), answer.held_by), ("queued", None));
    // Long after, nothing of it is left.
    let mut tx = trial.works.store.write().await.unwrap();
    tx.clear_loop_counts(3600, Micros(clock.now().0 + 90 * 24 * 3600 * Micros::SECOND))
        .await
        .expect("cleared");
    assert!(tx.storms().await.expect("storms").is_empty());
}

async fn a_decision_within_a_storm_is_made_again(url: String) {
    let trial = Trial::with(&url, &sections(SMALL)).await;
    storm(&trial, (0..20).map(|n| Letter::new(&format!("a{n}")))).await;
    let journal = trial.journal().await;
    let mut looked_at = 0;
    for line in &journal {
        for grounds in [Grounds::Stored, Grounds::AsOfThen] {
            let again = trial.works.intake.decide_again(line.arrival, grounds).await.expect("decided again");
            let before: Decision = serde_json::from_str(&again.row.decision).expect("a decision");
            assert_eq!(again.decision, before, "arrival {}, {grounds:?}", line.arrival);
            looked_at += usize::from(before.trace.iter().any(|step| step.rule == "loops"));
        }
    }
    assert_eq!(looked_at, 2 * 17, "all but the first three met a cap");
    // Other limits, the same messages: the difference is the limit's.
    let mut trial = trial;
    trial.configure(&format!("{SUPPORT}auto_answer = true\n")).await;
    let again = trial.works.intake.decide_again(journal[12].arrival, Grounds::Stored).await.expect("again");
    assert_eq!((again.row.code.as_str(), again.decision.code.as_str()), ("flood_sender", "new_ticket"));
    assert_eq!(trial.invalid("open").await[0].from, JO);
}
