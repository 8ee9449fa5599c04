//! Which ticket a reply finds after tickets were merged, given another type, or closed (B4, B7).

use maildesk::ticket::{Status, TicketId};

use crate::support::trial::{Letter, SUPPORT, Trial, by_hand, on_both_stores};

on_both_stores!(
    the_old_tag_of_a_merged_ticket,
    the_old_tag_after_another_type,
    a_tag_that_does_not_hold_opens_a_ticket,
    a_proven_reply_reopens_and_an_unproven_one_does_not,
    a_proven_reply_to_a_closed_ticket_opens_a_follow_up,
);

async fn the_old_tag_of_a_merged_ticket(url: String) {
    let trial = Trial::new(&url).await;
    trial.take_in(Letter::new("a")).await;
    trial.take_in(Letter::new("b").from("eve@x.test").subject("scanner")).await;
    let tag = trial.ticket(1).await.tag_line.expect("a tag line");
    trial.works.desk.merge(TicketId(1), TicketId(2), &by_hand()).await.expect("merged");
    let by_tag = Letter::new("c").subject(&format!("Re: {tag} printer"));
    assert_eq!(trial.take_in(by_tag).await, "append reply_by_tag #2");
    assert_eq!(trial.take_in(Letter::new("d").answering("a@x.test")).await, "append reply_by_foreign_id #2");
    assert_eq!(trial.take_in(Letter::new("a")).await, "discard duplicate #1");
    assert_eq!((trial.ticket(1).await.entries, trial.ticket(2).await.entries), (1, 3));
    assert_eq!(trial.ticket(1).await.status, "closed");
    trial.assert_balanced().await;
}

async fn the_old_tag_after_another_type(url: String) {
    let sales = "[[type]]\nname = \"Sales\"\nmailbox = \"support\"\naddresses = [\"sales@example.com\"]\n\
                 admin = \"sales@example.net\"\n";
    let trial = Trial::with(&url, &format!("{SUPPORT}{sales}")).await;
    trial.take_in(Letter::new("a")).await;
    let old = trial.ticket(1).await.tag_line.expect("a tag line");
    let sales = trial.works.store.read().await.unwrap().find_type("Sales").await.expect("the type");
    trial.works.desk.set_type(TicketId(1), sales.id, &by_hand()).await.expect("another type");
    let new = trial.ticket(1).await.tag_line.expect("a tag line");
    assert_eq!((old.as_str(), new.as_str()), ("[Support #1-1]", "[Sales #1-1]"));
    for (id, tag) in [("b", old), ("c", new)] {
        let reply = Letter::new(id).subject(&format!("Re: {tag} printer"));
        assert_eq!(trial.take_in(reply).await, "append reply_by_tag #1");
    }
    let owed = ["admin@example.net", "sales@example.net", "sales@example.net"];
    assert_eq!(trial.owed().await, owed.map(|to| format!("notification #1 {to}")));
    trial.assert_balanced().await;
}

async fn a_tag_that_does_not_hold_opens_a_ticket(url: String) {
    let trial = Trial::new(&url).await;
    trial.take_in(Letter::new("a")).await;
    for (n, tag) in ["[Support #1-9]", "[Sales #1-1]", "[Support #7-1]"].into_iter().enumerate() {
        let letter = Letter::new(&n.to_string()).subject(tag);
        assert_eq!(trial.take_in(letter).await, format!("open new_ticket #{}", n + 2), "{tag}");
    }
    trial.assert_balanced().await;
}

async fn a_proven_reply_reopens_and_an_unproven_one_does_not(url: String) {
    let trial = Trial::new(&url).await;
    trial.take_in(Letter::new("a")).await;
    let answer = trial.answer(1).await;
    trial.set_status(1, Status::Closed).await;
    let by_tag = Letter::new("b").subject(&answer.subject);
    assert_eq!(trial.take_in(by_tag).await, "append reply_by_tag #1");
    assert_eq!(trial.ticket(1).await.status, "closed");
    assert_eq!(
        trial.take_in(Letter::new("c").answering(&answer.message_id)).await,
        "append reply_by_our_id #1"
    );
    assert_eq!(trial.ticket(1).await.status, "open");
    trial.assert_balanced().await;
}

async fn a_proven_reply_to_a_closed_ticket_opens_a_follow_up(url: String) {
    let trial = Trial::with(&url, &format!("{SUPPORT}on_closed = \"follow_up\"\n")).await;
    trial.take_in(Letter::new("a")).await;
    let answer = trial.answer(1).await;
    trial.set_status(1, Status::Solved).await;
    let reply = Letter::new("b").subject(&answer.subject).answering(&answer.message_id);
    assert_eq!(trial.take_in(reply).await, "open follow_up #2");
    let follow_up = trial.ticket(2).await;
    assert_eq!((follow_up.follows, follow_up.subject.as_str()), (Some(TicketId(1)), "Re: printer"));
    assert_eq!((trial.ticket(1).await.status.as_str(), trial.ticket(1).await.entries), ("solved", 2));
    let owed = trial.owed().await;
    assert_eq!(owed[2..], ["notification #2 admin@example.net"]);
    trial.assert_balanced().await;
}
