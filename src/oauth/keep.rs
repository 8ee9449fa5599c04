//! Grants kept alive, also those that nobody uses, and the clock of what ends.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::ends::{self, STAGES};
use super::grants::Grants;
use super::refresh::{CLIENT_CREDENTIALS, Why, owner_word, target};
use crate::clock::{Micros, Pulse};
use crate::failure::Failure;
use crate::store::listing::ALL;
use crate::store::{Alarm, GrantRow, ProviderRow, Tx};

/// Looked at least so often: the clock may jump, and grants are connected by other processes.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
const SHORTEST_PAUSE: Duration = Duration::from_millis(250);
/// Refreshed at the same time.
const AT_ONCE: usize = 8;
/// How long one may take: two answers of the slowest provider, and the store.
const LONGEST_LOOK: Duration = Duration::from_secs(15 * 60);

impl Grants {
    /// Keeps them alive until `shutdown`.
    pub async fn run(&self, pulse: Pulse, shutdown: CancellationToken) {
        let mut told = String::new();
        while !shutdown.is_cancelled() {
            pulse.rest(LONGEST_LOOK);
            let pause = match self.keep_alive().await {
                Ok(pause) => {
                    told.clear();
                    pause
                }
                // The store's trouble is told by whoever watches the store.
                Err(failure) => {
                    if told != failure.words {
                        tracing::warn!("oauth.not_looked_after {failure}");
                    }
                    told = failure.words;
                    LONGEST_PAUSE
                }
            };
            pulse.rest(pause);
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Refreshes what is due and states what ends; gives how long nothing will be due. A desk that is held asks nobody: a
    /// restored copy must not spend the tokens of the desk that it was copied from.
    pub async fn keep_alive(&self) -> Result<Duration, Failure> {
        let mut tx = self.store.read().await?;
        if tx.is_desk_held().await? {
            return Ok(LONGEST_PAUSE);
        }
        let grants = tx.grants().await?;
        drop(tx);
        let due: Vec<GrantRow> = grants.into_iter().filter(|grant| self.is_due(grant)).collect();
        let refreshed = futures_util::stream::iter(due).map(|grant| {
            let grants = self.clone();
            async move { grants.refresh(&grant, Why::Ahead).await }
        });
        let mut failed = None;
        let mut refreshed = refreshed.buffer_unordered(AT_ONCE);
        while let Some(turn) = refreshed.next().await {
            // What a provider refuses is recorded by then; one grant stops no other.
            failed = failed.or(turn.err());
        }
        self.state_ends().await?;
        if let Some(failure) = failed {
            return Err(failure);
        }
        let grants = self.store.read().await?.grants().await?;
        let now = self.clock.now();
        let next = grants.iter().filter_map(next_time).min().unwrap_or(Micros(i64::MAX));
        let pause = Duration::from_micros(u64::try_from(next.0.saturating_sub(now.0)).unwrap_or(0));
        Ok(pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE))
    }

    /// Raises an alert for each end that comes near, at each stage; takes the one of the stage before away without a word,
    /// and clears those about what ends no more.
    pub async fn state_ends(&self) -> Result<(), Failure> {
        let now = self.clock.now();
        let mut tx = self.store.read().await?;
        let (grants, providers) = (tx.grants().await?, tx.oauth_providers().await?);
        let ends = self.ends(&mut tx, &grants, &providers).await?;
        let standing = tx.list_alerts(false, ALL).await?;
        drop(tx);
        let mut wanted: HashMap<String, Alarm> = HashMap::new();
        let mut passed: Vec<String> = vec![];
        for End { name, end, alarm } in ends {
            let Some(stage) = ends::stage(end, now) else { continue };
            passed.extend(STAGES.iter().filter(|s| **s > stage).map(|s| format!("{name}:{s}")));
            wanted.insert(format!("{name}:{stage}"), alarm);
        }
        for (name, alarm) in &wanted {
            self.alerts.keep(name, Some(alarm)).await?;
        }
        let owners: Vec<String> = grants.iter().map(super::refresh::failing).collect();
        for alert in standing.iter().filter(|alert| alert.name.starts_with("oauth:")) {
            if passed.contains(&alert.name) {
                self.alerts.pass_over(&alert.name).await?;
            } else if !wanted.contains_key(&alert.name) && !owners.contains(&alert.name) {
                self.alerts.keep(&alert.name, None).await?;
            }
        }
        Ok(())
    }

    async fn ends(
        &self,
        tx: &mut Tx,
        grants: &[GrantRow],
        providers: &[ProviderRow],
    ) -> Result<Vec<End>, Failure> {
        let mut ends = vec![];
        for grant in grants {
            let owner = owner_word(grant);
            let name = self.name_of(tx, grant).await?;
            let target = target(&grant.owner_kind, &name);
            let name = format!("{} {name:?}", grant.owner_kind);
            // One that has ended already ends no more.
            if let Some(end) = grant.refresh_until
                && grant.flow != CLIENT_CREDENTIALS
                && grant.retry.0 != i64::MAX
            {
                let alarm = alarm(
                    format!("{name}: its refresh token ends on {} unless it is used before", day(end)),
                    format!(
                        "It has not been refreshed for long: `maildesk oauth status` says why. `maildesk oauth refresh \
                         {target}` tries at once; where that does not help, sign in again: `maildesk oauth login {target}`."
                    ),
                );
                ends.push(End { name: format!("oauth:{owner}:refresh_ends"), end, alarm });
            }
            if let (Some(end), Some(_)) = (grant.secret_until, grant.client_secret) {
                let alarm = alarm(
                    format!("{name}: its client secret ends on {}", day(end)),
                    format!(
                        "Make a new client secret at the provider, and sign in again with it: `maildesk oauth login {target} \
                         --client-secret-file FILE --secret-until DAY`."
                    ),
                );
                ends.push(End { name: format!("oauth:{owner}:secret_ends"), end, alarm });
            }
        }
        for provider in providers.iter().filter(|provider| provider.is_active && provider.secret.is_some()) {
            let Some(end) = provider.spec.secret_until else { continue };
            let alarm = alarm(
                format!("oauth_provider {:?}: its client secret ends on {}", provider.spec.name, day(end)),
                "Make a new client secret at the provider, put it into `client_secret_file` with its day in \
                 `client_secret_until`, and restart. Every mailbox and relay that signs in by it stops otherwise."
                    .to_owned(),
            );
            ends.push(End { name: format!("oauth:provider:{}:secret_ends", provider.id), end, alarm });
        }
        Ok(ends)
    }
}

/// Something that ends, and what is said about it.
struct End {
    /// The alert's name, without its stage.
    name: String,
    end: Micros,
    alarm: Alarm,
}

fn alarm(words: String, advice: String) -> Alarm {
    Alarm { kind: None, words, advice }
}

fn day(time: Micros) -> String {
    time.rfc3339().chars().take(10).collect()
}

/// When a grant is due next; `None`: by itself never.
fn next_time(grant: &GrantRow) -> Option<Micros> {
    let refresh = match (grant.access_issued, grant.access_until) {
        (Some(issued), Some(until)) => ends::refresh_time(issued, until),
        _ => grant.granted,
    };
    (grant.retry.0 != i64::MAX).then(|| refresh.max(grant.retry))
}
