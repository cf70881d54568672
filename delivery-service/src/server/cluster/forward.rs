//! One forwarded request. The node holds a request while the store moves, for a short time.
//!
//! A request leaves a second time only if the first copy has certainly had no effect: it has not
//! left, or the other node has answered that it does not own the store. Otherwise the client gets
//! 503, and sends the same bytes again.

use std::time::{Duration, Instant};

use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Uri, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Body as _;
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;

use super::{
    entry::infallible,
    node::Node,
    peers::{PeerError, Place, STREAM_WINDOW},
    standing::Standing,
};
use crate::{
    api::Code,
    server::{
        connection::Connection, exchange::Complete, log::REQUEST_ID, memory::Charge, metrics::ForwardLabel,
        refusal::RequestError, sizes::LARGE,
    },
};

/// The header with the address of the client, between nodes.
pub(super) const CLIENT: HeaderName = HeaderName::from_static("x-regrow-client");

/// The header of a node's answer that it does not own the store. No device gets such an answer.
pub(super) const MOVED: HeaderName = HeaderName::from_static("x-regrow-moved");

/// The headers that go to the owner. All others concern the connection of the client only, and
/// none of them can be a header between nodes.
const HEADERS: [HeaderName; 7] = [
    header::ACCEPT,
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::USER_AGENT,
    HeaderName::from_static("last-event-id"),
    REQUEST_ID,
];

/// The time for which a node holds a request while the store has no owner.
pub(super) const HOLD: Duration = Duration::from_secs(2);

/// The time after which a client tries again.
const AGAIN: Duration = Duration::from_secs(1);

/// The pause before the next attempt to reach an owner that cannot be reached.
const PAUSE: Duration = Duration::from_millis(100);

/// Forwards a request to the owner, or answers it if this node becomes the owner meanwhile.
pub(super) async fn forward(node: &Node, mut request: Request) -> Result<Response, RequestError> {
    let begun = Instant::now();
    let connection = request.extensions_mut().remove::<Connection>();
    let charge = node.memory().charge_forwarded(connection.as_ref().map(Connection::budget));
    charge.grow_to(STREAM_WINDOW as usize).await?;
    let (parts, body) = request.into_parts();
    let mut outgoing = Outgoing { charge, body: OutgoingBody::of(node, body).await?, parts };
    loop {
        let mut standings = node.standings();
        let standing = standings.borrow_and_update().clone();
        match standing {
            Standing::Owner(serving) => {
                let _running = node.begin_request();
                let Some(request) = outgoing.local() else { return Err(unavailable()) };
                return Ok(complete(infallible(serving.router.oneshot(request).await)));
            }
            Standing::Member(owner) => {
                match timeout(HOLD, node.peers().place(&owner)).await.unwrap_or(Err(PeerError::Slow)) {
                    Ok(place) => match outgoing.send(node, place).await {
                        Sent::Answered(response) => {
                            node.metrics().forwarded(ForwardLabel::Answered, begun.elapsed());
                            return Ok(response);
                        }
                        Sent::NotDone => {}
                        Sent::Unknown => {
                            node.metrics().forwarded(ForwardLabel::Lost, begun.elapsed());
                            return Err(unavailable());
                        }
                    },
                    Err(error) => tracing::debug!(%error, "cannot reach the owner of the store"),
                }
            }
            Standing::Nobody(_) | Standing::Starting => {}
        }
        let held = begun.elapsed();
        if held >= HOLD {
            node.metrics().forwarded(ForwardLabel::NoOwner, held);
            return Err(unavailable());
        }
        tokio::select! {
            _ = standings.changed() => {}
            () = sleep(PAUSE) => {}
        }
    }
}

fn unavailable() -> RequestError {
    RequestError::for_now(Code::Unavailable, AGAIN)
}

/// A request on its way.
struct Outgoing {
    charge: Charge,
    parts: Parts,
    body: OutgoingBody,
}

/// The body of a request on its way.
enum OutgoingBody {
    /// A small body, which can be sent again.
    Collected(Bytes),
    /// A large body. It is `None` after a node has begun to read it.
    Once(Option<Body>),
}

impl OutgoingBody {
    /// Collects a small body.
    async fn of(node: &Node, body: Body) -> Result<Self, RequestError> {
        if body.size_hint().upper().is_none_or(|bytes| bytes >= LARGE as u64) {
            return Ok(Self::Once(Some(body)));
        }
        let time = Duration::from_secs(node.settings().limits.request_seconds);
        let collected = timeout(time, Limited::new(body, LARGE).collect()).await.map_err(|_| Code::Timeout)?;
        Ok(Self::Collected(collected.map_err(|_| Code::BadRequest)?.to_bytes()))
    }

    fn take(&mut self) -> Option<Body> {
        match self {
            Self::Collected(bytes) => Some(Body::from(bytes.clone())),
            Self::Once(body) => body.take(),
        }
    }

    fn give_back(&mut self, unsent: Body) {
        if let Self::Once(body) = self {
            *body = Some(unsent);
        }
    }
}

/// The result of one attempt.
enum Sent {
    Answered(Response),
    /// The request has had no effect.
    NotDone,
    /// The request may have had an effect.
    Unknown,
}

impl Outgoing {
    /// Returns the request for the router of this node.
    fn local(&mut self) -> Option<Request> {
        Some(Request::from_parts(self.parts.clone(), self.body.take()?))
    }

    /// Returns the request for another node.
    fn remote(&mut self, node: &Node) -> Option<Request> {
        let path = self.parts.uri.path_and_query().map_or("/", |path| path.as_str());
        // Every node accepts this host. This node has checked the host of the request.
        let uri = Uri::builder().scheme("https").authority("localhost").path_and_query(path).build().ok()?;
        let mut headers = HeaderMap::new();
        for name in HEADERS {
            headers.extend(self.parts.headers.get_all(&name).iter().map(|value| (name.clone(), value.clone())));
        }
        let peer = self.parts.extensions.get::<ConnectInfo<std::net::SocketAddr>>();
        let peer = peer.map_or(std::net::Ipv4Addr::UNSPECIFIED.into(), |info| info.0.ip());
        let client = node.proxies().client(peer, &self.parts.headers);
        headers.insert(CLIENT, HeaderValue::from_str(&client.to_string()).ok()?);
        let mut request = Request::new(self.body.take()?);
        *request.method_mut() = self.parts.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Some(request)
    }

    async fn send(&mut self, node: &Node, place: Place) -> Sent {
        let Place { mut sender, permit } = place;
        let Some(request) = self.remote(node) else { return Sent::Unknown };
        let is_long_poll = self.is_long_poll();
        let closing = async {
            if !is_long_poll {
                std::future::pending::<()>().await;
            }
            node.closing().begun().await;
        };
        let answer = tokio::select! {
            answer = sender.try_send_request(request) => answer,
            // The device polls again, at another node.
            () = closing => return Sent::Unknown,
        };
        match answer {
            Ok(response) if response.headers().contains_key(MOVED) => Sent::NotDone,
            Ok(response) => Sent::Answered(self.answer(node, response.map(Body::new), permit)),
            Err(mut error) => match error.take_message() {
                Some(unsent) => {
                    self.body.give_back(unsent.into_body());
                    Sent::NotDone
                }
                None => Sent::Unknown,
            },
        }
    }

    /// True if the owner may hold its answer back for a long time.
    fn is_long_poll(&self) -> bool {
        self.parts.uri.path() == "/v1/deliveries" && self.parts.uri.query().is_some_and(|query| query.contains("wait="))
    }

    /// Returns the answer for the client. Its body gives the place and the memory back at its end.
    fn answer(&self, node: &Node, response: Response, permit: tokio::sync::OwnedSemaphorePermit) -> Response {
        let (mut parts, body) = response.into_parts();
        let is_stream = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
        // A stream that waits for events takes no memory.
        let charge = (!is_stream).then(|| self.charge.clone());
        let data = body.into_data_stream().map(move |piece| {
            let _held = (&permit, &charge);
            piece
        });
        let body = if is_stream {
            let closing = node.closing().clone();
            Body::from_stream(data.take_until(Box::pin(async move { closing.begun().await })))
        } else {
            Body::from_stream(data)
        };
        parts.extensions.clear();
        complete((parts, body).into_response())
    }
}

fn complete(mut response: Response) -> Response {
    response.extensions_mut().insert(Complete);
    response
}
