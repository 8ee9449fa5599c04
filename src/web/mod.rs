//! What the daemon answers over HTTP: health and metrics, on a loopback port. The API will stand on the same listener.
//!
//! What there is to tell comes through a function that the daemon hands in.

mod health;
mod listener;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::telemetry::{Health, Metrics};
use listener::Bounded;

/// How long a taken port is left alone before it is asked for again.
const RETRY: Duration = Duration::from_secs(2);
/// How long answers under way may take after the call to stop.
const GRACE: Duration = Duration::from_secs(2);

/// Asks the daemon how it fares. It answers within seconds, whatever the store does.
pub type Ask = Arc<dyn Fn() -> BoxFuture<'static, Health> + Send + Sync>;

/// What there is to see.
#[derive(Clone)]
pub struct Sight {
    pub ask: Ask,
    pub metrics: Metrics,
}

/// Answers until `shutdown`. A port that somebody else has is logged and asked for again: mail goes on without it.
pub async fn run(address: SocketAddr, sight: Sight, shutdown: CancellationToken) {
    let Some(listener) = bind(address, &shutdown).await else { return };
    let app = Router::new().merge(health::routes()).with_state(sight);
    let stop = shutdown.clone().cancelled_owned();
    let serving = axum::serve(Bounded::new(listener), app).with_graceful_shutdown(stop);
    let late = async {
        shutdown.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        // It ends by the shutdown alone: what fails is one connection, never the listener.
        _ = serving => {}
        () = late => {}
    }
}

async fn bind(address: SocketAddr, shutdown: &CancellationToken) -> Option<TcpListener> {
    let mut is_told = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                // With port 0 the system has chosen one.
                let address = listener.local_addr().unwrap_or(address);
                tracing::info!(%address, "web.listening");
                return Some(listener);
            }
            Err(error) if !is_told => {
                tracing::error!(%address, %error, "web.listen_failed it is tried again; see `listen` in [web]");
                is_told = true;
            }
            Err(_) => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return None,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}
