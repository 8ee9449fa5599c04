//! /healthz, how the daemon fares, and /metrics, the same for Prometheus. Names, states and numbers; no words of mails or
//! servers, no addresses, no secrets.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use super::Sight;
use crate::telemetry::health::Status;
use crate::telemetry::metrics::CONTENT_TYPE;

pub(super) fn routes() -> Router<Sight> {
    Router::new().route("/healthz", get(healthz)).route("/metrics", get(metrics))
}

/// 200 where it works, also where a person should look at something; 503 where it does not.
async fn healthz(State(sight): State<Sight>) -> Response {
    let health = (sight.ask)().await;
    let code = match health.status {
        Status::Ok | Status::Attention => StatusCode::OK,
        Status::Down => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, [(header::CACHE_CONTROL, "no-store")], Json(health)).into_response()
}

/// Always 200: that the store does not answer is a metric, too.
async fn metrics(State(sight): State<Sight>) -> Response {
    let health = (sight.ask)().await;
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], sight.metrics.text(&health)).into_response()
}
