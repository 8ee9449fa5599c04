//! Sign-ins: how a person connects a mailbox or relay, once.
//!
//! A sign-in has two halves, and may be finished by another process than the one that began it. What has to be remembered
//! in between (state, verifier, device code, a client secret) goes through the asker's hands sealed.

use std::time::Duration;

use base64::Engine as _;
use oauth2::url::{Url, form_urlencoded};
use serde::{Deserialize, Serialize};

use super::grants::{Grants, Owner, OwnerKind};
use super::provider::{Application, Issued, Page};
use super::refresh::{CLIENT_CREDENTIALS, failing, tokens};
use super::refusal::{Next, Refusal, judge};
use crate::clock::Micros;
use crate::config::{Auth, Protocol, ProviderKind};
use crate::crash;
use crate::failure::{Failure, Kind};
use crate::seal::{NONCE_BYTES, Secret, random};
use crate::store::{NewGrant, ProviderRow, Tx};
use crate::ticket::ProviderId;

/// What a sealed sign-in is sealed for.
const PURPOSE: &str = "oauth_sign_in";
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

/// What is remembered between the two halves.
#[derive(Serialize, Deserialize)]
struct Pending {
    owner_kind: String,
    owner_id: i64,
    provider: ProviderId,
    user: String,
    scopes: Vec<String>,
    client_secret: Option<String>,
    secret_until: Option<Micros>,
    until: Micros,
    /// Its settings say that it signs in by a token.
    is_used: bool,
    /// Of a code: the redirect URL, state and verifier. Of a device: its code, the page, what to type, the interval.
    redirect: String,
    state: String,
    verifier: String,
    device_code: String,
    page: String,
    user_code: String,
    interval_s: u64,
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

    async fn prepare(&self, wish: &Wish, flow: Flow) -> Result<(ProviderRow, Pending), Failure> {
        let provider = self.provider(&wish.provider).await?;
        let mut tx = self.store.read().await?;
        let (user, auth, service) = served(&mut tx, &wish.owner).await?;
        let scopes = match (&wish.scopes, &provider.spec.scopes) {
            (own, _) if !own.is_empty() => own.clone(),
            (_, given) if !given.is_empty() => given.clone(),
            _ => usual_scopes(provider.spec.kind, flow, service),
        };
        let pending = Pending {
            owner_kind: wish.owner.kind.as_str().to_owned(),
            owner_id: wish.owner.id,
            provider: provider.id,
            user: if wish.user.is_empty() { user } else { wish.user.clone() },
            scopes,
            client_secret: wish.client_secret.as_ref().map(|s| s.expose().to_owned()),
            secret_until: wish.secret_until,
            until: self.clock.now().plus(LONGEST_SIGN_IN),
            is_used: auth == Auth::Oauth2,
            redirect: String::new(),
            state: String::new(),
            verifier: String::new(),
            device_code: String::new(),
            page: String::new(),
            user_code: String::new(),
            interval_s: 0,
        };
        Ok((provider, pending))
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

    fn waiting(&self, pending: &Pending) -> Result<Begun, Failure> {
        Ok(Begun {
            pending: self.seal(pending)?,
            page: pending.page.clone(),
            user_code: pending.user_code.clone(),
            pause: Duration::from_secs(pending.interval_s),
        })
    }

    fn seal(&self, pending: &Pending) -> Result<String, Failure> {
        let words = serde_json::to_string(pending).map_err(|e| Failure::permanent("a sign-in").because(e))?;
        let sealed = self.key.seal(PURPOSE, &Secret::new(words), random::<NONCE_BYTES>());
        Ok(base64::engine::general_purpose::STANDARD.encode(sealed))
    }

    fn unseal(&self, sealed: &str) -> Result<Pending, Failure> {
        let other = || Failure::permanent("this is no sign-in that was begun on this desk: begin it anew");
        let sealed = base64::engine::general_purpose::STANDARD.decode(sealed.trim()).map_err(|_| other())?;
        let words = self.key.open(PURPOSE, &sealed).map_err(|_| other())?;
        let pending: Pending = serde_json::from_str(words.expose()).map_err(|_| other())?;
        if pending.until < self.clock.now() {
            return Err(Failure::permanent("the sign-in took too long: begin it anew"));
        }
        Ok(pending)
    }
}

impl Pending {
    fn owner(&self) -> Result<Owner, Failure> {
        let kind = OwnerKind::of_word(&self.owner_kind)
            .ok_or_else(|| Failure::permanent(format!("{:?} owns no grant", self.owner_kind)))?;
        Ok(Owner { kind, id: self.owner_id })
    }
}

/// 64 hex digits: of the characters that RFC 7636 §4.1 allows, and enough of them.
fn unguessable() -> String {
    crate::seal::to_hex(&random::<32>())
}

/// The user of a mailbox or relay, how it signs in, and what it speaks.
async fn served(tx: &mut Tx, owner: &Owner) -> Result<(String, Auth, Service), Failure> {
    let id = format!("#{}", owner.id);
    Ok(match owner.kind {
        OwnerKind::Mailbox => {
            let spec = tx.find_mailbox(&id).await?.spec;
            let service = if spec.protocol == Protocol::Pop3 { Service::Pop } else { Service::Imap };
            (spec.username, spec.auth, service)
        }
        OwnerKind::Relay => {
            let spec = tx.find_relay(&id).await?.spec;
            (spec.username, spec.auth, Service::Smtp)
        }
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Imap,
    Pop,
    Smtp,
}

fn usual_scopes(kind: ProviderKind, flow: Flow, service: Service) -> Vec<String> {
    let scopes: &[&str] = match (kind, flow, service) {
        (ProviderKind::Microsoft, Flow::ClientCredentials, _) => &["https://outlook.office365.com/.default"],
        // Without the last two nobody would hear that somebody else has signed in.
        (ProviderKind::Microsoft, _, Service::Imap) => {
            &["https://outlook.office.com/IMAP.AccessAsUser.All", "offline_access", "openid", "profile"]
        }
        (ProviderKind::Microsoft, _, Service::Pop) => {
            &["https://outlook.office.com/POP.AccessAsUser.All", "offline_access", "openid", "profile"]
        }
        (ProviderKind::Microsoft, _, Service::Smtp) => {
            &["https://outlook.office.com/SMTP.Send", "offline_access", "openid", "profile"]
        }
        (ProviderKind::Google, ..) => &["https://mail.google.com/"],
        (ProviderKind::Other, ..) => &[],
    };
    scopes.iter().map(|s| (*s).to_owned()).collect()
}

/// What is odd about a sign-in that went well otherwise.
fn note(pending: &Pending, issued: &Issued) -> String {
    let unused = match pending.is_used {
        true => String::new(),
        false => format!(
            "nobody uses it before `auth = \"oauth2\"` stands in the {}'s settings",
            pending.owner_kind
        ),
    };
    let another = another_user(&pending.user, issued.user());
    let parts = [another, missing_scopes(&pending.scopes, issued.granted()), unused];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

/// A browser is often signed in as somebody else already.
fn another_user(expected: &str, signed_in: Option<&str>) -> String {
    match signed_in {
        Some(user) if !expected.is_empty() && !user.eq_ignore_ascii_case(expected) => format!(
            "{user} has signed in, and not {expected}: that is right only where {user} may open it, as with a shared \
             mailbox; else sign in again, in a private window of the browser"
        ),
        _ => String::new(),
    }
}

/// What was asked for and not granted. Scopes about the sign-in itself are not told back.
fn missing_scopes(asked: &[String], granted: Option<Vec<String>>) -> String {
    const SILENT: [&str; 5] =
        ["offline_access", "openid", "profile", "email", "https://outlook.office365.com/.default"];
    let Some(granted) = granted else { return String::new() };
    let has = |scope: &&String| granted.iter().any(|g| g.eq_ignore_ascii_case(scope));
    let missing: Vec<&str> =
        asked.iter().filter(|s| !SILENT.contains(&s.as_str()) && !has(s)).map(String::as_str).collect();
    match missing.is_empty() {
        true => String::new(),
        false => format!(
            "the provider has not granted {}: the mail server may refuse the token",
            missing.join(", ")
        ),
    }
}

/// The code in the address that a browser came to (RFC 6749 §4.1.2).
fn code_of(answer: &str, state: &str) -> Result<Secret, Refusal> {
    let odd =
        |words: &str| Err(Refusal { is_settled: true, ..Refusal::new("bad_request", Next::SignIn, words) });
    let answer = answer.trim();
    let query = answer.split_once('?').map_or(answer, |(_, query)| query);
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let get = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    // Before anything else is believed: it belongs to this very sign-in.
    if get("state") != Some(state) {
        return odd("that address does not belong to this sign-in: copy all of it, from http to the end");
    }
    if let Some(error) = get("error") {
        let body = serde_json::json!({
            "error": error,
            "error_description": get("error_description").unwrap_or_default(),
        });
        judge(400, None, body.to_string().as_bytes())?;
    }
    match get("code") {
        Some(code) if !code.is_empty() => Ok(Secret::new(code)),
        _ => odd("there is no code in that address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_taken_from_whatever_is_pasted_of_this_sign_in() {
        let code = |answer: &str| code_of(answer, "s1").map(|c| c.expose().to_owned()).map_err(|r| r.told());
        for answer in [
            "http://localhost:8400/?code=a%2Fb&state=s1",
            "  http://localhost:8400/?state=s1&code=a%2Fb&session_state=x#frag \n",
            "code=a%2Fb&state=s1",
        ] {
            assert_eq!(code(answer).as_deref(), Ok("a/b"), "{answer}");
        }
        assert!(code("http://localhost/?code=x&state=s2").unwrap_err().contains("does not belong"));
        assert!(code("http://localhost/?code=x").unwrap_err().contains("does not belong"));
        assert!(code("http://localhost/?state=s1").unwrap_err().contains("no code"));
        let declined = "http://localhost/?error=access_denied&error_description=no&state=s1";
        assert!(code(declined).unwrap_err().starts_with("the sign-in was declined"));
    }

    #[test]
    fn scopes_follow_from_what_is_connected() {
        let of = |kind, flow, service| usual_scopes(kind, flow, service).join(" ");
        assert_eq!(
            of(ProviderKind::Microsoft, Flow::Device, Service::Pop),
            "https://outlook.office.com/POP.AccessAsUser.All offline_access openid profile"
        );
        assert_eq!(
            of(ProviderKind::Microsoft, Flow::ClientCredentials, Service::Smtp),
            "https://outlook.office365.com/.default"
        );
        assert_eq!(of(ProviderKind::Google, Flow::Code, Service::Imap), "https://mail.google.com/");
        let asked = ["a".to_owned(), "offline_access".to_owned()];
        assert_eq!(missing_scopes(&asked, Some(vec!["A".into()])), "");
        assert!(missing_scopes(&asked, Some(vec![])).contains("not granted a:"));
        assert_eq!(another_user("ida@example.com", Some("Ida@Example.com")), "");
        assert_eq!(another_user("", Some("ida@example.com")), "");
        assert_eq!(another_user("ida@example.com", None), "");
        assert!(another_user("desk@example.com", Some("ida@example.com")).starts_with("ida@example.com has"));
    }
}
