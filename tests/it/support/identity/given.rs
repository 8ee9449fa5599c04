//! Tokens that were given: taken back (RFC 7009), and asked about (RFC 7662).

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use maildesk::clock::Micros;
use serde_json::json;

use super::wire::{decoded, fields, is_form, lock, note};
use super::{CLIENT_ID, Form, Seen, Shared};

pub(super) async fn revoke(State(desk): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let text = String::from_utf8_lossy(&body).into_owned();
    let style = lock(&desk).style;
    let allowed = ["client_id", "client_secret", "token_type_hint"];
    let form = match is_form(&headers).and_then(|()| fields(&text, &allowed, &["token"])) {
        Ok(form) => form,
        Err(refused) => return refused.answer(style),
    };
    note(&desk, "revoke", "ok");
    let mut desk = lock(&desk);
    if let Some(refresh) = desk.refreshes.get(&form["token"]).cloned() {
        desk.chains[refresh.chain].is_revoked = true;
    }
    StatusCode::OK.into_response()
}

pub(super) async fn introspect_posted(State(desk): State<Shared>, body: Bytes) -> Response {
    let form: Form = decoded(&String::from_utf8_lossy(&body)).into_iter().collect();
    introspect(&desk, form.get("token").map_or("", String::as_str))
}

pub(super) async fn introspect_bearer(State(desk): State<Shared>, headers: HeaderMap) -> Response {
    let bearer = headers.get("authorization").and_then(|v| v.to_str().ok()).unwrap_or_default();
    introspect(&desk, bearer.strip_prefix("Bearer ").unwrap_or_default())
}

fn introspect(desk: &Shared, token: &str) -> Response {
    let mut desk = lock(desk);
    let now = desk.clock.now();
    let access = desk.accesses.get(token).filter(|access| !access.is_void && access.until > now).cloned();
    let answer = if access.is_some() { "active" } else { "inactive" };
    desk.seen.push(Seen { endpoint: "introspect", answer: answer.into(), ..Seen::default() });
    let body = match access {
        Some(access) => json!({
            "active": true, "username": desk.opened_by(&access.user), "email": access.user, "scope": access.scope,
            "client_id": CLIENT_ID, "token_type": "Bearer", "exp": access.until.0 / Micros::SECOND,
        }),
        None => json!({ "active": false }),
    };
    axum::Json(body).into_response()
}
