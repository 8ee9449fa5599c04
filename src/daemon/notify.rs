//! systemd's side of the daemon (sd_notify(3)): ready, how it fares, alive, stopping. Without systemd nobody listens.
//!
//! The watchdog is fed while the store answers and no task hangs. What a restart would not mend (a mailbox that fails, a
//! database that says that it is down) does not starve it.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use super::health::Vitals;

/// How often the line of `systemctl status` is renewed, and the watchdog fed, at least.
const LOOK: Duration = Duration::from_secs(20);

pub(super) async fn run(vitals: Vitals, shutdown: CancellationToken) {
    say(&[NotifyState::Ready]);
    // Thrice in the time that the watchdog waits: one answer may be late.
    let pause = sd_notify::watchdog_enabled().map_or(LOOK, |limit| (limit / 3).min(LOOK));
    loop {
        let health = tokio::select! {
            () = shutdown.cancelled() => break,
            health = vitals.health() => health,
        };
        let line = health.line();
        say(&[NotifyState::Status(&line)]);
        if health.is_alive() {
            say(&[NotifyState::Watchdog]);
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    say(&[NotifyState::Stopping, NotifyState::Status("what is in hand comes to its end")]);
}

fn say(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "daemon.notify_failed");
    }
}
