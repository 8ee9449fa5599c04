//! What was decided in shadow: known to later decisions in shadow, and to nobody else.

use maildesk::store::Store;
use maildesk::store::arrival::{ArrivalState, NewArrival, Of};
use maildesk::store::shadow::NewShadow;
use maildesk::ticket::{ArrivalId, EventNumber};
use maildesk::triage::{Act, Code, Decision};

use super::world::{address, at, decision, digest, id_hash, lay_down, mail_key, new_arrival, place};

on_both!(a_shadow_is_found_by_its_key_and_its_message_id);

async fn a_shadow_is_found_by_its_key_and_its_message_id(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let kept = NewArrival { state: ArrivalState::ShadowKept, ..new_arrival("1", b"x") };
    let id = tx.insert_arrivals(&place(laid.mailbox), &[kept], at(1)).await.unwrap()[0];
    tx.add_shown(laid.mailbox, 1).await.unwrap();
    assert!(tx.arrival(id).await.unwrap().is_shadow);
    assert_eq!(tx.pending_arrivals(Of::All, ArrivalId(0), 9).await.unwrap().len(), 1);
    assert_eq!(tx.balance(laid.mailbox).await.unwrap().pending, 1);
    let open = Decision { type_id: Some(laid.support), ..decision(Act::Open, Code::NewTicket) };
    let (key, ann) = (mail_key("a@x.test"), address("ann@x.test"));
    let new = NewShadow {
        arrival: id,
        key: &key,
        decision: &open,
        ticket: None,
        root: Some(id),
        addresses: std::slice::from_ref(&ann),
        clues_json: "{}",
    };
    tx.insert_shadow(&new, at(2)).await.unwrap();
    assert!(tx.pending_arrivals(Of::All, ArrivalId(0), 9).await.unwrap().is_empty());
    let balance = tx.balance(laid.mailbox).await.unwrap();
    assert_eq!((balance.shadow, balance.difference()), (1, 0));
    for row in [
        tx.shadow(id).await.unwrap().unwrap(),
        tx.shadow_copies(&key.key, ArrivalId(99)).await.unwrap().remove(0),
        tx.shadows_of_hash(&id_hash("a@x.test")).await.unwrap().remove(0),
    ] {
        assert_eq!((row.arrival, row.digest, row.act), (id, digest(b"x"), Act::Open));
        assert_eq!((row.type_id, row.ticket, row.root), (Some(laid.support), None, Some(id)));
        assert_eq!(row.addresses, std::slice::from_ref(&ann));
    }
    assert!(tx.shadow_copies(&key.key, id).await.unwrap().is_empty(), "it is no copy of itself");
    assert!(tx.copies_of(&key.key, b"", ArrivalId(99), EventNumber(99)).await.unwrap().is_empty());
    let line = tx.shadow_line(id).await.unwrap().unwrap();
    assert_eq!((line.act.as_str(), line.code.as_str(), line.root), ("open", "new_ticket", Some(id)));
    assert_eq!(serde_json::from_str::<Decision>(&line.decision).unwrap(), open);
    assert_eq!(tx.count_shadows(laid.mailbox).await.unwrap(), 1);
    tx.leave_shadow(&[id]).await.unwrap();
    assert!(tx.shadow(id).await.unwrap().is_none() && tx.shadow_line(id).await.unwrap().is_none());
    assert!(!tx.arrival(id).await.unwrap().is_shadow);
    assert_eq!(tx.balance(laid.mailbox).await.unwrap().pending, 1);
}
