//! Between parse and decide: DNS is asked about the senders of a batch, several at once, before any lock is taken (M6).
//! What it says stands with the arrival from then on: a crash, a retry or a decision made anew asks nobody again.

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Intake;
use super::decide::Parsed;
use crate::failure::Failure;
use crate::mail::Message;
use crate::triage::trust::{self, Checks};
use crate::triage::{TrustRule, VerdictRule};
use crate::verifier::{SIZE_LIMIT, Verifier};

/// Messages asked about at a time.
const AT_ONCE: usize = 32;
/// Where DNS is dead, a batch waits for it so many times as long as one message; the rest of it counts as unanswered.
const BATCH_TIMEOUTS: u32 = 6;
/// Bytes that are read from the store for it at a time, in MiB; one of the largest is more than half of it.
const READ_MIB: usize = 16;

/// Whom to ask about senders, and when.
#[derive(Clone)]
pub struct Verifying {
    pub verifier: Verifier,
    pub rule: TrustRule,
    pub relays: VerdictRule,
}

impl Verifying {
    /// Of a message in memory. None: it is not to be asked about.
    pub async fn look(&self, message: &Message, raw: &[u8]) -> Option<Checks> {
        let from =
            message.from.as_ref().filter(|_| trust::wants_verifying(message, &self.rule, &self.relays))?;
        let envelope = trust::envelope(message, &self.relays);
        Some(self.verifier.verify(raw, &from.address, envelope.as_ref()).await)
    }
}

impl Intake {
    /// Adds to each message what is found out about its sender, where that is wanted and not known yet.
    pub(super) async fn look_up_senders(&self, mut batch: Vec<Parsed>) -> Result<Vec<Parsed>, Failure> {
        let Some(verifying) = &self.verifying else { return Ok(batch) };
        let reading = Semaphore::new(READ_MIB);
        let until = Instant::now() + verifying.verifier.timeout * BATCH_TIMEOUTS;
        let mut found = vec![];
        {
            let mut asked: Vec<BoxFuture<'_, Result<Option<(usize, Checks)>, Failure>>> = vec![];
            for (nth, one) in batch.iter().enumerate() {
                if let (Some(message), None) = (&one.message, &one.pending.checks) {
                    asked.push(Box::pin(self.look_up_sender(
                        verifying,
                        &reading,
                        nth,
                        (one, message),
                        until,
                    )));
                }
            }
            let mut answers = futures_util::stream::iter(asked).buffer_unordered(AT_ONCE);
            while let Some(answer) = answers.next().await {
                self.pulse.progress();
                found.extend(answer?);
            }
        }
        if found.is_empty() {
            return Ok(batch);
        }
        batch.iter_mut().for_each(|one| one.bytes = None);
        let mut tx = self.desk.store.write().await?;
        for (nth, checks) in found {
            tx.set_checks(batch[nth].pending.id, &checks).await?;
            batch[nth].pending.checks = Some(checks);
        }
        tx.commit().await?;
        Ok(batch)
    }

    async fn look_up_sender(
        &self,
        verifying: &Verifying,
        reading: &Semaphore,
        nth: usize,
        (one, message): (&Parsed, &Message),
        until: Instant,
    ) -> Result<Option<(usize, Checks)>, Failure> {
        if !trust::wants_verifying(message, &verifying.rule, &verifying.relays) {
            return Ok(None);
        }
        if Instant::now() > until {
            return Ok(Some((nth, Checks::gap("DNS gave no answer in time"))));
        }
        if one.pending.size > SIZE_LIMIT {
            let gap = format!("too big to be verified: {} bytes", one.pending.size);
            return Ok(Some((nth, Checks::gap(gap))));
        }
        let checks = match &one.bytes {
            Some(bytes) => verifying.look(message, bytes).await,
            None => {
                let mib = (one.pending.size >> 20) as u32 + 1;
                // The semaphore is never closed.
                let _share = reading.acquire_many(mib).await.ok();
                let mut tx = self.desk.store.read().await?;
                let read = tx.read_raw(one.pending.id, 0, one.pending.size as usize).await;
                drop(tx);
                match read {
                    Ok(bytes) => verifying.look(message, &bytes).await,
                    Err(e) if e.is_temporary() => return Err(e.into()),
                    Err(e) => Some(Checks::gap(e.to_string())),
                }
            }
        };
        Ok(checks.map(|checks| (nth, checks)))
    }
}
