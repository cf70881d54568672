//! The routes for reading without a stream and for acknowledgements.

use std::time::Duration;

use axum::{
    extract::{Query, State as Extracted, rejection::QueryRejection},
    response::Response,
};
use serde::Deserialize;

use crate::{
    api::{AcknowledgeRequest, Acknowledged, Code, DeliveryPage, Problem},
    names::Cursor,
    server::{
        caller::Caller,
        exchange::{Body, Format},
        reader::{DeliveryReader, End, MAX_DELIVERIES, PageAnswer, read_now},
        refusal::RequestError,
        state::State,
    },
};

/// The deliveries in one page if the client sets no limit.
const DEFAULT_LIMIT: usize = 100;
/// The longest wait in seconds. Proxies close connections that are silent for longer.
const MAX_WAIT: u64 = 60;

impl From<QueryRejection> for RequestError {
    fn from(rejection: QueryRejection) -> Self {
        Self::because(Code::BadRequest, rejection.body_text().chars().take(200).collect::<String>())
    }
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Range {
    /// The cursor of the last delivery that the device has read. Without it, the page starts at the
    /// beginning.
    #[serde(default)]
    #[param(required = false)]
    after: u64,
    /// The most deliveries in the answer.
    limit: Option<usize>,
    /// The seconds to wait if there are no deliveries.
    #[serde(default)]
    #[param(required = false)]
    wait: u64,
}

/// Read deliveries
///
/// Returns the next deliveries after a cursor. If there are none, the service waits for the given
/// time, 60 seconds at most. If still none has come, the page is empty.
#[utoipa::path(get, path = "/v1/deliveries", tag = "deliveries", security(("session" = [])), params(Range), responses(
    (status = 200, description = "The next deliveries", body = DeliveryPage),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn next(
    Extracted(state): Extracted<State>,
    caller: Caller,
    format: Format,
    range: Result<Query<Range>, QueryRejection>,
) -> Result<Response, RequestError> {
    let Query(Range { after, limit, wait }) = range?;
    let limit = limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_DELIVERIES);
    let wait = Duration::from_secs(wait.min(MAX_WAIT));
    let deliveries = if wait.is_zero() {
        read_now(&state, caller, Cursor(after), limit).await?
    } else {
        let mut reader = DeliveryReader::new(state, caller, Cursor(after), limit, PageAnswer::Whole)?;
        match tokio::time::timeout(wait, reader.next_page()).await {
            Ok(Ok(page)) => page,
            // In both cases the page is empty: no delivery has come, or the server is stopping.
            Err(_) | Ok(Err(End::Stopping)) => Vec::new(),
            Ok(Err(End::Over)) => return Err(Code::NoSession.into()),
            Ok(Err(End::Failed(refusal))) => return Err(refusal),
        }
    };
    format.ok(&DeliveryPage { deliveries })
}

/// Acknowledge deliveries
///
/// Reports that the calling device has processed everything up to a cursor. The service deletes
/// entries that every reader has acknowledged.
#[utoipa::path(post, path = "/v1/acknowledgements", tag = "deliveries", security(("session" = [])),
    request_body(content((AcknowledgeRequest = "application/json"), (AcknowledgeRequest = "application/cbor"))),
    responses(
    (status = 200, description = "The acknowledgement is stored", body = Acknowledged),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn acknowledge(
    Extracted(state): Extracted<State>,
    caller: Caller,
    format: Format,
    Body(request): Body<AcknowledgeRequest>,
) -> Result<Response, RequestError> {
    let deleted = state.worker().call(move |service, _| {
        let device = caller.admit(service)?;
        Ok(service.acknowledge(&device, Cursor(request.up_to))?)
    });
    format.ok(&Acknowledged { deleted: deleted.await? })
}
