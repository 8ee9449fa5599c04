//! Step 6, acknowledge: the source is told what may go, only after what became of it is durable (B1).

use super::Intake;
use super::source::{Handled, Source};
use crate::crash;
use crate::failure::Failure;
use crate::store::arrival::{Known, Place};
use crate::ticket::ArrivalId;

/// A decided message that its source may let go.
#[derive(Clone, Debug)]
pub(super) struct Owed {
    pub arrival: ArrivalId,
    pub source_id: String,
}

/// Messages that the source was told of.
pub(super) struct Told {
    pub arrivals: Vec<ArrivalId>,
    /// Confirmed only once the session was closed.
    pub holds_after_close: bool,
}

impl Intake {
    /// Tells the source; what it confirms is written with the next commit of the round, or by `confirm`, or once it has
    /// closed.
    /// A crash in between is harmless: the step is repeated, and a message no longer listed counts as acknowledged.
    pub(super) async fn acknowledge<S: Source>(
        &self,
        source: &mut S,
        owed: &[Owed],
        handled: &Handled,
    ) -> Result<Told, Failure> {
        if owed.is_empty() {
            return Ok(Told { arrivals: vec![], holds_after_close: false });
        }
        let ids: Vec<String> = owed.iter().map(|o| o.source_id.clone()).collect();
        crash::point("ack.before_source");
        self.desk.store.require_lease().await?;
        let done = source.acknowledge(&ids, handled).await?;
        crash::point("ack.after_source");
        let arrivals: Vec<ArrivalId> = owed.iter().map(|o| o.arrival).collect();
        if !done.words.is_empty() {
            self.confirm(&arrivals, &done.words).await?;
        }
        Ok(Told { arrivals, holds_after_close: done.holds_after_close })
    }

    /// Writes what the source has confirmed.
    pub(super) async fn confirm(&self, arrivals: &[ArrivalId], words: &str) -> Result<(), Failure> {
        if arrivals.is_empty() {
            return Ok(());
        }
        let mut tx = self.desk.store.write().await?;
        tx.mark_acknowledged(arrivals, words, self.clock.now()).await?;
        tx.commit().await?;
        crash::point("ack.after_commit");
        Ok(())
    }

    /// Takes up acknowledgements of an earlier life: what the place still holds (`held`) is owed again; what it no longer
    /// holds is done; what belongs to another epoch, folder set or validity is dropped, and B10 knows the message again.
    pub(super) async fn take_up(
        &self,
        place: &Place,
        held: impl Iterator<Item = &str>,
        left_over: &[(Place, Known)],
    ) -> Result<Vec<Owed>, Failure> {
        let held: std::collections::HashSet<&str> = held.collect();
        let (mut owed, mut gone) = (vec![], vec![]);
        for (_, known) in left_over.iter().filter(|(p, _)| p == place) {
            match held.contains(known.source_id.as_str()) {
                true => owed.push(Owed { arrival: known.id, source_id: known.source_id.clone() }),
                false => gone.push(known.id),
            }
        }
        self.confirm(&gone, "").await?;
        Ok(owed)
    }

    /// Acknowledgements whose place is no more: their messages must not be touched under these numbers.
    pub(super) async fn drop_stale(
        &self,
        left_over: &[(Place, Known)],
        is_stale: impl Fn(&Place) -> bool,
        why: &str,
    ) -> Result<(), Failure> {
        let stale: Vec<ArrivalId> =
            left_over.iter().filter(|(p, _)| is_stale(p)).map(|(_, k)| k.id).collect();
        if !stale.is_empty() {
            tracing::warn!(messages = stale.len(), "intake.acknowledgement_dropped {why}");
        }
        self.confirm(&stale, &format!("dropped: {why}")).await
    }
}
