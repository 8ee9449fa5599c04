//! Between parse and decide: DNS is asked about the senders of a batch, several at once, before any lock is taken (M6).
//! What it says stands with the arrival from then on: a crash, a retry or a decision made anew asks nobody again.

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Intake;
use super::parsed::Parsed;
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
        let round = Round {
            intake: self,
            verifying,
            reading: Semaphore::new(READ_MIB),
            until: Instant::now() + verifying.verifier.timeout * BATCH_TIMEOUTS,
        };
        let found = round.ask_all(&batch).await?;
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
}

/// The questions about one batch.
struct Round<'i> {
    intake: &'i Intake,
    verifying: &'i Verifying,
    reading: Semaphore,
    /// Who is asked about later has no answer.
    until: Instant,
}

type Answer = Result<Option<Checks>, Failure>;

impl Round<'_> {
    /// By their place in the batch.
    async fn ask_all(&self, batch: &[Parsed]) -> Result<Vec<(usize, Checks)>, Failure> {
        let mut asked: Vec<BoxFuture<'_, (usize, Answer)>> = vec![];
        for (nth, one) in batch.iter().enumerate() {
            if let (Some(message), None) = (&one.message, &one.pending.checks) {
                asked.push(Box::pin(async move { (nth, self.ask(one, message).await) }));
            }
        }
        let mut answers = futures_util::stream::iter(asked).buffer_unordered(AT_ONCE);
        let mut found = vec![];
        while let Some((nth, answer)) = answers.next().await {
            self.intake.pulse.progress();
            found.extend(answer?.map(|checks| (nth, checks)));
        }
        Ok(found)
    }

    async fn ask(&self, one: &Parsed, message: &Message) -> Answer {
        let verifying = self.verifying;
        if !trust::wants_verifying(message, &verifying.rule, &verifying.relays) {
            return Ok(None);
        }
        if Instant::now() > self.until {
            return Ok(Some(Checks::gap("DNS gave no answer in time")));
        }
        if one.pending.size > SIZE_LIMIT {
            return Ok(Some(Checks::gap(format!("too big to be verified: {} bytes", one.pending.size))));
        }
        if let Some(bytes) = &one.bytes {
            return Ok(verifying.look(message, bytes).await);
        }
        let mib = (one.pending.size >> 20) as u32 + 1;
        // The semaphore is never closed.
        let _share = self.reading.acquire_many(mib).await.ok();
        let mut tx = self.intake.desk.store.read().await?;
        let read = tx.read_raw(one.pending.id, 0, one.pending.size as usize).await;
        drop(tx);
        match read {
            Ok(bytes) => Ok(verifying.look(message, &bytes).await),
            Err(e) if e.is_temporary() => Err(e.into()),
            Err(e) => Ok(Some(Checks::gap(e.to_string()))),
        }
    }
}
