//! Alerts: raised once, told once, cleared once.

use maildesk::store::Store;
use maildesk::store::listing::ALL;

use super::world::at;

on_both!(an_alert_stands_until_it_is_cleared, two_who_raise_it_raise_it_once);

async fn an_alert_stands_until_it_is_cleared(store: &Store) {
    let mut tx = store.write().await.unwrap();
    assert_eq!(tx.open_alert("mailbox:1:failing").await.unwrap(), None);
    assert!(!tx.clear_alert("mailbox:1:failing", at(0)).await.unwrap());
    assert!(tx.raise_alert("mailbox:1:failing", "it fails", at(1)).await.unwrap());
    assert!(!tx.raise_alert("mailbox:1:failing", "it fails more", at(2)).await.unwrap());
    assert!(tx.raise_alert("mailbox:2:failing", "that too\u{0}", at(2)).await.unwrap());
    let id = tx.open_alert("mailbox:1:failing").await.unwrap().unwrap();
    let untold = tx.untold_alerts().await.unwrap();
    assert_eq!(untold.len(), 2);
    assert_eq!((untold[0].id, untold[0].words.as_str(), untold[0].raised), (id, "it fails", at(1)));
    assert_eq!(untold[1].words, "that too");
    tx.mark_told(id, at(3)).await.unwrap();
    assert_eq!(tx.untold_alerts().await.unwrap().len(), 1);
    assert!(tx.clear_alert("mailbox:1:failing", at(4)).await.unwrap());
    assert!(!tx.clear_alert("mailbox:1:failing", at(5)).await.unwrap());
    assert!(tx.clear_alert("mailbox:2:failing", at(5)).await.unwrap());
    assert!(tx.untold_alerts().await.unwrap().is_empty(), "what is over is not told");
    assert!(tx.raise_alert("mailbox:1:failing", "again", at(6)).await.unwrap(), "it may come back");
    assert_ne!(tx.open_alert("mailbox:1:failing").await.unwrap(), Some(id));
    tx.commit().await.unwrap();
    let mut tx = store.read().await.unwrap();
    assert_eq!(tx.list_alerts(false, ALL).await.unwrap().len(), 1);
    let all = tx.list_alerts(true, ALL).await.unwrap();
    assert_eq!(
        all.iter().map(|a| (a.told.is_some(), a.cleared.is_some())).collect::<Vec<_>>(),
        [(true, true), (false, true), (false, false)]
    );
}

async fn two_who_raise_it_raise_it_once(store: &Store) {
    let raise = |n: i64| async move {
        let mut tx = store.write().await.unwrap();
        tx.setting("look first").await.unwrap();
        tokio::task::yield_now().await;
        let is_new = tx.raise_alert("balance:1", "off", at(n)).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        tx.commit().await.unwrap();
        is_new
    };
    let raised = futures_util::future::join_all((0..6).map(raise)).await;
    assert_eq!(raised.iter().filter(|is_new| **is_new).count(), 1);
    assert_eq!(store.read().await.unwrap().untold_alerts().await.unwrap().len(), 1);
}
