//! One mailbox, read for as long as it is to be: a round when it is due, or when its server tells of new mail.
//!
//! Between two rounds the session stays open in IDLE where the server offers that. When IDLE fails, the schedule goes on,
//! and IDLE is tried again, less and less often. A session is left before the access token ends that opened it; the next
//! one has a fresh one. A mailbox that fails backs off.

use std::time::Duration;

use tokio::time::Instant;

use super::Works;
use super::bounces::Bounces;
use super::mailboxes::Stop;
use super::space::in_room;
use super::stop::LEAVE;
use crate::clock::{Micros, Pulse};
use crate::config::Protocol;
use crate::failure::Failure;
use crate::intake::source::Source as _;
use crate::schedule::{Due, dice};
use crate::scheduler::until;
use crate::sources::imap::ImapSource;
use crate::store::MailboxRow;

/// A round shows a sign of life with every batch. Servers have deadlines of their own on each command; this is for what
/// hangs elsewhere.
pub(super) const LONGEST_BATCH: Duration = Duration::from_secs(60 * 60);
/// Between two rounds: a cron expression may mean years.
const UNTIL_DUE: Duration = super::UNTIL_THE_STOP;
/// After an IDLE that failed: this, doubled with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(15);
const LONGEST_RETRY: Duration = Duration::from_secs(3600);
/// RFC 2177 wants IDLE begun anew before 29 minutes; routers forget a silent connection sooner.
const RENEW: Duration = Duration::from_secs(9 * 60);
/// An IDLE that lasted so long has worked.
const WORKED: Duration = Duration::from_secs(60);

pub(super) struct Reading {
    works: Works,
    mailbox: MailboxRow,
    /// Behind the time at which it is due, so that not all begin at once.
    spread: Duration,
    bounces: Bounces,
    is_bounce: bool,
    pulse: Pulse,
    stop: Stop,
    due: Due,
    session: Option<ImapSource>,
    /// Rounds that failed, in a row.
    failures: u32,
    /// Waits in IDLE that failed, in a row, and when the next is tried.
    idle_failures: u32,
    idle_retry: Option<Instant>,
}

/// Why a wait ended.
enum Woken {
    Due(Micros),
    News,
    Stop,
}

impl Reading {
    pub(super) fn new(
        works: Works,
        mailbox: MailboxRow,
        (spread, (bounces, is_bounce)): (Duration, (Bounces, bool)),
        (pulse, stop): (Pulse, Stop),
    ) -> Reading {
        let due = Due::new(mailbox.spec.when(), mailbox.last_round.unwrap_or(mailbox.created));
        let (session, idle_retry) = (None, None);
        Reading {
            works,
            mailbox,
            spread,
            bounces,
            is_bounce,
            pulse,
            stop,
            due,
            session,
            failures: 0,
            idle_failures: 0,
            idle_retry,
        }
    }

    /// Round after round. A round that is under way at the stop has a moment to end; then it is dropped, which is safe at
    /// any await, as in a crash.
    pub(super) async fn run(mut self) {
        let mut woken = self.begin().await;
        loop {
            match woken {
                Woken::Stop => break,
                Woken::News => {}
                Woken::Due(at) if !self.is_bounce => {
                    tokio::select! {
                        () = self.stop.soon.cancelled() => break,
                        () = self.bounces.wait(at, &self.works.clock) => {}
                    }
                }
                Woken::Due(_) => {}
            }
            self.due.ran(self.works.clock.now());
            self.pulse.rest(LONGEST_BATCH);
            let (session, keeps) = (self.session_in_time().await, self.may_idle());
            let stopped = async {
                self.stop.now.cancelled().await;
                tokio::time::sleep(LEAVE).await;
            };
            let visited = tokio::select! {
                () = stopped => break,
                visited = in_room(&self.works, self.works.visit(&self.mailbox, session, keeps)) => visited,
            };
            woken = match visited {
                Ok((report, session)) => {
                    self.failures = 0;
                    if report.fates.total() > 0 {
                        self.works.wake.notify_one();
                    }
                    self.session = session;
                    match report.is_cut_short {
                        _ if self.stop.soon.is_cancelled() => Woken::Stop,
                        true => Woken::News,
                        false => self.wait().await,
                    }
                }
                Err(failure) => self.back_off(&failure).await,
            };
        }
        if let Some(session) = self.session.take() {
            leave(session).await;
        }
    }

    /// The session that is open, unless its token is about to end.
    async fn session_in_time(&mut self) -> Option<ImapSource> {
        let session = self.session.take()?;
        match session.leave_at() {
            Some(at) if at <= Instant::now() => {
                leave(session).await;
                None
            }
            _ => Some(session),
        }
    }

    fn can_idle(&self) -> bool {
        self.mailbox.spec.idle && self.mailbox.spec.protocol == Protocol::Imap
    }

    /// Not before its time has come again where it has failed.
    fn may_idle(&mut self) -> bool {
        if self.idle_retry.is_some_and(|at| at > Instant::now()) {
            return false;
        }
        self.idle_retry = None;
        self.can_idle()
    }

    /// The first round comes at once, unless the time of day was chosen and no run was missed.
    async fn begin(&mut self) -> Woken {
        if self.mailbox.spec.when().is_interval() || self.can_idle() {
            let now = self.works.clock.now();
            return self
                .or_stop(tokio::time::sleep(self.spread))
                .await
                .map_or(Woken::Stop, |()| Woken::Due(now));
        }
        self.wait().await
    }

    /// Waits until the next round.
    async fn wait(&mut self) -> Woken {
        self.tell_bounces();
        self.pulse.rest(UNTIL_DUE);
        if let Some(mut session) = self.session.take() {
            match self.idle(&mut session).await {
                Some(Ok(woken)) => {
                    self.session = Some(session);
                    return woken;
                }
                Some(Err(failure)) => {
                    self.idle_failures += 1;
                    let pause = retry_after(self.idle_failures, self.dice(self.idle_failures));
                    self.idle_retry = Some(Instant::now() + pause);
                    let (name, pause) = (&self.mailbox.spec.name, pause.as_secs());
                    tracing::info!(
                        mailbox.name = name,
                        "intake.idle_ended {failure}; tried again in {pause} s"
                    );
                }
                // We stop, and the server does not answer.
                None => return Woken::Stop,
            }
        }
        let retry = at(self.idle_retry);
        let (clock, is_interval) = (self.works.clock.clone(), self.mailbox.spec.when().is_interval());
        tokio::select! {
            () = self.stop.soon.cancelled() => Woken::Stop,
            () = retry => Woken::Due(clock.now()),
            at = due(&clock, &mut self.due, spread_of(is_interval, self.spread)) => Woken::Due(at),
        }
    }

    /// Waits in IDLE. None: it is time to stop, and the server gives no answer.
    async fn idle(&mut self, session: &mut ImapSource) -> Option<Result<Woken, Failure>> {
        let began = Instant::now();
        let (stop, clock, is_interval) =
            (self.stop.soon.clone(), self.works.clock.clone(), self.mailbox.spec.when().is_interval());
        let mut was_due = None;
        let leave_at = session.leave_at();
        let asked = async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = at(leave_at) => was_due = Some(clock.now()),
                at = due(&clock, &mut self.due, spread_of(is_interval, self.spread)) => was_due = Some(at),
            }
        };
        let waited = tokio::select! {
            waited = session.wait(RENEW, asked) => waited,
            () = async { stop.cancelled().await; tokio::time::sleep(LEAVE).await } => return None,
        };
        if waited.is_ok() || began.elapsed() > WORKED {
            self.idle_failures = 0;
        }
        Some(waited.map(|has_news| match was_due {
            _ if has_news => Woken::News,
            Some(at) => Woken::Due(at),
            None => Woken::Stop,
        }))
    }

    async fn back_off(&mut self, failure: &Failure) -> Woken {
        if !self.works.store_watch.has_told(failure) {
            tracing::warn!(mailbox.name = self.mailbox.spec.name, "intake.round_failed {failure}");
        }
        self.failures += 1;
        let pause = apart(failure.pause(self.failures), self.dice(self.failures));
        self.pulse.rest(pause);
        let at = self.works.clock.now().plus(pause);
        if self.is_bounce {
            self.bounces.set_due(self.mailbox.id, at);
        }
        self.or_stop(tokio::time::sleep(pause)).await.map_or(Woken::Stop, |()| Woken::Due(at))
    }

    fn tell_bounces(&mut self) {
        if self.is_bounce && !self.stop.soon.is_cancelled() {
            let at = self.due.at(self.works.clock.now());
            self.bounces.set_due(self.mailbox.id, at);
        }
    }

    fn dice(&self, failures: u32) -> f64 {
        dice(self.mailbox.id.0, i64::from(failures))
    }

    /// None: it is time to stop.
    async fn or_stop<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            () = self.stop.soon.cancelled() => None,
            done = work => Some(done),
        }
    }
}

/// Waits until the schedule says so, and for the mailbox's place behind it.
async fn due(clock: &crate::clock::Clock, due: &mut Due, spread: Duration) -> Micros {
    let at = until(clock, due).await;
    tokio::time::sleep(spread).await;
    at.plus(spread)
}

/// Waits until then; without a time for ever.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Intervals stay apart as they began; times of day are the same for all.
fn spread_of(is_interval: bool, spread: Duration) -> Duration {
    if is_interval { Duration::ZERO } else { spread }
}

/// Of an IDLE that failed: doubled with each failure up to an hour, and a fifth apart, so that what failed together does
/// not come back together.
fn retry_after(failures: u32, dice: f64) -> Duration {
    let pause = FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_RETRY);
    apart(pause, dice)
}

fn apart(pause: Duration, dice: f64) -> Duration {
    pause.mul_f64(0.8 + 0.2 * dice)
}

/// A server that does not answer is left as it is.
async fn leave(session: ImapSource) {
    if let Ok(Err(failure)) = tokio::time::timeout(LEAVE, session.close()).await {
        tracing::debug!("intake.session_ended {failure}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_back_off_to_an_hour_and_apart() {
        let seconds: Vec<u64> = (1..=10).map(|n| retry_after(n, 1.0).as_secs()).collect();
        assert_eq!(seconds, [15, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(retry_after(1, 0.0), Duration::from_secs(12));
        assert_eq!(retry_after(20, 0.5), Duration::from_secs(3240));
    }
}
