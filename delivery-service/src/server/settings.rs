//! What an operator sets. Every field has a default with which the server works on loopback.
//!
//! These are plain values. Where they come from is in `config`, and whether they make sense is in `validation`.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::proxies::Network;
use crate::limits::Limits;

/// All settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where devices connect. Default `127.0.0.1:8765`.
    pub listen: SocketAddr,
    /// Where operators' programs connect: `/metrics`, `/healthz` and `/readyz`, in the clear. Default `127.0.0.1:8766`.
    pub listen_operators: SocketAddr,
    /// The file of the store. Default `regrow-ds.db` in the working directory.
    pub database: PathBuf,
    /// Listen without TLS elsewhere than on loopback, too: behind a proxy that ends TLS. Session tokens go over that
    /// connection in the clear. Default false.
    pub plain_http_anywhere: bool,
    /// Proxies that are believed where a request comes from, in `Forwarded` or `X-Forwarded-For`: addresses, or networks such
    /// as `10.0.0.0/8`. Default none.
    pub trusted_proxies: Vec<Network>,
    /// Hosts that a request may be for, without a port, beside the address of `listen` and loopback. Default none: then a
    /// server on loopback is asked for loopback alone, and another one for any host.
    pub allowed_hosts: Vec<String>,
    /// Seconds that requests may still take once the server is told to stop. Default 30.
    pub drain_seconds: u64,
    /// Seconds for which a wall clock that has jumped has to agree with the monotonic clock before anything is deleted
    /// because of its age. Default 3,600.
    pub clock_confirm_seconds: u64,
    /// TLS. Without it, the server listens on loopback only, unless it is forced.
    pub tls: Option<Tls>,
    /// Who may register a device.
    pub registration: Registration,
    /// Calls to devices that sleep.
    pub wake_up: WakeUpSettings,
    /// What one client may cost.
    pub limits: ServerLimits,
    /// What is written to the log, and how.
    pub log: LogSettings,
}

/// TLS.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate and its chain, in PEM. Read again when it changes.
    pub certificate: PathBuf,
    /// The private key, in PEM.
    pub key: PathBuf,
}

/// Calls to devices that sleep.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WakeUpSettings {
    /// The hosts that devices may name for calls, with a port if it is not 443. Default none: then no device is called.
    pub hosts: Vec<String>,
}

/// Who may register a device.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "mode", deny_unknown_fields)]
pub enum Registration {
    /// Everybody who can connect. Only on loopback, unless `anywhere` says otherwise.
    Open {
        /// Also when the server listens elsewhere than on loopback. Default false.
        #[serde(default)]
        anywhere: bool,
    },
    /// Who has an invitation of `regrow-ds invite`, each good for one device.
    #[default]
    Token,
    /// Who has a JSON Web Token of the operator's issuer; `sub` is the user.
    Jwt {
        /// What `iss` has to be.
        issuer: String,
        /// What `aud` has to be.
        audience: String,
        /// The issuer's keys (RFC 7517): a file, or an address that begins with `https://`.
        jwks: String,
        /// The authorities, in PEM, that the certificate at that address has to be of. Default those that the platform
        /// trusts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        jwks_authorities: Option<PathBuf>,
        /// Seconds after which the keys are fetched again, so that a withdrawn key stops being good. Default 300.
        #[serde(default = "jwks_refresh_seconds")]
        jwks_refresh_seconds: u64,
    },
}

fn jwks_refresh_seconds() -> u64 {
    300
}

/// What one client may cost the server. (What is kept for clients is in `ordering`.)
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerLimits {
    /// What the ordering rules keep.
    pub ordering: Limits,
    /// Bytes that bodies and answers may take in the server's memory, together. An eighth is for requests without a
    /// session. Default 256 MiB.
    pub memory_bytes: usize,
    /// Bytes of them for one device, and for one connection. Default 32 MiB: the largest request and its decoded copy, and
    /// half as much again.
    pub device_memory_bytes: usize,
    /// Cost units of one device per second, over time: a request costs one, and its body and its effects may cost more.
    /// Default 50.
    pub device_requests_per_second: u32,
    /// Cost units of one device at once. Default 200: the largest body costs 180.
    pub device_burst: u32,
    /// Requests without a session, of one address per second, over time. Default 10.
    pub address_requests_per_second: u32,
    /// Requests without a session, of one address at once. Default 50.
    pub address_burst: u32,
    /// Key packages of one device that one other device may claim in an hour. Default 10.
    pub claims_per_device_and_hour: u32,
    /// Streams and long polls of one device at a time. Default 4.
    pub streams_per_device: usize,
    /// Streams and long polls in all. Default 20,000.
    pub streams: usize,
    /// Connections at a time. Default 25,000.
    pub connections: usize,
    /// Connections of one address at a time, unless it is a trusted proxy's. Default 500.
    pub connections_per_address: usize,
    /// Connections of one device at a time, unless they are a trusted proxy's. Default 16.
    pub connections_per_device: usize,
    /// Requests at a time on one connection, with HTTP/2. A stream counts as one for as long as it is open. Default 64.
    pub requests_per_connection: u32,
    /// Bytes of all headers of one request. Default 32,768.
    pub header_bytes: u32,
    /// Seconds within which a client has to have finished the handshake of TLS. Default 10.
    pub handshake_seconds: u64,
    /// Seconds within which the headers of a request have to have arrived; with HTTP/1.1, after so many without another
    /// request a connection is closed. Default 30.
    pub header_seconds: u64,
    /// Seconds without a sign of life after which a client is asked for one, with HTTP/2. If it gives none in as many, its
    /// connection is closed. Default 30.
    pub ping_seconds: u64,
    /// Seconds within which a request has to have arrived. Default 30.
    pub request_seconds: u64,
    /// Seconds within which a client has to take the next piece of an answer (16 KiB). Default 30.
    pub write_seconds: u64,
    /// Seconds for which a challenge can be signed. Default 60.
    pub challenge_seconds: u64,
    /// Seconds for which a session lasts. Default 3600.
    pub session_seconds: u64,
    /// Requests that wait for the store; beyond them the answer is 503. Default 4,096.
    pub queue: usize,
}

/// The log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// `off`, `error`, `warn`, `info`, `debug`, `trace`, or directives as in `RUST_LOG`. Default `info`.
    pub level: String,
    /// `text` or `json`. Default `text`.
    pub format: LogFormat,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object on each line.
    Json,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8765)),
            listen_operators: SocketAddr::from(([127, 0, 0, 1], 8766)),
            database: "regrow-ds.db".into(),
            plain_http_anywhere: false,
            trusted_proxies: Vec::new(),
            allowed_hosts: Vec::new(),
            drain_seconds: 30,
            clock_confirm_seconds: 3_600,
            tls: None,
            registration: Registration::Open { anywhere: false },
            wake_up: WakeUpSettings::default(),
            limits: ServerLimits::default(),
            log: LogSettings::default(),
        }
    }
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            ordering: Limits::default(),
            memory_bytes: 256 * 1024 * 1024,
            device_memory_bytes: 32 * 1024 * 1024,
            device_requests_per_second: 50,
            device_burst: 200,
            address_requests_per_second: 10,
            address_burst: 50,
            claims_per_device_and_hour: 10,
            streams_per_device: 4,
            streams: 20_000,
            connections: 25_000,
            connections_per_address: 500,
            connections_per_device: 16,
            requests_per_connection: 64,
            header_bytes: 32 * 1024,
            handshake_seconds: 10,
            header_seconds: 30,
            ping_seconds: 30,
            request_seconds: 30,
            write_seconds: 30,
            challenge_seconds: 60,
            session_seconds: 3_600,
            queue: 4_096,
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Text }
    }
}
