//! What the configuration file declares: laid down once, read-only, the rules that come of it, and what leaves it.

use maildesk::mail::Address;
use maildesk::seal::SealingKey;
use maildesk::store::delivery::Sender;
use maildesk::store::{Error, PasswordChange, Store};
use maildesk::ticket::OutboxId;

use super::outbox::enqueue;
use super::world::{self, CONFIG, at, declared, here, key, stamp};

on_both!(
    what_is_declared_is_laid_down_once,
    what_is_declared_becomes_the_rules,
    what_leaves_the_file_is_switched_off,
    what_a_relay_owes_when_it_leaves_goes_out_by_another,
    no_password_lies_open_in_the_files,
);

async fn what_is_declared_is_laid_down_once(store: &Store) {
    let key = key();
    let declared = declared(&CONFIG);
    let stamp = stamp(&key);
    assert!(!store.read().await.unwrap().is_as_declared(&declared, &key).await.unwrap());
    let changes = store.provision(&declared, &stamp).await.unwrap();
    assert_eq!(changes.len(), 4, "{changes:?}");
    let mut tx = store.read().await.unwrap();
    assert!(tx.is_as_declared(&declared, &key).await.unwrap());
    assert!(tx.has_keys().await.unwrap());
    let mailbox = tx.find_mailbox("support").await.unwrap();
    assert!(mailbox.is_provisioned);
    drop(tx);
    assert!(store.provision(&declared, &stamp).await.unwrap().is_empty());
    let mut tx = store.write().await.unwrap();
    let of_file = tx.find_type("Support").await.unwrap();
    for said in [
        tx.update_mailbox(mailbox.id, 1, &mailbox.spec, (&PasswordChange::Keep, &stamp)).await.err(),
        tx.delete_mailbox(mailbox.id, 1).await.err(),
        tx.delete_type(of_file.id, 1).await.err(),
    ] {
        assert!(matches!(said, Some(Error::ReadOnly(_))), "{said:?}");
    }
    drop(tx);
    let other = SealingKey::new([8; 32]);
    let said = store.provision(&declared, &world::stamp(&other)).await.unwrap_err();
    assert!(matches!(said, Error::WrongKey), "{said:?}");
    let mut tx = store.read().await.unwrap();
    assert!(matches!(tx.mail_keys(&other).await, Err(Error::WrongKey)));
    let (keys, again) = (tx.mail_keys(&key).await.unwrap(), tx.mail_keys(&key).await.unwrap());
    assert_eq!(keys.hash(&[b"x"]), again.hash(&[b"x"]));
}

async fn what_is_declared_becomes_the_rules(store: &Store) {
    let bounces = "[[type]]\nname = \"Bounces\"\nflow = \"bounce\"\naddress = \"bounce@example.com\"\n\
                   addresses = [\"*@b.example.com\", \"bounce@example.com\"]\n";
    let (key, with_bounces) = (key(), declared(&(CONFIG.clone() + bounces)));
    store.provision(&declared(&CONFIG), &stamp(&key)).await.unwrap();
    let ahead = store.rules_if_declared(&with_bounces, &stamp(&key)).await.unwrap();
    let now = store.read().await.unwrap().load_rules().await.unwrap();
    assert_eq!((ahead.types.len(), now.types.len()), (2, 1), "nothing stays written");
    store.provision(&with_bounces, &stamp(&key)).await.unwrap();
    let rules = store.read().await.unwrap().load_rules().await.unwrap();
    assert_eq!(rules.types.len(), 2);
    assert_eq!(rules.types[0].patterns, ["support@example.com", "help-*@example.com"]);
    assert_eq!(rules.types[0].mailbox, Some(rules.mailboxes[0].id));
    assert!(rules.types[1].relay.is_some(), "a type without a relay sends through the first one");
    assert_eq!((rules.bounce_local.as_str(), rules.bounce_domain.as_str()), ("bounce", "example.com"));
    assert!(rules.is_team(&Address::parse("agent@example.com").unwrap()));
    assert_eq!(rules.desk.len(), 16);
}

async fn what_leaves_the_file_is_switched_off(store: &Store) {
    let key = key();
    let stamp = stamp(&key);
    store.provision(&declared(&CONFIG), &stamp).await.unwrap();
    let other = CONFIG.replace("\"hunter2\"", "\"hunter3\"").replace("admin@example.net", "boss@example.net");
    let changes = store.provision(&declared(&other), &stamp).await.unwrap();
    assert_eq!(changes, ["mailbox \"support\" changed", "type \"Support\" changed"]);
    let without = CONFIG.split("[[type]]").next().unwrap();
    let mut tx = store.write().await.unwrap();
    let changes = tx.provision(&declared(without), &stamp).await.unwrap();
    assert_eq!(changes.len(), 3, "{changes:?}");
    let row = tx.find_type("Support").await.unwrap();
    assert_eq!((row.spec.is_active, row.is_provisioned, row.spec.patterns.len()), (false, false, 2));
    assert!(!tx.find_account("agent").await.unwrap().spec.is_active);
    // What was let go of may be deleted like any other.
    tx.delete_type(row.id, row.version).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.provision(&declared(&CONFIG), &stamp).await.unwrap().len(), 2);
    let mut tx = store.read().await.unwrap();
    assert!(tx.is_as_declared(&declared(&CONFIG), &key).await.unwrap());
}

/// As when it is given another name.
async fn what_a_relay_owes_when_it_leaves_goes_out_by_another(store: &Store) {
    let key = key();
    let stamp = stamp(&key);
    // Its type goes by the first relay.
    let config = CONFIG.replace("relay = \"out\"\n", "");
    store.provision(&declared(&config), &stamp).await.unwrap();
    let mut tx = store.desk().await.unwrap();
    let out = tx.find_relay("out").await.unwrap().id;
    let [owed, cancelled] = [OutboxId(81), OutboxId(82)];
    for id in [owed, cancelled] {
        enqueue(&mut tx, id, Some(out), &id.to_string(), &["ann@x.test"]).await.unwrap();
    }
    tx.cancel(cancelled, at(0)).await.unwrap();
    let me = Sender { owner: "me", now: at(0) };
    // While there is no other one, it waits.
    let (_, mailbox) = config.split_once("[[mailbox]]").unwrap();
    tx.provision(&declared(&format!("[[mailbox]]{mailbox}")), &stamp).await.unwrap();
    assert_eq!(tx.relays_due(me).await.unwrap(), []);
    let renamed = config
        .replacen("\"out\"", "\"smtp\"", 1)
        .replace("support@example.com\"\npass", "new@example.com\"\npass");
    tx.provision(&declared(&renamed), &stamp).await.unwrap();
    let smtp = tx.find_relay("smtp").await.unwrap().id;
    assert_eq!(tx.due(smtp, me, 10).await.unwrap(), [owed]);
    // It may not send with the return path of the other account.
    assert_eq!(tx.claim(owed, me).await.unwrap().unwrap().return_path, "new@example.com");
    // And back, with both there.
    let both =
        format!("{config}\n[[relay]]\nname = \"smtp\"\nhost = \"127.0.0.1\"\nsender = \"new@example.com\"\n");
    tx.provision(&declared(&both), &stamp).await.unwrap();
    enqueue(&mut tx, OutboxId(83), Some(smtp), "83", &["ann@x.test"]).await.unwrap();
    tx.provision(&declared(&config), &stamp).await.unwrap();
    assert_eq!(tx.due(out, me, 10).await.unwrap(), [owed, OutboxId(83)]);
}

async fn no_password_lies_open_in_the_files(store: &Store) {
    store.provision(&declared(&CONFIG), &stamp(&key())).await.unwrap();
    let url = here();
    let Some(path) = url.strip_prefix("sqlite:") else { return };
    for suffix in ["", "-wal"] {
        let bytes = std::fs::read(format!("{path}{suffix}")).unwrap_or_default();
        assert!(!bytes.windows(7).any(|w| w == b"hunter2"), "hunter2 lies in desk.db{suffix}");
    }
}
