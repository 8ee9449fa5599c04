//! Grants and the applications behind them: claims, tokens in their order, and what a sign-in replaces.

use maildesk::seal::{SealingKey, Secret};
use maildesk::store::{Error, FailedTry, GrantRow, NewGrant, Stamp, Store, Tokens};
use maildesk::ticket::SecretId;

use super::world::{CONFIG, at, declared, key, stamp};

on_both!(
    a_provider_is_laid_down_and_switched_off,
    one_at_a_time_has_a_grant_in_hand,
    the_token_before_stays_until_the_new_one_has_worked,
    an_answer_under_an_old_claim_is_kept_where_nobody_was_quicker,
    a_failed_try_and_a_refused_token_are_recorded,
);

const PROVIDER: &str = r#"
[[oauth_provider]]
name = "ours"
kind = "other"
client_id = "c"
client_secret = "provider-hunter2"
token_url = "https://id.example.com/token"
scopes = ["mail"]
"#;

const LONG: i64 = 60_000_000;

async fn grant(store: &Store, stamp: &Stamp<'_>) -> GrantRow {
    store.provision(&declared(&(PROVIDER.to_owned() + &CONFIG)), stamp).await.unwrap();
    let mut tx = store.write().await.unwrap();
    let provider = tx.find_oauth_provider("ours").await.unwrap();
    let new = NewGrant {
        owner_kind: "mailbox",
        owner_id: 7,
        provider: provider.id,
        flow: "code".into(),
        username: "someone@example.com".into(),
        scopes: vec!["mail".into()],
        client_secret: None,
        secret_until: None,
        refresh_token: Some(Secret::new("r0")),
    };
    let grant = tx.lay_grant(&new, stamp).await.unwrap();
    tx.commit().await.unwrap();
    grant
}

fn tokens(access: &str, refresh: Option<&str>) -> Tokens {
    Tokens {
        access: Secret::new(access),
        access_until: at(3600),
        refresh: refresh.map(Secret::new),
        refresh_until: Some(at(90)),
        is_refresh_stated: false,
    }
}

async fn words(store: &Store, id: Option<SecretId>, key: &SealingKey) -> String {
    match store.read().await.unwrap().open_secret(id.unwrap(), key).await {
        Ok(secret) => secret.expose().to_owned(),
        Err(Error::Missing(_)) => "gone".into(),
        Err(e) => panic!("{e}"),
    }
}

async fn a_provider_is_laid_down_and_switched_off(store: &Store) {
    let key = key();
    let grant = grant(store, &stamp(&key)).await;
    let mut tx = store.read().await.unwrap();
    let row = tx.oauth_provider(grant.provider).await.unwrap();
    assert!(row.is_active && row.is_provisioned && tx.oauth_providers().await.unwrap().len() == 1);
    assert_eq!(words(store, row.secret, &key).await, "provider-hunter2");
    drop(tx);
    let other = (PROVIDER.to_owned() + &CONFIG).replace("provider-hunter2", "provider-hunter3");
    store.provision(&declared(&other), &stamp(&key)).await.unwrap();
    assert_eq!(words(store, row.secret, &key).await, "gone");
    store.provision(&declared(&CONFIG), &stamp(&key)).await.unwrap();
    assert!(!store.read().await.unwrap().oauth_provider(grant.provider).await.unwrap().is_active);
    store.provision(&declared(&other), &stamp(&key)).await.unwrap();
    assert!(store.read().await.unwrap().oauth_provider(grant.provider).await.unwrap().is_active);
}

async fn one_at_a_time_has_a_grant_in_hand(store: &Store) {
    let key = key();
    let laid = grant(store, &stamp(&key)).await;
    let mut tx = store.write().await.unwrap();
    let claimed = tx.claim_grant(laid.id, "a", LONG, at(1)).await.unwrap().unwrap();
    assert_eq!((claimed.fence, claimed.asked), (laid.fence + 1, None));
    assert_eq!(tx.claim_grant(laid.id, "b", LONG, at(1)).await.unwrap(), None);
    tx.release_grant(&claimed).await.unwrap();
    assert_eq!(tx.grant(laid.id).await.unwrap().asked, None);
    // One whose time has run out says that an answer may be lost.
    tx.claim_grant(laid.id, "a", -1, at(2)).await.unwrap().unwrap();
    let second = tx.claim_grant(laid.id, "b", -1, at(3)).await.unwrap().unwrap();
    assert_eq!(second.asked, Some(at(2)));
    assert!(tx.extend_claim(&second, LONG).await.unwrap());
    assert!(!tx.extend_claim(&claimed, LONG).await.unwrap(), "another's");
    assert_eq!(tx.claim_grant(laid.id, "c", LONG, at(4)).await.unwrap(), None);
    assert!(tx.delete_grant_of("mailbox", 7).await.unwrap());
    assert!(!tx.delete_grant_of("mailbox", 7).await.unwrap());
    assert_eq!(tx.grant_of("mailbox", 7).await.unwrap(), None);
    tx.commit().await.unwrap();
}

async fn the_token_before_stays_until_the_new_one_has_worked(store: &Store) {
    let key = key();
    let stamp = stamp(&key);
    let mut row = grant(store, &stamp).await;
    let mut kept = vec![row.refresh_token];
    for n in 1..=3 {
        let mut tx = store.write().await.unwrap();
        let claimed = tx.claim_grant(row.id, "a", LONG, at(n)).await.unwrap().unwrap();
        let new = tokens(&format!("a{n}"), Some(&format!("r{n}")));
        row = tx.record_tokens(&claimed, claimed.refresh_token, &new, &stamp).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        kept.push(row.refresh_token);
        assert_eq!(words(store, row.refresh_token, &key).await, format!("r{n}"));
        assert_eq!(words(store, row.previous_token, &key).await, format!("r{}", n - 1));
    }
    assert_eq!(words(store, kept[1], &key).await, "gone");
    // A provider that does not rotate keeps its token; that one has worked, so there is none before it.
    let mut tx = store.write().await.unwrap();
    let claimed = tx.claim_grant(row.id, "a", LONG, at(9)).await.unwrap().unwrap();
    row = tx
        .record_tokens(&claimed, claimed.refresh_token, &tokens("a9", None), &stamp)
        .await
        .unwrap()
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(words(store, row.refresh_token, &key).await, "r3");
    assert_eq!(row.previous_token, None);
    assert_eq!(words(store, row.access_token, &key).await, "a9");
}

async fn an_answer_under_an_old_claim_is_kept_where_nobody_was_quicker(store: &Store) {
    let key = key();
    let stamp = stamp(&key);
    let row = grant(store, &stamp).await;
    let mut tx = store.write().await.unwrap();
    let slow = tx.claim_grant(row.id, "slow", -1, at(1)).await.unwrap().unwrap();
    let quick = tx.claim_grant(row.id, "quick", LONG, at(2)).await.unwrap().unwrap();
    let kept = tx.record_tokens(&slow, slow.refresh_token, &tokens("a1", Some("r1")), &stamp).await.unwrap();
    assert!(kept.is_some(), "what was given is nowhere else");
    assert_eq!(
        tx.claim_grant(row.id, "third", LONG, at(3)).await.unwrap(),
        None,
        "the quick one has it in hand yet"
    );
    let new = tx.record_tokens(&quick, quick.refresh_token, &tokens("a2", Some("r2")), &stamp).await.unwrap();
    let new = new.unwrap();
    let late = tx.record_tokens(&slow, slow.refresh_token, &tokens("a3", Some("r3")), &stamp).await.unwrap();
    assert_eq!(late, None, "somebody was quicker");
    assert_eq!(tx.open_secret(new.refresh_token.unwrap(), &key).await.unwrap().expose(), "r2");
    tx.commit().await.unwrap();
}

async fn a_failed_try_and_a_refused_token_are_recorded(store: &Store) {
    let key = key();
    let stamp = stamp(&key);
    let row = grant(store, &stamp).await;
    let mut tx = store.write().await.unwrap();
    let claimed = tx.claim_grant(row.id, "a", LONG, at(1)).await.unwrap().unwrap();
    let failed =
        FailedTry { is_stopped: false, retry: at(50), code: "unavailable", words: "no\0", is_settled: false };
    let after = tx.record_failed_try(&claimed, &failed).await.unwrap().unwrap();
    assert_eq!((after.state.as_str(), after.failures, after.retry), ("failing", 1, at(50)));
    assert_eq!((after.last_error.as_str(), after.asked), ("no", Some(at(1))));
    assert_eq!(tx.record_failed_try(&GrantRow { fence: 0, ..claimed }, &failed).await.unwrap(), None);
    let claimed = tx.claim_grant(row.id, "a", LONG, at(2)).await.unwrap().unwrap();
    let new = tx
        .record_tokens(&claimed, claimed.refresh_token, &tokens("a1", None), &stamp)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((new.state.as_str(), new.failures, new.asked), ("working", 0, None));
    let token = new.access_token.unwrap();
    assert!(tx.refuse_access_token(row.id, token, "NO", None).await.unwrap());
    assert_eq!(tx.grant(row.id).await.unwrap().access_until, Some(at(3600)));
    assert!(tx.refuse_access_token(row.id, token, "NO", Some(at(3))).await.unwrap());
    let refused = tx.grants().await.unwrap().remove(0);
    assert_eq!((refused.access_until.unwrap().0, refused.forced), (0, Some(at(3))));
    assert!(!tx.refuse_access_token(row.id, SecretId(0), "NO", None).await.unwrap());
    tx.commit().await.unwrap();
}
