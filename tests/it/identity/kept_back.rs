//! What admins do with mail that was kept back: accept, reassign, reject and undo, block (F1, F2).

use maildesk::ticket::{InvalidId, TicketId, TypeId};

use crate::support::trial::{Letter, SUPPORT, Trial, by_hand, on_both_stores};

on_both_stores!(
    an_accepted_stranger_stays_a_stranger,
    an_accepted_and_remembered_stranger_belongs,
    a_remembered_stranger_who_is_a_contact_already_belongs,
    mails_go_out_only_when_it_is_reassigned,
    an_automatic_mail_is_not_answered_when_it_is_reassigned,
    what_was_rejected_comes_back_with_undo,
    a_blocked_sender_is_kept_back,
);

/// Ticket 1 of jo, and invalid ticket 1 of eve, who names it.
async fn with_a_stranger(url: &str) -> Trial {
    let trial = Trial::new(url).await;
    trial.take_in(Letter::new("a")).await;
    assert_eq!(trial.take_in(from_eve("b")).await, "invalid stranger_on_ticket");
    assert_eq!(trial.invalid("open").await[0].named_ticket, Some(TicketId(1)));
    assert_eq!(trial.owed().await.len(), 1);
    trial
}

fn from_eve(id: &str) -> Letter {
    Letter::new(id).from("Eve <eve@x.test>").subject("Re: [Support #1-1] printer")
}

async fn support(trial: &Trial) -> TypeId {
    trial.works.store.read().await.unwrap().find_type("Support").await.expect("the type").id
}

async fn an_accepted_stranger_stays_a_stranger(url: String) {
    let trial = with_a_stranger(&url).await;
    let ticket = trial.works.desk.accept(InvalidId(1), None, false, &by_hand()).await.expect("accepted");
    assert_eq!(ticket, TicketId(1));
    assert_eq!((trial.ticket(1).await.entries, trial.owed().await.len()), (2, 2));
    let settled = &trial.invalid("accepted").await[0];
    assert_eq!((settled.ticket, settled.log_entry.map(|e| e.0)), (Some(TicketId(1)), Some(2)));
    assert_eq!(trial.journal().await[1].ticket, Some(TicketId(1)));
    assert_eq!(trial.take_in(from_eve("c")).await, "invalid stranger_on_ticket");
    trial.works.desk.accept(InvalidId(1), None, false, &by_hand()).await.expect_err("it is settled");
    trial.assert_balanced().await;
}

async fn an_accepted_and_remembered_stranger_belongs(url: String) {
    let trial = with_a_stranger(&url).await;
    trial.works.desk.accept(InvalidId(1), None, true, &by_hand()).await.expect("accepted");
    let eve = trial.works.store.read().await.unwrap().find_contact("eve@x.test").await.expect("a contact");
    let addresses: Vec<&str> = eve.addresses.iter().map(|a| a.address.as_str()).collect();
    assert_eq!(addresses, ["jo@x.test", "eve@x.test"], "it is an address of jo's now");
    assert_eq!(trial.take_in(from_eve("c")).await, "append reply_by_tag #1");
    trial.assert_balanced().await;
}

async fn a_remembered_stranger_who_is_a_contact_already_belongs(url: String) {
    let trial = with_a_stranger(&url).await;
    trial.take_in(Letter::new("c").from("eve@x.test").subject("of my own")).await;
    trial.works.desk.accept(InvalidId(1), None, true, &by_hand()).await.expect("accepted");
    let eve = trial.works.store.read().await.unwrap().find_contact("eve@x.test").await.expect("a contact");
    assert_eq!(eve.addresses.len(), 1, "another contact's address is not taken away");
    assert_eq!(trial.take_in(from_eve("d")).await, "append reply_by_tag #1");
    trial.assert_balanced().await;
}

async fn mails_go_out_only_when_it_is_reassigned(url: String) {
    let trial = Trial::with(&url, &format!("{SUPPORT}auto_answer = true\n")).await;
    trial.take_in(Letter::new("a").to("nobody@elsewhere.test")).await;
    assert!(trial.owed().await.is_empty() && trial.tickets().await.is_empty());
    let by = by_hand();
    let ticket = trial.works.desk.reassign(InvalidId(1), support(&trial).await, &by).await.expect("a ticket");
    assert_eq!(ticket, TicketId(1));
    assert_eq!(trial.owed().await, ["notification #1 admin@example.net", "auto_answer #1 jo@x.test"]);
    assert_eq!(trial.invalid("reassigned").await[0].ticket, Some(TicketId(1)));
    assert_eq!(trial.take_in(Letter::new("b").answering("a@x.test")).await, "append reply_by_foreign_id #1");
    trial.assert_balanced().await;
}

async fn an_automatic_mail_is_not_answered_when_it_is_reassigned(url: String) {
    let trial = Trial::with(&url, &format!("{SUPPORT}auto_answer = true\n")).await;
    let away = Letter::new("a").header("Auto-Submitted", "auto-replied");
    assert_eq!(trial.take_in(away).await, "invalid auto_reply_unplaced");
    trial.works.desk.reassign(InvalidId(1), support(&trial).await, &by_hand()).await.expect("a ticket");
    assert_eq!(trial.owed().await, ["notification #1 admin@example.net"]);
    trial.assert_balanced().await;
}

async fn what_was_rejected_comes_back_with_undo(url: String) {
    let trial = with_a_stranger(&url).await;
    let (desk, by) = (&trial.works.desk, by_hand());
    for state in ["rejected", "deleted"] {
        desk.dismiss(InvalidId(1), state, &by).await.expect("dismissed");
        assert_eq!((trial.invalid("open").await.len(), trial.invalid(state).await.len()), (0, 1));
        desk.undo(InvalidId(1), &by).await.expect("undone");
        assert_eq!(trial.invalid("open").await.len(), 1);
    }
    desk.undo(InvalidId(1), &by).await.expect_err("it is open");
    assert_eq!(trial.owed().await.len(), 1);
    trial.assert_balanced().await;
}

async fn a_blocked_sender_is_kept_back(url: String) {
    let trial = with_a_stranger(&url).await;
    let blocked = trial.works.desk.block(InvalidId(1), false, &by_hand()).await.expect("blocked");
    assert_eq!(blocked, "eve@x.test");
    let letter = Letter::new("c").from("eve@x.test");
    assert_eq!(trial.take_in(letter).await, "invalid blocked_sender");
    trial.assert_balanced().await;
}
