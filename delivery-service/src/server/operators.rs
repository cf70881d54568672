//! The routes for operators' programs: `/metrics`, `/healthz` and `/readyz`.
//!
//! They have an address of their own, so that a firewall can separate them from the address for
//! devices. They have no TLS and no login. Their answers name no user, no device and no group.

use super::{State, cluster::Node, host, host::Hosts, log, metrics::Metrics};
use axum::{
    Router,
    extract::State as Extracted,
    http::{StatusCode, header},
    middleware,
    response::IntoResponse,
    routing::get,
};

/// The server that operators watch.
#[derive(Clone)]
pub enum Watched {
    /// A server without a cluster.
    Alone(State),
    /// A node of a cluster.
    Node(Node),
}

impl From<State> for Watched {
    fn from(state: State) -> Self {
        Self::Alone(state)
    }
}

impl Watched {
    /// The metrics, which always exist.
    fn metrics(&self) -> &Metrics {
        match self {
            Self::Alone(state) => state.metrics(),
            Self::Node(node) => node.metrics(),
        }
    }

    /// The state of the server that owns the store, if it is in this process.
    fn state(&self) -> Option<State> {
        match self {
            Self::Alone(state) => Some(state.clone()),
            Self::Node(node) => node.state(),
        }
    }

    fn hosts(&self) -> Hosts {
        match self {
            Self::Alone(state) => state.operators_hosts(),
            Self::Node(node) => node.operators_hosts(),
        }
    }

    fn memory_used(&self) -> usize {
        let forwarded = match self {
            Self::Alone(_) => 0,
            Self::Node(node) => node.memory_used(),
        };
        forwarded + self.state().as_ref().map_or(0, State::memory_used)
    }

    async fn readiness(&self) -> Result<(), &'static str> {
        match self {
            Self::Alone(state) => state.readiness().await,
            Self::Node(node) => node.readiness().await,
        }
    }
}

/// Returns the router for this server.
pub fn router(watched: impl Into<Watched>) -> Router {
    let watched = watched.into();
    Router::new()
        .route("/metrics", get(text))
        // A process that answers is alive.
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .layer(middleware::from_fn_with_state(watched.hosts(), host::layer))
        .with_state(watched)
}

async fn text(Extracted(watched): Extracted<Watched>) -> impl IntoResponse {
    let (metrics, state) = (watched.metrics(), watched.state());
    // A node that does not own the store has no queue and no streams of its own.
    metrics.queue(state.as_ref().map_or(0, State::queue_depth));
    metrics.streams(state.as_ref().map_or(0, State::streams));
    metrics.memory(watched.memory_used());
    if let Some(state) = state {
        state.watch_resources();
    }
    metrics.log_lines_lost(log::lines_lost());
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], metrics.text())
}

async fn ready(Extracted(watched): Extracted<Watched>) -> (StatusCode, String) {
    match watched.readiness().await {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}
