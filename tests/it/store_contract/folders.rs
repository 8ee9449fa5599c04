//! Folders that have been read, and what stays in them.

use maildesk::store::arrival::{ArrivalState, NewArrival, Place};
use maildesk::store::{Store, Unknown};
use maildesk::ticket::MailboxId;

use super::world::{arrive, at, lay_down, mail_key, new_arrival, place};

on_both!(
    a_folder_is_known_once_it_was_read,
    what_stays_there_is_known_by_its_key,
    a_held_mailbox_is_told_what_to_do_with_its_folder,
);

async fn a_folder_is_known_once_it_was_read(store: &Store) {
    let laid = lay_down(store).await;
    let inbox = place(laid.mailbox);
    let mut tx = store.write().await.unwrap();
    assert!(tx.folder(laid.mailbox, "INBOX").await.unwrap().is_none());
    tx.set_folder(&inbox, false).await.unwrap();
    let row = tx.folder(laid.mailbox, "INBOX").await.unwrap().unwrap();
    assert_eq!((row.place, row.is_keyed, row.unknown), (inbox.clone(), false, None));
    let renumbered = Place { validity: 8, epoch: 2, ..inbox };
    tx.set_folder(&renumbered, true).await.unwrap();
    tx.set_unknown(&renumbered, Some(Unknown::All)).await.unwrap();
    let row = tx.folder(laid.mailbox, "INBOX").await.unwrap().unwrap();
    assert_eq!((row.place, row.is_keyed, row.unknown), (renumbered.clone(), true, Some(Unknown::All)));
    tx.set_unknown(&renumbered, None).await.unwrap();
    assert_eq!(tx.folder(laid.mailbox, "INBOX").await.unwrap().unwrap().unknown, None);
    assert!(tx.folder(MailboxId(99), "INBOX").await.unwrap().is_none());
    tx.delete_mailbox(laid.mailbox, 1).await.expect_err("a type depends on it");
}

async fn what_stays_there_is_known_by_its_key(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.write().await.unwrap();
    assert_eq!(tx.newest_arrival(laid.mailbox).await.unwrap(), None);
    arrive(&mut tx, laid.mailbox, "1", b"x").await;
    let stays = NewArrival { state: ArrivalState::BeforeStart, ..new_arrival("2", b"") };
    let id = tx.insert_arrivals(&place(laid.mailbox), &[stays], at(1)).await.unwrap()[0];
    let rows = tx.before_start(laid.mailbox, "INBOX").await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].id, rows[0].source_id.as_str(), rows[0].key.len()), (id, "2", 0));
    assert_eq!((rows[0].epoch, rows[0].validity), (1, 7));
    let (key, other) = (mail_key("a@x.test").key, mail_key("b@x.test").key);
    tx.set_key(id, &key, Some(at(5))).await.unwrap();
    tx.set_key(id, &key, None).await.unwrap();
    assert_eq!(tx.before_start(laid.mailbox, "INBOX").await.unwrap()[0].key, key);
    let there = tx.before_start_at(&place(laid.mailbox)).await.unwrap();
    assert_eq!((there.len(), there[0].id, &there[0].key), (1, id, &key));
    let elsewhere = Place { validity: 8, ..place(laid.mailbox) };
    assert!(tx.before_start_at(&elsewhere).await.unwrap().is_empty());
    let (at_source, known) = tx.arrival_at_source(id).await.unwrap();
    assert_eq!((at_source, known.id, known.state), (place(laid.mailbox), id, ArrivalState::BeforeStart));
    assert!(tx.arrival_at_source(maildesk::ticket::ArrivalId(99)).await.is_err());
    assert!(tx.before_start(laid.mailbox, "Second").await.unwrap().is_empty());
    assert_eq!(tx.newest_arrival(laid.mailbox).await.unwrap(), Some(at(5)));
    assert_eq!(tx.count_known_keys(laid.mailbox, &[key.clone(), other]).await.unwrap(), 1);
    assert_eq!(tx.count_known_keys(MailboxId(99), &[key]).await.unwrap(), 0);
}

async fn a_held_mailbox_is_told_what_to_do_with_its_folder(store: &Store) {
    let laid = lay_down(store).await;
    let (inbox, second) = (place(laid.mailbox), Place { folder: "Second".into(), ..place(laid.mailbox) });
    let mut tx = store.write().await.unwrap();
    for place in [&inbox, &second] {
        tx.set_folder(place, true).await.unwrap();
    }
    tx.set_unknown(&inbox, Some(Unknown::Held)).await.unwrap();
    tx.hold_mailbox(laid.mailbox).await.unwrap();
    tx.hold_mailbox(laid.mailbox).await.unwrap();
    let row = tx.mailbox(laid.mailbox).await.unwrap();
    assert_eq!((row.is_held, row.version), (true, 2));
    assert!(tx.resume_mailbox(laid.mailbox, Unknown::Now).await.unwrap());
    let unknown = |folder: Option<maildesk::store::FolderRow>| folder.unwrap().unknown;
    assert_eq!(unknown(tx.folder(laid.mailbox, "INBOX").await.unwrap()), Some(Unknown::Now));
    assert_eq!(unknown(tx.folder(laid.mailbox, "Second").await.unwrap()), None, "nothing was held there");
}
