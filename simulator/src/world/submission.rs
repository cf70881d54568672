//! The submissions of devices, and the outcomes that the delivery service gives them.

use regrow_delivery_service::Receipt;
use regrow_engine::{DeviceId, GroupId, KeyPackageBytes, PendingCommit, ProposalMessage};

use super::window::MessagePosition;
use crate::{cost::ChangeCounts, scenario::MessageId};

/// A commit, proposal or message that a device is about to submit.
pub(super) enum Submission {
    /// A commit. The engine keeps the intents behind it.
    Commit(PendingCommit),
    /// A proposal in a group, and the request to make it again if its epoch is over.
    Proposal(GroupId, ProposalMessage, WantedProposal),
    /// An application message. If its epoch is over, the device encrypts the text again.
    Message(EncryptedMessage),
}

/// An application message, encrypted for one epoch.
pub(super) struct EncryptedMessage {
    pub(super) id: MessageId,
    pub(super) group: GroupId,
    pub(super) at: MessagePosition,
    pub(super) text: Vec<u8>,
    pub(super) bytes: Vec<u8>,
    /// The sender's latest receipt.
    pub(super) receipt: Option<Box<Receipt>>,
}

/// The change that a proposal asks for.
#[derive(Clone)]
pub(super) enum WantedProposal {
    Add(KeyPackageBytes),
    Remove(DeviceId),
    Update,
    Leave,
}

impl WantedProposal {
    /// The change as a number of additions, removals and updates.
    pub(super) fn changes(&self) -> ChangeCounts {
        let none = ChangeCounts::default();
        match self {
            Self::Add(_) => ChangeCounts { adds: 1, ..none },
            Self::Remove(_) | Self::Leave => ChangeCounts { removes: 1, ..none },
            Self::Update => ChangeCounts { updates: 1, ..none },
        }
    }
}

/// The service's outcome of a submission. A rejection is a failure of the step instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubmissionOutcome {
    Accepted,
    /// The epoch of the submission is over.
    Stale,
}

impl SubmissionOutcome {
    /// The outcome's name in transcripts.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Stale => "stale",
        }
    }
}
