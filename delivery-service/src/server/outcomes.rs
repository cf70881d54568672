//! Converts the answers of the service into answers of the API.

use super::{metrics::OutcomeLabel, refusal::RequestError};
use crate::{
    RejectCode,
    api::{Accepted, Code, Problem},
    names::Epoch,
    ordering::key_package::KeyPackageFault,
    outcome::{Outcome, RejectReason},
};

impl From<RejectReason> for RequestError {
    fn from(reason: RejectReason) -> Self {
        let current_epoch = match &reason {
            RejectReason::EpochAhead { current_epoch: Epoch(epoch) } => Some(*epoch),
            _ => None,
        };
        let code = match &reason {
            // A missing group and a group that does not concern the device get the same answer.
            RejectReason::UnknownGroup | RejectReason::NotAMember => return Code::NotFound.into(),
            RejectReason::GroupExists => Code::GroupExists,
            RejectReason::TooLarge { .. } => Code::TooLarge,
            RejectReason::GroupFull { .. }
            | RejectReason::TooManyGroups { .. }
            | RejectReason::TooManyClaims { .. }
            | RejectReason::TooManyInvitations { .. }
            | RejectReason::TooManyBlocks { .. }
            | RejectReason::TooManyEndedGroups { .. }
            | RejectReason::TooManyBytes { .. }
            | RejectReason::TooManyProposals { .. } => Code::LimitReached,
            _ => Code::Rejected,
        };
        let problem = Problem { current_epoch, ..Problem::new(code) }.with_reason(reason.code());
        Self::from(problem.because(reason))
    }
}

impl From<&Outcome> for OutcomeLabel {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Accepted(_) => Self::Accepted,
            Outcome::Stale { .. } => Self::Stale,
            Outcome::Rejected(reason) => Self::Rejected(reason.code().name()),
        }
    }
}

/// Returns the answer to a submission.
pub(crate) fn accepted(outcome: Outcome) -> Result<Accepted, RequestError> {
    match outcome {
        Outcome::Accepted(receipt) => Ok(Accepted { receipt: (&receipt).into() }),
        Outcome::Stale { current_epoch: Epoch(epoch) } => {
            Err(Problem { current_epoch: Some(epoch), ..Problem::new(Code::Stale) }.into())
        }
        Outcome::Rejected(reason) => Err(reason.into()),
    }
}

/// Returns the code for the fault of a key package.
pub(crate) fn code_of(fault: &KeyPackageFault) -> RejectCode {
    match fault {
        KeyPackageFault::Malformed => RejectCode::Malformed,
        KeyPackageFault::Invalid(_) => RejectCode::Invalid,
        KeyPackageFault::OfAnotherDevice => RejectCode::OfAnotherDevice,
        KeyPackageFault::Expired => RejectCode::Expired,
        KeyPackageFault::NotYetValid => RejectCode::NotYetValid,
        KeyPackageFault::WrongLastResort => RejectCode::WrongLastResort,
        KeyPackageFault::TooMany { .. } => RejectCode::TooManyKeyPackages,
    }
}
