//! Step 1, keep: a message is durable, byte for byte, with its identity, before anything looks into it (M1).

use std::io::{Read, Seek, SeekFrom};

use sha2::{Digest, Sha256};

use super::Intake;
use super::source::{Bytes, Fetched};
use crate::crash;
use crate::failure::Failure;
use crate::store::arrival::{ArrivalState, NewArrival, Pending, Place};
use crate::store::raw::{Chunk, RAW_CHUNK, chunks};
use crate::store::{Error, HeldSpan, Tx};
use crate::ticket::ArrivalId;

/// A message that is kept, with its bytes still at hand.
pub struct Kept {
    pub pending: Pending,
    pub bytes: Held,
}

/// Where the bytes of a kept message are, besides the store.
pub enum Held {
    Memory(Vec<u8>),
    Spool(std::fs::File),
    /// In the store only: it was kept in an earlier life.
    Store,
}

/// What is to come of messages that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    Live,
    /// Nothing is sent for them.
    Silent,
    /// They are decided in shadow.
    Shadow,
}

/// What a batch brought.
#[derive(Default)]
pub struct KeptBatch {
    pub kept: Vec<Kept>,
    pub vanished: usize,
}

impl Intake {
    /// Writes a batch of fetched messages with one commit. `acked` is what the source has confirmed since the last one.
    pub(super) async fn keep(
        &self,
        place: &Place,
        fetched: Vec<Fetched>,
        acked: &[ArrivalId],
        keeping: Keeping,
    ) -> Result<KeptBatch, Failure> {
        let now = self.clock.now();
        let mut tx = self.desk.store.write().await?;
        let mut rows = Vec::with_capacity(fetched.len());
        let mut bytes = Vec::with_capacity(fetched.len());
        for message in fetched {
            let (row, held) = describe(message, keeping, now)?;
            rows.push(row);
            bytes.push(held);
        }
        let ids = tx.insert_arrivals(place, &rows, now).await?;
        // Before the raw mail, which fills SQLite's cache: a page that has gone to the log and is written to once more makes it
        // read back all that follows there.
        tx.add_shown(place.mailbox, rows.len() as i64).await?;
        tx.mark_acknowledged(acked, "", now).await?;
        tx.insert_raw(&in_memory(&ids, &bytes)).await?;
        for (id, held) in ids.iter().zip(&mut bytes) {
            if let Some(Held::Spool(file)) = held {
                insert_spooled(&mut tx, *id, file).await?;
            }
        }
        if let Some(words) = tx.held().await? {
            return Err(Failure::temporary(words));
        }
        let span = match tx.restored().await? {
            Some(restored) => tx.held_span(place, &restored).await?,
            None => None,
        };
        if let Some(span) = span {
            let told_of = ids.iter().zip(&rows).filter(|(_, row)| span.has(row.received));
            tx.hold_mail_from(&told_of.map(|(id, _)| *id).collect::<Vec<_>>()).await?;
        }
        crash::point("keep.before_commit");
        tx.commit().await?;
        crash::point("keep.after_commit");
        Ok(gather((place, span), ids, rows, bytes))
    }
}

impl Intake {
    /// Keeps a message whose arrival stands already, as left at the source. `None` where it is gone by now.
    pub(super) async fn keep_left(&self, id: ArrivalId, message: Fetched) -> Result<Option<Kept>, Failure> {
        let (row, held) = describe(message, Keeping::Live, self.clock.now())?;
        let mut tx = self.desk.store.desk().await?;
        let Some(mut held) = held else {
            self.settle_vanished(&mut tx, id).await?;
            tx.commit().await?;
            return Ok(None);
        };
        tx.refill_arrival(id, row.size, &row.digest).await?;
        insert_bytes(&mut tx, id, &mut held).await?;
        self.settle_fetched(&mut tx, id).await?;
        let pending = tx.arrival(id).await?;
        tx.commit().await?;
        Ok(Some(Kept { pending, bytes: held }))
    }
}

/// The digest of a message that came; `None` where it is gone.
pub(super) fn digest(message: Fetched) -> Result<Option<Vec<u8>>, Failure> {
    let (row, held) = describe(message, Keeping::Live, crate::clock::Micros(0))?;
    Ok(held.map(|_| row.digest))
}

fn gather(
    (place, span): (&Place, Option<HeldSpan>),
    ids: Vec<ArrivalId>,
    rows: Vec<NewArrival>,
    bytes: Vec<Option<Held>>,
) -> KeptBatch {
    let mut batch = KeptBatch::default();
    for ((id, row), held) in ids.into_iter().zip(rows).zip(bytes) {
        let Some(bytes) = held else {
            batch.vanished += usize::from(row.state == ArrivalState::Vanished);
            continue;
        };
        let pending = Pending {
            checks: None,
            id,
            mailbox: place.mailbox,
            size: row.size,
            digest: row.digest,
            envelope_to: row.envelope_to,
            received: row.received,
            is_silent: row.is_silent,
            is_shadow: row.state == ArrivalState::ShadowKept,
            is_mail_held: !row.is_silent && span.is_some_and(|span| span.has(row.received)),
            is_let_through: false,
            tries: 0,
            is_too_big: false,
        };
        batch.kept.push(Kept { pending, bytes });
    }
    batch
}

/// Writes the bytes of one message.
pub(super) async fn insert_bytes(tx: &mut Tx, id: ArrivalId, held: &mut Held) -> Result<(), Error> {
    match held {
        Held::Memory(bytes) => tx.insert_raw(&chunks(id, bytes).collect::<Vec<_>>()).await,
        Held::Spool(file) => insert_spooled(tx, id, file).await,
        Held::Store => Ok(()),
    }
}

pub(super) fn describe(
    message: Fetched,
    keeping: Keeping,
    now: crate::clock::Micros,
) -> Result<(NewArrival, Option<Held>), Failure> {
    let mut row = NewArrival {
        source_id: message.source_id,
        state: if keeping == Keeping::Shadow { ArrivalState::ShadowKept } else { ArrivalState::Kept },
        announced_size: message.announced_size,
        size: 0,
        digest: vec![],
        envelope_to: String::new(),
        received: message.received.unwrap_or(now),
        is_silent: keeping == Keeping::Silent,
    };
    let held = match message.bytes {
        Bytes::Memory(bytes) => {
            row.size = bytes.len() as u64;
            row.digest = Sha256::digest(&bytes).to_vec();
            Some(Held::Memory(bytes))
        }
        Bytes::Spool(mut file, size) => {
            row.size = size;
            row.digest = digest_of(&mut file)
                .map_err(|e| Failure::temporary("cannot read the spool file").because(e))?;
            Some(Held::Spool(file))
        }
        Bytes::Gone => {
            row.state = ArrivalState::Vanished;
            None
        }
        Bytes::Refused(_) => {
            row.state = ArrivalState::Refused;
            None
        }
    };
    Ok((row, held))
}

fn in_memory<'a>(ids: &[ArrivalId], bytes: &'a [Option<Held>]) -> Vec<Chunk<'a>> {
    let mut found = vec![];
    for (id, held) in ids.iter().zip(bytes) {
        if let Some(Held::Memory(bytes)) = held {
            found.extend(chunks(*id, bytes));
        }
    }
    found
}

pub(super) fn digest_of(file: &mut std::fs::File) -> std::io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(0))?;
    let mut digest = Sha256::new();
    std::io::copy(file, &mut digest)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(digest.finalize().to_vec())
}

/// From the spool into the store, a chunk at a time: memory holds one, whatever the message weighs.
async fn insert_spooled(tx: &mut Tx, arrival: ArrivalId, file: &mut std::fs::File) -> Result<(), Error> {
    let mut buffer = vec![0; RAW_CHUNK];
    for number in 0.. {
        let filled = fill(file, &mut buffer)
            .map_err(|e| Error::Corrupt(format!("cannot read the spool file: {e}")))?;
        if filled == 0 && number > 0 {
            break;
        }
        tx.insert_raw(&[Chunk { arrival, number, bytes: &buffer[..filled] }]).await?;
        if filled < buffer.len() {
            break;
        }
    }
    file.seek(SeekFrom::Start(0))
        .map_err(|e| Error::Corrupt(format!("cannot rewind the spool file: {e}")))?;
    Ok(())
}

fn fill(file: &mut std::fs::File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}
