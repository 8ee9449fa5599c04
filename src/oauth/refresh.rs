//! One refresh: claimed, asked for, committed, and only then used.
//!
//! A provider that rotates gives a new refresh token and takes the old one back, at once or after a grace. So nobody else
//! may present it at the same time: a claim in the store sees to that. The claim says beforehand that the provider is
//! asked; where no answer is recorded, an earlier one may be lost, and the token is presented again. The token before the
//! one that holds is kept until that one has worked itself, and is presented where the new one is not taken.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::ends;
use super::grants::{Grants, Owner, OwnerKind};
use super::provider::{Application, Issued};
use super::refusal::{Next, Refusal, advice, of_code};
use crate::clock::Micros;
use crate::crash;
use crate::failure::{Failure, Kind};
use crate::seal::Secret;
use crate::store::{Alarm, FailedTry, GrantRow, Tokens, Tx};
use crate::ticket::{MailboxId, RelayId, SecretId};

/// What a claim lasts beyond the time that the provider may take.
const CLAIM_MARGIN: Duration = Duration::from_secs(5);
/// What only a person can mend is tried again so seldom.
const MEND_PAUSE: Duration = Duration::from_secs(6 * 3600);
/// A pause that the provider asks for is kept up to this.
const LONGEST_WANTED: Duration = Duration::from_secs(24 * 3600);
/// What nobody can mend without signing in again is not tried.
const NEVER: Micros = Micros(i64::MAX);

/// Who wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Whoever needs a token: one that another has just fetched will do.
    Needed,
    /// The token grows old.
    Ahead,
    /// A person.
    Asked,
}

/// How it ended.
pub(super) enum Turn {
    Done(Box<GrantRow>),
    Refused(Failure),
    /// Another has it in hand, for so long at most.
    Busy {
        at_most: Duration,
    },
}

impl Grants {
    /// One try. It goes to its end even where nobody waits for it any more: an answer must not be lost.
    pub(super) async fn refresh(&self, grant: &GrantRow, why: Why) -> Result<Turn, Failure> {
        let (grants, grant) = (self.clone(), grant.clone());
        undisturbed(async move { grants.try_refresh(&grant, why).await }).await
    }

    async fn try_refresh(&self, grant: &GrantRow, why: Why) -> Result<Turn, Failure> {
        crash::point("oauth.before_claim");
        let mut tx = self.store.write().await?;
        let application = self.application(&mut tx, grant).await?;
        let patience = Duration::from_secs(application.spec.timeout_s);
        let mut claimed_at = Instant::now();
        let lasts = patience + CLAIM_MARGIN;
        let claimed = tx.claim_grant(grant.id, &self.who, lasts.as_micros() as i64, self.clock.now()).await?;
        let Some(claimed) = claimed else { return Ok(Turn::Busy { at_most: lasts * 2 }) };
        if self.is_settled(&claimed, why) {
            tx.release_grant(&claimed).await?;
            tx.commit().await?;
            return Ok(Turn::Done(Box::new(claimed)));
        }
        let tokens = [claimed.refresh_token, claimed.previous_token];
        let mut presented: Vec<(Option<SecretId>, Secret)> = vec![];
        for id in tokens.into_iter().flatten() {
            presented.push((Some(id), tx.open_secret(id, &self.key).await?));
        }
        tx.commit().await?;
        crash::point("oauth.after_claim");
        if claimed.flow == CLIENT_CREDENTIALS {
            presented = vec![(None, Secret::default())];
        }
        let mut refusal = Refusal::new("revoked_or_expired", Next::SignIn, "there is no refresh token");
        refusal.is_settled = true;
        for (id, token) in &presented {
            // A process that was held up must not ask under a claim that another may have by now.
            if claimed_at.elapsed() > CLAIM_MARGIN / 2 {
                claimed_at = Instant::now();
                if !self.extend(&claimed, lasts).await? {
                    return Ok(Turn::Busy { at_most: lasts * 2 });
                }
            }
            match self.ask(&application, &claimed, token).await {
                Ok(issued) => {
                    return self.record(&application, &claimed, *id, issued.rotated_from(token)).await;
                }
                Err(refused) => {
                    let goes_on = refused.is_invalid_grant();
                    refusal = refused;
                    if !goes_on {
                        break;
                    }
                }
            }
        }
        self.record_refusal(&claimed, refusal).await
    }

    /// Another was quicker.
    fn is_settled(&self, claimed: &GrantRow, why: Why) -> bool {
        match why {
            Why::Needed => self.is_fresh(claimed),
            Why::Ahead => !self.is_due(claimed),
            Why::Asked => false,
        }
    }

    /// Whether it is time to refresh, before anybody needs it.
    pub(super) fn is_due(&self, grant: &GrantRow) -> bool {
        let now = self.clock.now();
        let is_old = match (grant.access_issued, grant.access_until) {
            (Some(issued), Some(until)) => now >= ends::refresh_time(issued, until),
            _ => true,
        };
        is_old && grant.retry <= now
    }

    async fn ask(
        &self,
        application: &Application,
        claimed: &GrantRow,
        token: &Secret,
    ) -> Result<Issued, Refusal> {
        match claimed.flow == CLIENT_CREDENTIALS {
            true => application.client_credentials(&claimed.scopes).await,
            false => application.refresh(token, &claimed.scopes).await,
        }
    }

    async fn extend(&self, claimed: &GrantRow, lasts: Duration) -> Result<bool, Failure> {
        let mut tx = self.store.write().await?;
        let is_ours = tx.extend_claim(claimed, lasts.as_micros() as i64).await?;
        tx.commit().await?;
        Ok(is_ours)
    }

    /// From here on the new token is durable; only then anybody gets it.
    async fn record(
        &self,
        application: &Application,
        claimed: &GrantRow,
        presented: Option<SecretId>,
        issued: Issued,
    ) -> Result<Turn, Failure> {
        crash::point("oauth.after_answer");
        let kept = presented.is_some().then_some(claimed);
        let tokens = tokens(application, &issued, kept, self.clock.now());
        let mut pause = Duration::from_millis(100);
        let begun = Instant::now();
        loop {
            match self.commit_tokens(claimed, presented, &tokens).await {
                Ok(Some(grant)) => return Ok(Turn::Done(Box::new(grant))),
                Ok(None) => return Ok(Turn::Busy { at_most: LONGEST_COMMIT }),
                // What the provider has given is nowhere else: the store may be back in a moment.
                Err(failure) if failure.is_temporary() && begun.elapsed() < LONGEST_COMMIT => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn commit_tokens(
        &self,
        claimed: &GrantRow,
        presented: Option<SecretId>,
        tokens: &Tokens,
    ) -> Result<Option<GrantRow>, Failure> {
        let mut tx = self.store.write().await?;
        let grant = tx.record_tokens(claimed, presented, tokens, &self.stamp()).await?;
        if grant.is_some() {
            self.alerts.keep_in(&mut tx, &failing(claimed), None).await?;
        }
        crash::point("oauth.before_commit");
        tx.commit().await?;
        crash::point("oauth.after_commit");
        if grant.is_some() {
            tracing::info!(grant.owner = owner_word(claimed), "oauth.refreshed");
        }
        Ok(grant)
    }

    async fn record_refusal(&self, claimed: &GrantRow, mut refusal: Refusal) -> Result<Turn, Failure> {
        // The provider may have given a new token in an answer that nobody has kept. Where it says more, that holds.
        let is_unsaid = refusal.entry.code == "revoked_or_expired";
        if refusal.is_invalid_grant() && is_unsaid && claimed.asked.is_some() {
            refusal.entry = of_code("lost_answer");
        }
        let now = self.clock.now();
        let mut tx = self.store.write().await?;
        let name = self.name_of(&mut tx, claimed).await?;
        let target = target(&claimed.owner_kind, &name);
        let failure = refusal.failure(&target);
        let retry = match refusal.next {
            Next::SignIn => NEVER,
            Next::Mend => now.plus(MEND_PAUSE),
            Next::Wait | Next::Poll => {
                let pause = failure.pause(u32::try_from(claimed.failures + 1).unwrap_or(u32::MAX));
                now.plus(pause.max(refusal.retry_after.unwrap_or_default().min(LONGEST_WANTED)))
            }
        };
        let told = refusal.told();
        let failed = FailedTry {
            is_stopped: matches!(refusal.next, Next::SignIn | Next::Mend),
            retry,
            code: refusal.entry.code,
            words: &told,
            is_settled: refusal.is_settled,
        };
        let Some(grant) = tx.record_failed_try(claimed, &failed).await? else {
            return Ok(Turn::Busy { at_most: LONGEST_COMMIT });
        };
        let alert = failing(claimed);
        let failures = u32::try_from(grant.failures).unwrap_or(u32::MAX);
        if failure.kind.is_told_after(failures) || tx.open_alert(&alert).await?.is_some() {
            let alarm = Alarm {
                kind: Some(failure.kind),
                words: format!("{} {name:?}: no access token: {told}", claimed.owner_kind),
                advice: advice(refusal.entry, &target),
            };
            self.alerts.keep_in(&mut tx, &alert, Some(&alarm)).await?;
        }
        tx.commit().await?;
        tracing::warn!(grant.owner = owner_word(claimed), code = refusal.entry.code, "oauth.refused {told}");
        Ok(Turn::Refused(failure))
    }

    /// The name of a grant's owner.
    pub(super) async fn name_of(&self, tx: &mut Tx, grant: &GrantRow) -> Result<String, Failure> {
        match OwnerKind::of_word(&grant.owner_kind) {
            Some(kind) => name_of(tx, &Owner { kind, id: grant.owner_id }).await,
            None => Ok(format!("#{}", grant.owner_id)),
        }
    }

    /// An owner as a command takes it.
    pub(super) async fn target_of(&self, owner: &Owner) -> String {
        let name = async { name_of(&mut self.store.read().await?, owner).await };
        // Words about something else must not fail.
        name.await.map_or(owner.to_string(), |name| target(owner.kind.as_str(), &name))
    }
}

async fn name_of(tx: &mut Tx, owner: &Owner) -> Result<String, Failure> {
    Ok(match owner.kind {
        OwnerKind::Mailbox => tx.mailbox(MailboxId(owner.id)).await?.spec.name,
        OwnerKind::Relay => tx.relay(RelayId(owner.id)).await?.spec.name,
    })
}

/// `mailbox:support`, as a command takes it: in quotes where a shell would read it as something else.
pub(super) fn target(kind: &str, name: &str) -> String {
    let is_plain = name.chars().all(|c| c.is_alphanumeric() || "._-@+".contains(c));
    match is_plain {
        true => format!("{kind}:{name}"),
        false => format!("'{kind}:{}'", name.replace('\'', r"'\''")),
    }
}

/// How long a new token is held while the store is away.
const LONGEST_COMMIT: Duration = Duration::from_secs(120);

/// The flow of a grant that has no refresh token: it asks anew each time.
pub(super) const CLIENT_CREDENTIALS: &str = "client_credentials";

/// The name of the alert about a grant that gives no token.
pub(super) fn failing(grant: &GrantRow) -> String {
    format!("oauth:{}:failing", owner_word(grant))
}

/// `mailbox:3`
pub(super) fn owner_word(grant: &GrantRow) -> String {
    format!("{}:{}", grant.owner_kind, grant.owner_id)
}

/// What was given, with its ends. `kept`: the grant whose refresh token stays where no other is given.
pub(super) fn tokens(
    application: &Application,
    issued: &Issued,
    kept: Option<&GrantRow>,
    now: Micros,
) -> Tokens {
    let refresh = issued.refresh();
    let stated = issued.refresh_lasts().map(|lasts| now.plus(lasts));
    // Google says it once, of an application in status "Testing"; a refresh puts that end off no further.
    let stays = kept.filter(|grant| refresh.is_none() && grant.is_refresh_stated);
    let stated = stated.or(stays.and_then(|grant| grant.refresh_until).filter(|end| *end > now));
    let refresh_until = match kept.is_some() || refresh.is_some() {
        true => stated.or_else(|| ends::refresh_end(&application.spec, now)),
        false => None,
    };
    Tokens {
        access: issued.access(),
        access_until: now.plus(issued.lasts().unwrap_or(ends::USUAL_LIFE)),
        refresh,
        refresh_until,
        is_refresh_stated: stated.is_some(),
    }
}

/// Runs on a task of its own, and to its end even where the caller goes away.
async fn undisturbed<T: Send + 'static>(
    work: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    struct Detached<T: 'static>(JoinSet<Result<T, Failure>>);
    impl<T: 'static> Drop for Detached<T> {
        fn drop(&mut self) {
            self.0.detach_all();
        }
    }
    let mut task = Detached(JoinSet::new());
    task.0.spawn(work);
    match task.0.join_next().await {
        Some(Ok(ended)) => ended,
        Some(Err(e)) => Err(Failure::temporary("the refresh broke off").kind(Kind::BrokeOff).because(e)),
        None => Err(Failure::temporary("the refresh never began")),
    }
}
