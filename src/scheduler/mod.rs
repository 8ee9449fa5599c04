//! Named jobs when they are due, one run at a time each. Which ones there are is said in `daemon`.
//!
//! A run that fails or panics is told and tried again when it is due next; the other jobs go on. Runs that were missed
//! are made up for by one, at once. Of several daemons one runs a job, under its lease.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::alert::Alerts;
use crate::clock::{Clock, Micros};
use crate::failure::Failure;
use crate::lease::{Lease, Leases};
use crate::schedule::{Due, Schedule};
use crate::store::{Error, Store};

/// The clock is looked at so often: it may jump.
const LOOK: Duration = Duration::from_secs(2);

/// Words on what a run did, for the log and for `job.words`.
type Ran = Result<String, Failure>;
type Work = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Ran> + Send>> + Send + Sync>;

/// The jobs of a daemon.
///
/// ```ignore
/// let mut jobs = Jobs::new(store, clock, leases);
/// jobs.register("backup.daily", Schedule::parse("30 2 * * *", "UTC")?, move || backup(works.clone()));
/// jobs.run(shutdown).await;
/// ```
pub struct Jobs {
    alerts: Alerts,
    leases: Leases,
    jobs: HashMap<&'static str, (Schedule, Work)>,
}

impl Jobs {
    /// Without a lease where the process has not joined the others.
    pub fn new(store: Store, clock: Clock, leases: Leases) -> Jobs {
        Jobs { alerts: Alerts { store, clock }, leases, jobs: HashMap::new() }
    }

    /// Registers a job under a name that stays: by it the store knows when it ran last. `work` is called anew for each
    /// run and may be dropped at any await when the daemon stops, as by a crash.
    pub fn register<F>(
        &mut self,
        name: &'static str,
        schedule: Schedule,
        work: impl Fn() -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Ran> + Send + 'static,
    {
        self.jobs.insert(name, (schedule, Arc::new(move || Box::pin(work()))));
    }

    /// Runs each when it is due, until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut tasks = JoinSet::new();
        for (name, (schedule, work)) in self.jobs {
            let (alerts, leases) = (self.alerts.clone(), self.leases.clone());
            let job = Job { name, schedule, work, alerts, leases };
            let shutdown = shutdown.clone();
            tasks.spawn(async move {
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = job.run() => {}
                }
            });
        }
        shutdown.cancelled().await;
        while tasks.join_next().await.is_some() {}
    }
}

struct Job {
    name: &'static str,
    schedule: Schedule,
    work: Work,
    alerts: Alerts,
    leases: Leases,
}

impl Job {
    async fn run(&self) {
        let mut due = self.first_due().await;
        loop {
            until(&self.alerts.clock, &mut due).await;
            let Some(lease) = self.lease(&mut due).await else {
                tokio::time::sleep(LOOK).await;
                continue;
            };
            let began = self.alerts.clock.now();
            due.ran(began);
            let ran = tokio::select! {
                ran = self.once() => ran,
                () = self.lost(lease.as_ref()) => Err(Failure::temporary("another daemon may have this job by now")),
            };
            let next = due.at(self.alerts.clock.now());
            match &ran {
                Ok(words) => tracing::info!(job.name = self.name, "scheduler.job_done {words}"),
                Err(failure) => tracing::error!(job.name = self.name, "scheduler.job_failed {failure}"),
            }
            if let Err(e) = self.record(began, next, &ran, lease.as_ref()).await {
                tracing::warn!(job.name = self.name, "scheduler.job_unrecorded {e}");
            }
            self.give_back(lease.as_ref()).await;
        }
    }

    /// `Some(None)`: none is needed. `None`: another daemon has the job, or has just done it; `due` is as the store has it.
    async fn lease(&self, due: &mut Due) -> Option<Option<Lease>> {
        if !self.leases.has_joined() {
            return Some(None);
        }
        let lease = match self.leases.take_one(&format!("job:{}", self.name)).await {
            Ok(lease) => lease?,
            Err(e) => {
                tracing::warn!(job.name = self.name, "scheduler.job_unread {e}");
                return None;
            }
        };
        if let Ok(from) = self.know(self.alerts.clock.now()).await {
            *due = Due::new(self.schedule.clone(), from);
        }
        let now = self.alerts.clock.now();
        if due.at(now).0 <= now.0 {
            return Some(Some(lease));
        }
        self.give_back(Some(&lease)).await;
        None
    }

    async fn give_back(&self, lease: Option<&Lease>) {
        if let Some(lease) = lease
            && let Err(e) = self.leases.give_back(lease).await
        {
            tracing::warn!("lease.kept {e}");
        }
    }

    /// Ends when the lease is over.
    async fn lost(&self, lease: Option<&Lease>) {
        let mut lives = self.leases.lives();
        while lease.is_none_or(|lease| !lease.is_over()) {
            // The sender lives as long as we do.
            drop(tokio::time::timeout(LOOK, lives.changed()).await);
        }
    }

    /// Counted from the last run, else from when the job was first seen. A store that cannot be asked: from now.
    async fn first_due(&self) -> Due {
        let now = self.alerts.clock.now();
        let from = match self.know(now).await {
            Ok(from) => from,
            Err(e) => {
                tracing::warn!(job.name = self.name, "scheduler.job_unread {e}");
                now
            }
        };
        Due::new(self.schedule.clone(), from)
    }

    async fn know(&self, now: Micros) -> Result<Micros, Error> {
        let mut tx = self.alerts.store.write().await?;
        let from = tx.know_job(self.name, now).await?;
        let next = Due::new(self.schedule.clone(), from).at(now);
        tx.set_job_next(self.name, &self.schedule.to_string(), next).await?;
        tx.commit().await?;
        Ok(from)
    }

    /// One run on a task of its own, so that a panic ends the run and nothing else.
    async fn once(&self) -> Ran {
        let mut task = JoinSet::new();
        task.spawn((self.work)());
        match task.join_next().await {
            Some(Ok(ran)) => ran,
            Some(Err(e)) => Err(Failure::temporary("the run broke off").because(e)),
            None => Err(Failure::temporary("the run never began")),
        }
    }

    async fn record(
        &self,
        began: Micros,
        next: Micros,
        ran: &Ran,
        lease: Option<&Lease>,
    ) -> Result<(), Error> {
        let ended = self.alerts.clock.now();
        let words = ran.as_ref().map_or_else(Failure::to_string, String::clone);
        let alert = ran.is_err().then(|| {
            format!(
                "the job {} failed: {words}. It is tried again by itself at {}",
                self.name,
                next.rfc3339()
            )
        });
        let store = match lease {
            Some(lease) => self.alerts.store.under(lease.fence.clone()),
            None => self.alerts.store.clone(),
        };
        let mut tx = store.write().await?;
        tx.record_job(self.name, (began, ended, next), (ran.is_ok(), &words)).await?;
        self.alerts.state_in(&mut tx, &format!("job:{}:failing", self.name), alert.as_deref()).await?;
        tx.commit().await
    }
}

/// Waits until it is due, by a clock that may jump; gives when it was due.
pub async fn until(clock: &Clock, due: &mut Due) -> Micros {
    loop {
        let now = clock.now();
        let at = due.at(now);
        if at.0 <= now.0 {
            return at;
        }
        let left = Duration::from_micros(at.0.saturating_sub(now.0).unsigned_abs());
        tokio::time::sleep(left.min(LOOK)).await;
    }
}
