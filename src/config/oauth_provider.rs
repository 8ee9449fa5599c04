//! `[[oauth_provider]]`: an application registered with an identity provider, by which mailboxes and relays sign in.

use std::path::Path;

use super::section::{Password, Wrong, section};
use super::words::ProviderKind;
use super::{checked_name, needed, password_of};
use crate::clock::Micros;
use crate::seal::Secret;

section! {
    /// An application that is registered with an identity provider. Mailboxes and relays with `auth = "oauth2"` sign in by
    /// it; `maildesk oauth login` connects each of them once. docs/oauth.md says how to register it.
    OauthProviderSection {
        /// Its name, for people and for `maildesk oauth login --provider`.
        name: String = String::new(), required "\"microsoft\"";
        /// microsoft, google, or other: then the endpoints have to be given.
        kind: ProviderKind = ProviderKind::Microsoft;
        /// Of kind microsoft: the directory (tenant) id, or its domain.
        tenant: String = String::new(), live "\"contoso.onmicrosoft.com\"";
        /// The application (client) id, as the provider shows it.
        client_id: String = String::new(), required "\"00000000-0000-0000-0000-000000000000\"";
        /// The client secret from a file: its first line. An application that is registered as a public client has none.
        client_secret_file: String = String::new(), example "\"microsoft.secret\"";
        /// The day on which the client secret ends, as the provider shows it: maildesk tells the admin 14, 7, 3 and 1 days
        /// before.
        client_secret_until: String = String::new(), example "\"2027-05-31\"";
        /// Where a person signs in; empty: by kind. The same holds for the next three.
        authorize_url: String = String::new();
        /// Where tokens are given out.
        token_url: String = String::new();
        /// Where a sign-in on another device begins.
        device_url: String = String::new();
        /// Where a token is given back (RFC 7009).
        revoke_url: String = String::new();
        /// What is asked for; empty: by kind, and by what is connected (IMAP, POP3 or SMTP).
        scopes: Vec<String> = vec![];
        /// The redirect URL that is registered, if it is a certain one; empty: http://localhost or http://127.0.0.1 with
        /// a free port. Where it leads to another machine, the address that the browser ends at is pasted.
        redirect_url: String = String::new(), example "\"http://localhost:8400/\"";
        /// A refresh token that is not used ends after so many days; 0: by kind (microsoft 90, google 180, other unknown).
        refresh_days: u32 = 0;
        /// How many seconds the provider may take to answer, 2 to 120.
        timeout_s: u64 = 20;
    }
    secret {
        /// The client secret itself; better in a file of its own.
        client_secret: Password, example "\"…\"";
    }
}

/// An application as it is to be, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderSpec {
    pub name: String,
    pub kind: ProviderKind,
    pub client_id: String,
    pub secret_until: Option<Micros>,
    pub authorize_url: String,
    pub token_url: String,
    pub device_url: String,
    pub revoke_url: String,
    pub scopes: Vec<String>,
    pub redirect_url: String,
    pub refresh_days: u32,
    pub timeout_s: u64,
}

impl OauthProviderSection {
    pub fn resolve(&self) -> Result<ProviderSpec, Wrong> {
        let tenant = self.tenant.trim();
        if !tenant.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
            return Err(Wrong::new("tenant", format!("{tenant:?} is neither a directory id nor a domain")));
        }
        if self.kind == ProviderKind::Microsoft && tenant.is_empty() && self.token_url.is_empty() {
            let words = "must be given for microsoft: the directory id or domain (`organizations` for any)";
            return Err(Wrong::new("tenant", words));
        }
        if !(2..=120).contains(&self.timeout_s) {
            return Err(Wrong::new("timeout_s", "must be between 2 and 120"));
        }
        if self.refresh_days > 3650 {
            return Err(Wrong::new("refresh_days", "must be between 0 and 3650"));
        }
        let usual = usual_endpoints(self.kind, tenant);
        let endpoint = |key: &'static str, given: &str, usual: &str| -> Result<String, Wrong> {
            let url = if given.trim().is_empty() { usual } else { given.trim() };
            if !url.is_empty() {
                require_safe(key, url)?;
            }
            Ok(url.to_owned())
        };
        if !self.redirect_url.is_empty() && oauth2::RedirectUrl::new(self.redirect_url.clone()).is_err() {
            return Err(Wrong::new("redirect_url", format!("{:?} is no URL", self.redirect_url)));
        }
        let token_url = needed("token_url", &endpoint("token_url", &self.token_url, &usual[1])?)?;
        Ok(ProviderSpec {
            name: checked_name("name", &self.name)?,
            kind: self.kind,
            client_id: needed("client_id", &self.client_id)?,
            secret_until: match self.client_secret_until.trim() {
                "" => None,
                day => Some(day_or_time(day).map_err(|words| Wrong::new("client_secret_until", words))?),
            },
            authorize_url: endpoint("authorize_url", &self.authorize_url, &usual[0])?,
            token_url,
            device_url: endpoint("device_url", &self.device_url, &usual[2])?,
            revoke_url: endpoint("revoke_url", &self.revoke_url, &usual[3])?,
            scopes: self.scopes.iter().flat_map(|s| s.split_whitespace()).map(str::to_owned).collect(),
            redirect_url: self.redirect_url.trim().to_owned(),
            refresh_days: self.refresh_days,
            timeout_s: self.timeout_s,
        })
    }

    /// The client secret that it gives, itself or by its file.
    pub fn read_secret(&self, folder: &Path) -> Result<Option<Secret>, Wrong> {
        password_of(&self.client_secret, &self.client_secret_file, folder).map_err(|wrong| {
            Wrong::new("client_secret_file", wrong.words.replace("password", "client_secret"))
        })
    }
}

/// Authorize, token, device, revoke.
fn usual_endpoints(kind: ProviderKind, tenant: &str) -> [String; 4] {
    match kind {
        ProviderKind::Microsoft => {
            let at = |end: &str| format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/{end}");
            [at("authorize"), at("token"), at("devicecode"), String::new()]
        }
        ProviderKind::Google => [
            "https://accounts.google.com/o/oauth2/v2/auth".to_owned(),
            "https://oauth2.googleapis.com/token".to_owned(),
            "https://oauth2.googleapis.com/device/code".to_owned(),
            "https://oauth2.googleapis.com/revoke".to_owned(),
        ],
        ProviderKind::Other => Default::default(),
    }
}

/// Secrets go there: over TLS, or to this very machine (RFC 6749 §3.1, §3.2).
fn require_safe(key: &'static str, url: &str) -> Result<(), Wrong> {
    let wrong = |words: &str| Wrong::new(key, format!("{url:?} {words}"));
    // The crate of the protocol brings the parser of URLs.
    let parsed = oauth2::TokenUrl::new(url.to_owned()).map_err(|_| wrong("is no URL"))?;
    let parsed = parsed.url();
    let is_here = matches!(parsed.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    match parsed.scheme() {
        "https" => Ok(()),
        "http" if is_here => Ok(()),
        _ => Err(wrong("must begin with https:// (http:// only on this machine)")),
    }
}

/// `2027-05-31` (the first moment of it, in UTC), or a time as in RFC 3339.
pub fn day_or_time(text: &str) -> Result<Micros, String> {
    if let Ok(day) = text.parse::<chrono::NaiveDate>() {
        let begin = day.and_hms_opt(0, 0, 0).ok_or("is no day")?;
        return Ok(Micros(begin.and_utc().timestamp_micros()));
    }
    text.parse().map_err(|_| format!("{text:?} is neither a day such as 2027-05-31 nor a time"))
}
