//! Which mails an inbound message sets off: each once, and to nobody twice (C2, C6, C8).

use crate::support::trial::{Letter, SUPPORT, Trial, on_both_stores};

on_both_stores!(
    one_notification_for_each_entry,
    forward_copies_go_out_with_a_new_ticket,
    the_automatic_answer_goes_out_once_a_ticket,
    an_admin_who_writes_to_himself_is_discarded,
    an_agent_is_told_once_that_his_reply_was_not_sent,
);

async fn one_notification_for_each_entry(url: String) {
    let trial = Trial::new(&url).await;
    trial.take_in(Letter::new("a")).await;
    trial.take_in(Letter::new("b").answering("a@x.test")).await;
    let away = Letter::new("c").answering("a@x.test").header("Auto-Submitted", "auto-replied");
    assert_eq!(trial.take_in(away).await, "append auto_reply_noted #1");
    trial.take_in(Letter::new("a")).await;
    assert_eq!(trial.owed().await, ["notification #1 admin@example.net"; 2]);
    let subjects: Vec<String> = trial.queue().await.into_iter().map(|m| m.subject).collect();
    assert!(
        subjects[0].starts_with("[Support #1-1] ") && subjects[1].starts_with("[Support #1-2] "),
        "{subjects:?}"
    );
    trial.assert_balanced().await;
}

async fn forward_copies_go_out_with_a_new_ticket(url: String) {
    let forward = "forward = [\"boss@example.net\", \"archive@example.net\"]\n";
    let trial = Trial::with(&url, &format!("{SUPPORT}{forward}")).await;
    trial.take_in(Letter::new("a")).await;
    trial.take_in(Letter::new("b").answering("a@x.test")).await;
    let mut owed = trial.owed().await;
    owed.sort();
    let forwarded = "forward #1 archive@example.net,boss@example.net";
    assert_eq!(owed, [forwarded, "notification #1 admin@example.net", "notification #1 admin@example.net"]);
    trial.assert_balanced().await;
}

async fn the_automatic_answer_goes_out_once_a_ticket(url: String) {
    let trial = Trial::with(&url, &format!("{SUPPORT}auto_answer = true\n")).await;
    trial.take_in(Letter::new("a")).await;
    trial.take_in(Letter::new("b").answering("a@x.test")).await;
    trial.take_in(Letter::new("a")).await;
    let unanswered = [
        Letter::new("c").from("no-reply@x.test"),
        Letter::new("d").header("X-Auto-Response-Suppress", "All"),
        Letter::new("e").from("support@example.com"),
    ];
    for letter in unanswered {
        assert!(trial.take_in(letter).await.starts_with("open new_ticket"));
    }
    let mut answers = trial.owed().await;
    answers.retain(|mail| mail.starts_with("auto_answer"));
    assert_eq!(answers, ["auto_answer #1 jo@x.test"]);
    trial.assert_balanced().await;
}

async fn an_admin_who_writes_to_himself_is_discarded(url: String) {
    let trial = Trial::new(&url).await;
    let letter = Letter::new("a").from("admin@example.net");
    assert_eq!(trial.take_in(letter).await, "discard admin_to_himself");
    assert!(trial.tickets().await.is_empty() && trial.owed().await.is_empty());
    assert_eq!(trial.remaining(), 0);
    trial.assert_balanced().await;
}

async fn an_agent_is_told_once_that_his_reply_was_not_sent(url: String) {
    let agent = "[[account]]\nlogin = \"ada\"\nrole = \"agent\"\naddresses = [\"ada@example.net\"]\n";
    let trial = Trial::with(&url, &format!("{SUPPORT}{agent}")).await;
    trial.take_in(Letter::new("a")).await;
    let notification = trial.queue().await.remove(0);
    for id in ["b", "c"] {
        for from in ["ada@example.net", "admin@example.net"] {
            let reply = Letter::new(&format!("{id}.{from}")).from(from).answering(&notification.message_id);
            assert_eq!(trial.take_in(reply).await, "append agent_reply_not_sent #1");
        }
    }
    let told = ["notice #1 ada@example.net", "notice #1 admin@example.net"];
    assert_eq!(trial.owed().await[1..], told, "neither jo nor anybody else gets the agents' words");
    assert_eq!((trial.ticket(1).await.entries, trial.ticket(1).await.status.as_str()), (5, "new"));
    trial.assert_balanced().await;
}
