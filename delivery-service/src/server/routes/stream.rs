//! The stream: server-sent events (WHATWG HTML, 9.2), one event for each delivery.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    extract::{Query, State as Extracted, rejection::QueryRejection},
    http::{HeaderMap, HeaderName},
    response::{
        IntoResponse as _, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::{Stream, stream};
use serde::Deserialize;

use crate::{
    api::{Code, Delivery, DeliveryKind, Problem},
    names::Cursor,
    server::{
        caller::Caller,
        reader::{DeliveryReader, PageAnswer},
        refusal::RequestError,
        state::State,
    },
};

/// The most deliveries that a stream holds.
const PAGE: usize = 64;

/// The pause after which an idle stream sends a comment, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// nginx and other proxies read this header: they pass the answer on as it arrives.
const NO_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

const LAST_EVENT_ID: &str = "last-event-id";

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Start {
    /// The cursor of the last delivery that the device has read. Without it, the stream starts at
    /// the beginning.
    #[serde(default)]
    #[param(required = false)]
    after: u64,
}

/// Read deliveries as a stream
///
/// Sends one event for each delivery. The event's `id` is the cursor, its `event` is the kind, and
/// its data is a `Delivery` in JSON. The header `Last-Event-ID` resumes after that cursor, and
/// overrides `after`. The stream ends when the session ends, when the device is removed, and when
/// the server stops.
#[utoipa::path(get, path = "/v1/stream", tag = "deliveries", security(("session" = [])),
    params(Start, ("Last-Event-ID" = Option<u64>, Header, description = "The cursor of the last read event")),
    responses(
    (status = 200, description = "An endless sequence of events", body = Delivery, content_type = "text/event-stream"),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn stream(
    Extracted(state): Extracted<State>,
    caller: Caller,
    start: Result<Query<Start>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, RequestError> {
    let Query(Start { after }) = start?;
    let after = Cursor(last_event(&headers)?.unwrap_or(after));
    let reader = DeliveryReader::new(state, caller, after, PAGE, PageAnswer::OneByOne)?;
    let stream = Sse::new(events(reader)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // A proxy that buffers events would delay them.
    Ok(([(NO_BUFFERING, "no")], stream).into_response())
}

fn last_event(headers: &HeaderMap) -> Result<Option<u64>, RequestError> {
    let mut values = headers.get_all(LAST_EVENT_ID).iter();
    let read = |value: &axum::http::HeaderValue| value.to_str().ok().and_then(|value| value.parse().ok());
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match read(value) {
            Some(cursor) => Ok(Some(cursor)),
            None => Err(RequestError::because(Code::BadRequest, "Last-Event-ID is not a cursor")),
        },
        (Some(_), Some(_)) => Err(RequestError::because(Code::BadRequest, "more than one Last-Event-ID")),
    }
}

fn events(reader: DeliveryReader) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold((reader, VecDeque::new()), |(mut reader, mut page): (DeliveryReader, VecDeque<Delivery>)| async {
        if page.is_empty() {
            // The stream ends without a reason. The client connects again and gets the reason then.
            page = reader.next_page().await.ok()?.into();
        } else if reader.is_over() {
            return None;
        }
        let event = event(&page.pop_front()?)?;
        Some((Ok(event), (reader, page)))
    })
}

fn event(delivery: &Delivery) -> Option<Event> {
    let kind = match delivery.kind {
        DeliveryKind::Welcome => "welcome",
        DeliveryKind::Commit => "commit",
        DeliveryKind::Proposal => "proposal",
        DeliveryKind::Message => "message",
        DeliveryKind::Rollback => "rollback",
    };
    Event::default().id(delivery.cursor.to_string()).event(kind).json_data(delivery).ok()
}
