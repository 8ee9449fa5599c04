//! Where people sign in: the page (RFC 6749 §4.1) and the device code (RFC 8628).

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use maildesk::clock::Micros;
use maildesk::seal::{random, to_hex};
use serde_json::json;

use super::grants::{Code, Device};
use super::wire::{Refused, decoded, fields, is_form, lock, note, page};
use super::{CLIENT_ID, Form, Seen, Shared, Style};

pub(super) async fn authorize(State(desk): State<Shared>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let checked = check_authorize(&desk, &query);
    note(&desk, "authorize", checked.as_ref().map_or_else(|r| r.error.as_str(), |_| "ok"));
    match checked {
        // A page: whoever accepts goes on.
        Ok(()) => page(200, &format!("<form action=\"/consent?{query}\"><button>Accept</button></form>")),
        Err(refused) => page(400, &refused.words),
    }
}

fn check_authorize(desk: &Shared, query: &str) -> Result<(), Refused> {
    let style = lock(desk).style;
    let required = [
        "client_id",
        "response_type",
        "redirect_uri",
        "scope",
        "state",
        "code_challenge",
        "code_challenge_method",
    ];
    let more: &[&str] = match style {
        Style::Microsoft => &["response_mode", "login_hint", "prompt"],
        Style::Google => &["access_type", "prompt", "login_hint"],
    };
    let form = fields(query, more, &required)?;
    if form["client_id"] != CLIENT_ID
        || form["response_type"] != "code"
        || form["code_challenge_method"] != "S256"
    {
        return Err(Refused::request("client_id, response_type or code_challenge_method is wrong"));
    }
    if form["code_challenge"].len() != 43 || form["state"].len() < 16 {
        return Err(Refused::request("code_challenge or state is too short"));
    }
    if form.get("response_mode").is_some_and(|mode| mode != "query") {
        return Err(Refused::request("response_mode is not one that a program reads"));
    }
    let redirect = &form["redirect_uri"];
    let is_registered = lock(desk).redirects.iter().any(|known| {
        let is_loopback = known.ends_with("//localhost") || known.ends_with("//127.0.0.1");
        redirect == known
            || (is_loopback && redirect.strip_prefix(known).is_some_and(|rest| rest.starts_with(':')))
    });
    match is_registered {
        true => Ok(()),
        false => Err(Refused::new(
            "invalid_request",
            50_011,
            "the redirect URI does not match the registered ones",
        )),
    }
}

pub(super) async fn consent(State(desk): State<Shared>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    if let Err(refused) = check_authorize(&desk, &query) {
        return page(400, &refused.words);
    }
    let form: Form = decoded(&query).into_iter().collect();
    let mut desk = lock(&desk);
    let code = desk.secret("code");
    let until = Micros(desk.clock.now().0 + 600 * Micros::SECOND);
    let has_refresh = match desk.style {
        Style::Microsoft => form["scope"].split(' ').any(|s| s == "offline_access"),
        Style::Google => {
            form.get("access_type").is_some_and(|a| a == "offline")
                && form.get("prompt").is_some_and(|p| p == "consent")
        }
    };
    let user = desk.is_signed_in.clone().unwrap_or(form.get("login_hint").unwrap_or(&desk.user).clone());
    let made = Code {
        redirect: form["redirect_uri"].clone(),
        challenge: form["code_challenge"].clone(),
        scope: form["scope"].clone(),
        user,
        until,
        has_refresh,
        is_spent: false,
    };
    desk.codes.insert(code.clone(), made);
    let target = format!("{}?code={code}&state={}", form["redirect_uri"], form["state"]);
    (StatusCode::FOUND, [("location", target)]).into_response()
}

pub(super) async fn device_code(State(desk): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let text = String::from_utf8_lossy(&body).into_owned();
    let mut desk = lock(&desk);
    let style = desk.style;
    let checked = is_form(&headers).and_then(|()| fields(&text, &[], &["client_id", "scope"]));
    let checked = checked.and_then(|form| match () {
        () if form["client_id"] != CLIENT_ID => {
            Err(Refused::new("unauthorized_client", 700_016, "application not found"))
        }
        () if style == Style::Google && form["scope"].contains("mail.google.com") => {
            Err(Refused::new("invalid_scope", 0, "Invalid device flow scope"))
        }
        () => Ok(form),
    });
    let answer = checked.as_ref().map_or_else(|r| r.error.clone(), |_| "ok".into());
    desk.seen.push(Seen { endpoint: "devicecode", answer, ..Seen::default() });
    let form = match checked {
        Ok(form) => form,
        Err(refused) => return refused.answer(style),
    };
    let device_code = desk.secret("device");
    let user_code = to_hex(&random::<4>()).to_uppercase();
    let (interval, lasts) = (desk.interval, desk.device_lasts);
    let until = Micros(desk.clock.now().0 + lasts * Micros::SECOND);
    let device = Device {
        user_code: user_code.clone(),
        scope: form["scope"].clone(),
        until,
        polled: None,
        interval,
        answer: None,
    };
    desk.devices.insert(device_code.clone(), device);
    axum::Json(json!({
        "device_code": device_code, "user_code": user_code, "verification_uri": "https://device.example.com/",
        "expires_in": lasts, "interval": interval, "message": "open the page and enter the code",
    }))
    .into_response()
}
