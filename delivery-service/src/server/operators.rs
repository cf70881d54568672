//! The routes for operators' programs: `/metrics`, `/healthz` and `/readyz`.
//!
//! They have an address of their own, so that a firewall can separate them from the address for
//! devices. They have no TLS and no login. Their answers name no user, no device and no group.

use super::{State, host, log};
use axum::{
    Router,
    extract::State as Extracted,
    http::{StatusCode, header},
    middleware,
    response::IntoResponse,
    routing::get,
};

/// Returns the router for the server with this state.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/metrics", get(text))
        // A process that answers is alive.
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .layer(middleware::from_fn_with_state(state.operators_hosts(), host::layer))
        .with_state(state)
}

async fn text(Extracted(state): Extracted<State>) -> impl IntoResponse {
    let metrics = state.metrics();
    metrics.queue(state.queue_depth());
    metrics.streams(state.streams());
    metrics.memory(state.memory_used());
    state.watch_resources();
    metrics.log_lines_lost(log::lines_lost());
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], metrics.text())
}

async fn ready(Extracted(state): Extracted<State>) -> (StatusCode, String) {
    match state.readiness().await {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}
