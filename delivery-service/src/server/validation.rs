//! Checks that the settings make sense together. The operator has to confirm dangerous settings
//! with a second setting, and the check refuses settings that cannot work.

use std::fmt;

use axum::http::uri::Authority;
use tracing_subscriber::EnvFilter;

use super::{
    database::Database,
    memory::large_bytes,
    price::Price,
    settings::{ClusterSettings, RegistrationMode, Settings},
    sizes::{body_bytes, max_request_bytes},
};
use crate::store::postgres::{PostgresUrl, PostgresUrlError};

/// The levels of the log, as the setting names them.
const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

/// The shortest lease in seconds. An owner shows every second that it works.
const SHORTEST_LEASE: u64 = 2;

/// The memory of a request beside its body: its headers, its names, a page that it reads.
const ROOM_BESIDE_BODY: usize = 256 * 1024;

/// A setting with an invalid value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSetting {
    /// The setting.
    pub key: &'static str,
    /// The fault.
    pub problem: String,
    /// The remedy.
    pub remedy: &'static str,
}

impl fmt::Display for InvalidSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}. {}", self.key, self.problem, self.remedy)
    }
}

/// Returns all invalid settings.
pub fn check(settings: &Settings) -> Vec<InvalidSetting> {
    let mut found = Vec::new();
    let mut say = |key, problem: String, remedy| found.push(InvalidSetting { key, problem, remedy });
    addresses(settings, &mut say);
    if settings.trusted_proxies.iter().any(|network| network.is_everything()) {
        say(
            "trusted_proxies",
            "the network contains all addresses, so every client could choose the address that the server sees"
                .to_owned(),
            "Set the addresses of the proxies, or a network that contains only proxies",
        );
    }
    if let Database::Postgres(url) = &settings.database
        && let Err(error) = PostgresUrl::parse(url)
    {
        database(&error, &mut say);
    }
    cluster(settings, &mut say);
    registration(settings, &mut say);
    for (key, value) in positive(settings) {
        if value == 0 {
            say(key, "0 lets nothing through".to_owned(), "Set at least 1");
        }
    }
    if settings.limits.ordering.rollback_percent > 100 {
        say(
            "limits.ordering.rollback_percent",
            "a percentage is at most 100".to_owned(),
            "Set 0 to 100; with 100 the service takes no commit back",
        );
    }
    if let Some(problem) = log_level(&settings.log.level) {
        say("log.level", problem, "Set `error`, `warn`, `info`, `debug`, or directives such as `warn,hyper=debug`");
    }
    memory(settings, &mut say);
    if let Some(host) = settings.allowed_hosts.iter().find(|host| !is_host(host)) {
        say(
            "allowed_hosts",
            format!("`{host}` is not a host"),
            "Set names such as `chat.example.org`, or addresses, without a scheme, a port or a path",
        );
    }
    if let Some(host) = settings.wake_up.hosts.iter().find(|host| !is_authority(host)) {
        say(
            "wake_up.hosts",
            format!("`{host}` is not a host"),
            "Set names such as `push.example.org`, with a port such as `:8443` unless it is 443, and without a scheme or a path",
        );
    }
    found
}

fn is_authority(host: &str) -> bool {
    let is_bare = |authority: Authority| !authority.as_str().contains('@') && authority.port_u16() != Some(443);
    host.parse::<Authority>().is_ok_and(is_bare)
}

fn is_host(host: &str) -> bool {
    host.parse::<Authority>().is_ok_and(|authority| authority.port().is_none() && authority.host() == host)
}

/// Returns the fault of the log's level. Without this check, a mistyped level would silence the
/// log: `tracing` reads an unknown word as the name of a module, and writes the lines of that
/// module only.
fn log_level(text: &str) -> Option<String> {
    for directive in text.split(',').map(str::trim) {
        let word = directive.rsplit_once('=').map_or(directive, |(_, level)| level).to_ascii_lowercase();
        let is_filter = directive.contains(['[', '{', '/']);
        if !is_filter && !LEVELS.contains(&word.as_str()) {
            let nearest = LEVELS
                .iter()
                .max_by(|one, other| strsim::jaro_winkler(one, &word).total_cmp(&strsim::jaro_winkler(other, &word)));
            let nearest = nearest.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"));
            return Some(format!("`{directive}` is no level{nearest}"));
        }
    }
    EnvFilter::try_new(text).err().map(|error| error.to_string())
}

/// Checks that the budgets hold the largest request. Otherwise the server could never accept it.
fn memory(settings: &Settings, say: &mut impl FnMut(&'static str, String, &'static str)) {
    let limits = &settings.limits;
    let largest = max_request_bytes(limits.ordering.max_body_bytes);
    let needed = body_bytes(largest) + ROOM_BESIDE_BODY;
    if limits.device_memory_bytes < needed {
        say(
            "limits.device_memory_bytes",
            format!("the largest request takes {needed} bytes"),
            "Set at least as much, or less for `limits.ordering.max_body_bytes`",
        );
    }
    if large_bytes(limits.memory_bytes) < limits.device_memory_bytes {
        say(
            "limits.memory_bytes",
            "it is too little for one device".to_owned(),
            "Set eight times `limits.device_memory_bytes`",
        );
    }
    let units = Price::Bytes(largest).units() + 1;
    if limits.device_burst < units {
        say(
            "limits.device_burst",
            format!("the largest request costs {units} units"),
            "Set at least as much, or less for `limits.ordering.max_body_bytes`",
        );
    }
}

fn addresses(settings: &Settings, say: &mut impl FnMut(&'static str, String, &'static str)) {
    let Settings { listen, listen_operators, tls, plain_http_anywhere, .. } = settings;
    if !listen.ip().is_loopback() && tls.is_none() && !plain_http_anywhere {
        say(
            "listen",
            format!("{listen} can be reached from other machines, and there is no TLS"),
            "Set `tls.certificate` and `tls.key`, or `plain_http_anywhere = true` behind a proxy that ends TLS",
        );
    }
    if listen == listen_operators && listen.port() != 0 {
        say("listen_operators", format!("devices connect to {listen}"), "Set another port");
    }
}

/// Explains the fault of a database's address. The message does not repeat the address, because it
/// may contain a password.
fn database(error: &PostgresUrlError, say: &mut impl FnMut(&'static str, String, &'static str)) {
    let remedy = match error {
        PostgresUrlError::Password => "Leave it out, and name a file with it in `postgres.password_file`",
        PostgresUrlError::Prefer => "Set `sslmode=require`, or `sslmode=disable` on a network that you trust",
        PostgresUrlError::Missing(_) | PostgresUrlError::NoHostName | PostgresUrlError::Unreadable(_) => {
            "Set an address such as `postgres://regrow@db.example/regrow`"
        }
    };
    say("database", error.to_string(), remedy);
}

fn cluster(settings: &Settings, say: &mut impl FnMut(&'static str, String, &'static str)) {
    let Some(ClusterSettings { listen, advertise, lease_seconds, .. }) = &settings.cluster else {
        return;
    };
    if let Database::File(path) = &settings.database {
        say(
            "database",
            format!("the nodes of a cluster cannot share the file {}", path.display()),
            "Set the address of a PostgreSQL database, or leave out `[cluster]`",
        );
    }
    // The system gives each address with port 0 a port of its own.
    let is_taken = *listen == settings.listen || *listen == settings.listen_operators;
    if is_taken && listen.port() != 0 {
        say("cluster.listen", format!("{listen} is the address of other requests"), "Set another port");
    }
    match advertise {
        None if listen.ip().is_unspecified() => say(
            "cluster.advertise",
            format!("other nodes cannot connect to {listen}"),
            "Set the host and the port under which other nodes reach this one, such as `node1.example:8767`",
        ),
        Some(advertise) if !advertise.parse::<Authority>().is_ok_and(|node| node.port().is_some()) => say(
            "cluster.advertise",
            format!("`{advertise}` is no host with a port"),
            "Set a host and a port such as `node1.example:8767`, without a scheme or a path",
        ),
        _ => {}
    }
    if *lease_seconds < SHORTEST_LEASE {
        say(
            "cluster.lease_seconds",
            format!("{lease_seconds} is shorter than the pause between two signs of life"),
            "Set at least 2",
        );
    }
}

fn registration(settings: &Settings, say: &mut impl FnMut(&'static str, String, &'static str)) {
    match &settings.registration {
        RegistrationMode::Open { anywhere } => {
            if !anywhere && !settings.listen.ip().is_loopback() {
                say(
                    "registration.mode",
                    format!("`open` lets everybody register who can reach {}", settings.listen),
                    "Set `token` or `jwt`, or `registration.anywhere = true` if everybody may register",
                );
            }
        }
        RegistrationMode::Token => {}
        RegistrationMode::Jwt { issuer, audience, jwks, jwks_authorities, jwks_refresh_seconds } => {
            if *jwks_refresh_seconds == 0 {
                say(
                    "registration.jwks_refresh_seconds",
                    "with 0 the server fetches the keys for each request".to_owned(),
                    "Set at least 1",
                );
            }
            for (key, value) in [("registration.issuer", issuer), ("registration.audience", audience)] {
                if value.is_empty() {
                    say(key, "it is empty".to_owned(), "Set the value that the issuer writes into its tokens");
                }
            }
            jwks_place(jwks, say);
            if jwks_authorities.is_some() && !jwks.contains("://") {
                say(
                    "registration.jwks_authorities",
                    "the keys are in a file".to_owned(),
                    "Leave it out, or set `registration.jwks` to an address that begins with `https://`",
                );
            }
        }
    }
}

/// Checks the place of the keys. The message does not repeat the place, because it may contain a
/// password.
fn jwks_place(jwks: &str, say: &mut impl FnMut(&'static str, String, &'static str)) {
    const KEY: &str = "registration.jwks";
    let remedy = "Set a file, or an address that begins with `https://`";
    let Some((scheme, rest)) = jwks.split_once("://") else {
        if jwks.is_empty() {
            say(KEY, "it is empty".to_owned(), remedy);
        }
        return;
    };
    if scheme != "https" {
        say(KEY, "without TLS, an attacker could replace the keys".to_owned(), remedy);
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        say(
            KEY,
            "the address contains a user name or a password".to_owned(),
            "Public keys need no password: leave it out",
        );
    }
}

fn positive(settings: &Settings) -> Vec<(&'static str, u64)> {
    macro_rules! values {
        ($limits:expr, $prefix:literal: $($field:ident),* $(,)?) => {
            [$((concat!($prefix, stringify!($field)), u64::try_from($limits.$field).unwrap_or(u64::MAX))),*]
        };
    }
    let mut positive = Vec::from(values!(settings.limits, "limits.":
        device_requests_per_second, device_burst, address_requests_per_second, address_burst,
        claims_per_device_and_hour, streams_per_device, streams, connections, connections_per_address,
        connections_per_device, memory_bytes, device_memory_bytes, write_seconds, requests_per_connection, header_bytes, handshake_seconds, header_seconds, ping_seconds, request_seconds,
        challenge_seconds, session_seconds, queue,
    ));
    positive.extend(values!(settings.limits.ordering, "limits.ordering.":
        max_body_bytes, max_devices_per_group, max_devices_per_user, max_device_list_entries, max_queue_bytes, max_stored_bytes_per_user,
        max_ended_groups_per_user,
        max_key_packages_per_device, max_open_claims_per_user,
        max_open_claims_per_target, max_open_invitations_per_user, max_queue_length, max_groups_per_device,
        retention_seconds,
    ));
    positive
}
