//! Raw mail, byte for byte, in rows of a chunk each.

use std::io::BufReader;

use sqlx::{AssertSqlSafe, Row};

use super::tx::values;
use super::{Error, Store, Tx};
use crate::mail::{Skeleton, scan};
use crate::ticket::ArrivalId;

/// Bytes in one row; only a message's last row has fewer. See docs/adr/0004 for what was measured.
pub const RAW_CHUNK: usize = 256 << 10;
/// Bytes in one INSERT, so that small mails share a statement, and rows in it, so that tiny ones stay below the number of
/// values that SQLite takes (32766).
const BYTES_AN_INSERT: usize = 1 << 20;
const ROWS_AN_INSERT: usize = 200;

/// One chunk of one message.
pub struct Chunk<'a> {
    pub arrival: ArrivalId,
    pub number: i64,
    pub bytes: &'a [u8],
}

/// A whole message in memory as its chunks. An empty message has one empty chunk: it is here, and it is empty.
pub fn chunks(arrival: ArrivalId, bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let count = bytes.len().div_ceil(RAW_CHUNK).max(1);
    (0..count).map(move |n| {
        let end = bytes.len().min((n + 1) * RAW_CHUNK);
        Chunk { arrival, number: n as i64, bytes: &bytes[n * RAW_CHUNK..end] }
    })
}

impl Tx {
    /// Writes chunks, several small ones with one statement.
    pub async fn insert_raw(&mut self, chunks: &[Chunk<'_>]) -> Result<(), Error> {
        let mut from = 0;
        let mut bytes = 0;
        for (at, chunk) in chunks.iter().enumerate() {
            let is_full = at - from == ROWS_AN_INSERT || bytes + chunk.bytes.len() > BYTES_AN_INSERT;
            if at > from && is_full {
                self.insert_chunks(&chunks[from..at]).await?;
                (from, bytes) = (at, 0);
            }
            bytes += chunk.bytes.len();
        }
        match &chunks[from..] {
            [] => Ok(()),
            rest => self.insert_chunks(rest).await,
        }
    }

    async fn insert_chunks(&mut self, chunks: &[Chunk<'_>]) -> Result<(), Error> {
        let sql = format!(
            "INSERT INTO raw_mail (arrival_id, chunk, bytes) VALUES {}",
            values(self.engine, chunks.len(), 3)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for chunk in chunks {
            query = query.bind(chunk.arrival.0).bind(chunk.number).bind(chunk.bytes);
        }
        // Not later: what waits is in memory, and a message may weigh more than that.
        self.execute(query).await.map(drop)
    }

    /// One chunk of a message; `None` past its end.
    pub async fn raw_chunk(&mut self, arrival: ArrivalId, number: i64) -> Result<Option<Vec<u8>>, Error> {
        let query = sqlx::query("SELECT bytes FROM raw_mail WHERE arrival_id = $1 AND chunk = $2");
        let row = self.maybe_row(query.bind(arrival.0).bind(number)).await?;
        Ok(row.map(|r| r.try_get(0)).transpose()?)
    }

    /// A piece of a message. Bytes that are not there any more, or never were, are an error.
    pub async fn read_raw(
        &mut self,
        arrival: ArrivalId,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, Error> {
        let missing = || Error::Missing(format!("byte {offset} in the raw mail of arrival {arrival}"));
        let mut at = usize::try_from(offset).map_err(|_| missing())?;
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let chunk = self.raw_chunk(arrival, (at / RAW_CHUNK) as i64).await?.ok_or_else(missing)?;
            let rest = chunk.get(at % RAW_CHUNK..).filter(|rest| !rest.is_empty()).ok_or_else(missing)?;
            let taken = rest.len().min(length - bytes.len());
            bytes.extend_from_slice(&rest[..taken]);
            at += taken;
        }
        Ok(bytes)
    }
}

impl Store {
    /// Reads a stored message as its skeleton, a chunk at a time.
    pub async fn skeleton(&self, arrival: ArrivalId) -> Result<Skeleton, Error> {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Vec<u8>>(2);
        let scan = tokio::task::spawn_blocking(move || {
            scan(&mut BufReader::with_capacity(RAW_CHUNK, ChunkReader { receiver, chunk: vec![], at: 0 }))
        });
        let mut tx = self.read().await?;
        for number in 0.. {
            let Some(chunk) = tx.raw_chunk(arrival, number).await? else { break };
            if sender.send(chunk).await.is_err() {
                break;
            }
        }
        drop(sender);
        let scanned =
            scan.await.map_err(|e| Error::Corrupt(format!("arrival {arrival}: the scanner ended: {e}")))?;
        scanned.map_err(|e| Error::Corrupt(format!("arrival {arrival} cannot be read: {e}")))
    }
}

/// Chunks from the store's task, read as bytes by the scanner's thread.
struct ChunkReader {
    receiver: tokio::sync::mpsc::Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
}

impl std::io::Read for ChunkReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.at == self.chunk.len() {
            match self.receiver.blocking_recv() {
                Some(chunk) => (self.chunk, self.at) = (chunk, 0),
                None => return Ok(0),
            }
        }
        let n = buffer.len().min(self.chunk.len() - self.at);
        buffer[..n].copy_from_slice(&self.chunk[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}
