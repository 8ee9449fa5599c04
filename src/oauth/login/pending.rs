//! What is remembered between the two halves of a sign-in, sealed while it is in the asker's hands.

use std::time::Duration;

use base64::Engine as _;
use serde::{Deserialize, Serialize};

use super::scopes::{served, usual_scopes};
use super::{Begun, Flow, Grants, LONGEST_SIGN_IN, Owner, OwnerKind, Wish};
use crate::clock::Micros;
use crate::config::Auth;
use crate::failure::Failure;
use crate::seal::{NONCE_BYTES, Secret, random};
use crate::store::ProviderRow;
use crate::ticket::ProviderId;

/// What a sealed sign-in is sealed for.
const PURPOSE: &str = "oauth_sign_in";

#[derive(Serialize, Deserialize)]
pub(super) struct Pending {
    pub owner_kind: String,
    pub owner_id: i64,
    pub provider: ProviderId,
    pub user: String,
    pub scopes: Vec<String>,
    pub client_secret: Option<String>,
    pub secret_until: Option<Micros>,
    pub until: Micros,
    /// Its settings say that it signs in by a token.
    pub is_used: bool,
    /// Of a code: the redirect URL, state and verifier. Of a device: its code, the page, what to type, the interval.
    pub redirect: String,
    pub state: String,
    pub verifier: String,
    pub device_code: String,
    pub page: String,
    pub user_code: String,
    pub interval_s: u64,
}

impl Grants {
    pub(super) async fn prepare(&self, wish: &Wish, flow: Flow) -> Result<(ProviderRow, Pending), Failure> {
        let provider = self.provider(&wish.provider).await?;
        let mut tx = self.store.read().await?;
        let (user, auth, door) = served(&mut tx, &wish.owner).await?;
        let scopes = match (&wish.scopes, &provider.spec.scopes) {
            (own, _) if !own.is_empty() => own.clone(),
            (_, given) if !given.is_empty() => given.clone(),
            _ => usual_scopes(provider.spec.kind, flow, door),
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

    pub(super) fn waiting(&self, pending: &Pending) -> Result<Begun, Failure> {
        Ok(Begun {
            pending: self.seal(pending)?,
            page: pending.page.clone(),
            user_code: pending.user_code.clone(),
            pause: Duration::from_secs(pending.interval_s),
        })
    }

    pub(super) fn seal(&self, pending: &Pending) -> Result<String, Failure> {
        let words = serde_json::to_string(pending).map_err(|e| Failure::permanent("a sign-in").because(e))?;
        let sealed = self.key.seal(PURPOSE, &Secret::new(words), random::<NONCE_BYTES>());
        Ok(base64::engine::general_purpose::STANDARD.encode(sealed))
    }

    pub(super) fn unseal(&self, sealed: &str) -> Result<Pending, Failure> {
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
    pub fn owner(&self) -> Result<Owner, Failure> {
        let kind = OwnerKind::of_word(&self.owner_kind)
            .ok_or_else(|| Failure::permanent(format!("{:?} owns no grant", self.owner_kind)))?;
        Ok(Owner { kind, id: self.owner_id })
    }
}
