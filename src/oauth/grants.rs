//! The grants of a desk, and the access tokens that they give.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::ends;
use super::provider::Application;
use super::refresh::{Turn, Why};
use super::refusal::{advice, of_code};
use crate::alert::Alerts;
use crate::clock::{Clock, Micros};
use crate::failure::{Failure, Kind};
use crate::net::Http;
use crate::seal::{SealingKey, Secret, random, to_hex};
use crate::store::{GrantRow, Stamp, Store, Tx};
use crate::ticket::{GrantId, MailboxId, RelayId, SecretId};

/// Who waits for another's refresh looks so often.
const LOOK: Duration = Duration::from_millis(150);
/// After a refusal by a mail server a token is not refreshed for another one within this: the token is not the reason.
const FORCED_AGAIN_US: i64 = 15 * 60 * Micros::SECOND;

/// What may own a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OwnerKind {
    Mailbox,
    Relay,
}

impl OwnerKind {
    pub fn as_str(self) -> &'static str {
        match self {
            OwnerKind::Mailbox => "mailbox",
            OwnerKind::Relay => "relay",
        }
    }

    pub fn of_word(word: &str) -> Option<OwnerKind> {
        [OwnerKind::Mailbox, OwnerKind::Relay].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Whom a grant belongs to. Nothing else of it is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    pub kind: OwnerKind,
    pub id: i64,
}

impl From<MailboxId> for Owner {
    fn from(id: MailboxId) -> Owner {
        Owner { kind: OwnerKind::Mailbox, id: id.0 }
    }
}

impl From<RelayId> for Owner {
    fn from(id: RelayId) -> Owner {
        Owner { kind: OwnerKind::Relay, id: id.0 }
    }
}

/// `mailbox:3`, as alerts are named and as commands take it.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.as_str(), self.id)
    }
}

/// What a mail server is signed in to with. It prints without its words.
#[derive(Clone, Debug)]
pub struct AccessToken {
    pub secret: Secret,
    pub expires_at: Micros,
    /// Who has signed in, as far as that is known. Of a shared mailbox that is not the mailbox: the name that goes over the
    /// wire is the mailbox's own.
    pub user: String,
    pub(super) id: SecretId,
    pub(super) grant: GrantId,
}

/// The grants of a desk. Cheap to clone.
#[derive(Clone)]
pub struct Grants {
    pub(super) store: Store,
    pub(super) key: SealingKey,
    pub(super) clock: Clock,
    pub(super) http: Http,
    pub(super) alerts: Alerts,
    /// Who this is, among those who refresh on the same store.
    pub(super) who: Arc<str>,
}

impl Grants {
    pub fn new(store: Store, key: SealingKey, clock: Clock, http: Http) -> Grants {
        let who = format!("{}-{}", std::process::id(), to_hex(&random::<6>()));
        let alerts = Alerts { store: store.clone(), clock: clock.clone() };
        Grants { store, key, clock, http, alerts, who: who.into() }
    }

    /// A token that is good for a while yet, refreshed where it has to be. A failure is `Temporary` where it is tried again
    /// by itself; its words say what to do. While a token is good, no failure of the provider is in its way.
    pub async fn access_token(&self, owner: &Owner) -> Result<AccessToken, Failure> {
        let mut waits_until = None;
        loop {
            let grant = self.grant_of(owner).await?;
            if self.is_fresh(&grant)
                && let Some(token) = self.token_of(&grant).await?
            {
                return Ok(token);
            }
            let turn = match self.require_hope(&grant, owner).await {
                Ok(()) => self.refresh(&grant, Why::Needed).await?,
                Err(failure) => Turn::Refused(failure),
            };
            let failure = match turn {
                Turn::Done(grant) => return self.token_of(&grant).await?.ok_or_else(changed),
                Turn::Refused(failure) => failure,
                Turn::Busy { at_most } => {
                    let until = *waits_until.get_or_insert(Instant::now() + at_most);
                    if Instant::now() < until {
                        tokio::time::sleep(LOOK).await;
                        continue;
                    }
                    Failure::temporary("the access token is being refreshed by another process, for too long")
                        .kind(Kind::InUse)
                }
            };
            // The old one may have a moment yet.
            if grant.access_until.is_some_and(|until| until > self.clock.now())
                && let Some(token) = self.token_of(&grant).await?
            {
                return Ok(token);
            }
            return Err(failure);
        }
    }

    /// Refreshes now, whatever is known of the grant: for a person who asks for it.
    pub async fn refresh_now(&self, owner: &Owner) -> Result<(), Failure> {
        let mut waits_until = None;
        loop {
            let grant = self.grant_of(owner).await?;
            match self.refresh(&grant, Why::Asked).await? {
                Turn::Done(_) => return Ok(()),
                Turn::Refused(failure) => return Err(failure),
                Turn::Busy { at_most } => {
                    let until = *waits_until.get_or_insert(Instant::now() + at_most * 3);
                    if Instant::now() >= until {
                        let words = "the access token is being refreshed by others, again and again";
                        return Err(Failure::temporary(words).kind(Kind::InUse));
                    }
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    /// A mail server has refused this token, in these words. The next `access_token` gives another one; but not again
    /// within a quarter of an hour: then it is not the token that is wrong.
    pub async fn refused(&self, owner: &Owner, token: &AccessToken, words: &str) -> Result<(), Failure> {
        let now = self.clock.now();
        let mut tx = self.store.write().await?;
        let Some(grant) = tx.grant_of(owner.kind.as_str(), owner.id).await? else { return Ok(()) };
        let is_first = grant.forced.is_none_or(|forced| now.0 - forced.0 > FORCED_AGAIN_US);
        let words: String = words.replace(token.secret.expose(), "***").chars().take(300).collect();
        tx.refuse_access_token(token.grant, token.id, &words, is_first.then_some(now)).await?;
        Ok(tx.commit().await?)
    }

    pub(super) async fn grant_of(&self, owner: &Owner) -> Result<GrantRow, Failure> {
        let grant = self.store.read().await?.grant_of(owner.kind.as_str(), owner.id).await?;
        let Some(grant) = grant else {
            let target = self.target_of(owner).await;
            let words = format!("nobody has signed in for it yet: `maildesk oauth login {target}`");
            return Err(Failure::permanent(words).kind(Kind::Settings));
        };
        Ok(grant)
    }

    /// The application of a grant, with the secret that holds for it.
    pub(super) async fn application(&self, tx: &mut Tx, grant: &GrantRow) -> Result<Application, Failure> {
        let provider = tx.oauth_provider(grant.provider).await?;
        let secret = match grant.client_secret.or(provider.secret) {
            Some(id) => Some(tx.open_secret(id, &self.key).await?),
            None => None,
        };
        Ok(Application { spec: provider.spec, secret, http: self.http.clone() })
    }

    pub(super) fn is_fresh(&self, grant: &GrantRow) -> bool {
        let (Some(issued), Some(until)) = (grant.access_issued, grant.access_until) else { return false };
        grant.access_token.is_some() && self.clock.now() < ends::last_use(issued, until)
    }

    pub(super) fn stamp(&self) -> Stamp<'_> {
        Stamp { key: &self.key, now: self.clock.now(), random: random::<32> }
    }

    /// Whether asking the provider may help now. Nothing loops against it.
    async fn require_hope(&self, grant: &GrantRow, owner: &Owner) -> Result<(), Failure> {
        let is_over = grant.state == "stopped";
        if grant.retry <= self.clock.now() {
            return Ok(());
        }
        let advice = advice(of_code(&grant.last_code), &self.target_of(owner).await);
        let words = format!("{}; {advice}", grant.last_error);
        Err(match is_over {
            true => Failure::permanent(words).kind(Kind::Grant),
            false => Failure::temporary(words).kind(Kind::Unavailable),
        })
    }

    /// `None`: it has none, or somebody has just changed it.
    async fn token_of(&self, grant: &GrantRow) -> Result<Option<AccessToken>, Failure> {
        let (Some(id), Some(expires_at)) = (grant.access_token, grant.access_until) else { return Ok(None) };
        let secret = match self.store.read().await?.open_secret(id, &self.key).await {
            Ok(secret) => secret,
            Err(crate::store::Error::Missing(_)) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        Ok(Some(AccessToken { secret, expires_at, user: grant.username.clone(), id, grant: grant.id }))
    }
}

fn changed() -> Failure {
    Failure::temporary("the grant was changed by somebody else meanwhile")
}
