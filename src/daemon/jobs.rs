//! The jobs of the daemon: what is done at its time, beside mailboxes and queue.

use super::Works;
use crate::scheduler::Jobs;

/// Each job is registered here: a name that stays, a schedule, and what to do.
pub(super) fn jobs(works: &Works) -> Jobs {
    Jobs::new(works.store.clone(), works.clock.clone())
}
