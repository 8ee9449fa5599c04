//! Jobs on a clock in the test's hand: run when due, made up for once, apart from each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use maildesk::clock::{Clock, Micros};
use maildesk::failure::Failure;
use maildesk::lease::Leases;
use maildesk::schedule::Schedule;
use maildesk::scheduler::Jobs;
use maildesk::store::Store;
use maildesk::store::listing::ALL;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);

/// 2026-11-22T12:00:00Z and some hours.
fn hour(n: i64) -> Micros {
    Micros::from_seconds(1_795_348_800 + n * 3600)
}

struct Bench {
    store: Store,
    clock: Clock,
    shutdown: CancellationToken,
    running: JoinSet<()>,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let store =
            Store::connect(&format!("sqlite:{}", folder.path().join("desk.db").display())).await.unwrap();
        store.migrate().await.unwrap();
        let (clock, shutdown) = (Clock::fixed(hour(0)), CancellationToken::new());
        Bench { store, clock, shutdown, running: JoinSet::new(), _folder: folder }
    }

    fn start(&mut self, register: impl FnOnce(&mut Jobs)) {
        let leases = Leases::new(&self.store, Duration::from_secs(30));
        let mut jobs = Jobs::new(self.store.clone(), self.clock.clone(), leases);
        register(&mut jobs);
        self.shutdown = CancellationToken::new();
        self.running.spawn(jobs.run(self.shutdown.clone()));
    }

    async fn stop(&mut self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.running.join_next()).await;
        ended.expect("the jobs end").expect("they were started").unwrap();
    }

    /// Waits until the store says so.
    async fn until(&self, what: &str, is_so: impl Fn(&maildesk::store::JobRow) -> bool) {
        let looked = async {
            while !self.store.read().await.unwrap().jobs().await.unwrap().iter().any(&is_so) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, looked).await.unwrap_or_else(|_| panic!("never: {what}"));
    }

    async fn alerts(&self) -> Vec<String> {
        let mut tx = self.store.read().await.unwrap();
        tx.list_alerts(false, ALL)
            .await
            .unwrap()
            .into_iter()
            .map(|a| format!("{}: {}", a.name, a.words))
            .collect()
    }
}

fn hourly() -> Schedule {
    Schedule::parse("@hourly", "UTC").unwrap()
}

fn counting(count: &Arc<AtomicUsize>) -> impl Fn() -> std::future::Ready<Result<String, Failure>> + use<> {
    let count = count.clone();
    move || {
        let n = count.fetch_add(1, Ordering::SeqCst) + 1;
        std::future::ready(Ok(format!("run {n}")))
    }
}

#[tokio::test]
async fn jobs_run_when_due_and_a_clock_that_jumps_neither_storms_nor_stalls() {
    let mut bench = Bench::new().await;
    let count = Arc::new(AtomicUsize::new(0));
    bench.start(|jobs| jobs.register("count", hourly(), counting(&count)));
    bench.until("known, not run", |j| j.began.is_none() && j.next == hour(1)).await;
    // Five hours forward: one run.
    bench.clock.set(hour(5));
    bench.until("one run", |j| j.words == "run 1" && j.next == hour(6)).await;
    // Three hours back, and on from there: due at a full hour long before the sixth.
    let now = std::cell::Cell::new(hour(2).plus(Duration::from_secs(60)));
    let flows = |j: &maildesk::store::JobRow| {
        bench.clock.set(now.get());
        now.set(now.get().plus(Duration::from_secs(30)));
        j.words == "run 2"
    };
    bench.until("a second run", flows).await;
    bench.until("before the sixth hour", |j| j.began.is_some_and(|began| began.0 < hour(6).0)).await;
    bench.stop().await;
    // Missed while nobody ran: once, at once.
    bench.clock.set(hour(9).plus(Duration::from_secs(600)));
    bench.start(|jobs| jobs.register("count", hourly(), counting(&count)));
    bench.until("the missed run", |j| j.words == "run 3" && j.next == hour(10)).await;
    bench.stop().await;
    bench.start(|jobs| jobs.register("count", hourly(), counting(&count)));
    bench.until("known again", |j| j.next == hour(10)).await;
    bench.stop().await;
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_job_that_panics_or_hangs_is_alone_with_it() {
    let mut bench = Bench::new().await;
    let (count, tries) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (hung, entered) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    bench.start(|jobs| {
        jobs.register("count", hourly(), counting(&count));
        let tries = tries.clone();
        jobs.register("panics", hourly(), move || {
            let is_first = tries.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                assert!(!is_first, "the first run goes wrong");
                Ok("well again".to_owned())
            }
        });
        let (hung, entered) = (hung.clone(), entered.clone());
        jobs.register("hangs", hourly(), move || {
            hung.fetch_add(1, Ordering::SeqCst);
            entered.notify_one();
            std::future::pending()
        });
    });
    bench.until("all known", |j| j.name == "panics").await;
    bench.until("all known", |j| j.name == "hangs").await;
    bench.until("all known", |j| j.name == "count").await;
    bench.clock.set(hour(1));
    bench.until("the panic is a failure", |j| j.name == "panics" && j.failures == 1).await;
    bench.until("the others go on", |j| j.words == "run 1").await;
    tokio::time::timeout(PATIENCE, entered.notified()).await.expect("the hanging one began");
    let alerts = bench.alerts().await;
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert!(
        alerts[0].starts_with("job:panics:failing: the job panics failed: the run broke off"),
        "{alerts:?}"
    );
    assert!(alerts[0].ends_with("It is tried again by itself at 2026-11-22T14:00:00Z"), "{alerts:?}");
    bench.clock.set(hour(2));
    bench.until("well again", |j| j.name == "panics" && j.failures == 0 && j.words == "well again").await;
    bench.until("the others go on", |j| j.words == "run 2").await;
    assert!(bench.alerts().await.is_empty());
    assert_eq!(hung.load(Ordering::SeqCst), 1, "one run at a time");
    bench.stop().await;
}
