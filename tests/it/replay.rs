//! Every decision made again, from the stored clues and from the store as of then, comes out the same: later mail, later
//! commands and the message itself are not seen.

use maildesk::intake::replay::Grounds;
use maildesk::ticket::{ErrorId, InvalidId, Status, TicketId};
use maildesk::triage::{Clues, Decision};

use crate::support::gen_mail::Generator;
use crate::support::trial::{Letter, SUPPORT, Trial, by_hand, on_both_stores};

on_both_stores!(
    mixed_mail_is_decided_alike_again,
    what_came_later_changes_no_decision,
    mails_of_one_batch_see_each_other,
);

const SECOND_TYPE_AND_AGENT: &str = r#"
[[type]]
name = "Sales"
mailbox = "support"
addresses = ["sales@example.com"]
admin = "sales@example.net"
on_closed = "follow_up"
auto_answer = true
[[account]]
login = "ada"
role = "agent"
addresses = ["ada@example.net"]
"#;

/// Decides every row of the journal again, both ways.
async fn assert_decided_alike(trial: &Trial) {
    let journal = trial.journal().await;
    let mut decided = 0;
    for line in journal.iter().filter(|line| line.act.is_some()) {
        for grounds in [Grounds::Stored, Grounds::AsOfThen] {
            let again = trial.works.intake.decide_again(line.arrival, grounds).await.expect("decided again");
            let stored: Clues = serde_json::from_str(&again.row.clues).expect("clues");
            assert_eq!(again.clues, stored, "clues of arrival {}, {grounds:?}", line.arrival);
            let before: Decision = serde_json::from_str(&again.row.decision).expect("a decision");
            assert_eq!(again.decision, before, "decision about arrival {}, {grounds:?}", line.arrival);
        }
        decided += 1;
    }
    assert!(decided > 10, "only {decided} decisions were there to look at");
}

/// Commands on the tickets that are there: each may change what a decision would see now.
async fn work_on_tickets(trial: &Trial) {
    let (desk, by) = (&trial.works.desk, by_hand());
    let sales = trial.works.store.read().await.unwrap().find_type("Sales").await.expect("the type").id;
    for ticket in trial.tickets().await {
        let id = ticket.id;
        match id.0 % 7 {
            0 => desk.set_status(id, Status::Closed, &by).await.map(drop),
            1 => desk.assign(id, Some("ada"), &by).await.map(drop),
            2 => desk.set_type(id, sales, &by).await.map(drop),
            3 if id.0 > 3 => desk.merge(id, TicketId(id.0 - 1), &by).await.map(drop),
            4 => desk.set_deleted(id, true, &by).await.map(drop),
            _ => Ok(()),
        }
        .unwrap_or_else(|e| panic!("ticket {id}: {e}"));
    }
}

async fn mixed_mail_is_decided_alike_again(url: String) {
    let Some(generator) = Generator::find(300, 30) else { return };
    let trial = Trial::with(&url, &format!("{SUPPORT}catch_all = true\n{SECOND_TYPE_AND_AGENT}")).await;
    let seeds = generator.seeds();
    for (n, seed) in seeds.iter().enumerate() {
        trial.deliver(&format!("1{n:05}.seed"), seed);
    }
    trial.poll().await;
    let tickets = trial.tickets().await;
    assert_eq!(tickets.len(), seeds.len());
    for ticket in &tickets {
        match ticket.id.0 % 4 {
            1 | 3 => trial.set_status(ticket.id.0, Status::Closed).await,
            2 => drop(trial.answer(ticket.id.0).await),
            _ => {}
        }
    }
    let tags: Vec<String> = trial.tickets().await.into_iter().filter_map(|t| t.tag_line).collect();
    let mails = generator.mails(&tags);
    for (n, mail) in mails.iter().enumerate() {
        trial.deliver(&format!("2{n:05}.mail"), mail);
    }
    trial.poll().await;
    assert_eq!(trial.journal().await.len(), seeds.len() + mails.len());
    assert_decided_alike(&trial).await;
    work_on_tickets(&trial).await;
    // The same mail again, as another delivery.
    for (n, mail) in mails.iter().enumerate().step_by(3) {
        trial.deliver(&format!("3{n:05}.again"), mail);
    }
    trial.poll().await;
    assert_decided_alike(&trial).await;
    trial.assert_balanced().await;
}

/// Cases whose clues lie in rows that change: each is decided, then what it saw is changed, and more mail comes.
async fn what_came_later_changes_no_decision(url: String) {
    let trial = Trial::with(&url, &format!("{SUPPORT}{SECOND_TYPE_AND_AGENT}")).await;
    threads_and_strangers(&trial).await;
    copies(&trial).await;
    commands_and_answers(&trial).await;
    assert_decided_alike(&trial).await;
    work_on_tickets(&trial).await;
    assert_decided_alike(&trial).await;
    trial.assert_balanced().await;
}

/// All that a mail can look for, in the same batch before it: parent, copy, tag line, contact, Cc.
async fn mails_of_one_batch_see_each_other(url: String) {
    let trial = Trial::with(&url, &format!("{SUPPORT}{SECOND_TYPE_AND_AGENT}")).await;
    let nowhere = "nobody@elsewhere.test";
    let eve = |id: &str| Letter::new(id).from("eve@x.test");
    let cases = [
        (Letter::new("a").header("Cc", "cc@x.test"), "open new_ticket #1"),
        (Letter::new("b").answering("a@x.test"), "append reply_by_foreign_id #1"),
        (Letter::new("c").answering("b@x.test").from("cc@x.test"), "append reply_by_foreign_id #1"),
        (Letter::new("a"), "discard duplicate_differs #1"),
        (Letter::new("d").subject("[Support #1-2] printer"), "append reply_by_tag #1"),
        (eve("e").answering("a@x.test"), "invalid stranger_on_thread"),
        (eve("f").subject("[support #1-1]"), "invalid stranger_on_ticket"),
        (eve("e").answering("a@x.test"), "discard duplicate"),
        (eve("g"), "open new_ticket #2"),
        (eve("h").subject("[Support #2-5] mine"), "append reply_by_tag #2"),
        (Letter::new("i").to(nowhere), "invalid no_type"),
        (Letter::new("i").to(nowhere), "discard duplicate"),
        (Letter::new(""), "open new_ticket #3"),
        (Letter::new(""), "discard duplicate #3"),
        (Letter::new("j").from("ada@example.net").answering("g@x.test"), "append agent_reply_not_sent #2"),
        (Letter::new("k").answering("l@x.test"), "open new_ticket #4"),
        (Letter::new("l").subject("[Support #4-9]"), "append reply_by_tag #4"),
        (Letter::new("m").to("sales@example.com").from("new@x.test"), "open new_ticket #5"),
        (Letter::new("n").answering("m@x.test").from("new@x.test"), "append reply_by_foreign_id #5"),
    ];
    for (n, (letter, _)) in cases.iter().enumerate() {
        trial.deliver(&format!("{n:03}.mail"), &letter.bytes());
    }
    trial.poll().await;
    assert_eq!(trial.fates().await, cases.map(|(_, fate)| fate));
    assert_decided_alike(&trial).await;
    trial.assert_balanced().await;
}

async fn threads_and_strangers(trial: &Trial) {
    let desk = &trial.works.desk;
    trial.take_in(Letter::new("a")).await;
    trial.take_in(Letter::new("b").answering("a@x.test").header("Cc", "cc@x.test")).await;
    let stranger = Letter::new("c").from("eve@x.test").subject("[Support #1-1]");
    assert_eq!(trial.take_in(stranger.clone()).await, "invalid stranger_on_ticket");
    desk.accept(InvalidId(1), None, true, &by_hand()).await.expect("accepted");
    assert_eq!(trial.take_in(stranger).await, "discard duplicate #1");
    let known = Letter::new("d").from("eve@x.test").subject("[Support #1-1]");
    assert_eq!(trial.take_in(known).await, "append reply_by_tag #1");
    let to_an_unborn_ticket = Letter::new("e").subject("[Support #3-6]");
    assert_eq!(trial.take_in(to_an_unborn_ticket).await, "open new_ticket #2");
    assert_eq!(trial.take_in(Letter::new("f")).await, "open new_ticket #3");
    let to_a_later_mail = Letter::new("g").answering("later@x.test");
    assert_eq!(trial.take_in(to_a_later_mail).await, "open new_ticket #4");
    assert_eq!(trial.take_in(Letter::new("later")).await, "open new_ticket #5");
}

async fn copies(trial: &Trial) {
    let desk = &trial.works.desk;
    let sales = trial.works.store.read().await.unwrap().find_type("Sales").await.expect("the type").id;
    let astray = Letter::new("h").to("nobody@elsewhere.test");
    assert_eq!(trial.take_in(astray.clone()).await, "invalid no_type");
    assert_eq!(trial.take_in(astray.clone()).await, "discard duplicate");
    desk.reassign(InvalidId(2), sales, &by_hand()).await.expect("a ticket");
    assert_eq!(trial.take_in(astray).await, "discard duplicate #6");
    // The second copy of an unreadable mail is a duplicate, also once the first was tried again.
    for name in ["90.first", "91.second"] {
        trial.deliver(name, &[0; 300]);
        trial.poll().await;
    }
    assert_eq!(
        trial.fates().await[trial.fates().await.len() - 2..],
        ["error unreadable", "discard duplicate"]
    );
    desk.retry_error(ErrorId(1), &by_hand()).await.expect("tried again");
    trial.poll().await;
}

async fn commands_and_answers(trial: &Trial) {
    let (desk, by) = (&trial.works.desk, by_hand());
    let answer = trial.answer(3).await;
    trial.set_status(3, Status::Closed).await;
    trial.take_in(Letter::new("i").answering(&answer.message_id)).await;
    assert_eq!(trial.ticket(3).await.status, "open", "it was reopened");
    desk.assign(TicketId(3), Some("ada"), &by).await.expect("assigned");
    let agents = Letter::new("j").from("ada@example.net").subject(&answer.subject);
    assert_eq!(trial.take_in(agents).await, "append agent_reply_not_sent #3");
    desk.merge(TicketId(3), TicketId(2), &by).await.expect("merged");
    assert_eq!(
        trial.take_in(Letter::new("k").answering(&answer.message_id)).await,
        "append reply_by_our_id #2"
    );
    desk.merge(TicketId(2), TicketId(1), &by).await.expect("merged");
    assert_eq!(
        trial.take_in(Letter::new("l").answering(&answer.message_id)).await,
        "append reply_by_our_id #1"
    );
    desk.set_deleted(TicketId(4), true, &by).await.expect("deleted");
    assert_eq!(trial.take_in(Letter::new("m").answering("g@x.test")).await, "invalid deleted_ticket");
    desk.set_deleted(TicketId(4), false, &by).await.expect("restored");
    assert_eq!(trial.take_in(Letter::new("n").answering("g@x.test")).await, "append reply_by_foreign_id #4");
    let support = trial.works.store.read().await.unwrap().find_type("Support").await.expect("the type").id;
    desk.set_type(TicketId(6), support, &by).await.expect("another type");
    let own = trial.queue().await.remove(0);
    assert_eq!(
        trial.take_in(Letter::new("o").header("X-Maildesk-Loop", "elsewhere")).await,
        "open new_ticket #7"
    );
    let report = Letter::new("p")
        .from("MAILER-DAEMON@x.test")
        .header("Content-Type", "multipart/report; report-type=delivery-status; boundary=b")
        .header("MIME-Version", "1.0")
        .body(&format!(
            "--b\r\n\r\nsorry\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x.test\r\n\r\n\
             Final-Recipient: rfc822; admin@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n--b\r\n\
             Content-Type: text/rfc822-headers\r\n\r\nMessage-ID: <{}>\r\nSubject: x\r\n--b--",
            own.message_id.trim_matches(['<', '>'])
        ));
    assert!(trial.take_in(report).await.starts_with("bounce bounce_by_our_id"));
}
