//! What is written of each request: a number, a route's template, a status and how long it took.
//!
//! No line has the name of a user, a device or a group in clear, nor a token, an address or a path as it was asked for.
//! The number is the answer's `X-Request-Id` as well, so that whoever complains can be helped.

use std::{fmt::Write as _, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method},
    middleware::Next,
    response::Response,
};
use tracing::{Instrument as _, Level};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter, util::SubscriberInitExt as _};

pub use super::log_writer::{LogWriter, lines_lost};
use super::{
    metrics::{Metrics, StatusClass},
    settings::{LogFormat, LogSettings},
};

/// The header that carries a request's number.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest number that is taken from a client: a UUID is shorter.
const LONGEST_ID: usize = 64;
const SHORTEST_ID: usize = 8;

/// What a route is called that does not exist.
const NO_ROUTE: &str = "none";

/// The log cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is none.
    #[error("the log's level is not understood: {0}")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// There is a log already.
    #[error("the log is being written by something else: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Which lines are written. A level alone is that of our own lines: libraries' are written from `warn` on, for below
/// that they repeat what clients sent. Directives, as in `RUST_LOG`, are taken at their word.
fn filter(level: &str) -> Result<EnvFilter, LogError> {
    match level.parse::<Level>() {
        Ok(level) => {
            let name = level.as_str().to_lowercase();
            Ok(EnvFilter::try_new(format!("warn,regrow_delivery_service={name},regrow_ds={name}"))?)
        }
        Err(_) => Ok(EnvFilter::try_new(level)?),
    }
}

/// Writes the log to `writer` from now on.
///
/// # Errors
/// [`LogError`].
pub fn start(log: &LogSettings, writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static) -> Result<(), LogError> {
    subscriber(log, writer)?.try_init()?;
    // What a panic says may repeat what it tripped over.
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(at, "a mistake of ours: panicked");
    }));
    Ok(())
}

/// What [`start`] writes with: for a test, that has many logs in one process.
///
/// # Errors
/// [`LogError::Level`].
pub fn subscriber(
    log: &LogSettings,
    writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
) -> Result<Box<dyn tracing::Subscriber + Send + Sync>, LogError> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(&log.level)?)
        .with_writer(writer)
        // It would be printed to the standard error, and panic where that is broken.
        .log_internal_errors(false)
        .with_ansi(false);
    Ok(match log.format {
        LogFormat::Text => Box::new(lines.finish()),
        LogFormat::Json => Box::new(lines.json().flatten_event(true).finish()),
    })
}

/// Middleware around every route: numbers, counts and logs the request. For `axum::middleware::from_fn_with_state`, as the
/// last layer of the router, so that it sees what all others answer.
pub async fn follow(State(metrics): State<Metrics>, mut request: Request, next: Next) -> Response {
    let id = request.headers().get(&REQUEST_ID).filter(|id| is_sane(id)).cloned().or_else(fresh_id);
    let route = request.extensions().get::<MatchedPath>().map_or(NO_ROUTE, MatchedPath::as_str).to_owned();
    let method = method_name(request.method());
    let span = tracing::info_span!("request", id = id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default());
    if let Some(id) = &id {
        request.headers_mut().insert(REQUEST_ID, id.clone());
    }
    let begun = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let took = begun.elapsed();
    let status = response.status();
    metrics.request(method, &route, StatusClass::of(status), took);
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    span.in_scope(|| {
        if status.is_server_error() {
            tracing::error!(method, route, status = status.as_u16(), micros, "answered");
        } else {
            tracing::info!(method, route, status = status.as_u16(), micros, "answered");
        }
    });
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Whether a client's number can be written to the log: one that looks like a UUID or another random number, for in
/// anything else there may be a name.
fn is_sane(id: &HeaderValue) -> bool {
    let id = id.as_bytes();
    (SHORTEST_ID..=LONGEST_ID).contains(&id.len()) && id.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
}

fn fresh_id() -> Option<HeaderValue> {
    let mut bytes = [0; 16];
    // Without randomness, the request has no number.
    getrandom::fill(&mut bytes).ok()?;
    let mut id = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(id, "{byte:02x}");
    }
    HeaderValue::from_str(&id).ok()
}

/// A client can send any word as its method.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
