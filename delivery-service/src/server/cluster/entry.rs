//! The router for the requests of devices at a node: the node answers a request if it owns the
//! store, and forwards it otherwise.

use axum::{
    Router,
    extract::{Request, State},
    middleware,
    response::Response,
    routing::any,
};
use tower::ServiceExt as _;
use tower_http::catch_panic::CatchPanicLayer;

use super::{forward, node::Node, standing::Standing};
use crate::server::{exchange, host, refusal::RequestError, routes};

/// The state of [`router`].
#[derive(Clone)]
struct Entry {
    node: Node,
    /// The route of all requests that this node does not answer by itself.
    forwarding: Router,
}

/// Returns the router for the requests of devices. As for a server without a cluster, the caller
/// adds `ConnectInfo<SocketAddr>` to the extensions of each request.
pub fn router(node: Node) -> Router {
    let forwarding = Router::new()
        .fallback(forwarded)
        .layer(middleware::from_fn_with_state(node.hosts(), host::layer))
        .layer(CatchPanicLayer::custom(exchange::panicked))
        .layer(middleware::from_fn(exchange::layer))
        .with_state(node.clone());
    // The routes are those of the owner, so that the log and the metrics have their templates.
    let routes = routes::paths().iter().fold(Router::new(), |router, path| router.route(path, any(enter)));
    routes.fallback(enter).with_state(Entry { node, forwarding })
}

async fn enter(State(Entry { node, forwarding }): State<Entry>, request: Request) -> Response {
    let router = match node.standing() {
        Standing::Owner(serving) => {
            let _running = node.begin_request();
            return infallible(serving.router.oneshot(request).await);
        }
        Standing::Nobody(_) | Standing::Starting | Standing::Member(_) => forwarding,
    };
    infallible(router.oneshot(request).await)
}

async fn forwarded(State(node): State<Node>, request: Request) -> Result<Response, RequestError> {
    forward::forward(&node, request).await
}

/// Returns the response of a router.
pub(super) fn infallible<T>(result: Result<T, std::convert::Infallible>) -> T {
    match result {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
