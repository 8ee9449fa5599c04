//! With too little free disk no mail is taken in, and somebody is told (L7). Sending, commands and alerts go on.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Works;
use crate::clock::Pulse;
use crate::store::{Engine, Shortage, host};

/// How often the free disk is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Raises the alert, and clears it.
pub(super) async fn watch(works: Works, pulse: Pulse, shutdown: CancellationToken) {
    // Each machine has a disk of its own.
    let name = match works.store.engine() {
        Engine::Sqlite => "disk:nearly_full".to_owned(),
        Engine::Postgres => format!("disk:nearly_full:{}", host().replace(':', "-")),
    };
    loop {
        pulse.beat();
        let words = works.intake.space.shortage().as_ref().map(words);
        if let Err(e) = works.desk.alerts.state(&name, words.as_deref()).await {
            tracing::warn!("daemon.alert_failed {e}");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn words(shortage: &Shortage) -> String {
    format!(
        "{shortage}; free some space there, or lower `min_free_mb` in [run]. Until then mail waits in its mailboxes and at \
         the MTA; sending goes on. With space again all of it continues by itself"
    )
}

/// Begins when there is room.
pub(super) async fn in_room<T>(works: &Works, work: impl Future<Output = T>) -> T {
    while works.intake.space.shortage().is_some() {
        works.intake.pulse.progress();
        tokio::time::sleep(LOOK).await;
    }
    work.await
}
