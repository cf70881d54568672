//! The failure of a step, with the code that an expectation can name.

use regrow_delivery_service::StoreError;
use regrow_engine::{BackupError, Error, Refusal};

use crate::{
    report::{Cause, Failure},
    scenario::{FailCode, Place, Placed, Step},
};

/// The reason why a step did not succeed.
#[derive(Debug)]
pub(crate) struct StepFailure {
    pub(crate) code: FailCode,
    pub(crate) detail: String,
}

impl StepFailure {
    pub(crate) fn new(code: FailCode, detail: impl ToString) -> Self {
        Self { code, detail: detail.to_string() }
    }

    /// The delivery service or the simulator refuses the step.
    pub(crate) fn rejected(detail: impl ToString) -> Self {
        Self::new(FailCode::Rejected, detail)
    }

    /// An operation failed that the simulator itself needs, such as a snapshot.
    pub(crate) fn broken(detail: impl ToString) -> Self {
        Self::new(FailCode::InvalidMessage, detail)
    }

    pub(crate) fn into_failure(self, place: Option<Place>) -> Failure {
        let seen = format!("it failed with `{}`: {}", self.code, self.detail);
        let failure = Failure::new(place, "the step succeeds", seen);
        Failure { cause: Cause::Step, code: Some(self.code), ..failure }
    }
}

/// A step that failed, until an expectation asks for the failure or the scenario ends with it.
pub(crate) type FailedStep = Option<(Place, StepFailure)>;

/// Compares the failure of the step before with the failure that the next step asks for. [`None`]
/// if both agree.
pub(crate) fn unexpected(failed: FailedStep, next: &Placed<Step>) -> Option<Failure> {
    let expected = next.item.expect().and_then(|expect| expect.fails);
    match (failed, expected) {
        (Some((_, failure)), Some(code)) if failure.code == code => None,
        (Some((place, failure)), Some(code)) => {
            let expected = format!("the step before fails with `{code}`");
            let seen = format!("{place} failed with `{}`: {}", failure.code, failure.detail);
            Some(Failure { code: Some(failure.code), ..Failure::new(Some(next.place.clone()), expected, seen) })
        }
        (Some((place, failure)), None) => Some(failure.into_failure(Some(place))),
        (None, Some(code)) => {
            let expected = format!("the step before fails with `{code}`");
            Some(Failure::new(Some(next.place.clone()), expected, "it succeeded"))
        }
        (None, None) => None,
    }
}

/// Turns the failure of a contender whose change has become void into a result.
///
/// Each contender could make its change when the race began. If it no longer can, another contender
/// has made the same change, or has removed this one.
pub(crate) fn unless_void<T>(result: Result<T, StepFailure>, void: T) -> Result<T, StepFailure> {
    use FailCode::{AlreadyAMember, NotAMember, NothingToCommit, Removed, UnknownMember};
    match result {
        Err(StepFailure { code: AlreadyAMember | NotAMember | NothingToCommit | Removed | UnknownMember, .. }) => {
            Ok(void)
        }
        result => result,
    }
}

impl From<StoreError> for StepFailure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::DiskFull => Self::new(FailCode::Unavailable, "the disk of the delivery service is full"),
            error => Self::rejected(error),
        }
    }
}

impl From<BackupError> for StepFailure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::WrongPassphrase => Self::new(FailCode::WrongKey, error),
            error => Self::broken(error),
        }
    }
}

impl From<Error> for StepFailure {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::UnknownGroup { .. } => FailCode::NotAMember,
            Error::Removed { .. } => FailCode::Removed,
            Error::Restored { .. } => FailCode::Lost,
            Error::AlreadyMember { .. } | Error::GroupExists { .. } | Error::Refused(Refusal::Duplicate(_)) => {
                FailCode::AlreadyAMember
            }
            Error::UnknownMember { .. } | Error::UnknownUser { .. } => FailCode::UnknownMember,
            Error::Refused(Refusal::Unauthenticated { .. }) => FailCode::Refused,
            Error::Locked => FailCode::Locked,
            Error::WrongKey => FailCode::WrongKey,
            Error::Refused(Refusal::Lifetime { .. }) => FailCode::KeyPackageExpired,
            Error::ProposalsWait => FailCode::ProposalsWait,
            Error::NothingToCommit => FailCode::NothingToCommit,
            Error::CommitPending { .. } | Error::NotPending => FailCode::CommitPending,
            Error::OwnRemoval | Error::NotASuccessor { .. } => FailCode::Rejected,
            _ => FailCode::InvalidMessage,
        };
        Self::new(code, error)
    }
}
