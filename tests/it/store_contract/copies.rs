//! Copies of a desk: into a backup, out of it into a store of the same kind, and what such a desk minds afterwards.

use maildesk::clock::Micros;
use maildesk::seal::SealingKey;
use maildesk::store::arrival::{Of, Place};
use maildesk::store::{BackupFile, Error, Header, Restoring, Stamp, Store};
use maildesk::ticket::{ArrivalId, OutboxId};

use super::outbox::queue;
use super::world::{arrive, at, key, lay_down, open_ticket, place, stamp};

on_both!(a_copy_is_the_desk_and_is_held, secrets_go_over_to_another_key, a_desk_is_counted);

async fn desk(store: &Store) -> OutboxId {
    let laid = lay_down(store).await;
    let key = key();
    let mut tx = store.desk().await.unwrap();
    tx.ensure_keys(&stamp(&key)).await.unwrap();
    arrive(&mut tx, laid.mailbox, "1", b"From: a@b.test\r\n\r\nx").await;
    open_ticket(&mut tx, &laid, "ann@x.test", "printer").await;
    let mail = queue(&mut tx, &laid, "arrival:1:notification", &["ann@x.test"]).await;
    tx.commit().await.unwrap();
    mail
}

fn header(schema: i64) -> Header {
    let engine = "any".to_owned();
    Header { format: 1, taken: at(0), program: "0".into(), schema, engine, key: None, tables: vec![] }
}

async fn a_copy_is_the_desk_and_is_held(store: &Store) {
    let mail = desk(store).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("desk.backup");
    std::fs::write(&path, "").unwrap();
    let mut file = BackupFile::create(&path).await.unwrap();
    let rows = store.count_rows(&mut file).await.unwrap();
    let schema = store.schema().await.unwrap().found;
    let header = file.fill(store, header(schema), (&key(), [1; 24]), &mut |_| ()).await.unwrap();
    assert_eq!(header.rows(), rows);
    file.check_whole().await.unwrap();
    file.close().await.unwrap();

    let mut file = BackupFile::open(&path).await.unwrap();
    assert_eq!(file.header().await.unwrap(), header);
    file.check_key(&key()).await.unwrap();
    assert!(matches!(file.check_key(&SealingKey::new([9; 32])).await, Err(Error::WrongKey)));
    file.check_rows(&header, &mut |_| ()).await.unwrap();
    // Two hours later.
    let now = at(2 * 3600 + 1);
    let how = Restoring { header: &header, replaces: false, now };
    assert!(matches!(store.restore(&mut file, how, &mut |_| ()).await, Err(Error::Refused(_))));
    store.restore(&mut file, Restoring { replaces: true, ..how }, &mut |_| ()).await.unwrap();

    let mut tx = store.desk().await.unwrap();
    assert!(tx.is_desk_held().await.unwrap());
    assert_eq!(tx.held_mails().await.unwrap(), [mail]);
    assert_eq!(tx.draw(maildesk::store::Counter::Ticket).await.unwrap(), 3_000_001);
    let restored = tx.restored().await.unwrap().unwrap();
    assert_eq!((restored.taken, restored.restored, restored.live), (at(0), now, None));
    let inbox: Place = place(tx.find_mailbox("support").await.unwrap().id);
    assert_eq!(tx.held_span(&inbox, &restored).await.unwrap(), None, "handled mail is deleted here");
    let live = tx.go_live(at(9000)).await.unwrap().unwrap();
    assert_eq!((live.live, tx.is_desk_held().await.unwrap()), (Some(at(9000)), false));
    assert!(tx.go_live(at(9001)).await.unwrap().is_none());
    tx.reread_done(inbox.mailbox).await.unwrap();
    tx.release_held(mail, at(9002)).await.unwrap();
    assert!(tx.release_held(mail, at(9002)).await.is_err() && tx.held_mails().await.unwrap().is_empty());
    let kept = tx.pending_arrivals(Of::All, ArrivalId(0), 10).await.unwrap();
    assert!(kept.len() == 1 && kept[0].is_mail_held, "what was not decided then may have been told of");
    tx.hold_mail_from(&[kept[0].id]).await.unwrap();
    tx.commit().await.unwrap();
}

async fn secrets_go_over_to_another_key(store: &Store) {
    desk(store).await;
    let (held, new) = (key(), SealingKey::new([9; 32]));
    let mut tx = store.write().await.unwrap();
    assert!(tx.opens_with(&held).await.unwrap() && !tx.opens_with(&new).await.unwrap());
    assert_eq!(tx.count_opened(&new).await.unwrap(), (4, 0));
    held.turn_to(&new);
    let stamp = Stamp { key: &held, now: at(5), random: maildesk::seal::random::<32> };
    assert_eq!(tx.reseal(&stamp).await.unwrap(), 4);
    assert_eq!(tx.add_mail_key(&stamp).await.unwrap(), 2);
    assert_eq!(tx.count_opened(&new).await.unwrap(), (5, 5));
    assert_eq!(format!("{:?}", tx.mail_keys(&new).await.unwrap()), "MailKeys(2 MAC keys)");
    tx.commit().await.unwrap();
}

async fn a_desk_is_counted(store: &Store) {
    desk(store).await;
    let mut tx = store.read().await.unwrap();
    let census = tx.census().await.unwrap();
    let count = |table: &str, state: &str| {
        census.iter().find(|c| c.table == table && c.state == state).map_or(0, |c| c.rows)
    };
    assert_eq!((count("ticket", "new"), count("outbox", "queued"), count("arrival", "kept")), (1, 1, 1));
    let states = tx.queue_states(10).await.unwrap();
    assert_eq!((states.len(), states[0].recipient_state.as_str()), (1, "queued"));
    let words = tx.private_words().await.unwrap();
    assert!(words.contains(&"printer".to_owned()) && words.contains(&"Ann".to_owned()), "{words:?}");
    assert_eq!(tx.last_kept().await.unwrap(), Some(at(1)));
    let is_near =
        |other: Micros| (other.0 - maildesk::clock::Clock::system().now().0).abs() < 60 * Micros::SECOND;
    assert!(tx.other_clock().await.unwrap().is_none_or(is_near));
}
