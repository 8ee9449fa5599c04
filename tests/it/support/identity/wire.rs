//! How the provider is asked, and how it answers: forms read strictly, refusals, and what it notes of each request.

use std::sync::MutexGuard;

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::{Desk, Form, Seen, Shared, Style};

/// A refusal on its way.
pub(super) struct Refused {
    pub(super) error: String,
    pub(super) number: i64,
    pub(super) words: String,
}

impl Refused {
    pub(super) fn new(error: &str, number: i64, words: &str) -> Refused {
        Refused { error: error.into(), number, words: words.into() }
    }

    pub(super) fn request(words: &str) -> Refused {
        Refused::new("invalid_request", 900_144, words)
    }

    pub(super) fn answer(self, style: Style) -> Response {
        let status =
            if self.error == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
        let body = match style {
            Style::Microsoft => json!({
                "error": self.error,
                "error_description": format!("AADSTS{}: {}.\r\nTrace ID: 0\r\nCorrelation ID: 0", self.number, self.words),
                "error_codes": [self.number], "trace_id": "0", "correlation_id": "0",
            }),
            Style::Google => json!({ "error": self.error, "error_description": self.words }),
        };
        (status, axum::Json(body)).into_response()
    }
}

pub(super) fn lock(desk: &Shared) -> MutexGuard<'_, Desk> {
    desk.lock().expect("nobody panics while holding it")
}

pub(super) fn page(status: u16, words: &str) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, [("content-type", "text/html")], format!("<html><body>{words}</body></html>")).into_response()
}

/// Each parameter once, and none that is not expected.
pub(super) fn fields(text: &str, allowed: &[&str], required: &[&str]) -> Result<Form, Refused> {
    let mut form = Form::new();
    for (key, value) in decoded(text) {
        if !allowed.contains(&key.as_str()) && !required.contains(&key.as_str()) {
            return Err(Refused::request(&format!("parameter {key} is not expected")));
        }
        if value.is_empty() || form.insert(key.clone(), value).is_some() {
            return Err(Refused::request(&format!("parameter {key} is empty or there twice")));
        }
    }
    match required.iter().find(|key| !form.contains_key(**key)) {
        Some(key) => Err(Refused::request(&format!("the body must contain {key}"))),
        None => Ok(form),
    }
}

pub(super) fn decoded(text: &str) -> Vec<(String, String)> {
    let words = |text: &str| {
        let mut bytes = vec![];
        let mut rest = text.bytes();
        while let Some(b) = rest.next() {
            bytes.push(match b {
                b'+' => b' ',
                b'%' => {
                    let hex: String = rest.by_ref().take(2).map(char::from).collect();
                    u8::from_str_radix(&hex, 16).unwrap_or(b'?')
                }
                b => b,
            });
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let pairs = text.split('&').filter(|p| !p.is_empty());
    pairs.map(|p| p.split_once('=').unwrap_or((p, ""))).map(|(k, v)| (words(k), words(v))).collect()
}

pub(super) fn note(desk: &Shared, endpoint: &'static str, answer: &str) {
    lock(desk).seen.push(Seen { endpoint, answer: answer.into(), ..Seen::default() });
}

/// A request for a token.
pub(super) fn note_token(desk: &Shared, given: &Form, answer: &str) {
    let field = |name: &str| given.get(name).cloned().unwrap_or_default();
    let mut desk = lock(desk);
    let chain = desk.refreshes.get(&field("refresh_token")).map(|refresh| refresh.chain);
    let user = chain.map_or(String::new(), |chain| desk.chains[chain].user.clone());
    let answer = answer.into();
    desk.seen.push(Seen { endpoint: "token", grant_type: field("grant_type"), user, answer });
}

pub(super) fn is_form(headers: &HeaderMap) -> Result<(), Refused> {
    let is = headers.get("content-type").is_some_and(|v| v == "application/x-www-form-urlencoded");
    if is { Ok(()) } else { Err(Refused::request("the body must be a form")) }
}
