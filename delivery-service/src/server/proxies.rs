//! Proxies in front of the server, and the clients behind them.
//!
//! The server believes a header with the address of the client only if a proxy sends it that the
//! operator has named. Otherwise a client could show another address with each request. Proxies
//! append to the header. So the server reads it from the end, up to the first address that is not a
//! proxy. The client itself may have written everything before that.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

use axum::http::{HeaderMap, HeaderName, header};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// An address, or a network of addresses: `192.0.2.1`, `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

/// The text is not a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an address nor a network such as `192.0.2.0/24`")]
pub struct InvalidNetwork(String);

impl Network {
    /// The networks that contain all addresses together.
    pub(crate) fn everything() -> [Self; 2] {
        let v4 = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);
        [Self(v4.into()), Self(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0).into())]
    }

    /// True if the network contains every address.
    pub fn is_everything(self) -> bool {
        self.0.prefix_len() == 0
    }

    fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(|network| Self(network.trunc())).map_err(|_| InvalidNetwork(text.to_owned()))
    }
}

impl TryFrom<String> for Network {
    type Error = InvalidNetwork;

    fn try_from(text: String) -> Result<Self, InvalidNetwork> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

/// The trusted proxies. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies(Arc<[Network]>);

impl Proxies {
    pub(crate) fn new(networks: &[Network]) -> Self {
        Self(networks.into())
    }

    /// True if the server believes this address the addresses of its clients.
    pub(crate) fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }

    /// Returns the address of the client of a request that arrived on a connection from `peer`.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trust(peer) {
            return peer;
        }
        let forwarded = self.follow(peer, headers, &header::FORWARDED, forwarded_for);
        let by_custom = self.follow(peer, headers, &X_FORWARDED_FOR, address);
        match (forwarded, by_custom) {
            // The proxy writes one of the two headers, and passes the other one on as the client
            // has written it.
            (Some(one), Some(other)) if one != other => peer,
            (Some(client), _) | (None, Some(client)) => client,
            (None, None) => peer,
        }
    }

    /// Returns the client's address by the header `name`: the last address that is not a proxy, or
    /// else the farthest known proxy. Returns `None` if the header is missing.
    fn follow(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
        name: &HeaderName,
        read: fn(&str) -> Option<IpAddr>,
    ) -> Option<IpAddr> {
        headers.get(name)?;
        let mut farthest = peer;
        for value in headers.get_all(name).iter().rev() {
            // A value that is not text contains no address.
            for hop in value.to_str().unwrap_or_default().rsplit(',') {
                match read(hop.trim()) {
                    Some(proxy) if self.trust(proxy) => farthest = proxy,
                    Some(client) => return Some(client),
                    None => return Some(farthest),
                }
            }
        }
        Some(farthest)
    }
}

/// Returns the address in one element of `Forwarded` (RFC 7239, 4). A comma or a semicolon in
/// quotes splits the element into pieces. No such piece can be read, because its quotes are not in
/// pairs.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in element.split(';') {
        let (name, value) = pair.trim().split_once('=')?;
        let value = unquoted(value)?;
        if name.eq_ignore_ascii_case("for") && found.replace(address(value)?).is_some() {
            return None;
        }
    }
    found
}

fn unquoted(value: &str) -> Option<&str> {
    let inner = match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => value,
    };
    (!inner.contains(['"', '\\'])).then_some(inner)
}

/// Parses an address, which may be in brackets or have a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse().map(|at: SocketAddr| at.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let networks = ["192.0.2.1", "10.0.0.0/8", "2001:db8::/32"].map(|text| text.parse().unwrap());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Proxies::new(&networks).client(peer.parse().unwrap(), &map).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        for header in [("x-forwarded-for", "198.51.100.7"), ("forwarded", "for=198.51.100.7")] {
            assert_eq!(client("192.0.2.2", &[header]), "192.0.2.2");
            assert_eq!(client("2001:db9::1", &[header]), "2001:db9::1");
            for proxy in ["192.0.2.1", "::ffff:192.0.2.1", "10.9.9.9", "2001:db8::1"] {
                assert_eq!(client(proxy, &[header]), "198.51.100.7");
            }
        }
    }

    #[test]
    fn addresses_that_the_client_wrote_do_not_count() {
        let by = |value: &str| client("192.0.2.1", &[("x-forwarded-for", value)]);
        assert_eq!(by("203.0.113.1, 198.51.100.7"), "198.51.100.7");
        assert_eq!(by("203.0.113.1, 198.51.100.7, 10.0.0.3, 2001:db8::2"), "198.51.100.7");
        assert_eq!(by("rubbish, 10.0.0.3"), "10.0.0.3");
        assert_eq!(by("198.51.100.7, unknown"), "192.0.2.1");
        assert_eq!(by(""), "192.0.2.1");
        assert_eq!(by("10.0.0.4, 10.0.0.3"), "10.0.0.4");
        let twice = [("x-forwarded-for", "203.0.113.1"), ("x-forwarded-for", "198.51.100.7")];
        assert_eq!(client("192.0.2.1", &twice), "198.51.100.7");
    }

    #[test]
    fn addresses_are_read_as_proxies_write_them() {
        let by = |value: &str| client("192.0.2.1", &[("forwarded", value)]);
        assert_eq!(by("for=198.51.100.7;proto=https;by=10.0.0.1"), "198.51.100.7");
        assert_eq!(by("For=\"198.51.100.7:4711\""), "198.51.100.7");
        assert_eq!(by("for=203.0.113.1, for=\"[2001:db9::7]:4711\""), "2001:db9::7");
        assert_eq!(by("proto=https;for=\"[::ffff:198.51.100.7]\""), "198.51.100.7");
        let by = |value: &str| client("192.0.2.1", &[("x-forwarded-for", value)]);
        for value in ["198.51.100.7:80", "::ffff:198.51.100.7"] {
            assert_eq!(by(value), "198.51.100.7");
        }
        assert_eq!(by("[2001:db9::7]:80"), "2001:db9::7");
    }

    #[test]
    fn unreadable_headers_count_as_the_address_of_the_proxy() {
        for value in [
            "for=unknown",
            "for=_hidden",
            "for=198.51.100.7;for=203.0.113.1",
            "proto=https",
            "for",
            // The name of a host with a comma in it, as the proxy quotes it.
            "for=198.51.100.7;host=\"a,for=203.0.113.1\"",
            "for=198.51.100.7;host=\"a,for=203.0.113.1;x=\\\"b\"",
            "for=198.51.100.7;host=\"a;for=203.0.113.1\"",
            // A quote that the client has left open.
            "for=\", for=\"198.51.100.7",
        ] {
            assert_eq!(client("192.0.2.1", &[("forwarded", value)]), "192.0.2.1", "{value}");
        }
    }

    #[test]
    fn headers_that_disagree_are_ignored() {
        let both = |one: &str, other: &str| client("192.0.2.1", &[("forwarded", one), ("x-forwarded-for", other)]);
        assert_eq!(both("for=203.0.113.1", "198.51.100.7"), "192.0.2.1");
        assert_eq!(both("for=198.51.100.7", "203.0.113.1, 198.51.100.7"), "198.51.100.7");
    }

    #[test]
    fn networks_are_printed_in_a_form_that_can_be_read() {
        for (text, written) in [("192.0.2.1", "192.0.2.1"), ("10.1.2.3/8", "10.0.0.0/8"), ("::1", "::1")] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), written);
        }
        for text in ["", "10.0.0.0/33", "example.org", "10.0.0/8", "192.0.2.1:80"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
