//! What the provider has in hand: its settings, what people have granted, and each token and code that it gave.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use base64::Engine as _;
use maildesk::clock::{Clock, Micros};
use maildesk::seal::{random, to_hex};
use serde_json::{Value, json};

use super::wire::Refused;
use super::{CLIENT_ID, Fault, Rotation, Seen, Style};

/// Everything that can be set.
pub struct Desk {
    pub style: Style,
    pub clock: Clock,
    pub rotation: Rotation,
    /// Seconds.
    pub access_lasts: i64,
    pub refresh_lasts: i64,
    /// A sign-in is told that its refresh token lasts so many seconds whatever is done.
    pub refresh_stated: Option<i64>,
    /// Who signs in where nobody is named.
    pub user: String,
    /// Who is signed in in the browser already: whoever is named, it is this one who accepts.
    pub is_signed_in: Option<String>,
    /// Shared mailboxes: whose tokens open which instead of their own.
    pub opens: HashMap<String, String>,
    /// Empty: a public client.
    pub client_secret: String,
    pub secret_until: Option<Micros>,
    /// A redirect URL that is registered; localhost and 127.0.0.1 count with any port.
    pub redirects: Vec<String>,
    /// Seconds between two polls of a device code.
    pub interval: u64,
    pub device_lasts: i64,
    /// How long a request for a token takes.
    pub delay: Duration,
    /// Used up by requests for a token, one each.
    pub faults: VecDeque<Fault>,
    pub seen: Vec<Seen>,
    /// Grants on which two requests were under way at once, with one refresh token or with two.
    pub overlaps: usize,
    pub(super) under_way: HashSet<String>,
    pub(super) chains: Vec<Chain>,
    pub(super) refreshes: HashMap<String, Refresh>,
    pub(super) accesses: HashMap<String, Access>,
    pub(super) codes: HashMap<String, Code>,
    pub(super) devices: HashMap<String, Device>,
    /// Everything that nobody may find anywhere.
    pub(super) secrets: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Refresh {
    pub(super) chain: usize,
    /// When another one was given for it.
    pub(super) replaced: Option<Micros>,
    pub(super) is_void: bool,
    pub(super) until: Micros,
}

/// What a person has granted.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub(super) user: String,
    pub(super) scope: String,
    /// Its newest refresh token.
    pub(super) newest: String,
    pub(super) refreshed: usize,
    pub(super) is_revoked: bool,
}

pub(super) struct Code {
    pub(super) redirect: String,
    pub(super) challenge: String,
    pub(super) scope: String,
    pub(super) user: String,
    pub(super) until: Micros,
    pub(super) has_refresh: bool,
    pub(super) is_spent: bool,
}

pub(super) struct Device {
    pub(super) user_code: String,
    pub(super) scope: String,
    pub(super) until: Micros,
    pub(super) polled: Option<Micros>,
    pub(super) interval: u64,
    /// Who has entered the code; `Err`: it was declined.
    pub(super) answer: Option<Result<String, ()>>,
}

/// An access token, for introspection.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) user: String,
    pub(super) scope: String,
    pub(super) until: Micros,
    pub(super) is_void: bool,
}

impl Desk {
    /// The mailbox that this user's tokens open.
    pub(super) fn opened_by<'a>(&'a self, user: &'a str) -> &'a str {
        self.opens.get(user).map_or(user, String::as_str)
    }

    pub(super) fn secret(&mut self, kind: &str) -> String {
        let secret = format!("{kind}.{}", to_hex(&random::<20>()));
        self.secrets.push(secret.clone());
        secret
    }

    pub(super) fn new_chain(&mut self, user: &str, scope: &str) -> usize {
        self.chains.push(Chain {
            user: user.into(),
            scope: scope.into(),
            newest: String::new(),
            refreshed: 0,
            is_revoked: false,
        });
        let chain = self.chains.len() - 1;
        self.new_refresh(chain);
        chain
    }

    pub(super) fn new_refresh(&mut self, chain: usize) -> String {
        let token = self.secret("refresh");
        let until = Micros(self.clock.now().0 + self.refresh_lasts * Micros::SECOND);
        self.refreshes.insert(token.clone(), Refresh { chain, replaced: None, is_void: false, until });
        self.chains[chain].newest = token.clone();
        token
    }

    /// The answer with a token.
    pub(super) fn issue(&mut self, user: &str, scope: &str, refresh: Option<String>) -> Value {
        let token = self.secret("access");
        let until = Micros(self.clock.now().0 + self.access_lasts * Micros::SECOND);
        let is_asked_who = scope.split(' ').any(|s| s == "openid");
        let silent = ["offline_access", "openid", "profile"];
        let scope: Vec<&str> = scope.split(' ').filter(|s| !silent.contains(s)).collect();
        let scope = scope.join(" ");
        let access = Access { user: user.into(), scope: scope.clone(), until, is_void: false };
        self.accesses.insert(token.clone(), access);
        let mut answer = json!({
            "token_type": "Bearer", "scope": scope, "expires_in": self.access_lasts, "access_token": token,
        });
        if let Some(refresh) = refresh {
            answer["refresh_token"] = refresh.into();
        }
        if is_asked_who {
            answer["id_token"] = self.id_token(user).into();
        }
        answer
    }

    /// Who has signed in (OpenID Connect Core §2), with a signature that nobody checks.
    pub(super) fn id_token(&mut self, user: &str) -> String {
        let part = |json: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json.to_string());
        let claims = json!({ "aud": CLIENT_ID, "sub": "0", "preferred_username": user, "name": "Ünal" });
        let signature = self.secret("signature").replace('.', "-");
        self.secrets.push(signature.clone());
        format!("{}.{}.{signature}", part(json!({ "alg": "RS256" })), part(claims))
    }

    /// Presents a refresh token.
    pub(super) fn refresh(&mut self, token: &str) -> Result<Value, Refused> {
        let now = self.clock.now();
        let Some(known) = self.refreshes.get(token).cloned() else {
            return Err(Refused::new("invalid_grant", 70_000, "the refresh token is malformed or void"));
        };
        let chain = self.chains[known.chain].clone();
        let is_in_grace = match (known.replaced, self.rotation) {
            (None, _) | (_, Rotation::Never) => true,
            (Some(_), Rotation::NoGrace) => false,
            (Some(at), Rotation::Seconds(seconds)) => now.0 - at.0 < seconds * Micros::SECOND,
            // Using the new one voids this one.
            (Some(_), Rotation::UntilNewIsUsed) => true,
        };
        if chain.is_revoked {
            return Err(Refused::new("invalid_grant", 50_173, "the grant was revoked"));
        }
        if known.is_void || !is_in_grace {
            return Err(Refused::new("invalid_grant", 70_000, "the refresh token was used before"));
        }
        if known.until <= now {
            return Err(Refused::new(
                "invalid_grant",
                700_082,
                "the refresh token has expired due to inactivity",
            ));
        }
        self.chains[known.chain].refreshed += 1;
        if self.rotation == Rotation::Never {
            let until = Micros(now.0 + self.refresh_lasts * Micros::SECOND);
            self.refreshes.get_mut(token).expect("it is known").until = until;
            return Ok(self.issue(&chain.user, &chain.scope, None));
        }
        // Whatever else was given on this chain and is not this one: given before it, or to somebody who lost it.
        for (other, refresh) in &mut self.refreshes {
            let spends = refresh.chain == known.chain && other != token;
            let holds = matches!(self.rotation, Rotation::Seconds(_)) && refresh.replaced.is_some();
            refresh.is_void |= spends && !holds;
        }
        self.refreshes.get_mut(token).expect("it is known").replaced.get_or_insert(now);
        let new = self.new_refresh(known.chain);
        Ok(self.issue(&chain.user, &chain.scope, Some(new)))
    }
}
