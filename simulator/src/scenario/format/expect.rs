//! The expectations of an `expect` step, and the codes with which a step fails.

use std::{fmt, time::Duration};

use super::{CostExpectation, DueExpectation, EventExpectation, EvidenceExpectation, VerifiedExpectation};
use crate::scenario::{
    name::{CompromiseId, MemberName, MessageId},
    write::duration,
};

/// The expectations of one step. At least one of the fields is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    /// The group's epoch at the delivery service.
    pub epoch: Option<u64>,
    /// The members of the group, in any order.
    pub members: Option<Vec<MemberName>>,
    /// True if all online members must have the same epoch authenticator.
    pub converged: bool,
    /// The messages that members or a thief can read.
    pub reading: Option<ReadingExpectation>,
    /// All messages that these members or this thief can read. They can read no others.
    pub exactly: Option<Vec<MessageId>>,
    /// The evidence against the delivery service that members have found, each kind at most once.
    pub evidence: Vec<EvidenceExpectation>,
    /// The members that the delivery service has cut off.
    pub cut_off: Vec<MemberName>,
    /// The work that is due by the policies of members.
    pub due: Option<DueExpectation>,
    /// The group data of all connected members.
    pub data: Option<String>,
    /// The members that a member has verified.
    pub verified: Option<VerifiedExpectation>,
    /// The events that members have been told, or have not been told.
    pub events: Vec<EventExpectation>,
    /// The limits of the costs of the step before, or of the run so far.
    pub costs: Option<CostExpectation>,
    /// The code with which the step before has failed.
    pub fails: Option<FailCode>,
    /// The time in which the expectations have to become true. [`None`] if they have to hold here.
    pub bound: Option<Bound>,
}

/// The part of a run that an expectation on costs or events is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpectScope {
    /// The last step before the `expect`. An `expect` is no step.
    #[default]
    Step,
    /// Every step until the `expect`.
    Run,
}

/// The time in which the expectations of a step have to become true together. They are checked at
/// the step itself, and after each later step within the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// This number of later steps. A race is one step, and an `expect` is none.
    Steps(u64),
    /// This time on the clock of the scenario.
    Time(Duration),
    /// The rest of the scenario.
    End,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(1) => write!(f, "within 1 step"),
            Self::Steps(steps) => write!(f, "within {steps} steps"),
            Self::Time(time) => write!(f, "within {}", duration(*time)),
            Self::End => write!(f, "before the end"),
        }
    }
}

/// The question of an `expect` step about members, or about a thief. One step never asks about
/// both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadingExpectation {
    /// The messages that members have decrypted.
    Member {
        /// The members.
        who: Vec<MemberName>,
        /// Messages that each of them has decrypted.
        reads: Vec<MessageId>,
        /// Messages that none of them has decrypted.
        cannot_read: Vec<MessageId>,
    },
    /// The messages that a thief can decrypt, and the results of its actions.
    Thief {
        /// The theft by which the thief is known.
        compromise: CompromiseId,
        /// Messages that the thief can decrypt.
        reads: Vec<MessageId>,
        /// Messages that the thief cannot decrypt.
        cannot_read: Vec<MessageId>,
        /// True if the thief knows no epoch secret of the present epoch.
        healed: Option<bool>,
        /// The largest number of epochs from the theft to the first epoch from which on the thief
        /// knows no epoch secret.
        heals_within: Option<u64>,
        /// True if the delivery service has ordered the thief's last action.
        accepted: Option<bool>,
        /// True if a member has noticed the thief's actions.
        detected: Option<bool>,
    },
}

/// The reason why a step failed, for the field `fails` of `expect`. The runner maps the errors of
/// the engine and of the delivery service to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FailCode {
    /// The acting device is not in the group.
    NotAMember,
    /// The device that should be added, or that joins, is in the group already.
    AlreadyAMember,
    /// The device that should be removed is not in the group.
    UnknownMember,
    /// The acting device has been removed from the group.
    Removed,
    /// The acting device cannot continue with its state, and has to rejoin.
    Lost,
    /// The acting device is offline.
    Offline,
    /// The acting device is locked.
    Locked,
    /// The key does not unlock the device, or the passphrase does not open the backup.
    WrongKey,
    /// Two members have different safety numbers.
    Mismatch,
    /// The application of the acting device refuses a key of another member.
    Refused,
    /// A proposal waits, and no message can be sent before a commit.
    ProposalsWait,
    /// There is nothing to commit.
    NothingToCommit,
    /// A commit of the same member waits for the delivery service's answer.
    CommitPending,
    /// The delivery service has no key package of the device that should be added.
    NoKeyPackage,
    /// A key package is expired, by the clock of the acting device.
    KeyPackageExpired,
    /// The delivery service has no group info for the device that joins.
    NoGroupInfo,
    /// The delivery service is in a later epoch, and the step was not tried again.
    Stale,
    /// The delivery service cannot write to its store.
    Unavailable,
    /// The delivery service refused the step for another reason.
    Rejected,
    /// A message is not valid.
    InvalidMessage,
}

impl Expect {
    /// True if the question about a reader has only lists of messages, and all of them are empty.
    pub(crate) fn names_no_result(&self) -> bool {
        let has_result = match &self.reading {
            None => true,
            Some(ReadingExpectation::Member { reads, cannot_read, .. }) => !reads.is_empty() || !cannot_read.is_empty(),
            Some(ReadingExpectation::Thief {
                reads, cannot_read, healed, heals_within, accepted, detected, ..
            }) => {
                let asked = [healed.is_some(), heals_within.is_some(), accepted.is_some(), detected.is_some()];
                !reads.is_empty() || !cannot_read.is_empty() || asked.contains(&true)
            }
        };
        !has_result && self.exactly.is_none()
    }

    /// True if the cost model can check each of the expectations.
    #[must_use]
    pub fn has_model(&self) -> bool {
        let of_service = !self.evidence.is_empty() || !self.cut_off.is_empty();
        let of_members =
            self.data.is_some() || self.verified.is_some() || self.due.is_some() || !self.events.is_empty();
        let of_devices = self.converged || self.reading.is_some() || of_members;
        !of_service && !of_devices && self.bound.is_none()
    }
}
