//! What a submission is answered with.

use std::collections::BTreeSet;

use crate::{identity::DeviceId, names::Epoch, receipt::Receipt};

/// The answer to a submission. Unless it is `Accepted`, nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Ordered, now or when the very same bytes were first submitted: the service's signed word on it.
    Accepted(Receipt),
    /// Made in an epoch that is past. Process what has been ordered since, and make it again.
    Stale {
        /// The group's epoch.
        current_epoch: Epoch,
    },
    /// Refused, and submitting it again will not help.
    Rejected(RejectReason),
}

/// What is outside the [profile](crate::profile) that devices follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// A proposal of another type than [`PROPOSAL_TYPES`](crate::profile::PROPOSAL_TYPES).
    #[error("a proposal of type {kind}")]
    Proposal {
        /// The type (RFC 9420, 17.4).
        kind: u16,
    },
    /// An extension of the group context of another type than
    /// [`GROUP_CONTEXT_EXTENSIONS`](crate::profile::GROUP_CONTEXT_EXTENSIONS).
    #[error("an extension of the group context of type {kind}")]
    GroupContextExtension {
        /// The type (RFC 9420, 17.3).
        kind: u16,
    },
    /// Group data of another version than [`GROUP_DATA_VERSION`](crate::profile::GROUP_DATA_VERSION).
    #[error("group data of version {version}")]
    DataVersion {
        /// The version.
        version: u8,
    },
}

/// Why a submission was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RejectReason {
    /// The bytes are not the MLSMessage (RFC 9420, 6) that belongs here.
    #[error("not the MLS message that belongs here")]
    Malformed,
    /// Larger than the limit `max_body_bytes` of the service.
    #[error("larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// There is a group of this name already.
    #[error("the group exists already")]
    GroupExists,
    /// There was a group of this name, and its last member has ended it. A name is given once.
    #[error("a group of this name was ended; take another name")]
    GroupEnded,
    /// The group has other members, and cannot be ended.
    #[error("the group has other members; remove them first")]
    NotAlone,
    /// There is no group of this name.
    #[error("no such group")]
    UnknownGroup,
    /// The message names another group than the submission.
    #[error("the message belongs to another group")]
    WrongGroup,
    /// The message names an epoch that the group has not reached.
    #[error("the message's epoch is ahead of the group's, which is {}", .current_epoch.0)]
    EpochAhead {
        /// The group's epoch.
        current_epoch: Epoch,
    },
    /// The sender is not on the group's roster.
    #[error("the sender is not a member")]
    NotAMember,
    /// The sender was removed from the group by others, and does not come back by an external commit of its own: it has
    /// to be added again. So does whoever joins a group that more devices were removed from than
    /// the limit `max_removed_devices_per_group` of the service.
    #[error("the sender was removed from the group, and has to be added again")]
    Removed,
    /// The commit was accepted, and has been taken back since, because other members could not process it. What it
    /// was to do has to be done anew.
    #[error("the commit was taken back, because members could not process it")]
    RolledBack,
    /// What is reported is not the group's last commit, or not this device's to report: its user made it, is added or
    /// removed by it, or became a member too lately.
    #[error("not a commit that this device can report")]
    NotReportable,
    /// Another kind of content than the call is for: a commit submitted as a message, say.
    #[error("the wrong kind of content")]
    WrongContentType,
    /// A PrivateMessage where the group's mode wants a PublicMessage, or the other way round.
    #[error("the wrong wire format for this group")]
    WrongWireFormat,
    /// From a sender outside the group (RFC 9420, 12.1.8), which this service does not admit.
    #[error("proposals from outside the group are not admitted")]
    ExternalSender,
    /// Signed by a leaf that is not the sender's.
    #[error("signed by another than the sender")]
    NotSignedBySender,
    /// Another device submitted these very bytes before.
    #[error("these bytes came from another device before")]
    SubmittedByAnother,
    /// It is not valid (RFC 9420, 12.2 to 12.4); the text says why, mostly in OpenMLS's words.
    #[error("invalid: {0}")]
    Invalid(String),
    /// A leaf without a basic credential, or with one that names no device as [`DeviceId::from_identity`] reads it; or a leaf
    /// that would become another device's.
    #[error("a leaf's credential is not acceptable")]
    UnacceptableCredential,
    /// It has something that devices of this profile do not follow.
    #[error("{0} is not supported in groups of this service; leave it out")]
    Unsupported(Unsupported),
    /// An external commit replaces its sender's leaf, and has another signature key than that leaf. A new key is
    /// vouched for by the old one: by a commit or an update of the member's.
    #[error("the leaf that is replaced has another signature key")]
    SignatureKeyChanged,
    /// The roster change that the sender declared is not the one that the commit makes.
    #[error("the declared roster change is not what the commit does")]
    RosterMismatch,
    /// Adds a member or removes a stranger; a member removes itself; an external commit moves another device.
    #[error("the roster change is impossible")]
    ImpossibleRosterChange,
    /// The group's last commit came without a group info, so that an external commit can be neither made nor checked.
    #[error("there is no group info for this epoch")]
    NoGroupInfo,
    /// Above the limit `max_devices_per_group` of the service.
    #[error("more than {limit} devices")]
    GroupFull {
        /// The limit, in devices.
        limit: usize,
    },
    /// A device would be in more groups than the limit `max_groups_per_device` of the service.
    #[error("a device would be in more than {limit} groups")]
    TooManyGroups {
        /// The limit, in groups.
        limit: usize,
    },
    /// The service does not know a device that the commit adds, or has removed it.
    #[error("{device} is not registered; leave it out")]
    UnknownDevice {
        /// The device.
        device: DeviceId,
    },
    /// The commit adds a device with a key package that the service has not handed out to the committer or to the
    /// proposer; or it was handed out too long ago, was used by another commit, was withdrawn, or has expired.
    #[error("the key package of {device} was not claimed, or cannot be used any more; claim another one")]
    UnclaimedKeyPackage {
        /// The device that it would add.
        device: DeviceId,
    },
    /// Devices of the claimer's user have as many unused key packages as `max_open_claims_per_user` of the service allows.
    #[error("more than {limit} claimed key packages are not used yet; use them, or wait until the claims expire")]
    TooManyClaims {
        /// The limit, in claims.
        limit: u64,
    },
    /// The user of a device that the commit adds, or that is asked for a key package, has blocked the user who does so.
    #[error("the user of {device} has blocked the user who adds it; leave it out")]
    Blocked {
        /// The device.
        device: DeviceId,
    },
    /// The user who adds the devices has added as many that have not accepted as `max_open_invitations_per_user` of the
    /// service allows.
    #[error("more than {limit} devices that the user has added have not accepted yet; wait until some have")]
    TooManyInvitations {
        /// The limit, in devices and groups.
        limit: u64,
    },
    /// The logs keep as many bytes of the sender's user as `max_stored_bytes_per_user` of the service allows.
    #[error("more than {limit} bytes of the user wait for readers; send again when some have been read")]
    TooManyBytes {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The device has no invitation that it could answer: it has accepted the group, has declined, or waited too long.
    #[error("there is no open invitation of this device to the group")]
    NotInvited,
    /// The user has blocked as many users as the service keeps.
    #[error("more than {limit} blocked users; unblock some")]
    TooManyBlocks {
        /// The limit, in users.
        limit: usize,
    },
    /// The user's devices have ended as many groups as the service remembers for one user.
    #[error("more than {limit} ended groups of one user; keep this group, or add another member before leaving")]
    TooManyEndedGroups {
        /// The limit, in groups.
        limit: u64,
    },
    /// Above the limit `max_proposals_per_epoch` of the service.
    #[error("more than {limit} proposals in one epoch")]
    TooManyProposals {
        /// The limit, in proposals.
        limit: u64,
    },
    /// The welcome is missing, or not needed, or not for those whom the commit adds.
    #[error("the welcome does not match the commit")]
    WelcomeMismatch,
    /// The group info is of another group or epoch, lacks the ratchet tree, or is not the committer's.
    #[error("the group info does not match the commit")]
    GroupInfoMismatch,
}

impl From<RejectReason> for Outcome {
    fn from(reason: RejectReason) -> Self {
        Self::Rejected(reason)
    }
}

/// The answer to a request that orders nothing. Unless it is `Done`, nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is done, now or before.
    Done,
    /// Refused, and asking again will not help.
    Rejected(RejectReason),
}

impl From<RejectReason> for Reply {
    fn from(reason: RejectReason) -> Self {
        Self::Rejected(reason)
    }
}

/// Who a commit adds and removes. A device that is in both gives up its old leaf for a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RosterChange {
    /// Devices that get a leaf.
    pub added: BTreeSet<DeviceId>,
    /// Devices that lose theirs.
    pub removed: BTreeSet<DeviceId>,
}
