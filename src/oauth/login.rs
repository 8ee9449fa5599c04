//! Sign-ins: how a person connects a mailbox or relay, once.
//!
//! A sign-in has two halves, and may be finished by another process than the one that began it. What has to be remembered
//! in between (state, verifier, device code, a client secret) goes through the asker's hands sealed.

mod answer;
mod pending;
mod scopes;

use std::time::Duration;

use answer::code_of;
use oauth2::url::Url;
use pending::Pending;
use scopes::note;

use super::grants::{Grants, Owner, OwnerKind};
use super::provider::{Application, Issued, Page};
use super::refresh::{CLIENT_CREDENTIALS, failing, tokens};
use super::refusal::{Next, Refusal};
use crate::clock::Micros;
use crate::config::ProviderKind;
use crate::crash;
use crate::failure::{Failure, Kind};
use crate::seal::{Secret, random};
use crate::store::{NewGrant, ProviderRow};

/// A sign-in that takes longer has to be begun anew.
const LONGEST_SIGN_IN: Duration = Duration::from_secs(60 * 60);
/// RFC 8628 §3.2: where the provider does not say.
const USUAL_INTERVAL: u64 = 5;
/// RFC 8628 §3.5: so much more after each `slow_down`.
const SLOWER: u64 = 5;

/// How a person signs in, or why nobody has to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// In a browser, whose last address carries a code (RFC 6749 §4.1).
    Code,
    /// In a browser on another device, where a code is typed (RFC 8628).
    Device,
    /// The application itself (RFC 6749 §4.4).
    ClientCredentials,
}

/// What is to be connected, and how.
#[derive(Clone, Debug)]
pub struct Wish {
    pub owner: Owner,
    /// Its name; empty: the only one that there is.
    pub provider: String,
    /// Who will sign in; empty: the user of the mailbox or relay.
    pub user: String,
    /// Empty: those of the provider's settings, else the usual ones.
    pub scopes: Vec<String>,
    /// Of the grant's own, with its end; `None`: the provider's.
    pub client_secret: Option<Secret>,
    pub secret_until: Option<Micros>,
}

/// Where a browser comes back to.
#[derive(Clone, Debug)]
pub struct Place {
    /// As it is registered. Without a port any will do.
    pub url: String,
    /// It leads to this machine, so that somebody can wait for it there; else it is pasted.
    pub is_here: bool,
}

/// A sign-in that waits for a person.
#[derive(Clone, Debug)]
pub struct Begun {
    /// To be handed back, as it is.
    pub pending: String,
    /// The page to open.
    pub page: String,
    /// What to type there; empty: nothing.
    pub user_code: String,
    /// How long to wait before it is asked after.
    pub pause: Duration,
}

/// A sign-in that is done.
#[derive(Clone, Debug)]
pub struct Connected {
    pub owner: Owner,
    /// As a command takes it: `mailbox:support`.
    pub target: String,
    pub provider: String,
    pub user: String,
    pub access_until: Micros,
    /// What is odd about it.
    pub note: String,
}

/// What asking after a device code gives.
#[derive(Clone, Debug)]
pub enum Polled {
    Waiting(Begun),
    Connected(Connected),
}

impl Grants {
    /// Whom a person names: `mailbox:NAME`, `relay:NAME`, or the name alone where only one of them has it.
    pub async fn find_owner(&self, named: &str) -> Result<Owner, Failure> {
        let mut tx = self.store.read().await?;
        if let Some((kind, name)) = named.split_once(':')
            && let Some(kind) = OwnerKind::of_word(kind)
        {
            return Ok(match kind {
                OwnerKind::Mailbox => tx.find_mailbox(name).await?.id.into(),
                OwnerKind::Relay => tx.find_relay(name).await?.id.into(),
            });
        }
        match (tx.find_mailbox(named).await, tx.find_relay(named).await) {
            (Ok(mailbox), Err(_)) => Ok(mailbox.id.into()),
            (Err(_), Ok(relay)) => Ok(relay.id.into()),
            (Ok(_), Ok(_)) => {
                let words = format!(
                    "both a mailbox and a relay are named {named:?}: say mailbox:{named} or relay:{named}"
                );
                Err(Failure::permanent(words))
            }
            (Err(_), Err(_)) => {
                Err(Failure::permanent(format!("there is neither a mailbox nor a relay named {named:?}")))
            }
        }
    }

    /// Where the browser is to come back to: what the admin has registered; else this machine.
    pub async fn redirect(&self, wish: &Wish) -> Result<Place, Failure> {
        let provider = self.provider(&wish.provider).await?;
        let usual = match provider.spec.kind {
            // Microsoft lets the port of localhost be any, and of nothing else.
            ProviderKind::Microsoft => "http://localhost",
            // RFC 8252 §7.3.
            _ => "http://127.0.0.1",
        };
        let registered = provider.spec.redirect_url.as_str();
        let registered = if registered.is_empty() { usual } else { registered };
        let url = Url::parse(registered)
            .map_err(|e| Failure::permanent("redirect_url").kind(Kind::Settings).because(e))?;
        let is_here = matches!(url.host_str(), Some("localhost" | "127.0.0.1")) && url.scheme() == "http";
        Ok(Place { url: registered.to_owned(), is_here })
    }

    /// Begins a sign-in in a browser. `redirect`: where it comes back to; empty: what is registered.
    pub async fn begin_code(&self, wish: &Wish, redirect: &str) -> Result<Begun, Failure> {
        let (provider, mut pending) = self.prepare(wish, Flow::Code).await?;
        let redirect = if redirect.is_empty() { &provider.spec.redirect_url } else { redirect };
        if redirect.is_empty() {
            let words = "there is no redirect URL: give the registered one as `redirect_url` of the provider";
            return Err(Failure::permanent(words).kind(Kind::Settings));
        }
        pending.redirect = redirect.to_owned();
        (pending.state, pending.verifier) = (unguessable(), unguessable());
        let application = self.application_of(&provider, &pending).await?;
        let page = Page {
            redirect: &pending.redirect,
            state: &pending.state,
            verifier: &pending.verifier,
            scopes: &pending.scopes,
            user: &pending.user,
        };
        let page = self.told(application.page(&page), &wish.owner).await?;
        Ok(Begun { pending: self.seal(&pending)?, page, user_code: String::new(), pause: Duration::ZERO })
    }

    /// Finishes it. `answer`: the address that the browser came to, or what stands in it behind the `?`.
    pub async fn finish_code(&self, pending: &str, answer: &str) -> Result<Connected, Failure> {
        let pending = self.unseal(pending)?;
        let owner = pending.owner()?;
        let code = self.told(code_of(answer, &pending.state), &owner).await?;
        let provider = self.store.read().await?.oauth_provider(pending.provider).await?;
        let application = self.application_of(&provider, &pending).await?;
        let issued = application.exchange(&code, &pending.verifier, &pending.redirect).await;
        self.connect(&pending, &application, "code", issued).await
    }

    /// Begins a sign-in on another device.
    pub async fn begin_device(&self, wish: &Wish) -> Result<Begun, Failure> {
        let (provider, mut pending) = self.prepare(wish, Flow::Device).await?;
        let application = self.application_of(&provider, &pending).await?;
        let device = self.told(application.begin_device(&pending.scopes).await, &wish.owner).await?;
        if let Some(lasts) = device.expires_in {
            pending.until = self.clock.now().plus(Duration::from_secs(lasts).min(LONGEST_SIGN_IN));
        }
        pending.device_code = device.device_code;
        (pending.page, pending.user_code) = (device.verification_uri, device.user_code);
        pending.interval_s = device.interval.unwrap_or(USUAL_INTERVAL).clamp(1, 60);
        self.waiting(&pending)
    }

    /// Asks once whether it is done.
    pub async fn poll_device(&self, pending: &str) -> Result<Polled, Failure> {
        let mut pending = self.unseal(pending)?;
        let provider = self.store.read().await?.oauth_provider(pending.provider).await?;
        let application = self.application_of(&provider, &pending).await?;
        match application.poll_device(&Secret::new(pending.device_code.as_str())).await {
            Err(refusal) if refusal.next == Next::Poll => {
                pending.interval_s += if refusal.error == "slow_down" { SLOWER } else { 0 };
                self.waiting(&pending).map(Polled::Waiting)
            }
            // RFC 8628 §3.5: a provider that does not answer is asked half as often.
            Err(refusal) if refusal.next == Next::Wait => {
                pending.interval_s = (pending.interval_s * 2).min(60);
                let mut begun = self.waiting(&pending)?;
                begun.pause = begun.pause.max(refusal.retry_after.unwrap_or_default().min(LONGEST_SIGN_IN));
                Ok(Polled::Waiting(begun))
            }
            issued => self.connect(&pending, &application, "device", issued).await.map(Polled::Connected),
        }
    }

    /// Connects without a person, by the application's own rights.
    pub async fn connect_application(&self, wish: &Wish) -> Result<Connected, Failure> {
        let (provider, pending) = self.prepare(wish, Flow::ClientCredentials).await?;
        let application = self.application_of(&provider, &pending).await?;
        if application.secret.is_none() {
            let words = "client_credentials wants a client secret: give `client_secret_file`, of the provider or here";
            return Err(Failure::permanent(words).kind(Kind::Settings));
        }
        let issued = application.client_credentials(&pending.scopes).await;
        self.connect(&pending, &application, CLIENT_CREDENTIALS, issued).await
    }

    /// Takes over a refresh token that the admin has already. It is used at once, so that a bad one is known now.
    pub async fn import(&self, wish: &Wish, token: &Secret) -> Result<Connected, Failure> {
        let (provider, pending) = self.prepare(wish, Flow::Code).await?;
        let application = self.application_of(&provider, &pending).await?;
        let issued = application.refresh(token, &pending.scopes).await;
        let issued = issued.map(|issued| issued.keeping(token));
        self.connect(&pending, &application, "import", issued).await
    }

    /// Gives the tokens back to the provider, where it takes them, and forgets them in any case. Words on what it said.
    pub async fn revoke(&self, owner: &Owner) -> Result<String, Failure> {
        let grant = self.grant_of(owner).await?;
        let mut tx = self.store.read().await?;
        let application = self.application(&mut tx, &grant).await?;
        let token = match grant.refresh_token.or(grant.access_token) {
            Some(id) => Some(tx.open_secret(id, &self.key).await?),
            None => None,
        };
        drop(tx);
        let words = match token {
            _ if application.spec.revoke_url.is_empty() => format!(
                "the provider {:?} takes no tokens back over the network: remove the application's consent on its pages",
                application.spec.name
            ),
            None => "there was no token to give back".to_owned(),
            Some(token) => match application.revoke(&token).await {
                Ok(()) => "the provider has revoked it".to_owned(),
                Err(refusal) => {
                    format!("the provider was asked to revoke it, and has not: {}", refusal.told())
                }
            },
        };
        let mut tx = self.store.write().await?;
        tx.delete_grant_of(owner.kind.as_str(), owner.id).await?;
        self.alerts.keep_in(&mut tx, &failing(&grant), None).await?;
        tx.commit().await?;
        tracing::info!(grant.owner = %owner, "oauth.forgotten");
        Ok(words)
    }

    async fn provider(&self, named: &str) -> Result<ProviderRow, Failure> {
        let mut tx = self.store.read().await?;
        if !named.is_empty() {
            return Ok(tx.find_oauth_provider(named).await?);
        }
        let mut all = tx.oauth_providers().await?;
        all.retain(|provider| provider.is_active);
        match all.len() {
            1 => Ok(all.remove(0)),
            0 => Err(Failure::permanent(
                "the configuration has no [[oauth_provider]]: docs/oauth.md says how to register one",
            )
            .kind(Kind::Settings)),
            _ => {
                let names: Vec<&str> = all.iter().map(|p| p.spec.name.as_str()).collect();
                Err(Failure::permanent(format!("say which one with --provider: {}", names.join(", "))))
            }
        }
    }

    async fn application_of(
        &self,
        provider: &ProviderRow,
        pending: &Pending,
    ) -> Result<Application, Failure> {
        let secret = match (&pending.client_secret, provider.secret) {
            (Some(own), _) => Some(Secret::new(own.as_str())),
            (None, Some(id)) => Some(self.store.read().await?.open_secret(id, &self.key).await?),
            (None, None) => None,
        };
        Ok(Application { spec: provider.spec.clone(), secret, http: self.http.clone() })
    }

    /// The grant and its first tokens with one commit.
    async fn connect(
        &self,
        pending: &Pending,
        application: &Application,
        flow: &str,
        issued: Result<Issued, Refusal>,
    ) -> Result<Connected, Failure> {
        let owner = pending.owner()?;
        let issued = self.told(issued, &owner).await?;
        crash::point("oauth.signed_in");
        if flow != CLIENT_CREDENTIALS && issued.refresh().is_none() {
            let words = "the provider gives no refresh token, so this would end within the hour; ask for it in `scopes` \
                         (usually `offline_access`), and see that the application may have one";
            return Err(Failure::permanent(words).kind(Kind::Grant));
        }
        let tokens = tokens(application, &issued, None, self.clock.now());
        // What the provider says counts, and not what was wished for.
        let user = issued.user().unwrap_or(&pending.user);
        let new = NewGrant {
            owner_kind: owner.kind.as_str(),
            owner_id: owner.id,
            provider: pending.provider,
            flow: flow.to_owned(),
            username: user.to_owned(),
            scopes: pending.scopes.clone(),
            client_secret: pending.client_secret.as_ref().map(|s| Secret::new(s.as_str())),
            secret_until: pending.secret_until,
            refresh_token: None,
        };
        let mut tx = self.store.write().await?;
        let grant = tx.lay_grant(&new, &self.stamp()).await?;
        tx.record_tokens(&grant, None, &tokens, &self.stamp()).await?;
        self.alerts.keep_in(&mut tx, &failing(&grant), None).await?;
        tx.commit().await?;
        tracing::info!(grant.owner = %owner, "oauth.connected");
        Ok(Connected {
            owner,
            target: self.target_of(&owner).await,
            provider: application.spec.name.clone(),
            user: user.to_owned(),
            access_until: tokens.access_until,
            note: note(pending, &issued),
        })
    }

    /// What was refused, in words for whoever signs in.
    async fn told<T>(&self, asked: Result<T, Refusal>, owner: &Owner) -> Result<T, Failure> {
        match asked {
            Ok(given) => Ok(given),
            Err(refusal) => Err(refusal.failure(&self.target_of(owner).await)),
        }
    }
}

/// 64 hex digits: of the characters that RFC 7636 §4.1 allows, and enough of them.
fn unguessable() -> String {
    crate::seal::to_hex(&random::<32>())
}
