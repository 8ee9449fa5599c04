//! Arrivals: every message a source has shown, by its identity there.

use maildesk::store::arrival::{ArrivalState, NewArrival, Of, Place};
use maildesk::store::journal::Fate;
use maildesk::store::queue::NewError;
use maildesk::store::{Error, Store, Tx};
use maildesk::ticket::{ArrivalId, EventNumber, MailboxId};
use maildesk::triage::trust::Checks;
use maildesk::triage::{Act, Code};

use super::world::{
    arrive, at, decide, decision, digest, lay_down, new_arrival, new_error, place, run_sql_here,
};

on_both!(
    an_identity_is_known_by_all_its_parts,
    an_identity_stands_once,
    a_retired_identity_is_free_again,
    what_is_kept_waits_in_order,
    what_is_decided_is_owed_to_its_source,
    only_what_was_in_hand_counts_as_a_try,
    what_was_left_is_taken_in_or_let_go,
    what_is_refused_is_counted_and_what_was_left_stays_left,
    what_was_left_is_known_under_a_new_number,
);

async fn an_identity_is_known_by_all_its_parts(store: &Store) {
    let laid = lay_down(store).await;
    let here = place(laid.mailbox);
    let mut tx = store.write().await.unwrap();
    let row = NewArrival {
        announced_size: 11,
        size: 10,
        envelope_to: "support@example.com".into(),
        is_silent: true,
        ..new_arrival("17", b"0123456789")
    };
    let ids = tx.insert_arrivals(&here, &[row, new_arrival("18", b"x")], at(5)).await.unwrap();
    assert_eq!(ids, [ArrivalId(1), ArrivalId(2)]);
    assert_eq!(tx.insert_arrivals(&here, &[], at(5)).await.unwrap(), []);
    tx.commit().await.unwrap();
    let mut tx = store.read().await.unwrap();
    let known = tx.known_arrivals(&here, &["17", "19"]).await.unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!((known[0].id, known[0].source_id.as_str(), known[0].announced_size), (ids[0], "17", 11));
    assert_eq!((known[0].state, known[0].digest.clone()), (ArrivalState::Kept, digest(b"0123456789")));
    assert!(tx.known_arrivals(&here, &[]).await.unwrap().is_empty());
    let elsewhere = [
        Place { mailbox: MailboxId(99), ..here.clone() },
        Place { epoch: 2, ..here.clone() },
        Place { folder: "inbox".into(), ..here.clone() },
        Place { validity: 8, ..here.clone() },
    ];
    for other in elsewhere {
        assert!(tx.known_arrivals(&other, &["17"]).await.unwrap().is_empty(), "{other:?}");
    }
    let arrival = tx.arrival(ids[0]).await.unwrap();
    assert_eq!(
        (arrival.size, arrival.envelope_to.as_str(), arrival.is_silent),
        (10, "support@example.com", true)
    );
    assert_eq!((arrival.mailbox, arrival.received, arrival.tries), (laid.mailbox, at(0), 0));
    let said = tx.arrival(ArrivalId(99)).await.unwrap_err();
    assert!(matches!(said, Error::Missing(_)), "{said:?}");
}

async fn an_identity_stands_once(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.write().await.unwrap();
    arrive(&mut tx, laid.mailbox, "17", b"x").await;
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    let said = tx.insert_arrivals(&place(laid.mailbox), &[new_arrival("17", b"y")], at(1)).await.unwrap_err();
    assert!(matches!(said, Error::Taken(_)), "{said:?}");
    drop(tx);
    let mut tx = store.write().await.unwrap();
    // UIDLs and Maildir names differ by case, and bytes beyond ASCII are words too.
    for id in ["17a", "17A", "ü", "Ü", "17 ", &"x".repeat(1000)] {
        arrive(&mut tx, laid.mailbox, id, b"z").await;
    }
    tx.commit().await.unwrap();
    let mut tx = store.read().await.unwrap();
    assert_eq!(tx.known_arrivals(&place(laid.mailbox), &["17A", "Ü"]).await.unwrap().len(), 2);
}

async fn a_retired_identity_is_free_again(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.write().await.unwrap();
    let first = arrive(&mut tx, laid.mailbox, "17", b"x").await;
    tx.set_announced_size(first, 99).await.unwrap();
    let known = tx.known_arrivals(&place(laid.mailbox), &["17"]).await.unwrap();
    assert_eq!(known[0].announced_size, 99);
    tx.retire_source_id(first).await.unwrap();
    let second = arrive(&mut tx, laid.mailbox, "17", b"y").await;
    let known = tx.known_arrivals(&place(laid.mailbox), &["17", "17~1"]).await.unwrap();
    assert_eq!(known.iter().map(|k| k.id).collect::<Vec<_>>().len(), 2);
    assert_eq!(known.iter().find(|k| k.source_id == "17").unwrap().id, second);
}

async fn what_is_kept_waits_in_order(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let mut ids = vec![];
    for n in 0..5 {
        ids.push(arrive(&mut tx, laid.mailbox, &n.to_string(), b"x").await);
    }
    let before = NewArrival { state: ArrivalState::BeforeStart, ..new_arrival("old", b"") };
    tx.insert_arrivals(&place(laid.mailbox), &[before], at(1)).await.unwrap();
    decide(&mut tx, ids[1], &decision(Act::Discard, Code::Duplicate), Fate::default()).await;
    let waiting = tx.pending_arrivals(Of::All, ArrivalId(0), 3).await.unwrap();
    assert_eq!(waiting.iter().map(|p| p.id).collect::<Vec<_>>(), [ids[0], ids[2], ids[3]]);
    assert_eq!(tx.pending_arrivals(Of::All, ArrivalId(0), 100).await.unwrap().len(), 4);
    assert_eq!(tx.pending_arrivals(Of::Mailbox(laid.mailbox), ArrivalId(0), 100).await.unwrap().len(), 4);
    assert!(tx.pending_arrivals(Of::Mailbox(MailboxId(99)), ArrivalId(0), 100).await.unwrap().is_empty());
    let mut kept: Vec<ArrivalId> = tx.still_kept(&ids).await.unwrap().into_iter().collect();
    kept.sort();
    assert_eq!(kept, [ids[0], ids[2], ids[3], ids[4]]);
    assert!(tx.still_kept(&[]).await.unwrap().is_empty());
    let checks = Checks::gap("DNS gave no answer in time");
    tx.set_checks(ids[2], &checks).await.unwrap();
    tx.commit().await.unwrap();
    run_sql_here("UPDATE mailbox SET active = 0").await;
    let mut tx = store.read().await.unwrap();
    let waiting = tx.pending_arrivals(Of::All, ArrivalId(0), 2).await.unwrap();
    assert_eq!(waiting.iter().map(|p| p.checks.as_ref()).collect::<Vec<_>>(), [None, Some(&checks)]);
    assert_eq!(
        tx.pending_arrivals(Of::Mailbox(MailboxId(99)), ArrivalId(0), 100).await.unwrap().len(),
        4,
        "nobody else reads it"
    );
}

async fn what_is_decided_is_owed_to_its_source(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let mut ids = vec![];
    for n in 0..4 {
        ids.push(arrive(&mut tx, laid.mailbox, &n.to_string(), b"x").await);
    }
    for id in &ids[..3] {
        decide(&mut tx, *id, &decision(Act::Discard, Code::Duplicate), Fate::default()).await;
    }
    let owed = tx.arrivals_in(laid.mailbox, ArrivalState::AckPending).await.unwrap();
    assert_eq!(owed.iter().map(|(_, k)| k.id).collect::<Vec<_>>(), ids[..3]);
    assert!(owed.iter().all(|(p, k)| *p == place(laid.mailbox) && k.state == ArrivalState::AckPending));
    assert!(tx.arrivals_in(MailboxId(99), ArrivalState::AckPending).await.unwrap().is_empty());
    // What is not decided cannot be confirmed, whoever asks.
    tx.mark_acknowledged(&[ids[0], ids[3]], "flagged only", at(9)).await.unwrap();
    tx.mark_acknowledged(&[], "", at(9)).await.unwrap();
    let states = state_of(&mut tx, laid.mailbox, &["0", "1", "3"]).await;
    assert_eq!(states, [ArrivalState::Acked, ArrivalState::AckPending, ArrivalState::Kept]);
    tx.mark_vanished(ids[3]).await.unwrap();
    assert_eq!(state_of(&mut tx, laid.mailbox, &["3"]).await, [ArrivalState::Vanished]);
    tx.mark_acknowledged(&ids, "", at(9)).await.unwrap();
    assert!(tx.arrivals_in(laid.mailbox, ArrivalState::AckPending).await.unwrap().is_empty());
    assert_eq!(state_of(&mut tx, laid.mailbox, &["3"]).await, [ArrivalState::Vanished]);
    // What was confirmed may be owed once more, and its words stay; nothing else may.
    for id in [ids[1], ids[3]] {
        tx.owe_again(id, "told twice").await.unwrap();
    }
    let states = state_of(&mut tx, laid.mailbox, &["1", "3"]).await;
    assert_eq!(states, [ArrivalState::AckPending, ArrivalState::Vanished]);
    tx.mark_acknowledged(&ids, "", at(9)).await.unwrap();
    let known = tx.known_arrivals(&place(laid.mailbox), &["0", "1", "2"]).await.unwrap();
    let once = |id: &str| known.iter().find(|k| k.source_id == id).map(|k| k.is_acknowledged_once());
    assert_eq!((once("0"), once("1"), once("2")), (Some(false), Some(false), Some(true)));
}

async fn state_of(tx: &mut Tx, mailbox: MailboxId, source_ids: &[&str]) -> Vec<ArrivalState> {
    let known = tx.known_arrivals(&place(mailbox), source_ids).await.unwrap();
    let state = |id: &&str| known.iter().find(|k| k.source_id == *id).unwrap().state;
    source_ids.iter().map(state).collect()
}

async fn only_what_was_in_hand_counts_as_a_try(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let mut ids = vec![];
    for n in 0..3 {
        ids.push(arrive(&mut tx, laid.mailbox, &n.to_string(), b"x").await);
    }
    assert_eq!(tx.count_deaths(Of::All).await.unwrap(), 0);
    tx.take_in_hand(ids[0]).await.unwrap();
    tx.take_in_hand(ids[2]).await.unwrap();
    decide(&mut tx, ids[2], &decision(Act::Discard, Code::Duplicate), Fate::default()).await;
    assert_eq!(tx.count_deaths(Of::All).await.unwrap(), 1, "what is decided is in hand no more");
    assert_eq!(tx.count_deaths(Of::All).await.unwrap(), 0, "a death is counted once");
    tx.take_in_hand(ids[0]).await.unwrap();
    tx.let_go_of(ids[0]).await.unwrap();
    assert_eq!(tx.count_deaths(Of::All).await.unwrap(), 0, "what was let go has killed nobody");
    tx.count_try(ids[0]).await.unwrap();
    let tries = [tx.arrival(ids[0]).await.unwrap().tries, tx.arrival(ids[1]).await.unwrap().tries];
    assert_eq!(tries, [2, 0]);
    tx.reopen_journal(ids[0]).await.unwrap();
    assert_eq!(tx.arrival(ids[0]).await.unwrap().tries, 0, "taken up anew, it has all its tries again");
}

async fn what_was_left_is_taken_in_or_let_go(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let mut left = vec![];
    for n in 0..2 {
        let row = NewArrival {
            state: ArrivalState::Left,
            size: 0,
            digest: vec![],
            ..new_arrival(&n.to_string(), b"big")
        };
        let id = tx.insert_arrivals(&place(laid.mailbox), &[row], at(0)).await.unwrap()[0];
        decide_left(&mut tx, id).await;
        left.push(id);
    }
    assert!(tx.asked_for().await.unwrap().is_empty());
    tx.settle_error(maildesk::ticket::ErrorId(1), "fetch", at(3)).await.unwrap();
    assert_eq!(tx.asked_for().await.unwrap().into_iter().collect::<Vec<_>>(), [left[0]]);
    tx.refill_arrival(left[0], 3, &digest(b"big")).await.unwrap();
    tx.settle_error_of(left[0], "fetched", at(4)).await.unwrap();
    assert!(tx.asked_for().await.unwrap().is_empty());
    let pending = tx.pending_arrivals(Of::All, ArrivalId(0), 10).await.unwrap();
    assert_eq!(
        pending.iter().map(|p| (p.id, p.size, p.digest.clone())).collect::<Vec<_>>(),
        [(left[0], 3, digest(b"big"))]
    );
    assert!(tx.journal_row(left[0]).await.unwrap().is_none(), "it is decided anew");
    tx.let_go(left[1]).await.unwrap();
    tx.let_go(left[0]).await.unwrap();
    let states = state_of(&mut tx, laid.mailbox, &["0", "1"]).await;
    assert_eq!(states, [ArrivalState::Kept, ArrivalState::AckPending], "only what is left can be let go");
    // Taken in, it may fail again: it is one error ticket still.
    let again = new_error(left[0], EventNumber(50));
    let id = tx.insert_error(&again, at(5)).await.unwrap();
    assert_eq!(tx.error_ticket(id).await.unwrap(), (left[0], "open".to_owned()));
}

async fn what_is_refused_is_counted_and_what_was_left_stays_left(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let id = arrive(&mut tx, laid.mailbox, "1", b"x").await;
    assert_eq!(tx.mark_refused(id).await.unwrap(), 1);
    assert_eq!(tx.mark_refused(id).await.unwrap(), 2);
    assert_eq!(state_of(&mut tx, laid.mailbox, &["1"]).await, [ArrivalState::Refused]);
    assert!(tx.refused().await.unwrap().is_empty(), "it has no error ticket yet");
    let error = NewError { code: "refused", ..new_error(id, EventNumber(50)) };
    tx.insert_error(&error, at(5)).await.unwrap();
    assert_eq!(tx.refused().await.unwrap().into_iter().collect::<Vec<_>>(), [id]);
    tx.settle_error_of(id, "fetched", at(6)).await.unwrap();
    let row = NewArrival { state: ArrivalState::Left, ..new_arrival("2", b"") };
    let left = tx.insert_arrivals(&place(laid.mailbox), &[row], at(0)).await.unwrap()[0];
    tx.mark_refused(left).await.unwrap();
    assert_eq!(state_of(&mut tx, laid.mailbox, &["2"]).await, [ArrivalState::Left]);
}

async fn what_was_left_is_known_under_a_new_number(store: &Store) {
    let laid = lay_down(store).await;
    let here = place(laid.mailbox);
    let mut tx = store.desk().await.unwrap();
    let row = NewArrival { state: ArrivalState::Left, ..new_arrival("17", b"") };
    let id = tx.insert_arrivals(&here, &[row], at(0)).await.unwrap()[0];
    decide_left(&mut tx, id).await;
    let headers = b"From: ann@x.test\r\n";
    assert_eq!(
        tx.left_with_headers(&here, headers).await.unwrap(),
        None,
        "under this very number it is known"
    );
    for other in [Place { validity: 8, ..here.clone() }, Place { epoch: 2, ..here.clone() }] {
        assert_eq!(tx.left_with_headers(&other, headers).await.unwrap(), Some(id), "{other:?}");
        assert_eq!(tx.left_with_headers(&other, b"From: bob@x.test\r\n").await.unwrap(), None);
    }
    let folder = Place { folder: "Other".into(), validity: 8, ..here.clone() };
    assert_eq!(tx.left_with_headers(&folder, headers).await.unwrap(), None, "another folder is another copy");
    let renewed = Place { validity: 8, ..here.clone() };
    tx.renumber_arrival(id, &renewed, "1", 99).await.unwrap();
    let known = tx.known_arrivals(&renewed, &["1"]).await.unwrap();
    assert_eq!((known[0].id, known[0].announced_size, known[0].state), (id, 99, ArrivalState::Left));
    assert!(tx.known_arrivals(&here, &["17"]).await.unwrap().is_empty());
    tx.mark_vanished(id).await.unwrap();
    assert_eq!(tx.left_with_headers(&here, headers).await.unwrap(), None, "only what is left");
    tx.leave_arrival(id, 7).await.unwrap();
    let left = tx.arrivals_in(laid.mailbox, ArrivalState::Left).await.unwrap();
    assert_eq!((left[0].1.id, left[0].1.announced_size, &left[0].0), (id, 7, &renewed));
}

async fn decide_left(tx: &mut Tx, id: ArrivalId) {
    let number = tx.draw_decision().await.unwrap();
    let error = NewError { code: "too_big", headers: b"From: ann@x.test\r\n", ..new_error(id, number) };
    tx.insert_error(&error, at(1)).await.unwrap();
    let decision = decision(Act::Error, Code::TooBig);
    let entry = maildesk::store::journal::NewJournal {
        arrival: id,
        number,
        decision: &decision,
        clues_json: "{}",
        fate: Fate::default(),
    };
    tx.insert_journal(&entry, at(1)).await.unwrap();
}
