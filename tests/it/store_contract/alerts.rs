//! Alerts: raised once, told once, cleared once.

use maildesk::failure::Kind;
use maildesk::store::listing::ALL;
use maildesk::store::{Alarm, Raised, Store};

use super::world::at;

on_both!(
    an_alert_stands_until_it_is_cleared,
    an_alert_is_told_again_where_it_becomes_worse_and_where_it_is_over,
    two_who_raise_it_raise_it_once,
);

fn alarm(kind: Option<Kind>, words: &str) -> Alarm {
    Alarm { kind, words: words.into(), advice: "look".into() }
}

async fn an_alert_stands_until_it_is_cleared(store: &Store) {
    let mut tx = store.write().await.unwrap();
    let (first, second) = ("mailbox:1:failing", "mailbox:2:failing");
    assert_eq!(tx.open_alert(first).await.unwrap(), None);
    assert!(!tx.clear_alert(first, true, at(0)).await.unwrap());
    assert_eq!(tx.raise_alert(first, &alarm(None, "it fails"), at(1)).await.unwrap(), Raised::New);
    assert_eq!(tx.raise_alert(first, &alarm(None, "it fails more"), at(2)).await.unwrap(), Raised::Stands);
    assert_eq!(tx.raise_alert(second, &alarm(None, "that too\u{0}"), at(2)).await.unwrap(), Raised::New);
    let id = tx.open_alert(first).await.unwrap().unwrap();
    let untold = tx.untold_alerts().await.unwrap();
    assert_eq!(untold.len(), 2);
    assert_eq!((untold[0].id, untold[0].words.as_str(), untold[0].raised), (id, "it fails more", at(1)));
    assert_eq!(untold[1].words, "that too");
    tx.mark_told(id, at(3)).await.unwrap();
    assert_eq!(tx.untold_alerts().await.unwrap().len(), 1);
    assert!(tx.clear_alert(first, false, at(4)).await.unwrap());
    assert!(!tx.clear_alert(first, false, at(5)).await.unwrap());
    assert!(tx.clear_alert(second, true, at(5)).await.unwrap());
    assert!(tx.untold_alerts().await.unwrap().is_empty(), "what was told to nobody is over for nobody");
    let again = tx.raise_alert(first, &alarm(None, "again"), at(6)).await.unwrap();
    assert_eq!(again, Raised::New, "it may come back");
    assert_ne!(tx.open_alert(first).await.unwrap(), Some(id));
    tx.commit().await.unwrap();
    let mut tx = store.read().await.unwrap();
    assert_eq!(tx.list_alerts(false, ALL).await.unwrap().len(), 1);
    let all = tx.list_alerts(true, ALL).await.unwrap();
    assert_eq!(
        all.iter().map(|a| (a.told.is_some(), a.cleared.is_some())).collect::<Vec<_>>(),
        [(true, true), (false, true), (false, false)]
    );
    assert_eq!(tx.alert(id).await.unwrap().words, "it fails more");
}

async fn an_alert_is_told_again_where_it_becomes_worse_and_where_it_is_over(store: &Store) {
    let mut tx = store.write().await.unwrap();
    let name = "mailbox:1:failing";
    let mut told = vec![];
    for (step, kind) in
        [Kind::Cut, Kind::Silent, Kind::Login, Kind::TlsExpired, Kind::Cut].into_iter().enumerate()
    {
        let raised = tx.raise_alert(name, &alarm(Some(kind), kind.word()), at(step as i64)).await.unwrap();
        let untold = tx.untold_alerts().await.unwrap();
        for alert in &untold {
            tx.mark_told(alert.id, at(10)).await.unwrap();
        }
        told.push((raised, untold.iter().map(|a| (a.words.clone(), a.is_told)).collect::<Vec<_>>()));
    }
    let words = |words: &str, was_told| vec![(words.to_owned(), was_told)];
    let expected = [
        (Raised::New, words("cut", false)),
        (Raised::Stands, vec![]),
        (Raised::Worse, words("login", true)),
        (Raised::Stands, vec![]),
        (Raised::Stands, vec![]),
    ];
    assert_eq!(told, expected);
    let standing = tx.standing_alert(name).await.unwrap().unwrap();
    assert_eq!((standing.kind.as_str(), standing.advice.as_str()), ("cut", "look"), "kept up to date");
    tx.clear_alert(name, true, at(11)).await.unwrap();
    let over = tx.untold_alerts().await.unwrap();
    assert_eq!((over.len(), over[0].cleared), (1, Some(at(11))));
    tx.mark_told(over[0].id, at(12)).await.unwrap();
    assert!(tx.untold_alerts().await.unwrap().is_empty());
}

async fn two_who_raise_it_raise_it_once(store: &Store) {
    let raise = |n: i64| async move {
        let mut tx = store.write().await.unwrap();
        tx.setting("look first").await.unwrap();
        tokio::task::yield_now().await;
        let is_new = tx.raise_alert("balance:1", &alarm(None, "off"), at(n)).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        tx.commit().await.unwrap();
        is_new
    };
    let raised = futures_util::future::join_all((0..6).map(raise)).await;
    assert_eq!(raised.iter().filter(|raised| **raised == Raised::New).count(), 1);
    assert_eq!(store.read().await.unwrap().untold_alerts().await.unwrap().len(), 1);
}
