//! The same mail again, and what only looks like it (B10).

use crate::support::trial::{Letter, SUPPORT, Trial, on_both_stores};

on_both_stores!(
    two_mailboxes_on_one_message,
    a_first_copy_that_ended_invalid_is_superseded,
    a_copy_of_an_invalid_mail_waits_once,
    a_copy_of_what_an_admin_accepted_is_a_duplicate,
    no_message_id_is_told_by_its_bytes,
    one_message_id_on_different_mails,
    the_same_mail_with_another_body,
);

/// Mailboxes `support` and `sales`, with a type each.
fn two_mailboxes() -> String {
    let at = SUPPORT.find("[[mailbox]]").expect("a mailbox");
    let sales =
        SUPPORT[at..].replace("Maildir", "Sales").replace("support", "sales").replace("Support", "Sales");
    format!("{SUPPORT}{sales}")
}

async fn trial_of_two(url: &str) -> Trial {
    let trial = Trial::with(url, &two_mailboxes()).await;
    trial.make_maildir("Sales");
    trial
}

async fn two_mailboxes_on_one_message(url: String) {
    let trial = trial_of_two(&url).await;
    let letter = Letter::new("a").to("support@example.com, sales@example.com").bytes();
    trial.deliver("1", &letter);
    trial.deliver_to("Sales", "1", &[b"Received: by another host\r\n", &letter[..]].concat());
    trial.poll_mailbox("sales").await;
    trial.poll_mailbox("support").await;
    assert_eq!(trial.fates().await, ["open new_ticket #1", "discard duplicate_differs #1"]);
    assert_eq!(trial.ticket(1).await.of_type, "Support", "To names it first");
    assert_eq!(trial.owed().await, ["notification #1 admin@example.net"]);
    trial.assert_balanced().await;
}

/// Dragged over into the wrong mailbox first: no type of that one is meant.
async fn a_first_copy_that_ended_invalid_is_superseded(url: String) {
    let trial = trial_of_two(&url).await;
    let letter = Letter::new("a").bytes();
    trial.deliver_to("Sales", "1", &letter);
    trial.poll_mailbox("sales").await;
    assert_eq!(trial.fates().await, ["invalid foreign_mailbox"]);
    assert_eq!((trial.invalid("open").await.len(), trial.owed().await.len()), (1, 0));
    trial.deliver("1", &letter);
    trial.poll_mailbox("support").await;
    assert_eq!(trial.fates().await, ["invalid foreign_mailbox", "open new_ticket #1"]);
    assert!(trial.invalid("open").await.is_empty());
    assert_eq!(trial.invalid("superseded").await.len(), 1);
    let journal = trial.journal().await;
    assert_eq!(journal[0].superseded_by, Some(journal[1].arrival));
    assert_eq!(trial.owed().await, ["notification #1 admin@example.net"]);
    trial.deliver_to("Sales", "2", &letter);
    trial.poll_mailbox("sales").await;
    assert_eq!(trial.fates().await[2..], ["discard duplicate #1"]);
    trial.assert_balanced().await;
}

async fn a_copy_of_an_invalid_mail_waits_once(url: String) {
    let trial = Trial::new(&url).await;
    let letter = Letter::new("a").to("nobody@elsewhere.test");
    assert_eq!(trial.take_in(letter.clone()).await, "invalid no_type");
    assert_eq!(trial.take_in(letter).await, "discard duplicate");
    assert_eq!(trial.invalid("").await.len(), 1);
    trial.assert_balanced().await;
}

async fn a_copy_of_what_an_admin_accepted_is_a_duplicate(url: String) {
    let trial = Trial::new(&url).await;
    let letter = Letter::new("a").to("nobody@elsewhere.test");
    trial.take_in(letter.clone()).await;
    let invalid = trial.invalid("open").await[0].id;
    let support = trial.works.store.read().await.unwrap().find_type("Support").await.expect("the type");
    let by = crate::support::trial::by_hand();
    trial.works.desk.reassign(invalid, support.id, &by).await.expect("a ticket");
    assert_eq!(trial.take_in(letter).await, "discard duplicate #1");
    trial.assert_balanced().await;
}

async fn no_message_id_is_told_by_its_bytes(url: String) {
    let trial = Trial::new(&url).await;
    let letter = Letter::new("");
    assert_eq!(trial.take_in(letter.clone()).await, "open new_ticket #1");
    assert_eq!(trial.take_in(letter.clone()).await, "discard duplicate #1");
    assert_eq!(trial.take_in(letter.body("Hello?")).await, "open new_ticket #2");
    trial.assert_balanced().await;
}

async fn one_message_id_on_different_mails(url: String) {
    let trial = Trial::new(&url).await;
    assert_eq!(trial.take_in(Letter::new("a")).await, "open new_ticket #1");
    assert_eq!(trial.take_in(Letter::new("a").from("eve@x.test")).await, "open new_ticket #2");
    let later = Letter::new("a").date("Tue, 3 Nov 2026 10:00:00 +0000");
    assert_eq!(trial.take_in(later).await, "open new_ticket #3");
    assert_eq!(trial.owed().await.len(), 3);
    trial.assert_balanced().await;
}

async fn the_same_mail_with_another_body(url: String) {
    let trial = Trial::new(&url).await;
    trial.take_in(Letter::new("a")).await;
    assert_eq!(trial.take_in(Letter::new("a").body("Hello?")).await, "discard duplicate_differs #1");
    let journal = trial.journal().await;
    assert_eq!((journal[1].original, journal[1].log_entry), (Some(journal[0].arrival), journal[0].log_entry));
    let kept = trial.works.store.read().await.unwrap().raw_chunk(journal[1].arrival, 0).await.expect("bytes");
    assert!(kept.is_some_and(|bytes| bytes.ends_with(b"Hello?\r\n")), "its raw bytes are kept");
    assert_eq!(trial.ticket(1).await.entries, 1);
    trial.assert_balanced().await;
}
