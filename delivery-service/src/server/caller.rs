//! Who makes a request: the device of the session whose token it bears.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts, Request, State as Extracted},
    http::{Extensions, HeaderMap, header, request::Parts},
    middleware::Next,
    response::Response,
};

use super::{
    refusal::Refusal,
    sessions::{OpenSession, Token},
    state::State,
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

/// Finds out who calls, and whether it has called too often: by device, or by address if there is no session.
pub(crate) async fn layer(
    Extracted(state): Extracted<State>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let session = bearer(request.headers()).and_then(|token| state.sessions().get(&token.hash(), state.now()));
    match session {
        Some(session) => {
            state.rates().check_device(&session.device)?;
            request.extensions_mut().insert(Caller(session));
        }
        None => state.rates().check_address(address(&state, &request))?,
    }
    Ok(next.run(request).await)
}

/// The token that a request bears. Two are none: who reads one and who reads the other must not differ.
fn bearer(headers: &HeaderMap) -> Option<Token> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") { Token::read(token) } else { None }
}

/// Where a request comes from: from whoever has connected, or from whom a trusted proxy has it. Requests of which the
/// listener does not say so share one limit.
fn address(state: &State, request: &Request) -> IpAddr {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |info| info.0.ip());
    state.proxies().client(peer, request.headers())
}
