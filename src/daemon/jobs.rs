//! The jobs of the daemon: what is done at its time, beside mailboxes and queue.

use super::Works;
use crate::backup::Daily;
use crate::scheduler::Jobs;

/// Each job is registered here: a name that stays, a schedule, and what to do.
pub(super) fn jobs(works: &Works, daily: Option<Daily>) -> Jobs {
    let mut jobs = Jobs::new(works.store.clone(), works.clock.clone(), works.leases.clone());
    if let Some(daily) = daily
        && let Some(schedule) = daily.settings.schedule.clone()
    {
        jobs.register("backup.daily", schedule, move || {
            let daily = daily.clone();
            async move { Ok(daily.take_at_last().await) }
        });
    }
    jobs
}
