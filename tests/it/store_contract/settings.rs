//! Mailboxes, relays, types and accounts: created, looked up, edited by one at a time, deleted.

use maildesk::config::{AccountSpec, Auth, MailboxSpec, RelaySpec, TypeSpec};
use maildesk::failure::Kind;
use maildesk::seal::Secret;
use maildesk::store::{Error, PasswordChange, Store, Unknown};
use maildesk::ticket::{AccountId, MailboxId, RelayId, TypeId};

use super::world::{
    CONFIG, Laid, address, arrive, at, declared, key, lay_down, open_ticket, run_sql_here, stamp,
};

on_both!(
    what_is_created_is_read_back,
    an_edit_is_of_what_its_editor_saw,
    a_password_is_kept_changed_or_cleared,
    a_name_is_taken_once,
    what_others_refer_to_stays,
    a_mailbox_is_held_and_resumed,
    a_round_is_recorded,
    two_editors_at_once_are_told_apart,
);

async fn what_is_created_is_read_back(store: &Store) {
    let laid = lay_down(store).await;
    let declared = declared(&CONFIG);
    let mut tx = store.read().await.unwrap();
    let mailbox = tx.mailbox(laid.mailbox).await.unwrap();
    assert_eq!(mailbox.spec, declared.mailboxes[0].0);
    assert_eq!(
        (mailbox.epoch, mailbox.is_held, mailbox.is_provisioned, mailbox.version),
        (1, false, false, 1)
    );
    assert_eq!((mailbox.created, mailbox.last_round, mailbox.shown), (at(0), None, 0));
    assert_eq!(tx.relay(laid.relay).await.unwrap().spec, declared.relays[0].0);
    assert_eq!(tx.ticket_type(laid.support).await.unwrap().spec, declared.types[0]);
    let account = tx.account(laid.agent).await.unwrap();
    assert_eq!(account.spec, declared.accounts[0], "with its addresses in their order");
    assert_eq!((tx.mailboxes().await.unwrap().len(), tx.relays().await.unwrap().len()), (1, 1));
    assert_eq!((tx.types().await.unwrap().len(), tx.accounts().await.unwrap().len()), (1, 1));
    for named in ["support".to_owned(), laid.mailbox.to_string(), format!("#{}", laid.mailbox)] {
        assert_eq!(tx.find_mailbox(&named).await.unwrap().id, laid.mailbox, "{named}");
    }
    assert_eq!(tx.find_relay("out").await.unwrap().id, laid.relay);
    assert_eq!(tx.find_type("Support").await.unwrap().id, laid.support);
    assert_eq!(tx.find_account("agent").await.unwrap().id, laid.agent);
    for said in [
        tx.find_mailbox("Support").await.err(),
        tx.find_relay("support").await.err(),
        tx.find_type("99").await.err(),
        tx.find_account("").await.err(),
        tx.mailbox(MailboxId(99)).await.err(),
        tx.relay(RelayId(99)).await.err(),
        tx.ticket_type(TypeId(99)).await.err(),
        tx.account(AccountId(99)).await.err(),
    ] {
        assert!(matches!(said, Some(Error::Missing(_))), "{said:?}");
    }
}

async fn an_edit_is_of_what_its_editor_saw(store: &Store) {
    let laid = lay_down(store).await;
    let (key, keep) = (key(), PasswordChange::Keep);
    let stamp = stamp(&key);
    let of = declared(&CONFIG);
    let mut tx = store.write().await.unwrap();
    let mailbox = MailboxSpec {
        host: "127.0.0.2".into(),
        folders: vec!["A".into(), "B".into()],
        ..of.mailboxes[0].0.clone()
    };
    tx.update_mailbox(laid.mailbox, 1, &mailbox, (&keep, &stamp)).await.unwrap();
    let row = tx.mailbox(laid.mailbox).await.unwrap();
    assert_eq!((row.version, row.epoch, &row.spec), (2, 2, &mailbox), "another host is another account");
    let (schedule, timezone) = ("@daily".into(), "Europe/Berlin".into());
    let otherwise = MailboxSpec { interval_s: 7, schedule, timezone, idle: false, ..mailbox };
    tx.update_mailbox(laid.mailbox, 2, &otherwise, (&keep, &stamp)).await.unwrap();
    let row = tx.mailbox(laid.mailbox).await.unwrap();
    assert_eq!((row.epoch, &row.spec), (2, &otherwise), "the same account, read at other times");
    let user = "desk@example.com".to_owned();
    let relay =
        RelaySpec { port: 2525, verp: false, auth: Auth::Oauth2, username: user, ..of.relays[0].0.clone() };
    tx.update_relay(laid.relay, 1, &relay, (&PasswordChange::Set(Secret::new("old")), &stamp)).await.unwrap();
    let row = tx.relay(laid.relay).await.unwrap();
    assert_eq!((&row.spec, row.password), (&relay, None), "a grant stands in the place of its password");
    let of_type = TypeSpec {
        patterns: vec!["z@example.com".into(), "a@example.com".into()],
        admin: None,
        ..of.types[0].clone()
    };
    tx.update_type(laid.support, 1, &of_type).await.unwrap();
    assert_eq!(tx.ticket_type(laid.support).await.unwrap().spec, of_type);
    let account = AccountSpec { addresses: vec![address("new@example.com")], ..of.accounts[0].clone() };
    tx.update_account(laid.agent, 1, &account).await.unwrap();
    assert_eq!(tx.account(laid.agent).await.unwrap().spec, account);
    for said in [
        tx.update_mailbox(laid.mailbox, 1, &otherwise, (&keep, &stamp)).await.err(),
        tx.update_relay(laid.relay, 1, &relay, (&keep, &stamp)).await.err(),
        tx.update_type(laid.support, 1, &of_type).await.err(),
        tx.update_account(laid.agent, 1, &account).await.err(),
        tx.delete_mailbox(laid.mailbox, 1).await.err(),
        tx.delete_relay(laid.relay, 1).await.err(),
        tx.delete_type(laid.support, 1).await.err(),
        tx.delete_account(laid.agent, 1).await.err(),
    ] {
        assert!(matches!(said, Some(Error::Stale(_))), "{said:?}");
    }
    let said = tx.update_type(TypeId(99), 1, &of_type).await.unwrap_err();
    assert!(matches!(said, Error::Missing(_)), "{said:?}");
    let nowhere = TypeSpec { mailbox: "nowhere".into(), ..of_type };
    let said = tx.update_type(laid.support, 2, &nowhere).await.unwrap_err();
    assert_eq!(said.to_string(), "there is no mailbox \"nowhere\"");
}

async fn a_password_is_kept_changed_or_cleared(store: &Store) {
    let laid = lay_down(store).await;
    let key = key();
    let stamp = stamp(&key);
    let of = declared(&CONFIG);
    let (mailbox, relay) = (&of.mailboxes[0].0, &of.relays[0].0);
    let mut tx = store.write().await.unwrap();
    let words =
        async |tx: &mut maildesk::store::Tx, id| tx.open_secret(id, &key).await.unwrap().expose().to_owned();
    let id = tx.mailbox(laid.mailbox).await.unwrap().password.unwrap();
    assert_eq!(words(&mut tx, id).await, "hunter2");
    tx.update_mailbox(laid.mailbox, 1, mailbox, (&PasswordChange::Keep, &stamp)).await.unwrap();
    assert_eq!(words(&mut tx, id).await, "hunter2");
    let new = PasswordChange::Set(Secret::new("hunter3"));
    tx.update_mailbox(laid.mailbox, 2, mailbox, (&new, &stamp)).await.unwrap();
    assert_eq!(words(&mut tx, id).await, "hunter3");
    tx.update_mailbox(laid.mailbox, 3, mailbox, (&PasswordChange::Clear, &stamp)).await.unwrap();
    assert_eq!(tx.mailbox(laid.mailbox).await.unwrap().password, None);
    assert!(
        matches!(tx.open_secret(id, &key).await, Err(Error::Missing(_))),
        "it is gone, not only forgotten"
    );
    let id = tx.relay(laid.relay).await.unwrap().password.unwrap();
    tx.update_relay(laid.relay, 1, relay, (&PasswordChange::Clear, &stamp)).await.unwrap();
    assert!(matches!(tx.open_secret(id, &key).await, Err(Error::Missing(_))));
    assert!(!tx.has_secrets().await.unwrap());
}

async fn a_name_is_taken_once(store: &Store) {
    let laid = lay_down(store).await;
    let (key, keep) = (key(), PasswordChange::Keep);
    let stamp = stamp(&key);
    let of = declared(&CONFIG);
    let mut tx = store.write().await.unwrap();
    let elsewhere = MailboxSpec { name: "second".into(), ..of.mailboxes[0].0.clone() };
    let second = tx.create_mailbox(&elsewhere, &keep, &stamp).await.unwrap();
    for (said, words) in [
        (tx.create_mailbox(&of.mailboxes[0].0, &keep, &stamp).await.err(), "the mailbox name \"support\""),
        (
            tx.update_mailbox(second, 1, &of.mailboxes[0].0, (&keep, &stamp)).await.err(),
            "the mailbox name \"support\"",
        ),
        (tx.create_relay(&of.relays[0].0, &keep, &stamp).await.err(), "the relay name \"out\""),
        (tx.create_type(&of.types[0], &stamp).await.err(), "the type name \"Support\""),
        (tx.create_account(&of.accounts[0], &stamp).await.err(), "the account name \"agent\""),
    ] {
        assert_eq!(said.unwrap().to_string(), format!("{words} is taken already"));
    }
    let twin = AccountSpec { login: "twin".into(), ..of.accounts[0].clone() };
    let said = tx.create_account(&twin, &stamp).await.unwrap_err();
    assert_eq!(said.to_string(), "agent@example.com belongs to account \"agent\"; it is taken already");
    // Upper and lower case are two names, on both engines.
    let upper = RelaySpec { name: "OUT".into(), ..of.relays[0].0.clone() };
    let upper = tx.create_relay(&upper, &keep, &stamp).await.unwrap();
    assert_ne!(upper, laid.relay);
    let comes_back =
        TypeSpec { name: "Loop".into(), admin: Some(address("support@example.com")), ..of.types[0].clone() };
    let said = tx.create_type(&comes_back, &stamp).await.unwrap_err();
    assert!(matches!(said, Error::Refused(_)), "{said:?}");
    drop(tx);
    let mut tx = store.write().await.unwrap();
    let admin = MailboxSpec { username: "admin@example.net".into(), ..elsewhere };
    let said = tx.create_mailbox(&MailboxSpec { name: "admin".into(), ..admin }, &keep, &stamp).await;
    let said = said.unwrap_err().to_string();
    assert!(said.contains("signs in as admin@example.net"), "{said}");
}

async fn what_others_refer_to_stays(store: &Store) {
    let laid = lay_down(store).await;
    let Laid { support, agent, .. } = laid;
    run_sql_here("INSERT INTO account_group (id, name) VALUES (1, 'night')").await;
    run_sql_here(&format!("INSERT INTO group_member (group_id, account_id) VALUES (1, {agent})")).await;
    run_sql_here(&format!("INSERT INTO group_type (group_id, type_id) VALUES (1, {support})")).await;
    let mut tx = store.desk().await.unwrap();
    let arrival = arrive(&mut tx, laid.mailbox, "1", b"x").await;
    let opened = open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    tx.set_assignee(opened.ticket, Some(laid.agent), at(1)).await.unwrap();
    super::outbox::queue(&mut tx, &laid, "op:1", &["ann@x.test"]).await;
    for (said, words) in [
        (tx.delete_mailbox(laid.mailbox, 1).await.err(), "1 ticket type(s) and 1 message(s) taken in"),
        (tx.delete_relay(laid.relay, 1).await.err(), "1 ticket type(s) and 1 outbound mail(s)"),
        (tx.delete_type(laid.support, 1).await.err(), "1 ticket(s) and 1 group(s)"),
        (tx.delete_account(laid.agent, 1).await.err(), "1 ticket(s) and 1 group(s)"),
    ] {
        let said = said.unwrap();
        assert!(matches!(said, Error::InUse(_)) && said.to_string().contains(words), "{said}");
    }
    assert_eq!(tx.arrival(arrival).await.unwrap().mailbox, laid.mailbox);
    drop(tx);
    run_sql_here("DELETE FROM group_member").await;
    run_sql_here("DELETE FROM group_type").await;
    let mut tx = store.write().await.unwrap();
    tx.delete_type(laid.support, 1).await.unwrap();
    tx.delete_mailbox(laid.mailbox, 1).await.unwrap();
    tx.delete_relay(laid.relay, 1).await.unwrap();
    tx.delete_account(laid.agent, 1).await.unwrap();
    assert!(!tx.has_secrets().await.unwrap(), "their passwords went with them");
    assert!(tx.types().await.unwrap().is_empty() && tx.accounts().await.unwrap().is_empty());
    tx.commit().await.unwrap();
    let again = lay_down(store).await;
    assert!(again.mailbox.0 > laid.agent.0, "an id is given once");
}

async fn a_mailbox_is_held_and_resumed(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.write().await.unwrap();
    assert!(!tx.resume_mailbox(laid.mailbox, Unknown::All).await.unwrap());
    assert!(!tx.resume_mailbox(MailboxId(99), Unknown::All).await.unwrap());
    drop(tx);
    run_sql_here("UPDATE mailbox SET held = 1").await;
    let mut tx = store.write().await.unwrap();
    assert!(tx.mailbox(laid.mailbox).await.unwrap().is_held);
    assert_eq!(tx.list_mailboxes().await.unwrap()[0].state, "held");
    assert!(tx.resume_mailbox(laid.mailbox, Unknown::All).await.unwrap());
    assert_eq!(tx.mailbox(laid.mailbox).await.unwrap().version, 2);
}

async fn a_round_is_recorded(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.write().await.unwrap();
    tx.record_round(laid.mailbox, Some((Kind::Login, "refused\u{0}")), at(1)).await.unwrap();
    tx.record_round(laid.mailbox, Some((Kind::Login, "refused again")), at(2)).await.unwrap();
    let row = tx.mailbox(laid.mailbox).await.unwrap();
    assert_eq!((row.last_round, row.last_ok, row.failing_since), (Some(at(2)), None, Some(at(1))));
    assert_eq!((row.failures, row.last_error.as_str(), row.version), (2, "refused again", 1));
    assert_eq!(row.failure_kind, "login");
    tx.record_round(laid.mailbox, None, at(3)).await.unwrap();
    let row = tx.mailbox(laid.mailbox).await.unwrap();
    assert_eq!(
        (row.last_ok, row.failing_since, row.failures, row.last_error.as_str()),
        (Some(at(3)), None, 0, "")
    );
    assert_eq!(row.failure_kind, "");
    tx.record_round(laid.mailbox, Some((Kind::Login, "refused\u{0}")), at(4)).await.unwrap();
    assert_eq!(tx.mailbox(laid.mailbox).await.unwrap().last_error, "refused", "neither engine keeps a NUL");
}

/// Of two who edit what they both saw, one is told that it has changed.
async fn two_editors_at_once_are_told_apart(store: &Store) {
    let laid = lay_down(store).await;
    let edit = |subject: &'static str| async move {
        let mut spec = declared(&CONFIG).types[0].clone();
        spec.description = subject.into();
        let mut tx = store.write().await.unwrap();
        tokio::task::yield_now().await;
        let done = tx.update_type(laid.support, 1, &spec).await;
        if done.is_ok() {
            tx.commit().await.unwrap();
        }
        done
    };
    let (one, two) = tokio::join!(edit("one"), edit("two"));
    let said = match (&one, &two) {
        (Ok(()), Err(said)) | (Err(said), Ok(())) => said,
        both => panic!("{both:?}"),
    };
    assert!(matches!(said, Error::Stale(_)), "{said:?}");
    // And of two who give the same name.
    let create = || async {
        let key = key();
        let spec = RelaySpec { name: "new".into(), ..declared(&CONFIG).relays[0].0.clone() };
        let mut tx = store.write().await.unwrap();
        tokio::task::yield_now().await;
        let done = tx.create_relay(&spec, &PasswordChange::Keep, &stamp(&key)).await;
        if done.is_ok() {
            tx.commit().await.unwrap();
        }
        done
    };
    let (one, two) = tokio::join!(create(), create());
    assert!(one.is_ok() != two.is_ok());
    let said = one.err().or(two.err()).unwrap().to_string();
    assert_eq!(said, "the relay name \"new\" is taken already");
}
