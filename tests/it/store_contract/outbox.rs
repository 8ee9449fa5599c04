//! Mail that maildesk owes the world: queued by the desk, looked at, tried again and cancelled by people.

use maildesk::config::RelaySpec;
use maildesk::store::delivery::Sender;
use maildesk::store::listing::{ALL, QueueFilter};
use maildesk::store::outbox::{NewOutbox, NewRecipient, Purpose};
use maildesk::store::{Counter, Error, PasswordChange, Store, Tx};
use maildesk::ticket::{OutboxId, RelayId};

use super::world::{Laid, address, at, composed, key, keys, lay_down, open_ticket, stamp};

on_both!(
    a_mail_is_queued_as_it_was_composed,
    the_same_operation_queues_nothing_twice,
    two_who_queue_the_same_queue_it_once,
    mails_are_listed_by_what_is_asked,
    a_mail_is_tried_again_or_cancelled,
    a_mail_without_a_relay_waits_for_one,
);

/// Queues a mail to these addresses, due at once.
pub async fn queue(tx: &mut Tx, laid: &Laid, operation: &str, to: &[&str]) -> OutboxId {
    let id = OutboxId(tx.draw(Counter::Outbox).await.unwrap());
    enqueue(tx, id, Some(laid.relay), operation, to).await.unwrap();
    id
}

pub async fn enqueue(
    tx: &mut Tx,
    id: OutboxId,
    relay: Option<RelayId>,
    operation: &str,
    to: &[&str],
) -> Result<(), Error> {
    let number = tx.draw_decision().await.unwrap();
    let recipients: Vec<NewRecipient> =
        to.iter().map(|a| NewRecipient { address: address(a), name: "Ann".into(), contact: None }).collect();
    let new = NewOutbox {
        id,
        purpose: Purpose::Notification,
        ticket: None,
        log_entry: None,
        relay,
        message_id: &keys().message_id(id, "example.com"),
        return_path: Some(&address("bounce@example.com")),
        sender: &address("support@example.com"),
        subject: "Grüße",
        composed: &composed("Subject: x\r\n\r\n\u{0}bytes\r\n"),
        operation,
        number,
        recipients: &recipients,
        held_by: None,
    };
    tx.enqueue(&new, at(0)).await
}

async fn a_mail_is_queued_as_it_was_composed(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let id =
        queue(&mut tx, &laid, "arrival:1:notification", &["zoe@x.test", "ann@x.test", "ann@x.test"]).await;
    tx.commit().await.unwrap();
    let mut tx = store.read().await.unwrap();
    let mail = tx.outbox_show(id).await.unwrap();
    assert_eq!(
        (mail.purpose.as_str(), mail.state.as_str(), mail.relay),
        ("notification", "queued", Some(laid.relay))
    );
    assert_eq!((mail.subject.as_str(), mail.size, mail.next, mail.created), ("Grüße", 22, at(0), at(0)));
    assert_eq!(
        (mail.sender.as_str(), mail.return_path.as_str()),
        ("support@example.com", "bounce@example.com")
    );
    let to: Vec<_> =
        mail.recipients.iter().map(|r| (r.address.as_str(), r.state.as_str(), r.attempts)).collect();
    assert_eq!(to, [("ann@x.test", "queued", 0), ("zoe@x.test", "queued", 0)], "each address once");
    assert!(matches!(tx.outbox_show(OutboxId(99)).await, Err(Error::Missing(_))));
    assert!(tx.attempts_of(id).await.unwrap().is_empty());
}

async fn the_same_operation_queues_nothing_twice(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let first = queue(&mut tx, &laid, "arrival:1:notification", &["ann@x.test"]).await;
    assert!(tx.is_queued("arrival:1:notification").await.unwrap());
    assert!(!tx.is_queued("arrival:1:forward").await.unwrap());
    let second = OutboxId(tx.draw(Counter::Outbox).await.unwrap());
    let nobody = enqueue(&mut tx, second, Some(laid.relay), "arrival:2:notification", &[]).await;
    assert!(nobody.is_err(), "a mail to nobody is a mistake");
    assert!(!tx.is_queued("arrival:2:notification").await.unwrap());
    // Whoever does not ask first is refused, and what it wrote with it is taken back.
    tx.savepoint().await.unwrap();
    enqueue(&mut tx, second, Some(laid.relay), "arrival:1:notification", &["bob@x.test"]).await.unwrap();
    let said = tx.release_savepoint().await.unwrap_err();
    assert!(matches!(said, Error::Taken(_)), "{said:?}");
    tx.rollback_to_savepoint().await.unwrap();
    assert!(matches!(tx.outbox_show(second).await, Err(Error::Missing(_))), "nothing of it was written");
    assert_eq!(tx.outbox_show(first).await.unwrap().recipients[0].address, "ann@x.test");
}

async fn two_who_queue_the_same_queue_it_once(store: &Store) {
    let laid = lay_down(store).await;
    let work = || async {
        let mut tx = store.desk().await.unwrap();
        let id = OutboxId(tx.draw(Counter::Outbox).await.unwrap());
        tokio::task::yield_now().await;
        let is_new = !tx.is_queued("request:1").await.unwrap();
        if is_new {
            enqueue(&mut tx, id, Some(laid.relay), "request:1", &["ann@x.test"]).await.unwrap();
        }
        tx.commit().await.unwrap();
        is_new
    };
    let (one, other) = tokio::join!(work(), work());
    assert_ne!(one, other, "under the desk lock it holds what was asked");
    let all = QueueFilter { limit: ALL, ..QueueFilter::default() };
    assert_eq!(store.read().await.unwrap().list_queue(&all).await.unwrap().len(), 1);
}

async fn mails_are_listed_by_what_is_asked(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let mut ids = vec![];
    // More than a statement's worth of recipients and mails.
    for n in 0..520 {
        ids.push(queue(&mut tx, &laid, &format!("op:{n}"), &["ann@x.test"]).await);
    }
    let crowd: Vec<String> = (0..700).map(|n| format!("p{n}@x.test")).collect();
    let crowd: Vec<&str> = crowd.iter().map(String::as_str).collect();
    ids.push(queue(&mut tx, &laid, "op:crowd", &crowd).await);
    tx.cancel(ids[3], at(1)).await.unwrap();
    let opened = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    tx.commit().await.unwrap();
    let mut tx = store.read().await.unwrap();
    assert_eq!(tx.outbox_show(ids[520]).await.unwrap().recipients.len(), 700);
    let lines = tx.list_queue(&QueueFilter { limit: ALL, ..Default::default() }).await.unwrap();
    assert_eq!(
        (lines.len(), lines[520].id, lines[520].recipients.len()),
        (521, ids[520], 700),
        "the newest last"
    );
    assert!(lines[..520].iter().all(|m| m.recipients.len() == 1 && m.relay.as_deref() == Some("out")));
    let filter = QueueFilter { state: "cancelled".into(), limit: ALL, ..Default::default() };
    assert_eq!(tx.list_queue(&filter).await.unwrap().iter().map(|m| m.id).collect::<Vec<_>>(), [ids[3]]);
    let filter = QueueFilter { ticket: opened.ticket.0, limit: ALL, ..Default::default() };
    assert!(tx.list_queue(&filter).await.unwrap().is_empty());
    let filter = QueueFilter { to: "P9@x.test".into(), limit: ALL, ..Default::default() };
    assert_eq!(tx.list_queue(&filter).await.unwrap().len(), 1);
}

async fn a_mail_is_tried_again_or_cancelled(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let id = queue(&mut tx, &laid, "op:1", &["ann@x.test", "bob@x.test"]).await;
    tx.cancel(id, at(5)).await.unwrap();
    let mail = tx.outbox_show(id).await.unwrap();
    assert_eq!(mail.state, "cancelled");
    assert!(mail.recipients.iter().all(|r| r.state == "cancelled" && r.settled == Some(at(5))));
    let said = tx.cancel(id, at(6)).await.unwrap_err();
    assert!(matches!(said, Error::InUse(_)) && said.to_string().contains("cancelled already"), "{said}");
    let said = tx.retry(id, at(6)).await.unwrap_err();
    assert!(matches!(said, Error::InUse(_)), "what was cancelled stays so: {said}");
    assert!(matches!(tx.cancel(OutboxId(99), at(5)).await, Err(Error::Missing(_))));
    assert!(matches!(tx.retry(OutboxId(99), at(5)).await, Err(Error::Missing(_))));
    let other = queue(&mut tx, &laid, "op:2", &["ann@x.test"]).await;
    tx.retry(other, at(7)).await.unwrap();
    assert_eq!(tx.outbox_show(other).await.unwrap().next, at(7));
}

/// It was queued while no relay was active.
async fn a_mail_without_a_relay_waits_for_one(store: &Store) {
    let laid = lay_down(store).await;
    let (me, key, keep) = (Sender { owner: "me", now: at(0) }, key(), PasswordChange::Keep);
    let mut tx = store.desk().await.unwrap();
    let mut row = tx.relay(laid.relay).await.unwrap();
    let mut ids = vec![];
    for (active, id) in [(false, OutboxId(71)), (true, OutboxId(72))] {
        enqueue(&mut tx, id, None, &id.to_string(), &["ann@x.test"]).await.unwrap();
        ids.push(id);
        // Edited while it is off, and then switched on.
        row.spec.is_active = active;
        tx.update_relay(row.id, row.version, &row.spec, (&keep, &stamp(&key))).await.unwrap();
        row = tx.relay(laid.relay).await.unwrap();
        let expected = if active { ids.clone() } else { vec![] };
        assert_eq!(tx.due(laid.relay, me, 10).await.unwrap(), expected);
    }
    enqueue(&mut tx, OutboxId(73), None, "73", &["ann@x.test"]).await.unwrap();
    let second = RelaySpec { name: "second".into(), ..row.spec.clone() };
    let second = tx.create_relay(&second, &keep, &stamp(&key)).await.unwrap();
    assert_eq!(tx.due(second, me, 10).await.unwrap(), [OutboxId(73)]);
    assert_eq!(tx.due(laid.relay, me, 10).await.unwrap(), ids);
}
