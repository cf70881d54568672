//! Reading without a stream, and saying what was read.

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
        reader::{Answered, End, MAX_DELIVERIES, Reader, read_now},
        refusal::Refusal,
        state::State,
    },
};

/// Deliveries in one page unless the client says otherwise.
const DEFAULT_LIMIT: usize = 100;
/// The longest wait in seconds: proxies give up on what is silent for longer.
const MAX_WAIT: u64 = 60;

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Self::because(Code::BadRequest, rejection.body_text().chars().take(200).collect::<String>())
    }
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Range {
    /// The cursor of the last delivery that was read; nothing for the beginning.
    #[serde(default)]
    #[param(required = false)]
    after: u64,
    /// The most deliveries to answer with.
    limit: Option<usize>,
    /// Seconds to wait if there is nothing.
    #[serde(default)]
    #[param(required = false)]
    wait: u64,
}

/// Read
///
/// The next deliveries after a cursor. If there are none, waits for some as long as it is told, 60 seconds at the most;
/// then the page is empty.
#[utoipa::path(get, path = "/v1/deliveries", tag = "deliveries", security(("session" = [])), params(Range), responses(
    (status = 200, description = "The next deliveries", body = DeliveryPage),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn next(
    Extracted(state): Extracted<State>,
    caller: Caller,
    format: Format,
    range: Result<Query<Range>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(Range { after, limit, wait }) = range?;
    let limit = limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_DELIVERIES);
    let wait = Duration::from_secs(wait.min(MAX_WAIT));
    let deliveries = if wait.is_zero() {
        read_now(&state, caller, Cursor(after), limit).await?
    } else {
        let mut reader = Reader::new(state, caller, Cursor(after), limit, Answered::Whole)?;
        match tokio::time::timeout(wait, reader.next_page()).await {
            Ok(Ok(page)) => page,
            // Nothing has come, or the server is being stopped: both are an empty page.
            Err(_) | Ok(Err(End::Stopping)) => Vec::new(),
            Ok(Err(End::Over)) => return Err(Code::NoSession.into()),
            Ok(Err(End::Failed(refusal))) => return Err(refusal),
        }
    };
    format.ok(&DeliveryPage { deliveries })
}

/// Acknowledge
///
/// Says that the calling device has processed everything up to a cursor. What everybody has processed is deleted.
#[utoipa::path(post, path = "/v1/acknowledgements", tag = "deliveries", security(("session" = [])),
    request_body(content((AcknowledgeRequest = "application/json"), (AcknowledgeRequest = "application/cbor"))),
    responses(
    (status = 200, description = "It is noted", body = Acknowledged),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn acknowledge(
    Extracted(state): Extracted<State>,
    caller: Caller,
    format: Format,
    Body(request): Body<AcknowledgeRequest>,
) -> Result<Response, Refusal> {
    let deleted = state.worker().call(move |service, _| {
        let device = caller.admit(service)?;
        Ok(service.acknowledge(&device, Cursor(request.up_to))?)
    });
    format.ok(&Acknowledged { deleted: deleted.await? })
}
