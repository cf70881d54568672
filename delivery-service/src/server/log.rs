//! The log of requests: for each request its number, the template of its route, its status and its
//! duration.
//!
//! No line contains the name of a user, a device or a group in clear, a token, an address, or the
//! path of a request. The answer repeats the number in `X-Request-Id`, so that operators can find
//! the request of a user who reports a problem.

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

/// The header with the number of a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest number that the server accepts from a client. A UUID is shorter.
const LONGEST_ID: usize = 64;
const SHORTEST_ID: usize = 8;

/// The name of the route of a request without a route.
const NO_ROUTE: &str = "none";

/// The reason why the log cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is invalid.
    #[error("`log.level` is invalid: {0}")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// The process already writes a log.
    #[error("the process already writes a log: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Returns the filter for a level or for directives. A single level applies to the lines of this
/// service. Lines of libraries appear from `warn` on, because lower levels repeat bytes of clients.
/// Directives, as in `RUST_LOG`, apply without changes.
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
    // The message of a panic may repeat bytes of a request, so the log has only the place.
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(at, "the server panicked; this is a bug");
    }));
    Ok(())
}

/// Returns the subscriber of [`start`]. It is for tests, which have many logs in one process.
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
        // The subscriber would print its errors to the standard error, and panic if that is broken.
        .log_internal_errors(false)
        .with_ansi(false);
    Ok(match log.format {
        LogFormat::Text => Box::new(lines.finish()),
        LogFormat::Json => Box::new(lines.json().flatten_event(true).finish()),
    })
}

/// Middleware around every route: it numbers, counts and logs each request. Add it with
/// `axum::middleware::from_fn_with_state` as the last layer of the router, so that it sees the
/// answers of all other layers.
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

/// True if the log may contain this number of a client. It has to look like a UUID or another
/// random number, because any other text may contain a name.
fn is_sane(id: &HeaderValue) -> bool {
    let id = id.as_bytes();
    (SHORTEST_ID..=LONGEST_ID).contains(&id.len()) && id.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
}

fn fresh_id() -> Option<HeaderValue> {
    let mut bytes = [0; 16];
    // If the system provides no random bytes, the request has no number.
    getrandom::fill(&mut bytes).ok()?;
    let mut id = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(id, "{byte:02x}");
    }
    HeaderValue::from_str(&id).ok()
}

/// Returns the name of a method for the log. A client can send any word as its method.
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
