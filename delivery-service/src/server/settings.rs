//! The settings of an operator. Every field has a default with which the server works on loopback.
//!
//! This module contains plain values. `config` reads them from their sources, and `validation`
//! checks them.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{database::Database, proxies::Network};
use crate::limits::Limits;

/// All settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The address for devices. Default `127.0.0.1:8765`.
    pub listen: SocketAddr,
    /// The address for operators' programs: `/metrics`, `/healthz` and `/readyz`, without TLS.
    /// Default `127.0.0.1:8766`.
    pub listen_operators: SocketAddr,
    /// The store: a file, or the address of a PostgreSQL database, which begins with `postgres://`.
    /// Default the file `regrow-ds.db` in the working directory.
    pub database: Database,
    /// The files for connections to a PostgreSQL database.
    pub postgres: PostgresSettings,
    /// The cluster that this server is a node of. Default: the server is alone.
    pub cluster: Option<ClusterSettings>,
    /// True if the server may listen without TLS on other addresses than loopback, behind a proxy
    /// that ends TLS. Session tokens go over that connection in the clear. Default false.
    pub plain_http_anywhere: bool,
    /// Trusted proxies: the server believes them the address of the client, in `Forwarded` or
    /// `X-Forwarded-For`. Each is an address, or a network such as `10.0.0.0/8`. Default none.
    pub trusted_proxies: Vec<Network>,
    /// Hosts that a request may name, without a port, beside the address of `listen` and loopback.
    /// Default none: then a server on loopback accepts only loopback, and any other server accepts
    /// every host.
    pub allowed_hosts: Vec<String>,
    /// Seconds that the running requests have after the server is told to stop. Default 30.
    pub drain_seconds: u64,
    /// Seconds for which a wall clock that has jumped has to agree with the monotonic clock. Until
    /// then the server deletes nothing because of its age. Default 3,600.
    pub clock_confirm_seconds: u64,
    /// TLS. Without it, the server listens on loopback only, unless `plain_http_anywhere` is true.
    pub tls: Option<Tls>,
    /// The devices that may register. Default: `open`, on loopback only.
    pub registration: RegistrationMode,
    /// Calls to sleeping devices.
    pub wake_up: WakeUpSettings,
    /// Limits for the costs of one client.
    pub limits: ServerLimits,
    /// The content and the format of the log.
    pub log: LogSettings,
}

/// The files for connections to a PostgreSQL database.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresSettings {
    /// The file with the password. Default: the login needs no password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The certificate authorities, in PEM, for the certificate of the database. Default: the
    /// authorities that the platform trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorities: Option<PathBuf>,
}

/// A cluster: several servers, its nodes, over one PostgreSQL database.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterSettings {
    /// The address for the other nodes.
    pub listen: SocketAddr,
    /// The address under which the other nodes reach `listen`: a host and a port. Default `listen`
    /// itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertise: Option<String>,
    /// The file with the secret that all nodes share, and nobody else has.
    pub secret_file: PathBuf,
    /// Seconds after which another node takes the store if its owner gives no sign of life. Default
    /// 5.
    #[serde(default = "lease_seconds")]
    pub lease_seconds: u64,
    /// True if this node may join nodes with other settings. Its own settings hold from the time
    /// at which it takes the store. Default false.
    #[serde(default)]
    pub replace_settings: bool,
}

fn lease_seconds() -> u64 {
    5
}

/// TLS.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate and its chain, in PEM. The server reads them again when they change.
    pub certificate: PathBuf,
    /// The private key, in PEM.
    pub key: PathBuf,
}

/// Calls to sleeping devices.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WakeUpSettings {
    /// The hosts that devices may name for calls, with a port if it is not 443. Default none: then
    /// the server calls no device.
    pub hosts: Vec<String>,
}

/// The devices that may register.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "mode", deny_unknown_fields)]
pub enum RegistrationMode {
    /// Every device that can connect. Only on loopback, unless `anywhere` is true.
    Open {
        /// True if `open` also holds for a server that listens elsewhere than on loopback. Default
        /// false.
        #[serde(default)]
        anywhere: bool,
    },
    /// Devices with an invitation of `regrow-ds invite`. An invitation is good for one device.
    #[default]
    Token,
    /// Devices with a JSON Web Token of the operator's issuer. `sub` is the user.
    Jwt {
        /// The required `iss`.
        issuer: String,
        /// The value that `aud` has to contain.
        audience: String,
        /// The issuer's keys (RFC 7517): a file, or an address that begins with `https://`.
        jwks: String,
        /// The certificate authorities, in PEM, for the certificate at that address. Default: the
        /// authorities that the platform trusts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        jwks_authorities: Option<PathBuf>,
        /// Seconds after which the server fetches the keys again. A withdrawn key is valid until
        /// then. Default 300.
        #[serde(default = "jwks_refresh_seconds")]
        jwks_refresh_seconds: u64,
    },
}

fn jwks_refresh_seconds() -> u64 {
    300
}

/// Limits for the costs of one client. Limits for stored data are in `ordering`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerLimits {
    /// The limits of the ordering rules.
    pub ordering: Limits,
    /// Bytes that bodies and answers may take together in the memory of the server. An eighth is
    /// for requests without a session. Default 256 MiB.
    pub memory_bytes: usize,
    /// The part of `memory_bytes` for one device, and for one connection. Default 32 MiB: the
    /// largest request, its decoded copy, and half as much again.
    pub device_memory_bytes: usize,
    /// Cost units of one device per second, over time. A request costs one unit, and its body and
    /// its effects may cost more. Default 50.
    pub device_requests_per_second: u32,
    /// Cost units of one device at once. Default 200: the largest request costs 172.
    pub device_burst: u32,
    /// Requests without a session of one address per second, over time. Default 10.
    pub address_requests_per_second: u32,
    /// Requests without a session of one address at once. Default 50.
    pub address_burst: u32,
    /// Key packages of one device that one other device may claim in an hour. Default 10.
    pub claims_per_device_and_hour: u32,
    /// Streams and long polls of one device at a time. Default 4.
    pub streams_per_device: usize,
    /// Streams and long polls in all. Default 20,000.
    pub streams: usize,
    /// Connections at a time. Default 25,000.
    pub connections: usize,
    /// Connections of one address at a time, except of a trusted proxy. Default 500.
    pub connections_per_address: usize,
    /// Connections of one device at a time, except those through a trusted proxy. Default 16.
    pub connections_per_device: usize,
    /// Requests at a time on one HTTP/2 connection. A stream counts as one as long as it is open.
    /// Default 64.
    pub requests_per_connection: u32,
    /// Bytes of all headers of one request. Default 32,768.
    pub header_bytes: u32,
    /// Seconds that a client has for the TLS handshake. Default 10.
    pub handshake_seconds: u64,
    /// Seconds that the headers of a request may take to arrive. The server also closes an HTTP/1.1
    /// connection that has had no request for as long. Default 30.
    pub header_seconds: u64,
    /// Seconds of silence after which the server sends a ping to an HTTP/2 client. A client that
    /// does not answer within the same time loses its connection. Default 30.
    pub ping_seconds: u64,
    /// Seconds that a request may take to arrive. Default 30.
    pub request_seconds: u64,
    /// Seconds that a client has to take the next piece of an answer (16 KiB). Default 30.
    pub write_seconds: u64,
    /// Seconds until a challenge expires. Default 60.
    pub challenge_seconds: u64,
    /// Seconds until a session expires. Default 3,600.
    pub session_seconds: u64,
    /// Requests that wait for the store. Further requests get the answer 503. Default 4,096.
    pub queue: usize,
}

/// The log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// `off`, `error`, `warn`, `info`, `debug`, `trace`, or directives as in `RUST_LOG`. Default
    /// `info`.
    pub level: String,
    /// `text` or `json`. Default `text`.
    pub format: LogFormat,
}

/// The format of the log.
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
            database: Database::from("regrow-ds.db"),
            postgres: PostgresSettings::default(),
            cluster: None,
            plain_http_anywhere: false,
            trusted_proxies: Vec::new(),
            allowed_hosts: Vec::new(),
            drain_seconds: 30,
            clock_confirm_seconds: 3_600,
            tls: None,
            registration: RegistrationMode::Open { anywhere: false },
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
