//! The intake journal: what became of each message, and why.

use maildesk::clock::Micros;
use maildesk::store::arrival::{ArrivalState, Of};
use maildesk::store::journal::{Fate, MailKey};
use maildesk::store::queue::{NewError, NewInvalid};
use maildesk::store::{Error, Store};
use maildesk::ticket::{ArrivalId, EventNumber};
use maildesk::triage::{Act, Code, Decision};

use super::world::{
    arrive, at, decide, decision, flushed, lay_down, mail_key, new_error, new_invalid, open_ticket,
};

on_both!(
    a_decision_is_kept_with_its_words,
    a_decision_stands_once,
    a_second_copy_takes_the_place_of_the_first,
    an_admin_settles_and_takes_up_anew,
    a_message_without_an_id_has_no_hash,
);

async fn a_decision_is_kept_with_its_words(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let first = arrive(&mut tx, laid.mailbox, "1", b"x").await;
    let second = arrive(&mut tx, laid.mailbox, "2", b"y").await;
    let opened = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    let fate = Fate { ticket: Some(opened.ticket), log_entry: Some(opened.entry) };
    let open = Decision { type_id: Some(laid.support), ..decision(Act::Open, Code::NewTicket) };
    let number = decide(&mut tx, second, &open, fate).await;
    let later = decide(&mut tx, first, &decision(Act::Invalid, Code::NoType), Fate::default()).await;
    assert!(later > number && number > opened.number);
    tx.commit().await.unwrap();
    let mut tx = store.read().await.unwrap();
    let row = tx.journal_row(second).await.unwrap().unwrap();
    assert_eq!((row.arrival, row.number, row.act().unwrap()), (second, number, Act::Open));
    assert_eq!((row.code.as_str(), row.kind.as_str(), row.clues.as_str()), ("new_ticket", "person", "{}"));
    assert_eq!((row.type_id, row.ticket, row.log_entry), (Some(laid.support), fate.ticket, fate.log_entry));
    assert_eq!(serde_json::from_str::<Decision>(&row.decision).unwrap(), open);
    let row = tx.journal_row(first).await.unwrap().unwrap();
    assert_eq!((row.type_id, row.ticket, row.log_entry), (None, None, None));
    assert!(tx.journal_row(ArrivalId(99)).await.unwrap().is_none());
    let order =
        |rows: Vec<maildesk::store::journal::JournalRow>| rows.iter().map(|r| r.arrival).collect::<Vec<_>>();
    assert_eq!(
        order(tx.journal_from(EventNumber(0), 10).await.unwrap()),
        [second, first],
        "in order of decision"
    );
    assert_eq!(order(tx.journal_from(later, 10).await.unwrap()), [first]);
    assert_eq!(order(tx.journal_from(EventNumber(0), 1).await.unwrap()), [second]);
    assert_eq!(order(tx.latest_journal(2).await.unwrap()), [first, second]);
    assert_eq!(order(tx.latest_journal(1).await.unwrap()), [first]);
    assert_eq!(tx.decided_since(Micros(0)).await.unwrap(), (number, later, 2));
    assert_eq!(tx.decided_since(Micros(i64::MAX)).await.unwrap().2, 0);
    let id = format!("{second}@x.test");
    assert_eq!(tx.arrivals_of_message_id(&id).await.unwrap(), [second]);
    assert!(tx.arrivals_of_message_id(&id.to_uppercase()).await.unwrap().is_empty(), "ids differ by case");
    assert!(tx.arrivals_of_message_id("nobody@x.test").await.unwrap().is_empty());
}

async fn a_decision_stands_once(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let id = arrive(&mut tx, laid.mailbox, "1", b"x").await;
    let discard = decision(Act::Discard, Code::Duplicate);
    decide(&mut tx, id, &discard, Fate::default()).await;
    tx.commit().await.unwrap();
    let mut tx = store.desk().await.unwrap();
    let number = tx.draw_decision().await.unwrap();
    let entry = maildesk::store::journal::NewJournal {
        arrival: id,
        number,
        decision: &discard,
        clues_json: "{}",
        fate: Fate::default(),
    };
    tx.insert_journal(&entry, at(1)).await.unwrap();
    let said = flushed(&mut tx).await.unwrap_err();
    assert!(matches!(said, Error::Taken(_)), "{said:?}");
}

async fn a_second_copy_takes_the_place_of_the_first(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let invalid = arrive(&mut tx, laid.mailbox, "1", b"x").await;
    let error = arrive(&mut tx, laid.mailbox, "2", b"x").await;
    let second = arrive(&mut tx, laid.mailbox, "3", b"x").await;
    let number = decide(&mut tx, invalid, &decision(Act::Invalid, Code::NoType), Fate::default()).await;
    let new = NewInvalid { sender_address: "ann@x.test", ..new_invalid(invalid, number) };
    let invalid = tx.insert_invalid(&new, at(1)).await.unwrap();
    let number = decide(&mut tx, error, &decision(Act::Error, Code::Unreadable), Fate::default()).await;
    let new = NewError { code: "unreadable", ..new_error(error, number) };
    let error_ticket = tx.insert_error(&new, at(1)).await.unwrap();
    let opened = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    let superseding =
        Decision { supersedes: vec![ArrivalId(1), error], ..decision(Act::Open, Code::NewTicket) };
    let fate = Fate { ticket: Some(opened.ticket), log_entry: Some(opened.entry) };
    decide(&mut tx, second, &superseding, fate).await;
    assert_eq!(tx.invalid(invalid).await.unwrap().state, "superseded");
    assert_eq!(tx.error_ticket(error_ticket).await.unwrap().1, "superseded");
    let filter = maildesk::store::listing::JournalFilter { limit: 10, ..Default::default() };
    let lines = tx.list_journal(&filter).await.unwrap();
    let by: Vec<Option<ArrivalId>> = lines.iter().map(|l| l.superseded_by).collect();
    assert_eq!(by, [Some(second), Some(second), None]);
}

async fn an_admin_settles_and_takes_up_anew(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let id = arrive(&mut tx, laid.mailbox, "1", b"x").await;
    decide(&mut tx, id, &decision(Act::Invalid, Code::NoType), Fate::default()).await;
    let opened = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    let fate = Fate { ticket: Some(opened.ticket), log_entry: Some(opened.entry) };
    let number = tx.draw_decision().await.unwrap();
    tx.settle_journal(id, fate, number).await.unwrap();
    let row = tx.journal_row(id).await.unwrap().unwrap();
    assert_eq!((row.ticket, row.log_entry), (fate.ticket, fate.log_entry));
    assert_eq!(row.act().unwrap(), Act::Invalid, "what was decided stays decided");
    tx.reopen_journal(id).await.unwrap();
    assert!(tx.journal_row(id).await.unwrap().is_none());
    assert_eq!(tx.pending_arrivals(Of::All, ArrivalId(0), 10).await.unwrap()[0].id, id);
    decide(&mut tx, id, &decision(Act::Open, Code::NewTicket), fate).await;
    assert_eq!(tx.journal_row(id).await.unwrap().unwrap().code, "new_ticket");
    // In one go, with no look in between.
    tx.reopen_journal(id).await.unwrap();
    decide(&mut tx, id, &decision(Act::Append, Code::ReplyByTag), fate).await;
    assert_eq!(tx.journal_row(id).await.unwrap().unwrap().code, "reply_by_tag");
    assert!(tx.pending_arrivals(Of::All, ArrivalId(0), 10).await.unwrap().is_empty());
}

async fn a_message_without_an_id_has_no_hash(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let id = arrive(&mut tx, laid.mailbox, "1", b"x").await;
    let key = MailKey { message_id: None, id_hash: None, ..mail_key("of its bytes") };
    tx.settle_arrival(id, &key, false).await.unwrap();
    assert!(tx.pending_arrivals(Of::All, ArrivalId(0), 10).await.unwrap().is_empty());
    assert!(
        tx.arrivals_in(laid.mailbox, ArrivalState::AckPending).await.unwrap().is_empty(),
        "its source is owed nothing"
    );
    assert!(tx.arrivals_of_message_id("").await.unwrap().is_empty(), "no id is nobody's id");
}
