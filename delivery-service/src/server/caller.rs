//! Finds the caller of a request: the device whose session token the request carries.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{ConnectInfo, FromRequestParts, MatchedPath, Request, State as Extracted},
    http::{Extensions, HeaderMap, header, request::Parts},
    middleware::Next,
    response::Response,
};
use hyper::body::{Frame, SizeHint};

use super::{
    connection::Connection,
    context::RequestContext,
    memory::{Charge, Principal},
    price::Price,
    rates::block_of,
    refusal::RequestError,
    sessions::OpenSession,
    sizes::encoded_bytes,
    state::State,
    tokens::SessionToken,
    worker::Service,
};
use crate::{api::Code, names::DeviceId};

/// A device with a session.
#[derive(Clone)]
pub(crate) struct Caller(pub(crate) Arc<OpenSession>);

impl Caller {
    /// Returns the caller that [`layer`] has found.
    pub(crate) fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Returns the device if the service still knows it. The device may have been removed while the
    /// request waited.
    pub(crate) fn admit(&self, service: &Service<'_>) -> Result<DeviceId, RequestError> {
        match service.device_key(&self.0.device)? {
            Some(_) => Ok(self.0.device.clone()),
            None => Err(Code::NoSession.into()),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = RequestError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, RequestError> {
        Self::of(&parts.extensions).cloned().ok_or_else(|| Code::NoSession.into())
    }
}

/// The memory of a request beside its body and its answer: names, field names, signatures.
const BASE_BYTES: usize = 1024;

/// Finds the calling device, checks its rate, and reserves memory for the request. Without a
/// session, a device that shows the token of a past session has a rate of its own. All other
/// clients share the rate of their address.
pub(crate) async fn layer(
    Extracted(state): Extracted<State>,
    mut request: Request,
    next: Next,
) -> Result<Response, RequestError> {
    let connection = request.extensions_mut().remove::<Connection>();
    let principal = principal(&state, &mut request, connection.as_ref())?;
    let charge = state.memory().charge(&principal, connection.map(|connection| connection.budget()));
    charge.grow_to(BASE_BYTES + header_bytes(&request) + answer_bytes(&state, &request)).await?;
    let context = RequestContext::new(principal, charge.clone());
    let response = context.scope(next.run(request)).await;
    charge_answer(response, charge).await
}

/// Returns the party that pays for the request. From here on, the request of a device carries its
/// [`Caller`].
fn principal(state: &State, request: &mut Request, connection: Option<&Connection>) -> Result<Principal, RequestError> {
    let token = bearer(request.headers());
    if let Some(session) = token.as_ref().and_then(|token| state.sessions().get(&token.hash(), state.monotonic())) {
        state.rates().charge(&session.device, Price::Request)?;
        if let Some(connection) = connection {
            let too_many = |_| RequestError::because(Code::TooManyRequests, "the device uses too many connections");
            connection.admit(&session.device).map_err(too_many)?;
        }
        let principal = Principal::Device(session.device.clone());
        request.extensions_mut().insert(Caller(session));
        return Ok(principal);
    }
    if let Some(mark) = token.and_then(|token| state.tokens().made_for(&token))
        && state.rates().admits_known(mark)
    {
        return Ok(Principal::Known(mark));
    }
    let address = address(state, request);
    state.rates().check_address(address)?;
    Ok(Principal::Address(block_of(address)))
}

fn header_bytes(request: &Request) -> usize {
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    headers.sum::<usize>() + request.uri().path().len()
}

/// Returns the memory of an answer whose size depends on clients: a group info or a tree, as the
/// store has it and as the answer encodes it.
fn answer_bytes(state: &State, request: &Request) -> usize {
    // Only a caller with a session gets such an answer.
    if Caller::of(request.extensions()).is_none() {
        return 0;
    }
    match request.extensions().get::<MatchedPath>().map(MatchedPath::as_str) {
        Some("/v1/groups/{group}/info" | "/v1/groups/{group}/trees/{epoch}") => {
            let stored = state.limits().ordering.max_body_bytes;
            stored + encoded_bytes(stored)
        }
        _ => 0,
    }
}

/// Charges the answer until the client has taken it.
async fn charge_answer(response: Response, charge: Charge) -> Result<Response, RequestError> {
    // A stream has a charge of its own.
    let bytes = response.body().size_hint().exact().map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    charge.shrink_to(bytes);
    charge.grow_to(bytes).await?;
    Ok(response.map(|body| Body::new(ChargedBody { body, _charge: charge })))
}

/// The body of an answer, with the memory that is charged for it.
struct ChargedBody {
    body: Body,
    _charge: Charge,
}

impl HttpBody for ChargedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Returns the session token of a request. Two tokens count as none: two programs that read the
/// request must not see different tokens.
fn bearer(headers: &HeaderMap) -> Option<SessionToken> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") { SessionToken::read(token) } else { None }
}

/// Returns the address of the client: the peer of the connection, or the address that a trusted
/// proxy reports. Requests whose peer the listener does not report share one limit.
fn address(state: &State, request: &Request) -> IpAddr {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |info| info.0.ip());
    state.proxies().client(peer, request.headers())
}
