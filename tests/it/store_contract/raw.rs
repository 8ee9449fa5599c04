//! Raw mail, byte for byte.

use maildesk::store::raw::{Chunk, RAW_CHUNK, chunks};
use maildesk::store::{Error, Store};
use maildesk::ticket::ArrivalId;

use super::world::{arrive, at, lay_down, new_arrival, place};

on_both!(
    bytes_come_back_as_they_went_in,
    a_piece_is_read_across_chunks,
    many_small_mails_share_statements,
    a_stored_mail_is_scanned,
);

/// Every byte value, at every place of a chunk.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 7 + n / 251) as u8).collect()
}

async fn bytes_come_back_as_they_went_in(store: &Store) {
    let laid = lay_down(store).await;
    for (n, length) in
        [0, 1, RAW_CHUNK - 1, RAW_CHUNK, RAW_CHUNK + 1, 5 * RAW_CHUNK + 17].into_iter().enumerate()
    {
        let mail = bytes(length);
        let mut tx = store.write().await.unwrap();
        let id = arrive(&mut tx, laid.mailbox, &n.to_string(), &mail).await;
        tx.commit().await.unwrap();
        let mut tx = store.read().await.unwrap();
        let mut back = vec![];
        let mut count = 0;
        while let Some(chunk) = tx.raw_chunk(id, count).await.unwrap() {
            assert!(chunk.len() == RAW_CHUNK || back.len() + chunk.len() == length);
            back.extend(chunk);
            count += 1;
        }
        assert!(back == mail, "{length} bytes");
        assert_eq!(count as usize, length.div_ceil(RAW_CHUNK).max(1), "an empty mail has an empty chunk");
        assert_eq!(tx.read_raw(id, 0, length).await.unwrap(), mail);
    }
    assert_eq!(store.read().await.unwrap().raw_chunk(ArrivalId(99), 0).await.unwrap(), None);
}

async fn a_piece_is_read_across_chunks(store: &Store) {
    let laid = lay_down(store).await;
    let mail = bytes(2 * RAW_CHUNK + 100);
    let mut tx = store.write().await.unwrap();
    let id = arrive(&mut tx, laid.mailbox, "1", &mail).await;
    let pieces =
        [(0, 1), (RAW_CHUNK - 1, 2), (RAW_CHUNK, RAW_CHUNK), (10, 2 * RAW_CHUNK), (2 * RAW_CHUNK, 100)];
    for (offset, length) in pieces {
        let piece = tx.read_raw(id, offset as u64, length).await.unwrap();
        assert!(piece == mail[offset..offset + length], "{length} bytes from {offset}");
    }
    assert!(tx.read_raw(id, mail.len() as u64, 0).await.unwrap().is_empty());
    for (offset, length) in [(mail.len() as u64, 1), (u64::MAX, 1), (0, mail.len() + 1)] {
        let said = tx.read_raw(id, offset, length).await.unwrap_err();
        assert!(matches!(said, Error::Missing(_)), "{said:?}");
    }
}

/// An import may bring more mails than a statement takes values.
async fn many_small_mails_share_statements(store: &Store) {
    let laid = lay_down(store).await;
    let count = 12_000;
    let mails: Vec<Vec<u8>> = (0..count).map(|n| n.to_string().into_bytes()).collect();
    let rows: Vec<_> = mails.iter().enumerate().map(|(n, mail)| new_arrival(&n.to_string(), mail)).collect();
    let mut tx = store.write().await.unwrap();
    let ids = tx.insert_arrivals(&place(laid.mailbox), &rows, at(0)).await.unwrap();
    let all: Vec<Chunk<'_>> = ids.iter().zip(&mails).flat_map(|(id, mail)| chunks(*id, mail)).collect();
    tx.insert_raw(&all).await.unwrap();
    tx.insert_raw(&[]).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.read().await.unwrap();
    for n in [0, 99, 100, 5_000, count - 1] {
        assert_eq!(tx.raw_chunk(ids[n], 0).await.unwrap().unwrap(), mails[n]);
    }
    let known: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    assert_eq!(tx.known_arrivals(&place(laid.mailbox), &known).await.unwrap().len(), count);
}

async fn a_stored_mail_is_scanned(store: &Store) {
    let laid = lay_down(store).await;
    let mut mail = b"From: ann@x.test\r\nSubject: big\r\n\r\n".to_vec();
    mail.extend("line\r\n".repeat(RAW_CHUNK / 2).bytes());
    let mut tx = store.write().await.unwrap();
    let small = arrive(&mut tx, laid.mailbox, "1", b"From: ann@x.test\r\nSubject: hi\r\n\r\nbody\r\n").await;
    let big = arrive(&mut tx, laid.mailbox, "2", &mail).await;
    let empty = arrive(&mut tx, laid.mailbox, "3", b"").await;
    tx.commit().await.unwrap();
    let read = async |id| maildesk::mail::parse(&store.skeleton(id).await.unwrap());
    let message = read(small).await;
    assert_eq!((message.subject.as_str(), message.text.trim_end()), ("hi", "body"));
    assert_eq!(read(big).await.subject, "big");
    assert!(read(empty).await.is_unreadable());
}
