//! The OAuth clock (M9): of each grant what ends when, how it fares, and what to do.

use serde::Serialize;

use super::ends;
use super::grants::{Grants, Owner};
use super::refresh::{owner_word, target};
use super::refusal::{advice, of_code};
use crate::clock::Micros;
use crate::config::Auth;
use crate::failure::Failure;
use crate::store::{GrantRow, ProviderRow, Tx};

/// A grant, as `oauth status --json` has it. Times are RFC 3339; what is not known or does not apply is null.
#[derive(Clone, Debug, Default, Serialize)]
pub struct GrantLine {
    /// `mailbox:3`.
    pub owner: String,
    /// `mailbox` or `relay`, and its name.
    pub kind: String,
    pub name: String,
    pub provider: String,
    /// code, device, client_credentials, import; empty where nobody has signed in.
    pub flow: String,
    pub user: String,
    /// working, failing (it is tried again by itself), stopped (somebody has to act), missing (nobody has signed in yet).
    pub state: String,
    pub granted: Option<String>,
    pub last_refresh: Option<String>,
    /// When the provider last gave another refresh token.
    pub last_rotation: Option<String>,
    pub access_until: Option<String>,
    pub access_seconds_left: Option<i64>,
    /// May be an estimate by the provider's rules.
    pub refresh_until: Option<String>,
    pub refresh_days_left: Option<i64>,
    /// As the admin has entered it; of the grant's own secret, else of the provider's.
    pub secret_until: Option<String>,
    pub secret_days_left: Option<i64>,
    /// In a row.
    pub failures: i64,
    /// A code of the table in docs/oauth.md; empty: nothing is wrong.
    pub error_code: String,
    pub error: String,
    pub advice: String,
    pub next_try: Option<String>,
    /// What the mail server said when it last refused the token of now.
    pub server_refused: String,
}

impl Grants {
    /// Every grant, and whoever is to sign in by one and has none; or the one of `owner`.
    pub async fn status(&self, owner: Option<&Owner>) -> Result<Vec<GrantLine>, Failure> {
        let mut tx = self.store.read().await?;
        let (grants, providers) = (tx.grants().await?, tx.oauth_providers().await?);
        let mut lines = vec![];
        for grant in &grants {
            let Some(provider) = providers.iter().find(|p| p.id == grant.provider) else { continue };
            let name = self.name_of(&mut tx, grant).await?;
            lines.push(line(grant, provider, &name, self.clock.now()));
        }
        for (owner, name) in waiting(&mut tx).await? {
            if !lines.iter().any(|line| line.owner == owner.to_string()) {
                lines.push(missing(owner, name));
            }
        }
        lines.retain(|line| owner.is_none_or(|owner| owner.to_string() == line.owner));
        Ok(lines)
    }
}

/// Who signs in by a token and is switched on.
async fn waiting(tx: &mut Tx) -> Result<Vec<(Owner, String)>, Failure> {
    let mailboxes = tx.mailboxes().await?.into_iter();
    let mailboxes = mailboxes.filter(|row| row.spec.is_active && row.spec.auth == Auth::Oauth2);
    let relays = tx.relays().await?.into_iter();
    let relays = relays.filter(|row| row.spec.is_active && row.spec.auth == Auth::Oauth2);
    let mailboxes = mailboxes.map(|row| (Owner::from(row.id), row.spec.name));
    Ok(mailboxes.chain(relays.map(|row| (Owner::from(row.id), row.spec.name))).collect())
}

fn missing(owner: Owner, name: String) -> GrantLine {
    let kind = owner.kind.as_str();
    GrantLine {
        owner: owner.to_string(),
        kind: kind.to_owned(),
        state: "missing".to_owned(),
        error_code: "missing".to_owned(),
        error: "nobody has signed in for it yet".to_owned(),
        advice: format!("Sign in: `maildesk oauth login {}`.", target(kind, &name)),
        name,
        ..GrantLine::default()
    }
}

fn line(grant: &GrantRow, provider: &ProviderRow, name: &str, now: Micros) -> GrantLine {
    let secret_until = match grant.client_secret {
        Some(_) => grant.secret_until,
        None => provider.spec.secret_until.filter(|_| provider.secret.is_some()),
    };
    let is_well = grant.last_code.is_empty();
    let is_later = grant.retry > now && grant.retry.0 != i64::MAX;
    GrantLine {
        owner: owner_word(grant),
        kind: grant.owner_kind.clone(),
        name: name.to_owned(),
        provider: provider.spec.name.clone(),
        flow: grant.flow.clone(),
        user: grant.username.clone(),
        state: grant.state.clone(),
        granted: Some(grant.granted.rfc3339()),
        last_refresh: grant.access_issued.map(Micros::rfc3339),
        last_rotation: grant.rotated.map(Micros::rfc3339),
        access_until: grant.access_until.map(Micros::rfc3339),
        access_seconds_left: grant.access_until.map(|until| (until.0 - now.0) / Micros::SECOND),
        refresh_until: grant.refresh_until.map(Micros::rfc3339),
        refresh_days_left: grant.refresh_until.map(|end| ends::days_left(end, now)),
        secret_until: secret_until.map(Micros::rfc3339),
        secret_days_left: secret_until.map(|end| ends::days_left(end, now)),
        failures: grant.failures,
        error_code: grant.last_code.clone(),
        error: grant.last_error.clone(),
        advice: if is_well {
            String::new()
        } else {
            advice(of_code(&grant.last_code), &target(&grant.owner_kind, name))
        },
        next_try: is_later.then(|| grant.retry.rfc3339()),
        server_refused: grant.refused_words.clone(),
    }
}
