//! The failure of a step, with the code that an expectation can name.

use regrow_delivery_service::StoreError;
use regrow_engine::{Error, Refusal};

use crate::{
    report::Failure,
    scenario::{FailCode, Place},
};

/// The reason why a step did not succeed.
#[derive(Debug)]
pub(super) struct StepFailure {
    pub(super) code: FailCode,
    pub(super) detail: String,
}

impl StepFailure {
    pub(super) fn new(code: FailCode, detail: impl ToString) -> Self {
        Self { code, detail: detail.to_string() }
    }

    /// The delivery service or the simulator refuses the step.
    pub(super) fn rejected(detail: impl ToString) -> Self {
        Self::new(FailCode::Rejected, detail)
    }

    /// An operation failed that the simulator itself needs, such as a snapshot.
    pub(super) fn broken(detail: impl ToString) -> Self {
        Self::new(FailCode::InvalidMessage, detail)
    }

    pub(super) fn into_failure(self, place: Option<Place>) -> Failure {
        let seen = format!("it failed with `{}`: {}", self.code, self.detail);
        Failure { code: Some(self.code), ..Failure::new(place, "the step succeeds", seen) }
    }
}

impl From<StoreError> for StepFailure {
    fn from(error: StoreError) -> Self {
        Self::rejected(error)
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
            Error::UnknownMember { .. } => FailCode::UnknownMember,
            Error::ProposalsWait => FailCode::ProposalsWait,
            Error::NothingToCommit => FailCode::NothingToCommit,
            Error::CommitPending { .. } | Error::NotPending => FailCode::CommitPending,
            Error::OwnRemoval => FailCode::Rejected,
            _ => FailCode::InvalidMessage,
        };
        Self::new(code, error)
    }
}
