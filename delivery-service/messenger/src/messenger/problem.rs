//! The service's problems, divided into problems that decide a request and problems that pass.

use crate::{
    RejectCode,
    api::{Code, Problem},
    error::{ConnectionError, Error},
};

/// Separates a decision of the service from a failure that passes.
///
/// The inner result is the decision: the body of the response, or a problem that repeating the
/// request does not change.
///
/// # Errors
/// A failure that passes, such as a service that cannot be reached.
pub(super) fn decided<T>(response: Result<T, ConnectionError>) -> Result<Result<T, Problem>, Error> {
    match response {
        Ok(body) => Ok(Ok(body)),
        Err(ConnectionError::Problem(problem)) => match problem.code {
            Code::BadRequest
            | Code::Forbidden
            | Code::NotFound
            | Code::GroupExists
            | Code::Stale
            | Code::TooLarge
            | Code::Rejected
            | Code::LimitReached => Ok(Err(*problem)),
            _ => Err((*problem).into()),
        },
        Err(other) => Err(other.into()),
    }
}

/// True if the service says that the device and the group are in different epochs.
pub(super) fn is_other_epoch(problem: &Problem) -> bool {
    problem.code == Code::Stale || problem.reject_code() == Some(RejectCode::EpochAhead)
}

/// True if the service says that the device is not in the group.
pub(super) fn is_outside(problem: &Problem) -> bool {
    matches!(problem.code, Code::NotFound | Code::Forbidden)
        || matches!(
            problem.reject_code(),
            Some(RejectCode::NotAMember | RejectCode::UnknownGroup | RejectCode::Removed)
        )
}

/// True if the service has refused a request because this device has made too many.
pub(super) fn is_too_many(error: &ConnectionError) -> bool {
    error.code() == Some(Code::TooManyRequests)
}

/// True if the service refuses a claim because this device has claimed key packages of one device
/// too often. The refusal delays only the intent that needs the claim.
pub(super) fn is_too_many_claims(error: &ConnectionError) -> bool {
    error.code() == Some(Code::ClaimedTooOften)
}
