//! Step 2: messages are parsed on a thread of its own.

use std::io::BufReader;

use super::Intake;
use super::keep::Held;
use super::scan::Scanned;
use crate::failure::Failure;
use crate::mail::{self, Message, Skeleton};
use crate::store::arrival::Pending;
use crate::store::raw::RAW_CHUNK;
use crate::triage::Scan;

/// A message that is kept, and what it says; `None` where the parser died of it.
pub(super) struct Parsed {
    pub(super) pending: Pending,
    pub(super) message: Option<Message>,
    /// What the virus scanner said of it.
    pub(super) scan: Option<Scan>,
    /// In memory still, where somebody is to look at its sender.
    pub(super) bytes: Option<Vec<u8>>,
}

impl Intake {
    /// Parses on a thread of its own; a panic there costs the message a try, and nothing else.
    pub(super) async fn parse(&self, batch: Vec<Scanned>) -> Result<Vec<Parsed>, Failure> {
        let mut unparsed = Vec::with_capacity(batch.len());
        let tries = self.settings.tries;
        for Scanned { kept, scan } in batch {
            let skeleton = match kept.bytes {
                Held::Store if kept.pending.tries < tries => {
                    match self.desk.store.skeleton(kept.pending.id).await {
                        Ok(skeleton) => Ok(skeleton),
                        Err(e) if e.is_temporary() => return Err(e.into()),
                        // The scanner died of it, or its bytes are not there: that is a try of this one message.
                        Err(e) => {
                            tracing::error!(arrival.id = kept.pending.id.0, "intake.unreadable {e}");
                            Err(Held::Store)
                        }
                    }
                }
                held => Err(held),
            };
            unparsed.push((kept.pending, scan, skeleton));
        }
        let keeps_bytes = self.verifying.is_some();
        let work =
            move || unparsed.into_iter().map(|one| parse_one(one, tries, keeps_bytes)).collect::<Vec<_>>();
        let work = tokio::task::spawn_blocking(work);
        work.await.map_err(|e| Failure::temporary("the parser's thread ended").because(e))
    }
}

fn parse_one(
    (pending, scan, bytes): (Pending, Option<Scan>, Result<Skeleton, Held>),
    tries: i64,
    keeps_bytes: bool,
) -> Parsed {
    if pending.tries >= tries {
        return Parsed { pending, message: None, scan, bytes: None };
    }
    let mut kept = None;
    let parse = || {
        let skeleton = match bytes {
            Ok(skeleton) => skeleton,
            Err(Held::Memory(bytes)) => {
                let skeleton = mail::scan(&mut &bytes[..]).ok()?;
                kept = keeps_bytes.then_some(bytes);
                skeleton
            }
            Err(Held::Spool(file)) => mail::scan(&mut BufReader::with_capacity(RAW_CHUNK, file)).ok()?,
            Err(Held::Store) => return None,
        };
        let mut message = mail::parse(&skeleton);
        message.add_envelope(&pending.envelope_to);
        Some(message)
    };
    let message = std::panic::catch_unwind(std::panic::AssertUnwindSafe(parse)).unwrap_or_default();
    Parsed { pending, message, scan, bytes: kept }
}
