//! How the daemon fares at this moment: what it knows itself, and what stands in the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Works;
use crate::clock::Micros;
use crate::failure::Failure;
use crate::lease::Sight;
use crate::store::listing::ALL;
use crate::store::{Error, Ping};
use crate::telemetry::Health;
use crate::telemetry::health::{
    Count, DaemonHealth, GrantHealth, MailboxHealth, QueueHealth, RelayHealth, StoreState,
};

/// How long the store may take to say that it is there. The watchdog is not fed meanwhile.
const PING: Duration = Duration::from_secs(5);
/// How long the counts may take; they are left out where it is longer.
const COUNTS: Duration = Duration::from_secs(5);

/// The setting that says when a backup was last taken whole, in microseconds.
const LAST_BACKUP: &str = "last_backup";

/// What of the daemon's own state others ask for. Cheap to clone.
#[derive(Clone)]
pub(super) struct Vitals {
    works: Works,
    is_ours: Arc<AtomicBool>,
}

impl Vitals {
    pub fn new(works: Works) -> Vitals {
        Vitals { works, is_ours: Arc::new(AtomicBool::new(true)) }
    }

    /// The desk is no longer ours.
    pub fn desk_lost(&self) {
        self.is_ours.store(false, Ordering::Relaxed);
    }

    /// Answers within `PING` and `COUNTS`, whatever the store does.
    pub async fn health(&self) -> Health {
        let mut health = Health {
            version: env!("CARGO_PKG_VERSION"),
            desk_is_ours: self.is_ours.load(Ordering::Relaxed),
            is_shadow: self.works.is_shadow(),
            tasks: self.works.tasks.health(),
            ..Health::default()
        };
        let asked = tokio::time::Instant::now();
        match self.works.store.ping(PING).await {
            Ping::Answers => {
                health.answered_in(asked.elapsed());
                // Without the counts it is alive all the same.
                if let Ok(Ok(counted)) = tokio::time::timeout(COUNTS, self.counted(health.clone())).await {
                    health = counted;
                }
            }
            Ping::Away(_) => health.store.state = StoreState::Away,
            Ping::Silent => {}
        }
        health.judged()
    }

    async fn counted(&self, health: Health) -> Result<Health, Failure> {
        let mut tx = self.works.store.read().await?;
        let now = self.works.clock.now();
        let seconds_since = |then: Micros| (now.0 - then.0).max(0) / Micros::SECOND;
        let last_ok: HashMap<_, _> = tx.mailboxes().await?.into_iter().map(|m| (m.id, m.last_ok)).collect();
        let mailboxes = tx.list_mailboxes().await?.into_iter().map(|line| MailboxHealth {
            last_ok_age_s: last_ok.get(&line.id).copied().flatten().map(seconds_since),
            name: line.name,
            state: line.state,
            failing_since: line.failing_since,
            failure_kind: (!line.failure_kind.is_empty()).then_some(line.failure_kind),
            failures: line.failures,
        });
        let alerts = tx.list_alerts(false, ALL).await?;
        let failing: HashMap<&str, &String> = alerts.iter().map(|a| (a.name.as_str(), &a.raised)).collect();
        let relays = tx.relays().await?.into_iter().map(|relay| {
            let alert = failing.get(format!("relay:{}:failing", relay.id).as_str());
            let state = match alert {
                _ if !relay.spec.is_active => "off",
                _ if relay.is_paused => "paused",
                Some(_) => "failing",
                None => "ok",
            };
            RelayHealth {
                name: relay.spec.name,
                state,
                failing_since: alert.filter(|_| state == "failing").map(|raised| (*raised).clone()),
            }
        });
        let daemons = daemons(&self.works).await?;
        let grants = self.works.grants.status(None).await?.into_iter().map(|line| GrantHealth {
            kind: line.kind,
            name: line.name,
            state: line.state,
            error: line.error_code,
            access_left_s: line.access_seconds_left,
            refresh_days_left: line.refresh_days_left,
            secret_days_left: line.secret_days_left,
        });
        let owed = tx.owed().await?;
        let last_backup = tx.setting(LAST_BACKUP).await?.and_then(|text| text.parse().ok()).map(Micros);
        let counts = |counts: Vec<(String, u64)>| {
            counts.into_iter().map(|(state, count)| Count { state, count }).collect::<Vec<_>>()
        };
        Ok(Health {
            daemons,
            mailboxes: mailboxes.collect(),
            relays: relays.collect(),
            grants: grants.collect(),
            arrivals: counts(owed.arrivals),
            queue: QueueHealth {
                recipients: counts(owed.recipients),
                oldest_s: owed.oldest.map(seconds_since),
            },
            alerts_open: alerts.len() as u64,
            desk_is_held: tx.is_desk_held().await?,
            last_backup: last_backup.map(Micros::rfc3339),
            ..health
        })
    }
}

/// Who works on this desk, and what is whose.
pub(crate) async fn daemons(works: &Works) -> Result<Vec<DaemonHealth>, Error> {
    let ours = works.leases.life().map(|life| life.id.clone());
    let Sight { daemons, leases, .. } = works.leases.sight().await?;
    let mailboxes = works.store.read().await?.mailboxes().await?;
    let names: HashMap<String, String> =
        mailboxes.into_iter().map(|m| (m.id.to_string(), m.spec.name)).collect();
    let held = |id: &str, kind: &str| {
        let of_it = leases.iter().filter(|lease| lease.owner == id);
        of_it.filter_map(|lease| lease.name.strip_prefix(kind)).map(str::to_owned).collect::<Vec<String>>()
    };
    let shown = daemons.into_iter().map(|daemon| {
        let mailboxes = held(&daemon.id, "mailbox:");
        let mut mailboxes: Vec<String> =
            mailboxes.into_iter().map(|id| names.get(&id).cloned().unwrap_or(id)).collect();
        mailboxes.sort();
        DaemonHealth {
            is_us: ours.as_ref() == Some(&daemon.id),
            mailboxes,
            jobs: held(&daemon.id, "job:"),
            since: daemon.since.rfc3339(),
            id: daemon.id,
            command: daemon.command,
            host: daemon.host,
            pid: daemon.pid,
        }
    });
    Ok(shown.collect())
}
