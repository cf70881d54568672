//! The stream: server-sent events (WHATWG HTML, 9.2), one for each delivery.

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
        reader::{Answered, Reader},
        refusal::Refusal,
        state::State,
    },
};

/// Deliveries that a stream holds at the most.
const PAGE: usize = 64;

/// How often something is said when there is nothing to say, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Read by nginx and others: the answer is passed on as it comes.
const NO_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

const LAST_EVENT_ID: &str = "last-event-id";

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Start {
    /// The cursor of the last delivery that was read; nothing for the beginning.
    #[serde(default)]
    #[param(required = false)]
    after: u64,
}

/// Read as a stream
///
/// One event for each delivery: its cursor is the event's `id`, its kind the `event`, and the data is a `Delivery` in
/// JSON. The header `Last-Event-ID` resumes after that cursor, and goes before `after`. The stream ends with the
/// session, with the device, and when the server is stopped.
#[utoipa::path(get, path = "/v1/stream", tag = "deliveries", security(("session" = [])),
    params(Start, ("Last-Event-ID" = Option<u64>, Header, description = "The cursor of the last event that was read")),
    responses(
    (status = 200, description = "Events without end", body = Delivery, content_type = "text/event-stream"),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn stream(
    Extracted(state): Extracted<State>,
    caller: Caller,
    start: Result<Query<Start>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let Query(Start { after }) = start?;
    let after = Cursor(last_event(&headers)?.unwrap_or(after));
    let reader = Reader::new(state, caller, after, PAGE, Answered::OneByOne)?;
    let stream = Sse::new(events(reader)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // A proxy that collects events would keep them from the client.
    Ok(([(NO_BUFFERING, "no")], stream).into_response())
}

fn last_event(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let mut values = headers.get_all(LAST_EVENT_ID).iter();
    let read = |value: &axum::http::HeaderValue| value.to_str().ok().and_then(|value| value.parse().ok());
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match read(value) {
            Some(cursor) => Ok(Some(cursor)),
            None => Err(Refusal::because(Code::BadRequest, "Last-Event-ID is not a cursor")),
        },
        (Some(_), Some(_)) => Err(Refusal::because(Code::BadRequest, "more than one Last-Event-ID")),
    }
}

fn events(reader: Reader) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold((reader, VecDeque::new()), |(mut reader, mut page): (Reader, VecDeque<Delivery>)| async {
        if page.is_empty() {
            // Whatever ends it, the client comes back and is told then.
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
