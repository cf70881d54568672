//! The routes of the API, and the OpenAPI 3.1 document that follows from their code.

mod deliveries;
mod devices;
mod groups;
mod invitations;
mod key_packages;
mod service;
mod sessions;
mod stream;
mod wake_up;

use axum::{Router, middleware};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{caller, exchange, host, refusal::RequestError, state::State};
use crate::api::{Code, Problem};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Regrow delivery service",
        description = "Orders the commits, proposals and messages of MLS groups (RFC 9420, RFC 9750), hands out key \
            packages and routes welcomes.\n\n\
            Bodies are JSON, or CBOR with the same fields: `Content-Type` and `Accept` name the format. Bytes are \
            base64url without padding in JSON, and byte strings in CBOR. Every error is a `Problem` (RFC 9457)."
    ),
    components(schemas(Problem)),
    modifiers(&Session)
)]
struct Document;

/// The declaration of the session token in the document.
struct Session;

impl Modify for Session {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("session", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

fn documented() -> OpenApiRouter<State> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(service::info))
        .routes(routes!(service::document))
        .routes(routes!(sessions::challenge))
        .routes(routes!(sessions::open))
        .routes(routes!(sessions::close))
        .routes(routes!(devices::register))
        .routes(routes!(devices::remove))
        .routes(routes!(devices::list))
        .routes(routes!(devices::device_list))
        .routes(routes!(devices::append))
        .routes(routes!(wake_up::register, wake_up::remove))
        .routes(routes!(key_packages::upload, key_packages::replace, key_packages::left))
        .routes(routes!(key_packages::claim))
        .routes(routes!(groups::create))
        .routes(routes!(groups::state_of, groups::end))
        .routes(routes!(groups::info))
        .routes(routes!(groups::tree))
        .routes(routes!(groups::commit))
        .routes(routes!(groups::propose))
        .routes(routes!(groups::send))
        .routes(routes!(groups::report))
        .routes(routes!(invitations::accept, invitations::decline))
        .routes(routes!(invitations::blocked))
        .routes(routes!(invitations::block, invitations::unblock))
        .routes(routes!(deliveries::next))
        .routes(routes!(deliveries::acknowledge))
        .routes(routes!(stream::stream))
}

/// Returns the OpenAPI document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    documented().into_openapi()
}

/// Returns the paths of all routes, as templates.
pub(super) fn paths() -> Vec<String> {
    openapi().paths.paths.into_keys().collect()
}

/// Returns the router for the requests of devices. The caller adds `ConnectInfo<SocketAddr>` to the
/// extensions of each request, so that the server can distinguish addresses.
pub fn router(state: State) -> Router {
    let router: Router<State> = documented().into();
    router
        .fallback(|| async { RequestError::from(Code::NotFound) })
        .method_not_allowed_fallback(|| async { RequestError::from(Code::MethodNotAllowed) })
        .layer(middleware::from_fn_with_state(state.clone(), caller::layer))
        .layer(middleware::from_fn_with_state(state.hosts(), host::layer))
        .layer(CatchPanicLayer::custom(exchange::panicked))
        .layer(middleware::from_fn(exchange::layer))
        .with_state(state)
}
