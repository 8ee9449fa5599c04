//! The clock of the machine against one that nobody sets: a jump is told, and waiting mail keeps its turn.
//!
//! Tasks sleep by the steady clock, so only times that are written down can be wrong after a jump: when a mail is to be
//! tried again. A clock that was set back leaves them far ahead; they are taken back with it. One that was set forward
//! makes them due early, which does no harm.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{StoreWatch, alert_failed};
use crate::alert::{Alarm, Alerts};
use crate::clock::{Pulse, jump_us};
use crate::failure::Failure;
use crate::outbound::retry;

/// How it looks at the clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockWatch {
    pub look: Duration,
    /// After so long without another jump its alert is cleared.
    pub even: Duration,
}

impl Default for ClockWatch {
    fn default() -> ClockWatch {
        ClockWatch { look: Duration::from_secs(1), even: Duration::from_secs(15 * 60) }
    }
}

const NAME: &str = "clock:jumped";

fn not_taken_back(store_watch: &StoreWatch, failure: &Failure) {
    if !store_watch.has_told(failure) {
        tracing::warn!("clock.waits_not_taken_back {failure}");
    }
}

impl ClockWatch {
    pub(super) async fn run(
        self,
        alerts: Alerts,
        store_watch: StoreWatch,
        pulse: Pulse,
        stop: CancellationToken,
    ) {
        let mut last = (alerts.clock.now(), Instant::now());
        // Since when it runs evenly, while an alert may stand; an earlier life may have left one.
        let mut even_since = Some(last.1);
        // By how much waits are to be taken back still. At the start: those that no clock of ours can have written.
        let mut owed = Some(Back::Beyond(retry::longest()));
        while !stop.is_cancelled() {
            pulse.beat();
            let (now, at) = (alerts.clock.now(), Instant::now());
            if let Some(by_us) = jump_us(last.0, now, at - last.1) {
                let words = words(by_us);
                tracing::warn!(by_us, "clock.jumped {words}");
                if by_us < 0 {
                    let before = if let Some(Back::By(us)) = owed { us } else { 0 };
                    owed = Some(Back::By(before - by_us));
                }
                even_since = Some(at);
                let alarm = Alarm {
                    kind: None,
                    words,
                    advice: "Look at the time service of this machine (`timedatectl`). Waiting mail keeps its turn."
                        .into(),
                };
                if let Err(error) = alerts.keep(NAME, Some(&alarm)).await {
                    alert_failed(&store_watch, &error.into());
                }
            }
            last = (now, at);
            if let Some(back) = owed {
                match take_back(&alerts, back).await {
                    Ok(()) => owed = None,
                    Err(error) => not_taken_back(&store_watch, &error.into()),
                }
            }
            if even_since.is_some_and(|since| since.elapsed() >= self.even) {
                match alerts.keep(NAME, None).await {
                    Ok(()) => even_since = None,
                    Err(error) => alert_failed(&store_watch, &error.into()),
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(self.look) => {}
            }
        }
    }
}

/// Which waits are taken back.
#[derive(Clone, Copy)]
enum Back {
    /// All, by so many microseconds.
    By(i64),
    /// Those longer than any that is ever set: they come from a clock that was ahead.
    Beyond(Duration),
}

async fn take_back(alerts: &Alerts, back: Back) -> Result<(), crate::store::Error> {
    let now = alerts.clock.now();
    let mut tx = alerts.store.write().await?;
    let mails = match back {
        Back::By(us) => tx.take_waits_back(now, now, us).await?,
        Back::Beyond(longest) => tx.take_waits_back(now, now.plus(longest), i64::MAX).await?,
    };
    tx.commit().await?;
    if mails > 0 {
        tracing::info!("outbound.waits_taken_back mails={mails}");
    }
    Ok(())
}

fn words(by_us: i64) -> String {
    let minutes = (by_us.unsigned_abs() + 30_000_000) / 60_000_000;
    let length = format!("{} h {} min", minutes / 60, minutes % 60);
    match by_us < 0 {
        true => format!("the clock of this machine was set back by {length}"),
        false => format!("the clock of this machine went forward by {length}, or it slept"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, Micros};
    use crate::store::Store;
    use crate::store::listing::ALL;

    #[tokio::test]
    async fn a_jump_is_told_once_and_over_when_the_clock_runs_evenly() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("desk.db").display());
        let store = Store::connect(&url).await.unwrap();
        store.migrate().await.unwrap();
        let noon = 1_800_000_000;
        let clock = Clock::fixed(Micros::from_seconds(noon));
        let alerts = Alerts { store, clock: clock.clone() };
        let listed = async || alerts.store.read().await.unwrap().list_alerts(true, ALL).await.unwrap();
        let watch = ClockWatch { look: Duration::from_millis(5), even: Duration::from_millis(300) };
        let stop = CancellationToken::new();
        let watching = watch.run(alerts.clone(), StoreWatch::default(), Pulse::default(), stop.clone());
        let jumps = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            for (by, words) in [(3 * 3600, "went forward by 3 h 0 min"), (-5 * 3600, "set back by 8 h 0 min")]
            {
                clock.set(Micros::from_seconds(noon + by));
                let begun = Instant::now();
                while !listed().await.last().is_some_and(|a| a.words.contains(words)) {
                    assert!(begun.elapsed() < Duration::from_secs(30), "{words}: {:?}", listed().await);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            let begun = Instant::now();
            while listed().await.iter().any(|a| a.cleared.is_none()) {
                assert!(begun.elapsed() < Duration::from_secs(30));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            stop.cancel();
        };
        tokio::join!(watching, jumps);
        assert_eq!(listed().await[0].name, NAME);
    }
}
