//! The long-lived tasks of the process: each shows signs of life, is started again when it breaks off or hangs, and says so
//! by an alert.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::works::broken_off;
use crate::alert::{self, Alerts};
use crate::clock::{Micros, Pulse};
use crate::failure::{Failure, Kind};
use crate::telemetry::health::TaskHealth;

/// How a task is looked after.
#[derive(Clone, Copy, Debug)]
pub struct Care {
    /// How often it is looked at.
    pub look: Duration,
    /// How late a sign of life may be, beyond what the task itself has announced.
    pub patience: Duration,
    /// The pause before the first new start; each further one is twice as long, up to five minutes.
    pub pause: Duration,
    /// So long it has to work before its alert is cleared.
    pub healthy: Duration,
    /// How long it may take to end when it is asked to.
    pub grace: Duration,
}

impl Care {
    pub const USUAL: Care = Care {
        look: Duration::from_secs(1),
        // The store alone may keep a step waiting for half a minute, several times over.
        patience: Duration::from_secs(5 * 60),
        pause: Duration::from_secs(1),
        healthy: Duration::from_secs(10 * 60),
        // A mail under way has 20 s of it, a batch in hand 3 s.
        grace: Duration::from_secs(25),
    };
}

const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);
/// A task that is ended goes at its next await; one that never comes to one cannot be ended.
const ABORT: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Watched {
    pulse: Pulse,
    /// The pulse as it was seen to change last, and when.
    seen: u64,
    at: Instant,
    restarts: u32,
}

impl Watched {
    fn look(&mut self, patience: Duration) -> bool {
        let (beats, announced) = self.pulse.seen();
        if beats != self.seen {
            (self.seen, self.at) = (beats, Instant::now());
        }
        self.at.elapsed() > announced + patience
    }
}

/// The long-lived tasks, by name. Cheap to clone.
#[derive(Clone)]
pub struct Tasks {
    watched: Arc<Mutex<BTreeMap<String, Watched>>>,
    alerts: Alerts,
    care: Care,
}

impl Tasks {
    pub fn new(alerts: Alerts, care: Care) -> Tasks {
        Tasks { watched: Arc::default(), alerts, care }
    }

    /// How each of them fares.
    pub fn health(&self) -> Vec<TaskHealth> {
        let patience = self.care.patience;
        let health = |(name, watched): (&String, &mut Watched)| TaskHealth {
            name: name.clone(),
            is_late: watched.look(patience),
            silent_s: watched.at.elapsed().as_secs(),
            restarts: watched.restarts,
        };
        self.lock().iter_mut().map(health).collect()
    }

    /// Runs a task until `stop`, over and over: one that ends by itself, panics or hangs is started again. Dropping a task
    /// is safe at any await; it is what a crash would do.
    pub async fn keep<F>(
        &self,
        name: &str,
        stop: CancellationToken,
        make: impl Fn(Pulse, CancellationToken) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let (mut failures, mut restarts) = (0, 0);
        loop {
            let begun = Instant::now();
            let pulse = self.begin(name, restarts);
            let mut task = JoinSet::new();
            task.spawn(make(pulse.clone(), stop.clone()));
            let ended = self.watch((name, &pulse), &mut task, &stop).await;
            let Some(failure) = ended else { break self.forget(name, &pulse) };
            restarts += 1;
            if begun.elapsed() >= self.care.healthy {
                failures = 0;
            }
            failures += 1;
            self.tell(name, Some(failure)).await;
            let pause = self.care.pause.saturating_mul(1 << (failures - 1).min(16)).min(LONGEST_PAUSE);
            tokio::select! {
                () = stop.cancelled() => break self.forget(name, &pulse),
                () = sleep(pause) => {}
            }
        }
    }

    /// Until it ends: why it must be started again, or `None` at the stop.
    async fn watch(
        &self,
        (name, pulse): (&str, &Pulse),
        task: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Option<Failure> {
        let begun = Instant::now();
        let mut is_settled = false;
        let overstayed = async {
            stop.cancelled().await;
            sleep(self.care.grace).await;
        };
        tokio::pin!(overstayed);
        loop {
            tokio::select! {
                biased;
                ended = task.join_next() => return match ended {
                    Some(Err(error)) if error.is_panic() => Some(broken_off(&format!("task {name}"), error)),
                    _ if stop.is_cancelled() => None,
                    _ => Some(Failure::temporary(format!("task {name} ended by itself")).kind(Kind::BrokeOff)),
                },
                () = &mut overstayed => {
                    tracing::error!(task = name, "daemon.task_cut_off it did not end when it was asked to");
                    self.end(name, task).await;
                    return None;
                }
                () = sleep(self.care.look) => {}
            }
            if let Some(silent) = self.lateness(name, pulse) {
                self.end(name, task).await;
                let words =
                    format!("task {name} has made no progress for {} s and was ended", silent.as_secs());
                return Some(Failure::temporary(words).kind(Kind::Stuck));
            }
            // Also where it was raised by an earlier life of the process.
            if !is_settled && begun.elapsed() >= self.care.healthy {
                is_settled = true;
                self.tell(name, None).await;
            }
        }
    }

    /// Beside one that cannot be ended no other is started: they would do the same work twice.
    async fn end(&self, name: &str, task: &mut JoinSet<()>) {
        task.abort_all();
        while tokio::time::timeout(ABORT, task.join_next()).await.is_err() {
            tracing::error!(task = name, "daemon.task_stuck it cannot be ended: restart maildesk");
        }
    }

    async fn tell(&self, name: &str, failure: Option<Failure>) {
        let alarm = failure.map(|failure| {
            tracing::error!(task = name, "daemon.task_failed {failure}");
            alert::alarm(&failure, self.now())
        });
        if let Err(error) = self.alerts.keep(&format!("task:{name}:failing"), alarm.as_ref()).await {
            tracing::warn!(task = name, "daemon.alert_failed {error}");
        }
    }

    fn now(&self) -> Micros {
        self.alerts.clock.now()
    }

    fn begin(&self, name: &str, restarts: u32) -> Pulse {
        let pulse = Pulse::default();
        let fresh = Watched { pulse: pulse.clone(), seen: 0, at: Instant::now(), restarts };
        self.lock().insert(name.to_owned(), fresh);
        pulse
    }

    /// A mailbox that was edited has a new task of the same name before the old one has ended.
    fn forget(&self, name: &str, pulse: &Pulse) {
        let mut watched = self.lock();
        if watched.get(name).is_some_and(|watched| watched.pulse.is(pulse)) {
            watched.remove(name);
        }
    }

    /// How long it has been silent, if that is too long.
    fn lateness(&self, name: &str, pulse: &Pulse) -> Option<Duration> {
        let mut watched = self.lock();
        let watched = watched.get_mut(name).filter(|watched| watched.pulse.is(pulse))?;
        watched.look(self.care.patience).then(|| watched.at.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Watched>> {
        self.watched.lock().expect("nobody panics while holding it")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::clock::Clock;
    use crate::store::Store;
    use crate::store::listing::ALL;

    const CARE: Care = Care {
        look: Duration::from_millis(5),
        patience: Duration::from_secs(1),
        pause: Duration::from_millis(1),
        healthy: Duration::from_millis(1200),
        grace: Duration::from_millis(100),
    };

    async fn tasks(folder: &tempfile::TempDir) -> Tasks {
        let url = format!("sqlite:{}", folder.path().join("desk.db").display());
        let store = Store::connect(&url).await.unwrap();
        store.migrate().await.unwrap();
        Tasks::new(Alerts { store, clock: Clock::fixed(Micros::from_seconds(1_800_000_000)) }, CARE)
    }

    /// The alerts there were, and whether each is over.
    async fn alerts(tasks: &Tasks) -> Vec<(String, bool)> {
        let alerts = tasks.alerts.store.read().await.unwrap().list_alerts(true, ALL).await.unwrap();
        alerts
            .into_iter()
            .map(|a| (format!("{} {} {}", a.name, a.kind, a.words), a.cleared.is_some()))
            .collect()
    }

    /// Runs a task that shows how it fails in its first life, and then works well; gives the alerts.
    async fn after<F: Future<Output = ()> + Send + 'static>(
        first: impl Fn(Pulse) -> F + Clone,
    ) -> Vec<(String, bool)> {
        let folder = tempfile::tempdir().unwrap();
        let tasks = tasks(&folder).await;
        let (stop, lives) = (CancellationToken::new(), Arc::new(AtomicU32::new(0)));
        let works = async {
            let begun = Instant::now();
            while !alerts(&tasks).await.iter().any(|(_, is_over)| *is_over) {
                assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", alerts(&tasks).await);
                sleep(Duration::from_millis(10)).await;
            }
            let health = tasks.health();
            assert_eq!((health[0].name.as_str(), health[0].is_late, health[0].restarts), ("x", false, 1));
            stop.cancel();
        };
        let kept = tasks.keep("x", stop.clone(), |pulse, stop| {
            let (first, is_first) = (first.clone(), lives.fetch_add(1, Ordering::SeqCst) == 0);
            let failing = is_first.then(|| first(pulse.clone()));
            async move {
                match failing {
                    Some(failing) => failing.await,
                    None => {
                        while !stop.is_cancelled() {
                            pulse.beat();
                            sleep(Duration::from_millis(5)).await;
                        }
                    }
                }
            }
        });
        tokio::join!(kept, works);
        assert!(tasks.health().is_empty());
        alerts(&tasks).await
    }

    #[tokio::test]
    async fn a_task_that_panics_is_started_again_under_an_alert() {
        let said = after(|_| async { panic!("no such luck") }).await;
        let words = "task:x:failing broke_off task x broke off: no such luck (since 2027-01-15T08:00:00Z)";
        assert_eq!(said, [(words.to_owned(), true)]);
    }

    #[tokio::test]
    async fn a_task_that_ends_by_itself_is_started_again() {
        let said = after(|_| async {}).await;
        assert!(said[0].0.contains("task x ended by itself"), "{said:?}");
    }

    #[tokio::test]
    async fn a_task_that_hangs_is_ended_and_started_again_and_one_that_rests_is_not() {
        let said = after(|pulse| async move {
            pulse.rest(Duration::from_millis(300));
            sleep(Duration::from_millis(300)).await;
            pulse.beat();
            std::future::pending::<()>().await;
        })
        .await;
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].0.contains("stuck task x has made no progress for"), "{said:?}");
    }

    #[tokio::test]
    async fn a_task_that_does_not_end_when_asked_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let tasks = tasks(&folder).await;
        let stop = CancellationToken::new();
        stop.cancel();
        let deaf = |pulse: Pulse, _| async move {
            pulse.rest(Duration::from_secs(3600));
            std::future::pending::<()>().await;
        };
        tokio::time::timeout(Duration::from_secs(10), tasks.keep("deaf", stop, deaf)).await.unwrap();
        assert!(alerts(&tasks).await.is_empty());
    }
}
