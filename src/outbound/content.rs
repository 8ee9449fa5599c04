//! The bytes of a mail as they go out, piece by piece: literal ones as they stand, spans of raw mail through `transfer`.

use crate::mail::compose::Segment;
use crate::mail::transfer::Recoder;
use crate::store::delivery::Claimed;
use crate::store::raw::RAW_CHUNK;
use crate::store::{Error, Store};

/// Reads a mail's segments one after the other. No more than a chunk of it is in memory, besides its literal bytes.
pub struct Content<'a> {
    store: &'a Store,
    mail: &'a Claimed,
    /// The segment at hand, and what of it was read.
    segment: usize,
    read: u64,
    literal: usize,
    recoder: Option<Recoder>,
}

impl<'a> Content<'a> {
    pub fn new(store: &'a Store, mail: &'a Claimed) -> Content<'a> {
        Content { store, mail, segment: 0, read: 0, literal: 0, recoder: None }
    }

    /// Appends the next piece to `out`. `false`: there was none any more.
    pub async fn next(&mut self, out: &mut Vec<u8>) -> Result<bool, Error> {
        let Some(segment) = self.mail.segments.get(self.segment) else { return Ok(false) };
        match *segment {
            Segment::Literal(length) => self.next_literal(length, out)?,
            Segment::Raw { arrival, offset, length, encoding } => {
                let at = offset + self.read;
                let rest_of_chunk = RAW_CHUNK as u64 - at % RAW_CHUNK as u64;
                let size = rest_of_chunk.min(length - self.read);
                if size > 0 {
                    let mut tx = self.store.read().await?;
                    let bytes = tx.read_raw(arrival, at, size as usize).await?;
                    self.recoder.get_or_insert_with(|| Recoder::new(encoding)).push(&bytes, out);
                    self.read += size;
                }
                if self.read == length {
                    if let Some(recoder) = self.recoder.take() {
                        recoder.finish(out);
                    }
                    self.advance();
                }
            }
        }
        Ok(true)
    }

    fn next_literal(&mut self, length: u64, out: &mut Vec<u8>) -> Result<(), Error> {
        let left = usize::try_from(length - self.read).unwrap_or(usize::MAX);
        let end = self.literal.saturating_add(left.min(RAW_CHUNK));
        let piece = self.mail.literal.get(self.literal..end).ok_or_else(|| {
            Error::Corrupt(format!("outbox mail {} has less text than its segments say", self.mail.id))
        })?;
        out.extend_from_slice(piece);
        self.read += piece.len() as u64;
        self.literal = end;
        if self.read == length {
            self.advance();
        }
        Ok(())
    }

    fn advance(&mut self) {
        self.segment += 1;
        self.read = 0;
    }
}
