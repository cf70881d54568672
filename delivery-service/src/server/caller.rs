//! Who makes a request: the device of the session whose token it bears.

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
    refusal::Refusal,
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
    /// The caller that [`layer`] has found.
    pub(crate) fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// The device, if it is known still: it may have been removed while the request waited.
    pub(crate) fn admit(&self, service: &Service<'_>) -> Result<DeviceId, Refusal> {
        match service.device_key(&self.0.device)? {
            Some(_) => Ok(self.0.device.clone()),
            None => Err(Code::NoSession.into()),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Self::of(&parts.extensions).cloned().ok_or_else(|| Code::NoSession.into())
    }
}

/// Memory of a request beside its body and its answer: names, field names, signatures.
const BASE_BYTES: usize = 1024;

/// Finds out which device calls, whether it has called too often, and whether there is memory for
/// the request. Without a session, a device that shows the token of a past session has a rate of its
/// own; others share their address's.
pub(crate) async fn layer(
    Extracted(state): Extracted<State>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let connection = request.extensions_mut().remove::<Connection>();
    let principal = principal(&state, &mut request, connection.as_ref())?;
    let charge = state.memory().charge(&principal, connection.map(|connection| connection.budget()));
    charge.grow_to(BASE_BYTES + header_bytes(&request) + answer_bytes(&state, &request)).await?;
    let context = RequestContext::new(principal, charge.clone());
    let response = context.scope(next.run(request)).await;
    held(response, charge).await
}

/// The party that the request is charged to. A request of a device bears its [`Caller`] from here on.
fn principal(state: &State, request: &mut Request, connection: Option<&Connection>) -> Result<Principal, Refusal> {
    let token = bearer(request.headers());
    if let Some(session) = token.as_ref().and_then(|token| state.sessions().get(&token.hash(), state.monotonic())) {
        state.rates().charge(&session.device, Price::Request)?;
        if let Some(connection) = connection {
            let crowded = |_| Refusal::because(Code::TooManyRequests, "the device uses too many connections");
            connection.admit(&session.device).map_err(crowded)?;
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

/// The memory that the answer may take, where it is as large as clients have made it: a group info
/// or a tree, as it is stored and as it is encoded.
fn answer_bytes(state: &State, request: &Request) -> usize {
    // Nobody else gets such an answer.
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

/// Charges the answer for as long as the client has not taken it.
async fn held(response: Response, charge: Charge) -> Result<Response, Refusal> {
    // A stream has a charge of its own.
    let bytes = response.body().size_hint().exact().map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    charge.shrink_to(bytes);
    charge.grow_to(bytes).await?;
    Ok(response.map(|body| Body::new(ChargedBody { body, _charge: charge })))
}

/// An answer, and the memory that is charged for it.
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

/// The token that a request bears. Two are none: who reads one and who reads the other must not differ.
fn bearer(headers: &HeaderMap) -> Option<SessionToken> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") { SessionToken::read(token) } else { None }
}

/// Where a request comes from: from whoever has connected, or from whom a trusted proxy has it. Requests of which the
/// listener does not say so share one limit.
fn address(state: &State, request: &Request) -> IpAddr {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |info| info.0.ip());
    state.proxies().client(peer, request.headers())
}
