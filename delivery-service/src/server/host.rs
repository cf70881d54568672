//! Checks the host that a request names. The server refuses requests for other hosts. So a page in
//! a browser cannot reach a server on loopback under its own host name (DNS rebinding).

use std::net::SocketAddr;

use axum::{
    extract::{Request, State as Extracted},
    http::{HeaderMap, Uri, header, uri::Authority},
    middleware::Next,
    response::Response,
};

use super::refusal::RequestError;
use crate::api::Code;

/// The hosts that requests may name.
#[derive(Clone, Debug)]
pub(crate) struct Hosts(Option<std::sync::Arc<[String]>>);

impl Hosts {
    /// Returns the hosts of the setting, the address of `listen` and loopback. Without the setting,
    /// a server on loopback accepts only these, and any other server accepts every host.
    pub(crate) fn new(allowed: &[String], listen: SocketAddr) -> Self {
        if allowed.is_empty() && !listen.ip().is_loopback() {
            return Self(None);
        }
        let own = ["localhost".to_owned(), "127.0.0.1".to_owned(), "[::1]".to_owned(), bare(&listen.to_string())];
        Self(Some(allowed.iter().map(|host| bare(host)).chain(own).collect()))
    }

    fn admit(&self, host: &str) -> bool {
        self.0.as_ref().is_none_or(|hosts| hosts.contains(&bare(host)))
    }
}

/// Returns the host in lower case without its port. A text with a user name is not a host (RFC
/// 9110, 4.2.4), and stays as it is.
fn bare(host: &str) -> String {
    let authority = host.parse::<Authority>().ok().filter(|authority| !authority.as_str().contains('@'));
    authority.as_ref().map_or(host, Authority::host).to_ascii_lowercase()
}

/// Refuses requests for other hosts and requests without a host.
pub(crate) async fn layer(
    Extracted(hosts): Extracted<Hosts>,
    request: Request,
    next: Next,
) -> Result<Response, RequestError> {
    let refused = |what| Err(RequestError::because(Code::BadRequest, what));
    match host_of(request.uri(), request.headers()) {
        Some(host) if hosts.admit(host) => Ok(next.run(request).await),
        Some(_) => refused("the request is for another host; see the setting `allowed_hosts`"),
        None => refused("the request names no host"),
    }
}

/// Returns the host in the target of the request, where HTTP/2 has it, or in the only `Host`
/// header.
fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    if let Some(authority) = uri.authority() {
        return Some(authority.as_str());
    }
    let mut values = headers.get_all(header::HOST).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    value.to_str().ok().filter(|host| !host.is_empty())
}
