//! The refusal of a request: a [`Problem`] on its way to the client.
//!
//! Handlers and extractors return a refusal with `?`. It becomes a response without a body. The
//! outermost layer, [`exchange::layer`](super::exchange::layer), writes the body in the format that
//! the client accepts.

use std::time::Duration;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{environment::NoRandomness, health::StoreFault};
use crate::{
    api::{Code, Problem},
    error::StoreError,
    names::InvalidName,
};

/// The time after which a client tries again if the database is away. A failover takes seconds.
const AWAY: Duration = Duration::from_secs(1);

/// The time after which a client tries again if the disk takes no writes. An operator has to repair
/// the disk.
const FAULTY: Duration = Duration::from_secs(10);

/// The reason why the server refuses a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestError(pub(crate) Box<Problem>);

impl RequestError {
    /// Returns a refusal that explains the error in the request.
    pub(crate) fn because(code: Code, detail: impl std::fmt::Display) -> Self {
        Problem::new(code).because(detail).into()
    }

    /// Returns a refusal because the store takes no writes.
    pub(crate) fn faulty(fault: StoreFault) -> Self {
        let wait = if fault == StoreFault::Away { AWAY } else { FAULTY };
        let Self(problem) = Self::for_now(Code::Unavailable, wait);
        Problem { detail: Some(fault.reason().to_owned()), ..*problem }.into()
    }

    /// Returns a refusal that ends after `wait`.
    pub(crate) fn for_now(code: Code, wait: Duration) -> Self {
        // The number is rounded up, so the server admits a client that waits for this time.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Problem { retry_after: Some(seconds.max(1)), ..Problem::new(code) }.into()
    }
}

impl From<Problem> for RequestError {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<Code> for RequestError {
    fn from(code: Code) -> Self {
        Problem::new(code).into()
    }
}

impl From<StoreError> for RequestError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        match StoreFault::of(&error) {
            StoreFault::Failed => Code::Internal.into(),
            // The fault may end, and then the client can send the same request again.
            fault => Self::faulty(fault),
        }
    }
}

impl From<NoRandomness> for RequestError {
    fn from(error: NoRandomness) -> Self {
        tracing::error!(%error, "cannot make a token");
        Code::Internal.into()
    }
}

impl From<InvalidName> for RequestError {
    fn from(error: InvalidName) -> Self {
        Self::because(Code::BadRequest, error)
    }
}

impl IntoResponse for RequestError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
