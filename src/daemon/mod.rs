//! The process on one screen: what it starts, what it looks after, and in which order it stops.

mod alarms;
mod bounces;
mod clock_watch;
mod health;
mod jobs;
mod mailbox;
mod mailboxes;
mod notify;
mod pipes;
mod put_back;
mod rounds;
mod space;
mod spread;
mod stop;
mod store_watch;
mod supervise;
mod tokens;
mod works;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use self::clock_watch::ClockWatch;
use self::health::Vitals;
use self::stop::{LEAVE, stop, unless_told};
use crate::backup::Daily;
use crate::clock::Pulse;
use crate::control::{self, Handler};
use crate::failure::Failure;
use crate::outbound::Report;
use crate::store::{Error, Hold};
use crate::web::{self, Ask, Sight};

pub(crate) use health::daemons;
pub use store_watch::{StoreWatch, Trouble};
pub use supervise::{Care, Tasks};
pub use works::Works;

/// How often the daemon looks for alerts to tell, and whether the desk is still its own.
const LOOK: Duration = Duration::from_secs(5);
/// How often it looks for mailboxes that are silent, and for alerts about what is no more.
const SLOW_LOOK: Duration = Duration::from_secs(10 * 60);
/// The lease of whoever tells alerts.
const ALERTS: &str = "job:alerts";
/// Of a task that has no signs of life to show.
const UNTIL_THE_STOP: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// How often it asks for a store, or for the desk's lock, that is away.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where others reach the daemon.
pub struct Front {
    pub listener: UnixListener,
    pub handler: Handler,
    /// Health and metrics; `None`: nowhere.
    pub web: Option<SocketAddr>,
    /// The backup of every day.
    pub daily: Option<Daily>,
}

/// Runs until `shutdown`: commands; what an earlier life left undecided; then mailboxes, outbound queue, alerts.
/// Each of them is started again if it breaks off or hangs. Stops in order: no new command and no new round, what is in
/// hand ends, the last mail under way ends, the leases are given back. Half a minute after it was asked to it has stopped,
/// whatever hangs (`stop.rs`).
pub async fn run(
    mut works: Works,
    front: Front,
    hold: &mut Hold,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    // Whatever goes wrong from here on, the tasks of the process come to their end.
    let _stop = shutdown.clone().drop_guard();
    works.intake.leaving = shutdown.clone();
    unless_told(&shutdown, Duration::ZERO, join(&works)).await.unwrap_or(Ok(()))?;
    let vitals = Vitals::new(works.clone());
    let last = CancellationToken::new();
    let mut kept = Kept { works: works.clone(), shutdown: shutdown.clone(), tasks: JoinSet::new() };
    // Before any work, so that none outlives its lease; they are renewed until the last of it has ended.
    kept.keep_until(&last, "leases", at_once(|works, pulse, stop| Box::pin(works.leases.run(pulse, stop))));
    kept.watch_and_answer(front.listener, front.handler, front.web, &vitals);
    unless_told(&shutdown, LEAVE, decide_pending(&works)).await.unwrap_or(Ok(()))?;
    kept.work(front.daily);
    let lost = until_something_ends(&works, &vitals, hold, &mut kept.tasks, &shutdown).await;
    shutdown.cancel();
    stop(&works, kept.tasks, last).await;
    tracing::info!("daemon.stopped");
    lost
}

/// The tasks of the process: each is started again if it breaks off or hangs.
struct Kept {
    works: Works,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

impl Kept {
    fn keep_until(&mut self, stop: &CancellationToken, name: &'static str, make: Make) {
        let (works, stop) = (self.works.clone(), stop.clone());
        self.tasks.spawn(async move {
            works.tasks.keep(name, stop, |pulse, stop| make(works.clone(), pulse, stop)).await
        });
    }

    fn keep(&mut self, name: &'static str, make: Make) {
        self.keep_until(&self.shutdown.clone(), name, make);
    }

    /// What does not wait for the work of an earlier life, which may take its time: systemd waits for its one word only so
    /// long, and an MTA for its answer.
    fn watch_and_answer(
        &mut self,
        listener: UnixListener,
        handler: Handler,
        web: Option<SocketAddr>,
        vitals: &Vitals,
    ) {
        let told = vitals.clone();
        self.keep("notify", Box::new(move |_, pulse, stop| Box::pin(notify::run(told.clone(), pulse, stop))));
        if let Some(address) = web {
            let sight = sight(&self.works, vitals);
            self.keep(
                "web",
                Box::new(move |_, pulse, stop| Box::pin(listen(address, sight.clone(), pulse, stop))),
            );
        }
        self.keep(
            "store",
            at_once(|works, pulse, stop| Box::pin(works.store_watch.run(works.desk.alerts, pulse, stop))),
        );
        self.keep(
            "clock",
            at_once(|works, pulse, stop| {
                Box::pin(ClockWatch::default().run(works.desk.alerts, works.store_watch, pulse, stop))
            }),
        );
        let listener = Arc::new(listener);
        self.keep(
            "control",
            Box::new(move |_, pulse, stop| {
                Box::pin(control::serve(listener.clone(), stop, handler.clone(), pulse))
            }),
        );
    }

    fn work(&mut self, daily: Option<Daily>) {
        self.keep("mailboxes", Box::new(|works, pulse, stop| Box::pin(mailboxes::run(works, pulse, stop))));
        self.keep("outbound", Box::new(|works, pulse, stop| Box::pin(send(works, pulse, stop))));
        self.keep("space", at_once(|works, pulse, stop| Box::pin(space::watch(works, pulse, stop))));
        if self.works.intake.scanning.is_some() {
            self.keep("scanner", at_once(|works, pulse, stop| Box::pin(unscanned(works, pulse, stop))));
        }
        self.keep("alerts", at_once(|works, pulse, stop| Box::pin(tell(works, pulse, stop))));
        self.keep(
            "oauth",
            Box::new(|works, pulse, stop| Box::pin(async move { works.grants.run(pulse, stop).await })),
        );
        self.keep(
            "jobs",
            Box::new(move |works, pulse, stop| Box::pin(work(works, daily.clone(), pulse, stop))),
        );
    }
}

/// The desk is lost, the store is behind what it had confirmed, or the daemon is told to stop.
async fn until_something_ends(
    works: &Works,
    vitals: &Vitals,
    hold: &mut Hold,
    tasks: &mut JoinSet<()>,
    shutdown: &CancellationToken,
) -> Result<(), Failure> {
    tokio::select! {
        behind = works.store.fell_behind() => {
            tracing::error!("store.behind {behind}");
            let held = unless_told(shutdown, LEAVE, works.store.hold_behind(works.clock.now())).await;
            if let Some(Err(error)) = held {
                tracing::warn!("daemon.alert_failed {error}");
            }
            Err(behind.into())
        }
        lost = unless_told(shutdown, Duration::ZERO, watch(works, vitals, hold)) => lost.unwrap_or(Ok(())),
        // Those who look after the others do not end by themselves.
        ended = tasks.join_next(), if !shutdown.is_cancelled() => match shutdown.is_cancelled() {
            true => Ok(()),
            false => {
                tracing::error!("daemon.keeper_broke_off {ended:?}");
                Err(Failure::temporary("a part of the daemon is no longer looked after; its words stand in the log"))
            }
        },
    }
}

/// Of a task that only looks and writes down: at the stop nothing of it is waited for.
fn at_once(
    make: impl Fn(Works, Pulse, CancellationToken) -> BoxFuture<'static, ()> + Send + Sync + 'static,
) -> Make {
    Box::new(move |works, pulse, stop| {
        let task = make(works, pulse, stop.clone());
        Box::pin(async move {
            unless_told(&stop, Duration::ZERO, task).await;
        })
    })
}

/// How a task begins, each time that it does.
type Make = Box<dyn Fn(Works, Pulse, CancellationToken) -> BoxFuture<'static, ()> + Send + Sync + 'static>;

/// Waits for a store that is away.
async fn join(works: &Works) -> Result<(), Failure> {
    while let Err(error) = works.leases.join("run").await {
        if !error.is_temporary() {
            return Err(error.into());
        }
        tracing::warn!("daemon.waiting {error}");
        sleep(PATIENCE).await;
    }
    Ok(())
}

/// What an earlier life kept and did not decide; waits for a store that is away.
async fn decide_pending(works: &Works) -> Result<(), Failure> {
    loop {
        match works.decide_pending().await {
            Ok(fates) => {
                tracing::info!(decided = fates.total(), "daemon.started");
                return Ok(());
            }
            // Away, or our turn was over before we were done: neither ends a daemon.
            Err(failure) if failure.kind.is_store_away() || failure.is_temporary() => {
                if !works.store_watch.has_told(&failure) {
                    tracing::warn!("daemon.waiting {failure}");
                }
            }
            Err(failure) => return Err(failure),
        }
        sleep(PATIENCE).await;
    }
}

/// What is shown over HTTP.
fn sight(works: &Works, vitals: &Vitals) -> Sight {
    let vitals = vitals.clone();
    let ask: Ask = Arc::new(move || {
        let vitals = vitals.clone();
        Box::pin(async move { vitals.health().await })
    });
    Sight { ask, metrics: works.metrics.clone() }
}

/// Health and metrics. It serves whoever asks, and shows no signs of life in between.
async fn listen(address: SocketAddr, sight: Sight, pulse: Pulse, shutdown: CancellationToken) {
    pulse.rest(UNTIL_THE_STOP);
    web::run(address, sight, shutdown).await;
}

/// The jobs, each at its time; one may take hours.
async fn work(works: Works, daily: Option<Daily>, pulse: Pulse, shutdown: CancellationToken) {
    pulse.rest(UNTIL_THE_STOP);
    jobs::jobs(&works, daily).run(shutdown).await;
}

async fn send(works: Works, pulse: Pulse, shutdown: CancellationToken) {
    let (states, wake) = (works.clone(), works.wake.clone());
    let heard = move |report: &Report| {
        let (works, report) = (states.clone(), report.clone());
        works.heard.lock().expect("nobody panics while holding it").push(report);
    };
    works.outbound().run(shutdown, wake, pulse, heard).await;
}

/// What waits for the virus scanner is decided once that answers, whenever its mailbox is due.
async fn unscanned(works: Works, pulse: Pulse, shutdown: CancellationToken) {
    let works = works.with_pulse(pulse.clone());
    while !shutdown.is_cancelled() {
        pulse.rest(mailbox::LONGEST_BATCH);
        if let Err(failure) = works.decide_unscanned().await
            && !works.store_watch.has_told(&failure)
        {
            tracing::warn!("intake.round_failed {failure}");
        }
        pause(&shutdown, LOOK).await;
    }
}

/// Relays that fail or work again become alerts, and so do mailboxes that are silent; alerts become mails.
async fn tell(works: Works, pulse: Pulse, shutdown: CancellationToken) {
    let mut looked: Option<Instant> = None;
    if let Err(e) = works.clear_mended_templates().await {
        alert_failed(&works.store_watch, &e);
    }
    while !shutdown.is_cancelled() {
        pulse.beat();
        let reports = std::mem::take(&mut *works.heard.lock().expect("nobody panics while holding it"));
        for report in reports {
            // A store that is away keeps each step waiting for a while.
            pulse.beat();
            if let Err(e) = works.state_relays(&report).await {
                alert_failed(&works.store_watch, &e);
            }
        }
        match works.in_turn(ALERTS).await {
            Ok(Some(works)) => tell_for_all(&works, &mut looked, &pulse).await,
            // Another daemon does it.
            Ok(None) => {}
            Err(e) => alert_failed(&works.store_watch, &e),
        }
        pause(&shutdown, LOOK).await;
    }
}

/// What one daemon does for all of them.
async fn tell_for_all(works: &Works, looked: &mut Option<Instant>, pulse: &Pulse) {
    if looked.is_none_or(|looked| looked.elapsed() >= SLOW_LOOK) {
        *looked = Some(Instant::now());
        let left_over = [works.clear_left_over().await, works.clear_unscanned().await];
        for looked_at in std::iter::once(works.state_silence().await).chain(left_over) {
            if let Err(e) = looked_at {
                alert_failed(&works.store_watch, &e);
            }
        }
    }
    if let Err(e) = works.desk.end_storms().await {
        alert_failed(&works.store_watch, &e.into());
    }
    pulse.beat();
    for told in [works.desk.tell_undelivered().await, works.desk.tell_alerts().await] {
        match told {
            Ok(0) => {}
            Ok(_) => works.wake.notify_one(),
            Err(e) => alert_failed(&works.store_watch, &e.into()),
        }
    }
}

fn alert_failed(store_watch: &StoreWatch, failure: &Failure) {
    if !store_watch.has_told(failure) {
        tracing::warn!("daemon.alert_failed {failure}");
    }
}

/// Ends when the desk is somebody else's. A lock that was lost with its connection is taken again: while the database is
/// away nobody else can have it.
async fn watch(works: &Works, vitals: &Vitals, hold: &mut Hold) -> Result<(), Failure> {
    loop {
        sleep(LOOK).await;
        let Err(lost) = hold.check().await else { continue };
        tracing::warn!("daemon.desk_lock_lost {lost}; it is taken again as soon as the store is there");
        loop {
            match works.store.hold_again(hold).await {
                Ok(()) => break tracing::info!("daemon.desk_lock_taken_again"),
                Err(error @ Error::Held(_)) => {
                    tracing::error!("daemon.desk_lost {error}");
                    vitals.desk_lost();
                    return Err(error.into());
                }
                Err(error) => tracing::debug!("daemon.desk_lock_away {error}"),
            }
            sleep(PATIENCE).await;
        }
    }
}

async fn pause(shutdown: &CancellationToken, pause: Duration) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = sleep(pause) => {}
    }
}

/// What the outbound queue said since the last look.
pub(crate) type Heard = Arc<std::sync::Mutex<Vec<Report>>>;
