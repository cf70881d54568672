//! The routes that describe the service.

use axum::{extract::State as Extracted, response::Response};

use crate::{
    api::{Problem, ServiceInfo},
    server::{exchange::Format, refusal::RequestError, state::State},
};

/// Describe the service
///
/// Returns the version of the service, the key that signs its receipts, and the largest body of a
/// request.
#[utoipa::path(get, path = "/v1/service", tag = "service", responses(
    (status = 200, description = "The description of the service", body = ServiceInfo),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn info(Extracted(state): Extracted<State>, format: Format) -> Result<Response, RequestError> {
    format.ok(&ServiceInfo {
        version: env!("CARGO_PKG_VERSION").into(),
        key: state.service_key().0.as_slice().into(),
        max_body_bytes: state.max_request_bytes(),
    })
}

/// Get this document
#[utoipa::path(get, path = "/v1/openapi.json", tag = "service", responses(
    (status = 200, description = "The OpenAPI document", content_type = "application/json"),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn document() -> Result<Response, RequestError> {
    Format::Json.ok(&super::openapi())
}
