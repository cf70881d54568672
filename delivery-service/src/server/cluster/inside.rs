//! Requests that other nodes forward to this one. TLS has shown that a node has sent them, so this
//! node believes the address of the client in them. It believes nothing else: the session token
//! shows the calling device, as in every request.

use std::net::{IpAddr, SocketAddr};

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, StatusCode},
    response::{IntoResponse as _, Response},
};
use tokio::time::timeout;
use tower::ServiceExt as _;
use tracing::Instrument as _;

use super::{
    entry::infallible,
    forward::{CLIENT, HOLD, MOVED},
    node::Node,
    standing::Standing,
};
use crate::server::log::REQUEST_ID;

/// Returns the router for the requests of other nodes.
pub fn router(node: Node) -> Router {
    Router::new().fallback(receive).with_state(node)
}

async fn receive(State(node): State<Node>, mut request: Request) -> Response {
    let client = request.headers_mut().remove(CLIENT);
    let client = client.as_ref().and_then(|client| client.to_str().ok()?.parse::<IpAddr>().ok());
    let Some(client) = client else { return StatusCode::BAD_REQUEST.into_response() };
    request.extensions_mut().insert(ConnectInfo(SocketAddr::new(client, 0)));
    // This node may have taken the store a moment ago.
    let mut standings = node.standings();
    let started = standings.wait_for(|standing| !matches!(standing, Standing::Starting));
    match timeout(HOLD, started).await.map(|started| started.map(|standing| standing.clone())) {
        Ok(Ok(Standing::Owner(serving))) => {
            let _running = node.begin_request();
            let id = request.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
            let span = tracing::info_span!("forwarded", id);
            infallible(serving.router.oneshot(request).instrument(span).await)
        }
        _ => ([(MOVED, HeaderValue::from_static("1"))], StatusCode::SERVICE_UNAVAILABLE).into_response(),
    }
}
