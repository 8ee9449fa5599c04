//! What a provider is asked for, by the crate `oauth2`: the page to sign in at, and tokens.
//!
//! Every answer is judged here before the crate reads it, so that no error of the crate, which would hold the whole
//! answer, is ever shown.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2::basic::{BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse};
use oauth2::http::header::CONTENT_TYPE;
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken,
    EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    RefreshToken, RequestTokenError, Scope, StandardRevocableToken, TokenUrl,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::refusal::{Next, Refusal, judge};
use crate::config::{ProviderKind, ProviderSpec};
use crate::net::Http;
use crate::seal::Secret;

/// An application at its provider, with the secret that holds for the grant in hand.
#[derive(Clone)]
pub struct Application {
    pub spec: ProviderSpec,
    pub secret: Option<Secret>,
    pub http: Http,
}

/// What a provider has given.
#[derive(Debug, Serialize, Deserialize)]
pub struct Issued {
    access_token: oauth2::AccessToken,
    #[serde(default)]
    token_type: TokenType,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
    #[serde(default)]
    refresh_token: Option<RefreshToken>,
    /// Not RFC 6749; Google says it so, and Keycloak the other way.
    #[serde(default, deserialize_with = "seconds", alias = "refresh_expires_in")]
    refresh_token_expires_in: Option<u64>,
    #[serde(default, deserialize_with = "scopes")]
    scope: Option<Vec<Scope>>,
    #[serde(default, rename = "id_token", deserialize_with = "signed_in")]
    user: Option<String>,
}

/// RFC 6750: the only one that mail servers take.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenType(String);

impl oauth2::TokenType for TokenType {}

impl TokenType {
    /// Not RFC 6749 §5.1, but some leave it out and mean that.
    fn is_bearer(&self) -> bool {
        self.0.is_empty() || self.0.eq_ignore_ascii_case("bearer")
    }
}

impl oauth2::TokenResponse for Issued {
    type TokenType = TokenType;

    fn access_token(&self) -> &oauth2::AccessToken {
        &self.access_token
    }

    fn token_type(&self) -> &TokenType {
        &self.token_type
    }

    fn expires_in(&self) -> Option<Duration> {
        self.expires_in.map(Duration::from_secs)
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
    }

    fn scopes(&self) -> Option<&Vec<Scope>> {
        self.scope.as_ref()
    }
}

impl Issued {
    pub fn access(&self) -> Secret {
        Secret::new(self.access_token.secret().as_str())
    }

    pub fn refresh(&self) -> Option<Secret> {
        self.refresh_token.as_ref().map(|t| Secret::new(t.secret().as_str()))
    }

    pub fn lasts(&self) -> Option<Duration> {
        self.expires_in.map(Duration::from_secs)
    }

    /// Of the refresh token, where the provider says so.
    pub fn refresh_lasts(&self) -> Option<Duration> {
        self.refresh_token_expires_in.filter(|s| *s > 0).map(Duration::from_secs)
    }

    /// Who has signed in, where the provider says so.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Without a refresh token that is the one that was presented: some providers repeat it.
    pub fn rotated_from(mut self, presented: &Secret) -> Issued {
        self.refresh_token.take_if(|token| token.secret() == presented.expose());
        self
    }

    /// The refresh token that was presented, where the provider gives no other.
    pub fn keeping(mut self, presented: &Secret) -> Issued {
        self.refresh_token.get_or_insert_with(|| RefreshToken::new(presented.expose().to_owned()));
        self
    }

    /// What was granted, where the provider says so.
    pub fn granted(&self) -> Option<Vec<String>> {
        self.scope.as_ref().map(|list| list.iter().map(|s| s.to_string()).collect())
    }
}

/// A number of seconds; some providers write it as text.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Number(n) => n.as_u64().or_else(|| n.as_f64().filter(|f| *f >= 0.0).map(|f| f as u64)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    })
}

fn scopes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Scope>>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.map(|t| t.split_whitespace().map(|s| Scope::new(s.to_owned())).collect()))
}

/// Who an ID token is about, by the name that people know (OpenID Connect Core §5.1; `upn` and `unique_name` are
/// Microsoft's). It comes from the provider itself, so that nobody checks its signature (§3.1.3.7); and nothing but words
/// hangs on it.
fn signed_in<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    const NAMES: [&str; 4] = ["preferred_username", "upn", "email", "unique_name"];
    let Value::String(token) = Value::deserialize(deserializer)? else { return Ok(None) };
    let claims = token.split('.').nth(1).map(|part| part.trim_end_matches('='));
    let claims = claims.and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Option<Value> = claims.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let name = |claims: Value| NAMES.iter().find_map(|name| Some(claims.get(name)?.as_str()?.to_owned()));
    let fits = |name: &String| !name.is_empty() && name.len() <= 320 && !name.contains(char::is_control);
    Ok(claims.and_then(name).filter(fits))
}

/// A sign-in on another device, begun (RFC 8628 §3.2).
#[derive(Clone, Debug, Deserialize)]
pub struct Device {
    pub device_code: String,
    pub user_code: String,
    /// Google says `verification_url`.
    #[serde(alias = "verification_url")]
    pub verification_uri: String,
    #[serde(default, deserialize_with = "seconds")]
    pub expires_in: Option<u64>,
    #[serde(default, deserialize_with = "seconds")]
    pub interval: Option<u64>,
}

/// The parts of a request for the page to sign in at.
pub struct Page<'a> {
    pub redirect: &'a str,
    pub state: &'a str,
    pub verifier: &'a str,
    pub scopes: &'a [String],
    /// Whom the provider should offer; empty: nobody.
    pub user: &'a str,
}

type OauthClient = Client<
    BasicErrorResponse,
    Issued,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

impl Application {
    /// Where a person signs in (RFC 6749 §4.1.1 with PKCE, RFC 7636).
    pub fn page(&self, page: &Page<'_>) -> Result<String, Refusal> {
        let authorize =
            AuthUrl::new(self.spec.authorize_url.clone()).map_err(|_| no_endpoint("authorize_url"))?;
        let redirect = RedirectUrl::new(page.redirect.to_owned()).map_err(|_| no_endpoint("redirect_url"))?;
        let client = self.client()?.set_auth_uri(authorize).set_redirect_uri(redirect);
        let verifier = PkceCodeVerifier::new(page.verifier.to_owned());
        let state = page.state.to_owned();
        let mut request = client
            .authorize_url(|| CsrfToken::new(state))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .add_scopes(page.scopes.iter().map(|s| Scope::new(s.clone())));
        match self.spec.kind {
            ProviderKind::Microsoft => request = request.add_extra_param("response_mode", "query"),
            // Without both Google gives no refresh token to somebody who has signed in before.
            ProviderKind::Google => {
                request =
                    request.add_extra_param("access_type", "offline").add_extra_param("prompt", "consent");
            }
            ProviderKind::Other => {}
        }
        if !page.user.is_empty() {
            request = request.add_extra_param("login_hint", page.user);
        }
        Ok(request.url().0.to_string())
    }

    /// What the code of a sign-in is good for (RFC 6749 §4.1.3).
    pub async fn exchange(&self, code: &Secret, verifier: &str, redirect: &str) -> Result<Issued, Refusal> {
        let redirect = RedirectUrl::new(redirect.to_owned()).map_err(|_| no_endpoint("redirect_url"))?;
        let client = self.client()?.set_redirect_uri(redirect);
        let asker = self.asker(vec![code.expose().to_owned(), verifier.to_owned()]);
        let request = client
            .exchange_code(AuthorizationCode::new(code.expose().to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.to_owned()));
        given(request.request_async(&asker).await)
    }

    /// A new access token, and maybe a new refresh token (RFC 6749 §6).
    pub async fn refresh(&self, token: &Secret, scopes: &[String]) -> Result<Issued, Refusal> {
        let client = self.client()?;
        let asker = self.asker(vec![token.expose().to_owned()]);
        let token = RefreshToken::new(token.expose().to_owned());
        let mut request = client.exchange_refresh_token(&token);
        // Elsewhere a scope that was asked for and not granted would be refused now (RFC 6749 §6).
        if self.spec.kind == ProviderKind::Microsoft {
            request = request.add_scopes(scopes.iter().map(|s| Scope::new(s.clone())));
        }
        given(request.request_async(&asker).await)
    }

    /// A token of the application's own (RFC 6749 §4.4).
    pub async fn client_credentials(&self, scopes: &[String]) -> Result<Issued, Refusal> {
        let client = self.client()?;
        let asker = self.asker(vec![]);
        let request = client.exchange_client_credentials();
        let request = request.add_scopes(scopes.iter().map(|s| Scope::new(s.clone())));
        given(request.request_async(&asker).await)
    }

    /// Begins a sign-in on another device (RFC 8628 §3.1).
    pub async fn begin_device(&self, scopes: &[String]) -> Result<Device, Refusal> {
        let scope = scopes.join(" ");
        let mut form = vec![("client_id", self.spec.client_id.as_str())];
        if !scope.is_empty() {
            form.push(("scope", &scope));
        }
        let json = self.post("device_url", &self.spec.device_url, &form, &[]).await?;
        serde_json::from_value(json).map_err(|_| unreadable())
    }

    /// Asks once whether the person has entered the code (RFC 8628 §3.4). The crate would poll to the end in one call, and
    /// this one may have to go on in another process.
    pub async fn poll_device(&self, device_code: &Secret) -> Result<Issued, Refusal> {
        let mut form = vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", device_code.expose()),
            ("client_id", self.spec.client_id.as_str()),
        ];
        if let Some(secret) = &self.secret {
            form.push(("client_secret", secret.expose()));
        }
        let json = self.post("token_url", &self.spec.token_url, &form, &[device_code.expose()]).await?;
        usable(serde_json::from_value(json).map_err(|_| unreadable())?)
    }

    /// Gives a token back (RFC 7009).
    pub async fn revoke(&self, token: &Secret) -> Result<(), Refusal> {
        let mut form = vec![("token", token.expose()), ("client_id", self.spec.client_id.as_str())];
        if let Some(secret) = &self.secret {
            form.push(("client_secret", secret.expose()));
        }
        let answered = self.send("revoke_url", &self.spec.revoke_url, &form).await?;
        // The body of a success says nothing (RFC 7009 §2.2).
        match answered.status {
            200..300 => Ok(()),
            status => judge(status, answered.retry_after, &answered.body)
                .map(drop)
                .map_err(|refusal| refusal.without(&[token.expose()])),
        }
    }

    async fn post(
        &self,
        key: &str,
        url: &str,
        form: &[(&str, &str)],
        secrets: &[&str],
    ) -> Result<Value, Refusal> {
        let answered = self.send(key, url, form).await?;
        let judged = judge(answered.status, answered.retry_after, &answered.body);
        judged.map_err(|refusal| self.clean(refusal, secrets))
    }

    async fn send(&self, key: &str, url: &str, form: &[(&str, &str)]) -> Result<crate::net::Answer, Refusal> {
        if url.is_empty() {
            return Err(no_endpoint(key));
        }
        let form = oauth2::url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let deadline = Duration::from_secs(self.spec.timeout_s);
        self.http.post_form(url, form.into_bytes(), deadline).await.map_err(never_answered)
    }

    fn client(&self) -> Result<OauthClient, Refusal> {
        let token = TokenUrl::new(self.spec.token_url.clone()).map_err(|_| no_endpoint("token_url"))?;
        let client = Client::new(ClientId::new(self.spec.client_id.clone()))
            .set_auth_type(AuthType::RequestBody)
            .set_token_uri(token);
        Ok(match &self.secret {
            Some(secret) => client.set_client_secret(ClientSecret::new(secret.expose().to_owned())),
            None => client,
        })
    }

    fn asker(&self, secrets: Vec<String>) -> Asker<'_> {
        Asker { application: self, secrets }
    }

    fn clean(&self, refusal: Refusal, secrets: &[&str]) -> Refusal {
        let own = self.secret.as_ref().map_or("", Secret::expose);
        refusal.without(secrets).without(&[own])
    }
}

/// Asks for the crate, and judges what comes back.
struct Asker<'a> {
    application: &'a Application,
    /// What is sent, and must not come back in words.
    secrets: Vec<String>,
}

impl<'c> AsyncHttpClient<'c> for Asker<'_> {
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Refusal>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let (parts, form) = request.into_parts();
            let deadline = Duration::from_secs(self.application.spec.timeout_s);
            let http = &self.application.http;
            let answer =
                http.post_form(&parts.uri.to_string(), form, deadline).await.map_err(never_answered)?;
            let secrets: Vec<&str> = self.secrets.iter().map(String::as_str).collect();
            judge(answer.status, answer.retry_after, &answer.body)
                .map_err(|refusal| self.application.clean(refusal, &secrets))?;
            let mut response = HttpResponse::new(answer.body);
            // What it is called does not count: it was JSON.
            let json = oauth2::http::HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
            Ok(response)
        })
    }
}

fn given<T: oauth2::ErrorResponse>(
    answered: Result<Issued, RequestTokenError<Refusal, T>>,
) -> Result<Issued, Refusal> {
    match answered {
        Ok(issued) => usable(issued),
        Err(RequestTokenError::Request(refusal)) => Err(refusal),
        // Its words may hold the whole answer.
        Err(_) => Err(unreadable()),
    }
}

fn usable(issued: Issued) -> Result<Issued, Refusal> {
    match () {
        () if issued.access_token.secret().is_empty() => Err(unreadable()),
        () if !issued.token_type.is_bearer() => Err(no_bearer()),
        () => Ok(issued),
    }
}

fn unreadable() -> Refusal {
    Refusal::new("not_json", Next::Wait, "an answer without a token that can be read")
}

/// RFC 6749 §7.1: a token of a kind that is not known must not be used.
fn no_bearer() -> Refusal {
    Refusal::new("other", Next::Wait, "a token that is no bearer token, which mail servers do not take")
}

fn no_endpoint(key: &str) -> Refusal {
    let words = format!("`{key}` is not given for this provider");
    Refusal { is_settled: true, ..Refusal::new("not_allowed", Next::Mend, words) }
}

fn never_answered(none: crate::net::NoAnswer) -> Refusal {
    let refusal = Refusal::new("no_answer", Next::Wait, none.failure.to_string());
    Refusal { is_settled: !none.may_be_done, ..refusal }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued(json: Value) -> Result<Issued, Refusal> {
        usable(serde_json::from_value(json).expect("it can be read"))
    }

    /// An ID token with these claims.
    fn about(claims: &str) -> Value {
        serde_json::json!({
            "access_token": "a", "token_type": "bearer",
            "id_token": format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims)),
        })
    }

    #[test]
    fn who_has_signed_in_is_read_where_it_is_said() {
        for (claims, user) in [
            (
                r#"{"preferred_username":"ida@example.com","email":"other@example.com"}"#,
                Some("ida@example.com"),
            ),
            (r#"{"preferred_username":null,"upn":"ida@example.com"}"#, Some("ida@example.com")),
            (r#"{"email":"Zo\u00eb@example.com"}"#, Some("Zoë@example.com")),
            (r#"{"sub":"1"}"#, None),
            ("{\"email\":\"a\u{1b}[2J\"}", None),
            ("no JSON", None),
        ] {
            assert_eq!(issued(about(claims)).unwrap().user(), user, "{claims}");
        }
        for odd in ["", ".", "a.b", "a.!!.c"] {
            let json = serde_json::json!({ "access_token": "a", "id_token": odd });
            assert_eq!(issued(json).unwrap().user(), None, "{odd:?}");
        }
        let shown = format!("{:?}", issued(about("{}")).unwrap());
        assert!(!shown.contains("c2ln"), "{shown}");
    }

    #[test]
    fn only_tokens_that_mail_servers_take_are_used() {
        let of = |kind: Value| issued(serde_json::json!({ "access_token": "a", "token_type": kind }));
        assert!(of("BEARER".into()).is_ok());
        assert!(of("mac".into()).unwrap_err().told().contains("no bearer token"));
        assert!(issued(serde_json::json!({ "access_token": "" })).is_err());
    }

    #[test]
    fn a_token_that_is_given_again_is_no_rotation() {
        let json =
            serde_json::json!({ "access_token": "a", "refresh_token": "r", "refresh_expires_in": "60" });
        let issued = issued(json).unwrap();
        assert_eq!(issued.refresh_lasts(), Some(Duration::from_secs(60)));
        let issued = issued.rotated_from(&Secret::new("before"));
        assert!(issued.refresh().is_some());
        assert!(issued.rotated_from(&Secret::new("r")).refresh().is_none());
    }
}
