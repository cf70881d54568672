//! The library's answers, as answers on the wire.

use super::{metrics::Answer, refusal::Refusal};
use crate::{
    api::{Accepted, Code, Problem},
    names::Epoch,
    ordering::key_package::{KeyPackageFault, UploadError},
    outcome::{Outcome, RejectReason},
};

impl From<RejectReason> for Refusal {
    fn from(reason: RejectReason) -> Self {
        let current_epoch = match &reason {
            RejectReason::EpochAhead { current_epoch: Epoch(epoch) } => Some(*epoch),
            _ => None,
        };
        let code = match &reason {
            // What is not there and what is not this device's to know of look alike.
            RejectReason::UnknownGroup | RejectReason::NotAMember => return Code::NotFound.into(),
            RejectReason::GroupExists => Code::GroupExists,
            RejectReason::TooLarge { .. } => Code::TooLarge,
            RejectReason::GroupFull { .. }
            | RejectReason::TooManyGroups { .. }
            | RejectReason::TooManyProposals { .. } => Code::LimitReached,
            _ => Code::Rejected,
        };
        let word = Some(word_for(&reason).to_owned());
        Self::from(Problem { reason: word, current_epoch, ..Problem::new(code) }.because(reason))
    }
}

impl From<&Outcome> for Answer {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Accepted(_) => Self::Accepted,
            Outcome::Stale { .. } => Self::Stale,
            Outcome::Rejected(reason) => Self::Rejected(word_for(reason)),
        }
    }
}

/// A word for each reason. They are part of the interface and stay.
fn word_for(reason: &RejectReason) -> &'static str {
    match reason {
        RejectReason::Malformed => "malformed",
        RejectReason::TooLarge { .. } => "too-large",
        RejectReason::NameTooLong => "name-too-long",
        RejectReason::GroupExists => "group-exists",
        RejectReason::UnknownGroup => "unknown-group",
        RejectReason::WrongGroup => "wrong-group",
        RejectReason::EpochAhead { .. } => "epoch-ahead",
        RejectReason::NotAMember => "not-a-member",
        RejectReason::Removed => "removed",
        RejectReason::RolledBack => "rolled-back",
        RejectReason::NotReportable => "not-reportable",
        RejectReason::WrongContentType => "wrong-content-type",
        RejectReason::WrongWireFormat => "wrong-wire-format",
        RejectReason::ExternalSender => "external-sender",
        RejectReason::NotSignedBySender => "not-signed-by-sender",
        RejectReason::SubmittedByAnother => "submitted-by-another",
        RejectReason::Invalid(_) => "invalid",
        RejectReason::UnacceptableCredential => "unacceptable-credential",
        RejectReason::SignatureKeyChanged => "signature-key-changed",
        RejectReason::RosterMismatch => "roster-mismatch",
        RejectReason::ImpossibleRosterChange => "impossible-roster-change",
        RejectReason::NoGroupInfo => "no-group-info",
        RejectReason::GroupFull { .. } => "group-full",
        RejectReason::TooManyGroups { .. } => "too-many-groups",
        RejectReason::TooManyProposals { .. } => "too-many-proposals",
        RejectReason::WelcomeMismatch => "welcome-mismatch",
        RejectReason::GroupInfoMismatch => "group-info-mismatch",
    }
}

/// A commit adds a device that the service does not know.
pub(crate) fn unknown_device() -> Refusal {
    let reason = Some("unknown-device".to_owned());
    Refusal::from(
        Problem { reason, ..Problem::new(Code::Rejected) }.because("a device that is added is not registered"),
    )
}

/// The answer to a submission.
pub(crate) fn accepted(outcome: Outcome) -> Result<Accepted, Refusal> {
    match outcome {
        Outcome::Accepted(receipt) => Ok(Accepted { receipt: (&receipt).into() }),
        Outcome::Stale { current_epoch: Epoch(epoch) } => {
            Err(Problem { current_epoch: Some(epoch), ..Problem::new(Code::Stale) }.into())
        }
        Outcome::Rejected(reason) => Err(reason.into()),
    }
}

impl From<UploadError> for Refusal {
    fn from(error: UploadError) -> Self {
        let (code, reason) = match &error {
            UploadError::Refused { reason, .. } => (Code::Rejected, word_for_fault(reason)),
            UploadError::TooMany { .. } => (Code::LimitReached, "too-many-key-packages"),
            UploadError::NameTooLong => (Code::BadRequest, "name-too-long"),
            UploadError::Store(_) => return Code::Internal.into(),
        };
        Self::from(Problem { reason: Some(reason.into()), ..Problem::new(code) }.because(error))
    }
}

fn word_for_fault(fault: &KeyPackageFault) -> &'static str {
    match fault {
        KeyPackageFault::Malformed => "malformed",
        KeyPackageFault::Invalid(_) => "invalid",
        KeyPackageFault::OfAnotherDevice => "of-another-device",
        KeyPackageFault::Expired => "expired",
        KeyPackageFault::NotYetValid => "not-yet-valid",
        KeyPackageFault::WrongLastResort => "wrong-last-resort",
    }
}
