//! What the sender does with queued mail: due, claimed under a fence, tried, recorded.

use maildesk::store::delivery::{Attempt, Claimed, Ended, Fate, Outcome, Sender};
use maildesk::store::{Store, Tx};
use maildesk::ticket::{OutboxId, RelayId};

use super::leases::{die, live};
use super::outbox::queue;
use super::world::{Laid, at, lay_down};

on_both!(
    a_mail_is_due_until_its_relay_is_paused,
    one_claims_and_another_does_not,
    each_recipient_has_its_own_fate,
    whoever_lost_the_fence_records_nothing,
    an_unknown_end_may_repeat,
    what_is_under_way_is_cancelled_with_care,
    a_relay_that_takes_nothing_defers_all,
);

const HOUR: i64 = 60 * 60;

const fn me(second: i64) -> Sender<'static> {
    Sender { owner: "me", now: at(second) }
}

const fn other(second: i64) -> Sender<'static> {
    Sender { owner: "other", now: at(second) }
}

async fn queued(store: &Store, to: &[&str]) -> (Laid, OutboxId) {
    let laid = lay_down(store).await;
    let mut tx = store.desk().await.unwrap();
    let id = queue(&mut tx, &laid, "op:1", to).await;
    tx.commit().await.unwrap();
    (laid, id)
}

fn outcome(address: &str, fate: Fate, code: u16, words: &str) -> Outcome {
    Outcome { address: address.into(), fate, code, enhanced: "2.0.0".into(), words: words.into() }
}

fn ended<'a>(attempt: Attempt, code: u16, outcomes: &'a [Outcome]) -> Ended<'a> {
    Ended { attempt, is_unknown: false, code, words: "said", outcomes }
}

async fn a_mail_is_due_until_its_relay_is_paused(store: &Store) {
    let (laid, id) = queued(store, &["ann@x.test"]).await;
    let mut tx = store.write().await.unwrap();
    assert_eq!(tx.next_due().await.unwrap(), Some(at(0)));
    assert_eq!(tx.relays_due(me(-1)).await.unwrap(), []);
    assert_eq!(tx.relays_due(me(0)).await.unwrap(), [laid.relay]);
    assert_eq!(tx.due(laid.relay, me(0), 10).await.unwrap(), [id]);
    assert_eq!(tx.due(laid.relay, me(0), 0).await.unwrap(), []);
    assert_eq!(tx.due(RelayId(99), me(0), 10).await.unwrap(), []);
    assert!(tx.pause_relay(laid.relay, true).await.unwrap());
    assert!(!tx.pause_relay(laid.relay, true).await.unwrap());
    assert_eq!(tx.relays_due(me(0)).await.unwrap(), []);
    assert_eq!(tx.due(laid.relay, me(0), 10).await.unwrap(), []);
    assert_eq!(tx.next_due().await.unwrap(), None);
    assert!(tx.claim(id, me(0)).await.unwrap().is_none());
    assert!(tx.relay(laid.relay).await.unwrap().is_paused);
    assert!(tx.pause_relay(laid.relay, false).await.unwrap());
    let claimed = tx.claim(id, me(0)).await.unwrap().unwrap();
    assert_eq!((claimed.id, claimed.fence, claimed.size, claimed.created), (id, 1, 22, at(0)));
    assert_eq!(claimed.literal, b"Subject: x\r\n\r\n\0bytes\r\n");
    assert_eq!((claimed.segments.len(), claimed.return_path.as_str()), (1, "bounce@example.com"));
    assert_eq!(
        claimed.recipients.iter().map(|r| (r.address.as_str(), r.attempts)).collect::<Vec<_>>(),
        [("ann@x.test", 0)]
    );
    assert!(tx.claim(OutboxId(99), me(0)).await.unwrap().is_none());
}

async fn one_claims_and_another_does_not(store: &Store) {
    let (laid, id) = queued(store, &["ann@x.test"]).await;
    live(store, "me").await;
    live(store, "other").await;
    let claim = |sender| async move {
        let mut tx = store.write().await.unwrap();
        let claimed = tx.claim(id, sender).await.unwrap();
        tokio::task::yield_now().await;
        tx.commit().await.unwrap();
        claimed
    };
    let (one, two) = tokio::join!(claim(me(1)), claim(other(1)));
    assert_eq!(u8::from(one.is_some()) + u8::from(two.is_some()), 1, "the loser gets nothing");
    let (holder, loser) =
        if one.is_some() { (me as fn(i64) -> _, other as fn(i64) -> _) } else { (other as _, me as _) };
    let mut tx = store.write().await.unwrap();
    assert_eq!(tx.due(laid.relay, loser(2), 10).await.unwrap(), [], "it is somebody's");
    assert_eq!(
        tx.due(laid.relay, holder(2), 10).await.unwrap(),
        [id],
        "who dies and comes back has it still"
    );
    assert_eq!(tx.next_due().await.unwrap(), None);
    assert_eq!(tx.claim(id, holder(2)).await.unwrap().unwrap().fence, 2);
    assert!(tx.claim(id, loser(HOUR)).await.unwrap().is_none(), "as long as its daemon lives");
    tx.commit().await.unwrap();
    die(store, holder(2).owner).await;
    assert!(store.write().await.unwrap().claim(id, loser(HOUR)).await.unwrap().is_some(), "a life ends");
}

async fn claim(tx: &mut Tx, id: OutboxId, sender: Sender<'_>) -> (Claimed, Attempt) {
    let mail = tx.claim(id, sender).await.unwrap().expect("it is due");
    let attempt = tx.start_attempt(&mail, "out (127.0.0.1:25)", sender.now).await.unwrap();
    (mail, attempt)
}

async fn each_recipient_has_its_own_fate(store: &Store) {
    let (laid, id) = queued(store, &["ann@x.test", "bob@x.test", "eve@x.test"]).await;
    let mut tx = store.write().await.unwrap();
    let (mail, attempt) = claim(&mut tx, id, me(1)).await;
    assert!(!attempt.is_possibly_repeated);
    assert!(tx.dot_sent(&mail, attempt).await.unwrap());
    let long = format!("{}\u{0}", "ü".repeat(600));
    let outcomes = [
        outcome("ann@x.test", Fate::Sent, 250, "ok"),
        outcome("bob@x.test", Fate::Deferred(at(HOUR)), 451, &long),
        outcome("eve@x.test", Fate::Failed, 550, "no such user"),
    ];
    assert!(tx.end_attempt(&mail, &ended(attempt, 250, &outcomes), at(3)).await.unwrap());
    let shown = tx.outbox_show(id).await.unwrap();
    assert_eq!(
        (shown.state.as_str(), shown.next),
        ("queued", at(HOUR)),
        "it is due when its first recipient is"
    );
    let fates: Vec<_> =
        shown.recipients.iter().map(|r| (r.state.as_str(), r.code, r.attempts, r.settled)).collect();
    assert_eq!(
        fates,
        [("sent", 250, 1, Some(at(3))), ("deferred", 451, 1, None), ("failed", 550, 1, Some(at(3)))]
    );
    assert_eq!(shown.recipients[0].enhanced, "2.0.0");
    assert!(shown.recipients[1].words.len() <= 500 && shown.recipients[1].words.starts_with('ü'));
    let attempts = tx.attempts_of(id).await.unwrap();
    assert_eq!((attempts.len(), attempts[0].state.as_str(), attempts[0].code), (1, "ended", 250));
    assert_eq!((attempts[0].recipients, attempts[0].started, attempts[0].ended), (3, at(1), Some(at(3))));
    assert_eq!((attempts[0].relay.as_str(), attempts[0].words.as_str()), ("out (127.0.0.1:25)", "said"));
    assert!(tx.claim(id, me(4)).await.unwrap().is_none(), "nobody is due");
    let (mail, attempt) = claim(&mut tx, id, me(HOUR)).await;
    let due: Vec<_> = mail.recipients.iter().map(|r| (r.address.as_str(), r.attempts)).collect();
    assert_eq!((due, attempt.is_possibly_repeated), (vec![("bob@x.test", 1)], false));
    let outcomes = [outcome("bob@x.test", Fate::Sent, 250, "ok")];
    assert!(tx.end_attempt(&mail, &ended(attempt, 250, &outcomes), at(HOUR)).await.unwrap());
    assert_eq!(tx.outbox_show(id).await.unwrap().state, "done");
    assert_eq!(tx.next_due().await.unwrap(), None);
    // Whom it did not reach gets it again when a person says so; nobody else does.
    tx.retry(id, at(2 * HOUR)).await.unwrap();
    assert_eq!(tx.due(laid.relay, me(2 * HOUR), 10).await.unwrap(), [id]);
    let (mail, _) = claim(&mut tx, id, me(2 * HOUR)).await;
    assert_eq!(
        mail.recipients.iter().map(|r| (r.address.as_str(), r.attempts)).collect::<Vec<_>>(),
        [("eve@x.test", 0)]
    );
}

async fn whoever_lost_the_fence_records_nothing(store: &Store) {
    let (_, id) = queued(store, &["ann@x.test"]).await;
    let mut tx = store.write().await.unwrap();
    let (late, late_attempt) = claim(&mut tx, id, me(0)).await;
    let (mail, attempt) = claim(&mut tx, id, other(HOUR)).await;
    let sent = [outcome("ann@x.test", Fate::Sent, 250, "ok")];
    assert!(!tx.dot_sent(&late, late_attempt).await.unwrap(), "its final dot must not go");
    assert!(!tx.end_attempt(&late, &ended(late_attempt, 250, &sent), at(HOUR)).await.unwrap());
    assert!(!tx.record(&late, &sent, at(HOUR)).await.unwrap());
    assert_eq!(tx.outbox_show(id).await.unwrap().recipients[0].state, "queued");
    // Its daemon may be gone: as long as nobody took the mail, its end is recorded.
    assert!(tx.dot_sent(&mail, attempt).await.unwrap());
    assert!(tx.end_attempt(&mail, &ended(attempt, 250, &sent), at(9 * HOUR)).await.unwrap());
    let shown = tx.outbox_show(id).await.unwrap();
    assert_eq!((shown.state.as_str(), shown.recipients[0].state.as_str()), ("done", "sent"));
    let states: Vec<String> = tx.attempts_of(id).await.unwrap().into_iter().map(|a| a.state).collect();
    assert_eq!(states, ["started", "ended"]);
}

async fn an_unknown_end_may_repeat(store: &Store) {
    let (_, id) = queued(store, &["ann@x.test", "bob@x.test"]).await;
    let mut tx = store.write().await.unwrap();
    let (mail, attempt) = claim(&mut tx, id, me(0)).await;
    assert!(tx.unfinished_attempts(id).await.unwrap().is_empty());
    assert!(tx.dot_sent(&mail, attempt).await.unwrap());
    assert_eq!(tx.unfinished_attempts(id).await.unwrap(), [attempt.id]);
    let outcomes = [outcome("ann@x.test", Fate::Deferred(at(60)), 0, "cut off after the final dot")];
    let unknown = Ended { is_unknown: true, ..ended(attempt, 0, &outcomes) };
    assert!(tx.end_attempt(&mail, &unknown, at(2)).await.unwrap());
    let shown = tx.attempts_of(id).await.unwrap();
    assert_eq!((shown[0].state.as_str(), shown[0].ended), ("dot_sent", None), "nobody knows");
    let (mail, again) = claim(&mut tx, id, me(60)).await;
    assert!(again.is_possibly_repeated);
    assert!(tx.dot_sent(&mail, again).await.unwrap());
    let sent = [
        outcome("ann@x.test", Fate::Sent, 250, "ok"),
        outcome("bob@x.test", Fate::Deferred(at(99)), 451, ""),
    ];
    assert!(tx.end_attempt(&mail, &ended(again, 250, &sent), at(62)).await.unwrap());
    assert!(tx.unfinished_attempts(id).await.unwrap().is_empty(), "made up for");
    let (_, third) = claim(&mut tx, id, me(99)).await;
    assert!(!third.is_possibly_repeated);
    let line = tx
        .list_queue(&maildesk::store::listing::QueueFilter { limit: 1, ..Default::default() })
        .await
        .unwrap();
    assert_eq!((line[0].attempts, line[0].possibly_repeated), (3, true));
}

async fn what_is_under_way_is_cancelled_with_care(store: &Store) {
    let (_, id) = queued(store, &["ann@x.test"]).await;
    live(store, "me").await;
    let mut tx = store.write().await.unwrap();
    let (mail, attempt) = claim(&mut tx, id, me(0)).await;
    assert!(tx.dot_sent(&mail, attempt).await.unwrap());
    let said = tx.cancel(id, at(2)).await.unwrap_err().to_string();
    assert!(said.contains("is being sent at this moment"), "{said}");
    assert!(
        tx.record(&mail, &[outcome("ann@x.test", Fate::Deferred(at(60)), 451, "")], at(3)).await.unwrap()
    );
    let (mail, attempt) = claim(&mut tx, id, me(60)).await;
    tx.cancel(id, at(61)).await.unwrap();
    assert!(!tx.dot_sent(&mail, attempt).await.unwrap(), "before its final dot it is stopped");
    let sent = [outcome("ann@x.test", Fate::Sent, 250, "ok")];
    assert!(!tx.end_attempt(&mail, &ended(attempt, 250, &sent), at(63)).await.unwrap());
    assert_eq!(tx.outbox_show(id).await.unwrap().recipients[0].state, "cancelled");
    assert!(tx.claim(id, me(HOUR)).await.unwrap().is_none());
}

async fn a_relay_that_takes_nothing_defers_all(store: &Store) {
    let laid = lay_down(store).await;
    live(store, "other").await;
    let mut tx = store.desk().await.unwrap();
    let mut ids = vec![];
    for n in 0..3 {
        ids.push(queue(&mut tx, &laid, &format!("op:{n}"), &["ann@x.test", "bob@x.test"]).await);
    }
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    let mail = tx.claim(ids[0], me(0)).await.unwrap().unwrap();
    let outcomes =
        [outcome("ann@x.test", Fate::Deferred(at(5)), 451, ""), outcome("bob@x.test", Fate::Sent, 250, "")];
    assert!(tx.record(&mail, &outcomes, at(0)).await.unwrap());
    // Somebody else is sending this one.
    tx.claim(ids[2], other(5)).await.unwrap().unwrap();
    let mut tries = tx.tries_due(laid.relay, me(5)).await.unwrap();
    tries.sort();
    assert_eq!(tries, [0, 1]);
    assert_eq!(tx.old_mails_due(laid.relay, me(5), 1, at(0)).await.unwrap(), [ids[0]]);
    assert_eq!(tx.old_mails_due(laid.relay, me(5), 0, at(0)).await.unwrap(), ids[..2]);
    assert_eq!(tx.old_mails_due(laid.relay, me(5), 0, at(-1)).await.unwrap(), []);
    let next = [(0, at(100)), (1, at(200))];
    assert_eq!(tx.defer_relay(laid.relay, me(5), &next, "connection refused").await.unwrap(), 2);
    let shown = tx.outbox_show(ids[0]).await.unwrap();
    let fates: Vec<_> =
        shown.recipients.iter().map(|r| (r.state.as_str(), r.attempts, r.next, r.words.as_str())).collect();
    assert_eq!(fates, [("deferred", 2, at(200), "connection refused"), ("sent", 1, at(0), "")]);
    assert_eq!((shown.next, tx.outbox_show(ids[1]).await.unwrap().next), (at(200), at(100)));
    assert_eq!(tx.outbox_show(ids[2]).await.unwrap().recipients[0].attempts, 0, "that one is another's");
    assert_eq!(tx.due(laid.relay, me(99), 10).await.unwrap(), []);
    assert_eq!(tx.due(laid.relay, me(200), 10).await.unwrap(), [ids[1], ids[0]], "who waits longest first");
    assert_eq!(tx.due(laid.relay, me(200), 1).await.unwrap(), [ids[1]]);
}
