//! The queues for an admin: invalid tickets, error tickets, bounces, and the block list.

use maildesk::store::listing::{ALL, BounceFilter};
use maildesk::store::queue::{NewBounce, NewError, NewInvalid};
use maildesk::store::{Error, Store};
use maildesk::ticket::{BounceId, ErrorId, InvalidId};
use maildesk::triage::Finding;

use super::world::{address, arrive, at, flushed, lay_down, open_ticket};

on_both!(
    an_invalid_ticket_is_settled_by_one,
    an_error_ticket_goes_through_its_states,
    a_bounce_is_resolved_once,
    a_sender_is_blocked_and_let_in_again,
);

async fn an_invalid_ticket_is_settled_by_one(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let arrival = arrive(&mut tx, laid.mailbox, "1", b"x").await;
    let opened = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    let number = tx.draw_decision().await.unwrap();
    let new = NewInvalid {
        arrival,
        code: "stranger_on_ticket",
        is_shown: true,
        is_again: false,
        named_ticket: Some(opened.ticket),
        sender_address: "eve@x.test",
        sender_name: "Eve",
        subject: "let me in",
        number,
    };
    let id = tx.insert_invalid(&new, at(1)).await.unwrap();
    let seen = tx.invalid(id).await.unwrap();
    assert_eq!(
        (seen.arrival, seen.code.as_str(), seen.state.as_str()),
        (arrival, "stranger_on_ticket", "open")
    );
    assert_eq!((seen.named_ticket, seen.version), (Some(opened.ticket), 1));
    assert_eq!(tx.invalid_sender(id).await.unwrap(), "eve@x.test");
    tx.settle_invalid(&seen, "accepted", Some((opened.ticket, opened.entry)), at(2)).await.unwrap();
    let said = tx.settle_invalid(&seen, "rejected", None, at(3)).await.unwrap_err();
    assert!(matches!(said, Error::Stale(_)), "somebody else has settled it: {said:?}");
    let line = tx.list_invalid("accepted", id.0, ALL).await.unwrap().remove(0);
    assert_eq!((line.ticket, line.log_entry), (Some(opened.ticket), Some(opened.entry)));
    assert!(line.settled.is_some());
    assert!(matches!(tx.invalid(InvalidId(99)).await, Err(Error::Missing(_))));
    assert!(matches!(tx.invalid_sender(InvalidId(99)).await, Err(Error::Missing(_))));
    tx.commit().await.unwrap();
    let mut tx = store.desk().await.unwrap();
    tx.insert_invalid(&new, at(1)).await.unwrap();
    let said = flushed(&mut tx).await.unwrap_err();
    assert!(matches!(said, Error::Taken(_)), "a message is one invalid ticket: {said:?}");
}

async fn an_error_ticket_goes_through_its_states(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let arrival = arrive(&mut tx, laid.mailbox, "1", b"x").await;
    let number = tx.draw_decision().await.unwrap();
    let new = NewError {
        arrival,
        code: "too_big",
        words: "40 MB",
        sender_address: "ann@x.test",
        subject: "photos",
        headers: b"From: \xff\x00 ann@x.test",
        number,
    };
    let id = tx.insert_error(&new, at(1)).await.unwrap();
    assert_eq!(tx.error_ticket(id).await.unwrap(), (arrival, "open".to_owned()));
    assert_eq!(tx.headers_of_error(arrival).await.unwrap(), new.headers);
    assert_eq!(tx.error_headers(id).await.unwrap(), new.headers);
    assert!(matches!(tx.error_headers(ErrorId(99)).await, Err(Error::Missing(_))));
    assert!(tx.headers_of_error(maildesk::ticket::ArrivalId(99)).await.unwrap().is_empty());
    tx.settle_error(id, "fetch", at(2)).await.unwrap();
    assert_eq!(tx.error_ticket(id).await.unwrap().1, "fetch");
    tx.settle_error_of(arrival, "fetched", at(3)).await.unwrap();
    tx.settle_error_of(arrival, "discarded", at(4)).await.unwrap();
    assert_eq!(tx.error_ticket(id).await.unwrap().1, "fetched", "what is settled stays settled");
    // The same message fails again, in another way: its one error ticket is open again.
    let again = NewError { code: "poison", words: "it stopped the parser", ..new };
    assert_eq!(tx.insert_error(&again, at(5)).await.unwrap(), id);
    let line = tx.list_errors("open", id.0, ALL).await.unwrap().remove(0);
    assert_eq!(
        (line.code.as_str(), line.words.as_str(), line.settled),
        ("poison", "it stopped the parser", None)
    );
    assert!(matches!(tx.error_ticket(ErrorId(99)).await, Err(Error::Missing(_))));
}

async fn a_bounce_is_resolved_once(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let arrival = arrive(&mut tx, laid.mailbox, "1", b"x").await;
    let opened = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    let number = tx.draw_decision().await.unwrap();
    let finding = Finding {
        recipient: Some(address("ann@x.test")),
        status: "5.1.1".into(),
        status_stated: true,
        class: "user_unknown".into(),
        hard: true,
        action: "failed".into(),
        diagnostic: "550 no such\u{0}user".into(),
        reply_code: Some(550),
        original_message_id: "m@x".into(),
        is_attributed: true,
    };
    let new = NewBounce {
        arrival,
        code: "bounce_by_tag",
        outbox: None,
        ticket: Some(opened.ticket),
        log_entry: Some(opened.entry),
        finding: &finding,
        number,
    };
    let id = tx.insert_bounce(&new, at(1)).await.unwrap();
    let nobody = NewBounce { finding: &Finding::unattributed(), ticket: None, log_entry: None, ..new };
    let second = tx.insert_bounce(&nobody, at(1)).await.unwrap();
    let unresolved = BounceFilter { limit: ALL, ..BounceFilter::default() };
    let lines = tx.list_bounces(&unresolved).await.unwrap();
    assert_eq!(lines.iter().map(|l| l.id).collect::<Vec<_>>(), [id, second]);
    let line = &lines[0];
    assert_eq!(
        (line.recipient.as_str(), line.status.as_str(), line.status_stated),
        ("ann@x.test", "5.1.1", true)
    );
    assert_eq!((line.class.as_str(), line.hard, line.action.as_str()), ("user_unknown", true, "failed"));
    assert_eq!(line.diagnostic, "550 no suchuser", "neither engine keeps a NUL");
    assert_eq!((lines[1].recipient.as_str(), lines[1].hard, lines[1].ticket), ("", false, None));
    assert_eq!(
        tx.list_bounces(&BounceFilter { ticket: opened.ticket.0, ..unresolved.clone() }).await.unwrap().len(),
        1
    );
    tx.resolve_bounce(id, "uid:0", at(2)).await.unwrap();
    let said = tx.resolve_bounce(id, "uid:1", at(3)).await.unwrap_err();
    assert!(matches!(said, Error::Missing(_)), "{said:?}");
    assert!(tx.resolve_bounce(BounceId(99), "uid:0", at(2)).await.is_err());
    assert_eq!(tx.list_bounces(&unresolved).await.unwrap().len(), 1);
    let all = tx.list_bounces(&BounceFilter { with_resolved: true, ..unresolved.clone() }).await.unwrap();
    assert_eq!((all.len(), all[0].resolved_by.as_str(), all[0].resolved.is_some()), (2, "uid:0", true));
}

async fn a_sender_is_blocked_and_let_in_again(store: &Store) {
    let mut tx = store.desk().await.unwrap();
    assert!(tx.block("@Evil.test", at(1)).await.unwrap());
    assert!(!tx.block("@evil.test", at(2)).await.unwrap(), "blocked already");
    assert!(tx.block("eve@x.test", at(2)).await.unwrap());
    let list = tx.block_list().await.unwrap();
    let patterns: Vec<_> = list.iter().map(|b| (b.pattern.as_str(), b.verdict.as_str())).collect();
    assert_eq!(patterns, [("@evil.test", "block"), ("eve@x.test", "block")]);
    assert_eq!(tx.load_rules().await.unwrap().blocked, ["@evil.test", "eve@x.test"]);
    assert!(tx.unblock("@EVIL.test").await.unwrap());
    assert!(!tx.unblock("@evil.test").await.unwrap());
    assert_eq!(tx.load_rules().await.unwrap().blocked, ["eve@x.test"]);
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    assert!(tx.block("bob@x.test", at(3)).await.is_err(), "it changes decisions: under the desk lock only");
}
