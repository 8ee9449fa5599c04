//! Secrets, sealed, and single settings by name.

use maildesk::seal::{SealingKey, Secret};
use maildesk::store::{Error, Store};
use maildesk::ticket::SecretId;

use super::world::{key, stamp};

on_both!(
    a_secret_opens_under_its_key_only,
    the_keys_of_a_desk_are_made_once,
    a_setting_is_the_last_that_was_set
);

async fn a_secret_opens_under_its_key_only(store: &Store) {
    let key = key();
    let stamp = stamp(&key);
    let mut tx = store.write().await.unwrap();
    assert!(!tx.has_secrets().await.unwrap());
    let words = Secret::new("hunter2 ü 🙂");
    let id = tx.create_secret("password", &words, 0, &stamp).await.unwrap();
    let empty = tx.create_secret("password", &Secret::new(""), 0, &stamp).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.read().await.unwrap();
    assert!(tx.has_secrets().await.unwrap());
    assert!(tx.open_secret(id, &key).await.unwrap() == words);
    assert!(tx.open_secret(empty, &key).await.unwrap().is_empty());
    let other = SealingKey::new([8; 32]);
    assert!(matches!(tx.open_secret(id, &other).await, Err(Error::WrongKey)));
    assert!(matches!(tx.open_secret(SecretId(99), &key).await, Err(Error::Missing(_))));
}

async fn the_keys_of_a_desk_are_made_once(store: &Store) {
    let key = key();
    let stamp = stamp(&key);
    let mut tx = store.write().await.unwrap();
    assert!(!tx.has_keys().await.unwrap());
    assert!(matches!(tx.mail_keys(&key).await, Err(Error::Missing(_))));
    tx.ensure_keys(&stamp).await.unwrap();
    assert!(tx.has_keys().await.unwrap());
    let hash = tx.mail_keys(&key).await.unwrap().hash(&[b"x"]);
    let mark = tx.setting("desk_mark").await.unwrap();
    tx.ensure_keys(&stamp).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.read().await.unwrap();
    assert_eq!(tx.mail_keys(&key).await.unwrap().hash(&[b"x"]), hash);
    assert_eq!(tx.setting("desk_mark").await.unwrap(), mark);
    assert_eq!(tx.load_rules().await.unwrap().desk, mark.unwrap());
    let other = SealingKey::new([8; 32]);
    assert!(matches!(tx.mail_keys(&other).await, Err(Error::WrongKey)));
    drop(tx);
    // Two programs that start at once make one set.
    let make = || async {
        let mut tx = store.write().await.unwrap();
        tx.ensure_keys(&stamp).await.unwrap();
        tx.commit().await.unwrap();
    };
    tokio::join!(make(), make());
    assert_eq!(store.read().await.unwrap().mail_keys(&key).await.unwrap().hash(&[b"x"]), hash);
}

async fn a_setting_is_the_last_that_was_set(store: &Store) {
    let mut tx = store.write().await.unwrap();
    assert_eq!(tx.setting("x").await.unwrap(), None);
    for value in ["", "1", "ü"] {
        tx.set_setting("x", value).await.unwrap();
        assert_eq!(tx.setting("x").await.unwrap().as_deref(), Some(value));
    }
    assert_eq!(tx.setting("X").await.unwrap(), None, "names differ by case");
}
