//! Where tokens are given, with the faults that were set.

use std::collections::HashSet;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use maildesk::clock::{Clock, Micros};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::wire::{Refused, decoded, fields, is_form, lock, note_token, page};
use super::{CLIENT_ID, Desk, Fault, Form, Shared, Style};

/// Says that two requests refresh one grant.
struct UnderWay(Shared, String);

impl UnderWay {
    fn begin(desk: &Shared, token: &str) -> UnderWay {
        let mut locked = lock(desk);
        let known = locked.refreshes.get(token).map(|refresh| format!("grant {}", refresh.chain));
        let grant = known.unwrap_or_else(|| token.to_owned());
        if !locked.under_way.insert(grant.clone()) {
            locked.overlaps += 1;
        }
        drop(locked);
        UnderWay(desk.clone(), grant)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        lock(&self.0).under_way.remove(&self.1);
    }
}

pub(super) async fn token(State(desk): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let text = String::from_utf8_lossy(&body).into_owned();
    let given: Form = decoded(&text).into_iter().collect();
    let grant_type = given.get("grant_type").cloned().unwrap_or_default();
    let (style, delay, fault) = {
        let mut desk = lock(&desk);
        (desk.style, desk.delay, desk.faults.pop_front())
    };
    let _under_way = given.get("refresh_token").map(|token| UnderWay::begin(&desk, token));
    tokio::time::sleep(delay).await;
    let refused = match &fault {
        Some(Fault::Html(status)) => Some(page(*status, "Sorry")),
        Some(Fault::Throttled(seconds)) => Some(throttled(seconds.to_string())),
        Some(Fault::ThrottledUntil(seconds)) => {
            let until = Clock::system().now().plus(Duration::from_secs(*seconds));
            let until = chrono::DateTime::from_timestamp_micros(until.0).expect("a time of these years");
            Some(throttled(until.format("%a, %d %b %Y %H:%M:%S GMT").to_string()))
        }
        Some(Fault::Silent) => {
            note_token(&desk, &given, "silent");
            std::future::pending::<()>().await;
            None
        }
        Some(Fault::Refused { error, number, words }) => {
            // What a careless provider says.
            let words = words.replace("TOKEN", given.get("refresh_token").map_or("", String::as_str));
            Some(Refused::new(error, *number, &words).answer(style))
        }
        _ => None,
    };
    if let Some(refused) = refused {
        note_token(&desk, &given, "fault");
        return refused;
    }
    let issued = is_form(&headers).and_then(|()| give_token(&desk, &text, &grant_type));
    note_token(&desk, &given, issued.as_ref().map_or_else(|r| r.error.as_str(), |_| "ok"));
    match fault {
        Some(Fault::LostAnswer) => {
            let lost = futures_util::stream::once(async { Err::<Bytes, _>(std::io::Error::other("cut")) });
            return Body::from_stream(lost).into_response();
        }
        Some(Fault::HeldAnswer) => std::future::pending::<()>().await,
        _ => {}
    }
    match issued {
        Ok(answer) => ([("cache-control", "no-store")], axum::Json(answer)).into_response(),
        Err(refused) => refused.answer(style),
    }
}

fn throttled(retry_after: String) -> Response {
    let body = axum::Json(json!({ "error": "temporarily_unavailable" }));
    (StatusCode::TOO_MANY_REQUESTS, [("retry-after", retry_after)], body).into_response()
}

fn give_token(desk: &Shared, text: &str, grant_type: &str) -> Result<Value, Refused> {
    const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
    let scope: &[&str] = &["client_secret", "scope"];
    let (allowed, required): (&[&str], &[&str]) = match grant_type {
        "authorization_code" => {
            (scope, &["grant_type", "client_id", "code", "redirect_uri", "code_verifier"])
        }
        "refresh_token" => (scope, &["grant_type", "client_id", "refresh_token"]),
        "client_credentials" => (&[], &["grant_type", "client_id", "client_secret", "scope"]),
        DEVICE => (&["client_secret"], &["grant_type", "client_id", "device_code"]),
        _ => return Err(Refused::new("unsupported_grant_type", 70_003, "the grant type is not supported")),
    };
    let form = fields(text, allowed, required)?;
    let mut desk = lock(desk);
    desk.require_client(&form)?;
    match grant_type {
        "authorization_code" => desk.redeem(&form),
        "refresh_token" => {
            desk.require_scope(form.get("scope"))?;
            desk.refresh(&form["refresh_token"])
        }
        "client_credentials" => {
            if desk.style == Style::Microsoft && !form["scope"].ends_with("/.default") {
                return Err(Refused::new("invalid_scope", 70_011, "the scope must end with /.default"));
            }
            let user = desk.user.clone();
            Ok(desk.issue(&user, &form["scope"], None))
        }
        _ => desk.poll(&form["device_code"]),
    }
}

impl Desk {
    fn require_client(&self, form: &Form) -> Result<(), Refused> {
        if form["client_id"] != CLIENT_ID {
            return Err(Refused::new(
                "unauthorized_client",
                700_016,
                "application was not found in the directory",
            ));
        }
        match form.get("client_secret") {
            None if self.client_secret.is_empty() => Ok(()),
            None => Err(Refused::new("invalid_client", 7_000_218, "the body must contain client_secret")),
            Some(secret) if *secret != self.client_secret => {
                Err(Refused::new("invalid_client", 7_000_215, "invalid client secret provided"))
            }
            Some(_) if self.secret_until.is_some_and(|end| end <= self.clock.now()) => {
                Err(Refused::new("invalid_client", 7_000_222, "the client secret keys are expired"))
            }
            Some(_) => Ok(()),
        }
    }

    /// Microsoft: those of one resource only.
    fn require_scope(&self, scope: Option<&String>) -> Result<(), Refused> {
        let Some(scope) = scope else { return Ok(()) };
        let resource = |s: &str| s.rsplit_once('/').map(|(resource, _)| resource.to_owned());
        let resources: HashSet<_> = scope.split(' ').filter_map(resource).collect();
        match resources.len() > 1 || scope.contains("unknown") {
            true => {
                Err(Refused::new("invalid_scope", 70_011, "the scopes are not known or not of one resource"))
            }
            false => Ok(()),
        }
    }

    fn redeem(&mut self, form: &Form) -> Result<Value, Refused> {
        let now = self.clock.now();
        let Some(code) = self.codes.get_mut(&form["code"]) else {
            return Err(Refused::new("invalid_grant", 70_000, "the code is malformed"));
        };
        if std::mem::replace(&mut code.is_spent, true) {
            return Err(Refused::new("invalid_grant", 54_005, "the code was already redeemed"));
        }
        let challenge =
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
        if code.until <= now || code.redirect != form["redirect_uri"] || code.challenge != challenge {
            return Err(Refused::new(
                "invalid_grant",
                501_481,
                "the code is old, or redirect_uri or code_verifier differ",
            ));
        }
        let (user, scope, has_refresh) = (code.user.clone(), code.scope.clone(), code.has_refresh);
        self.secrets.push(form["code_verifier"].clone());
        self.first(&user, &scope, has_refresh)
    }

    fn first(&mut self, user: &str, scope: &str, has_refresh: bool) -> Result<Value, Refused> {
        let refresh = has_refresh.then(|| {
            let chain = self.new_chain(user, scope);
            self.chains[chain].newest.clone()
        });
        let mut answer = self.issue(user, scope, refresh);
        if let Some(seconds) = self.refresh_stated {
            answer["refresh_token_expires_in"] = seconds.into();
        }
        Ok(answer)
    }

    fn poll(&mut self, device_code: &str) -> Result<Value, Refused> {
        let now = self.clock.now();
        let Some(device) = self.devices.get_mut(device_code) else {
            return Err(Refused::new("bad_verification_code", 0, "the device code is not known"));
        };
        if device.until <= now {
            return Err(Refused::new("expired_token", 70_020, "the device code has expired"));
        }
        let last = device.polled.replace(now);
        let interval = device.interval as i64 * Micros::SECOND;
        if last.is_some_and(|last| now.0 - last.0 < interval) {
            device.interval += 5;
            return Err(Refused::new("slow_down", 0, "polled too soon"));
        }
        match device.answer.clone() {
            None => Err(Refused::new("authorization_pending", 70_016, "authorization is pending")),
            Some(Err(())) => Err(Refused::new("authorization_declined", 0, "the user has declined")),
            Some(Ok(user)) => {
                let scope = device.scope.clone();
                self.devices.remove(device_code);
                let has_refresh =
                    self.style == Style::Google || scope.split(' ').any(|s| s == "offline_access");
                self.first(&user, &scope, has_refresh)
            }
        }
    }
}
