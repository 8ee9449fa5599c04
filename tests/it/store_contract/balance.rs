//! The mail balance (M2): what a server has shown, and where each of those messages stands.

use maildesk::store::arrival::{ArrivalState, NewArrival};
use maildesk::store::balance::Balance;
use maildesk::store::journal::Fate;
use maildesk::store::queue::{NewBounce, NewError};
use maildesk::store::ticket::EntryKind;
use maildesk::store::{Store, Tx};
use maildesk::ticket::ArrivalId;
use maildesk::triage::{Act, Code, Finding};

use super::world::{
    Laid, arrive, at, decide, decision, lay_down, new_arrival, new_error, new_invalid, open_ticket, place,
    run_sql_here, write_entry,
};

on_both!(
    each_message_is_counted_where_it_stands,
    what_is_unaccounted_for_shows,
    a_round_counts_on_from_its_mark,
    what_is_taken_back_is_counted_anew,
);

const DAY: i64 = 24 * 60 * 60;

/// One of each fate.
async fn one_of_each(tx: &mut Tx, laid: &Laid) -> Vec<ArrivalId> {
    let mut ids = vec![];
    for n in 0..8 {
        ids.push(arrive(tx, laid.mailbox, &n.to_string(), b"x").await);
    }
    let opened = open_ticket(tx, laid, "ann@x.test", "printer").await;
    let number = tx.draw_decision().await.unwrap();
    let fate = Fate { ticket: Some(opened.ticket), log_entry: Some(opened.entry) };
    for (id, act, code, kind) in [
        (ids[0], Act::Open, Code::NewTicket, EntryKind::Inbound),
        (ids[1], Act::Append, Code::ReplyByTag, EntryKind::Inbound),
    ] {
        write_entry(tx, opened.ticket, kind, Some(id), number).await;
        decide(tx, id, &decision(act, code), fate).await;
    }
    let finding = Finding::unattributed();
    let bounce = NewBounce {
        arrival: ids[2],
        code: "bounce_unmatched",
        outbox: None,
        ticket: None,
        log_entry: None,
        finding: &finding,
        number,
    };
    // A report about several recipients is one message all the same.
    for _ in 0..3 {
        tx.insert_bounce(&bounce, at(1)).await.unwrap();
    }
    decide(tx, ids[2], &decision(Act::Bounce, Code::BounceUnmatched), Fate::default()).await;
    tx.insert_invalid(&new_invalid(ids[3], number), at(1)).await.unwrap();
    decide(tx, ids[3], &decision(Act::Invalid, Code::NoType), Fate::default()).await;
    let error = new_error(ids[4], number);
    tx.insert_error(&error, at(1)).await.unwrap();
    decide(tx, ids[4], &decision(Act::Error, Code::Poison), Fate::default()).await;
    decide(tx, ids[5], &decision(Act::Discard, Code::DuplicateDiffers), fate).await;
    decide(tx, ids[6], &decision(Act::Discard, Code::OwnEcho), Fate::default()).await;
    for (source_id, state) in
        [("left", ArrivalState::Left), ("gone", ArrivalState::Vanished), ("old", ArrivalState::BeforeStart)]
    {
        let row = NewArrival { state, ..new_arrival(source_id, b"") };
        ids.push(tx.insert_arrivals(&place(laid.mailbox), &[row], at(1)).await.unwrap()[0]);
    }
    tx.add_shown(laid.mailbox, 3).await.unwrap();
    tx.insert_error(&NewError { arrival: ids[8], code: "too_big", ..error }, at(1)).await.unwrap();
    ids
}

async fn each_message_is_counted_where_it_stands(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    assert_eq!(tx.balance(laid.mailbox).await.unwrap(), Balance::default());
    one_of_each(&mut tx, &laid).await;
    let expected = Balance {
        shown: 11,
        tickets: 1,
        entries: 1,
        bounces: 1,
        invalid: 1,
        errors: 1,
        duplicates: 1,
        discarded: 1,
        left: 1,
        vanished: 1,
        before_start: 1,
        shadow: 0,
        pending: 1,
    };
    let balance = tx.balance(laid.mailbox).await.unwrap();
    assert_eq!((balance, balance.accounted(), balance.difference()), (expected, 11, 0));
    assert_eq!(tx.round_balance(laid.mailbox, at(9)).await.unwrap().balance, expected);
    let line = tx.list_balances().await.unwrap().remove(0);
    assert_eq!((line.id, line.mailbox.as_str(), line.difference), (laid.mailbox, "support", 0));
    assert_eq!(line.counts, expected);
}

async fn what_is_unaccounted_for_shows(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let ids = one_of_each(&mut tx, &laid).await;
    tx.add_shown(laid.mailbox, 2).await.unwrap();
    assert_eq!(tx.balance(laid.mailbox).await.unwrap().difference(), 2, "shown and never kept");
    // A journal row alone is no ticket, no bounce, no error.
    decide(&mut tx, ids[7], &decision(Act::Open, Code::NewTicket), Fate::default()).await;
    let left = NewArrival { state: ArrivalState::Left, ..new_arrival("left too", b"") };
    tx.insert_arrivals(&place(laid.mailbox), &[left], at(1)).await.unwrap();
    tx.add_shown(laid.mailbox, 1).await.unwrap();
    let balance = tx.balance(laid.mailbox).await.unwrap();
    assert_eq!((balance.difference(), balance.tickets, balance.left), (4, 1, 1));
    assert_eq!(tx.list_balances().await.unwrap()[0].difference, 4, "the command says what the alert says");
    let round = tx.round_balance(laid.mailbox, at(9)).await.unwrap();
    assert_eq!(round.balance, balance);
    assert!(round.mark.is_none(), "what is off is counted whole again");
    let nobody = tx.balance(maildesk::ticket::MailboxId(99)).await.unwrap_err();
    assert!(matches!(nobody, maildesk::store::Error::Missing(_)), "{nobody:?}");
}

/// Mail of before the start, so many that a mark is worth it.
async fn fill(tx: &mut Tx, laid: &Laid, name: &str) {
    let rows: Vec<NewArrival> = (0..1200)
        .map(|n| NewArrival { state: ArrivalState::BeforeStart, ..new_arrival(&format!("{name}{n}"), b"") })
        .collect();
    tx.insert_arrivals(&place(laid.mailbox), &rows, at(1)).await.unwrap();
    tx.add_shown(laid.mailbox, rows.len() as i64).await.unwrap();
}

/// A message that ends as an error ticket.
async fn fail(tx: &mut Tx, laid: &Laid, source_id: &str) -> ArrivalId {
    let id = arrive(tx, laid.mailbox, source_id, b"x").await;
    let number = decide(tx, id, &decision(Act::Error, Code::Poison), Fate::default()).await;
    tx.insert_error(&new_error(id, number), at(1)).await.unwrap();
    id
}

/// Loses the row that a message stands on.
async fn lose(id: ArrivalId) {
    run_sql_here(&format!("DELETE FROM error_ticket WHERE arrival_id = {id}")).await;
}

/// Counts as a round does, and keeps its mark; whether there was one.
async fn round(store: &Store, laid: &Laid, now: i64) -> (Balance, bool) {
    let round = store.read().await.unwrap().round_balance(laid.mailbox, at(now)).await.unwrap();
    if let Some(mark) = &round.mark {
        let mut tx = store.write().await.unwrap();
        tx.mark_balance(laid.mailbox, mark).await.unwrap();
        tx.commit().await.unwrap();
    }
    (round.balance, round.mark.is_some())
}

async fn whole(store: &Store, laid: &Laid) -> Balance {
    store.read().await.unwrap().balance(laid.mailbox).await.unwrap()
}

async fn a_round_counts_on_from_its_mark(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let old = fail(&mut tx, &laid, "first").await;
    tx.commit().await.unwrap();
    assert!(!round(store, &laid, 0).await.1, "a few are counted at no cost");
    let mut tx = store.desk().await.unwrap();
    fill(&mut tx, &laid, "a").await;
    let waiting = arrive(&mut tx, laid.mailbox, "waiting", b"x").await;
    tx.commit().await.unwrap();
    assert!(!round(store, &laid, 0).await.1, "what waits is not yet where it will stand");
    let mut tx = store.desk().await.unwrap();
    decide(&mut tx, waiting, &decision(Act::Discard, Code::OwnEcho), Fate::default()).await;
    tx.commit().await.unwrap();
    let (balance, is_marked) = round(store, &laid, 0).await;
    assert!(is_marked && balance.difference() == 0);
    assert_eq!(balance, whole(store, &laid).await);
    assert!(!round(store, &laid, 0).await.1, "nothing is written where nothing came");
    // What comes later is counted on top.
    let mut tx = store.desk().await.unwrap();
    let new = fail(&mut tx, &laid, "second").await;
    arrive(&mut tx, laid.mailbox, "third", b"x").await;
    tx.commit().await.unwrap();
    let (balance, is_marked) = round(store, &laid, 10).await;
    assert_eq!(balance, whole(store, &laid).await);
    assert_eq!((balance.errors, balance.pending, is_marked), (2, 1, false));
    // A row that is lost from below the mark shows with the next whole count, a day later at most.
    lose(old).await;
    assert_eq!(round(store, &laid, 20).await.0.difference(), 0);
    assert_eq!(whole(store, &laid).await.difference(), 1);
    assert_eq!(round(store, &laid, DAY + 20).await.0.difference(), 1);
    // One that is lost from above it shows at once, and then all of it is counted.
    lose(new).await;
    assert_eq!(round(store, &laid, 30).await.0.difference(), 2);
}

async fn what_is_taken_back_is_counted_anew(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let failed = fail(&mut tx, &laid, "first").await;
    let ids = one_of_each(&mut tx, &laid).await;
    let left = ids[8];
    decide(&mut tx, ids[7], &decision(Act::Discard, Code::OwnEcho), Fate::default()).await;
    tx.commit().await.unwrap();
    for (n, name) in ["a", "b", "c"].iter().enumerate() {
        let mut tx = store.desk().await.unwrap();
        fill(&mut tx, &laid, name).await;
        tx.commit().await.unwrap();
        assert!(round(store, &laid, 0).await.1, "marked");
        let mut tx = store.desk().await.unwrap();
        match n {
            0 => tx.reopen_journal(failed).await.unwrap(),
            1 => tx.mark_vanished(left).await.unwrap(),
            _ => tx.leave_arrival(left, 7).await.unwrap(),
        }
        tx.commit().await.unwrap();
        let expected = whole(store, &laid).await;
        assert_eq!(round(store, &laid, 0).await.0, expected, "{name}");
        let mut tx = store.desk().await.unwrap();
        match n {
            0 => drop(decide(&mut tx, failed, &decision(Act::Discard, Code::OwnEcho), Fate::default()).await),
            1 => {}
            _ => tx.let_go(left).await.unwrap(),
        }
        tx.commit().await.unwrap();
        let expected = whole(store, &laid).await;
        assert_eq!(round(store, &laid, 0).await.0, expected, "{name}");
    }
}
