//! Outcomes of submissions, and the reasons for a rejection.

use std::collections::BTreeSet;

use crate::{identity::DeviceId, names::Epoch, receipt::Receipt};

/// The answer to a submission. With any outcome except `Accepted`, nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The submission is ordered: now, or earlier if the device has already submitted the same
    /// bytes. Contains the service's receipt.
    Accepted(Receipt),
    /// The submission was made in a past epoch. The device processes the entries since then, and
    /// makes the submission again.
    Stale {
        /// The group's epoch.
        current_epoch: Epoch,
    },
    /// The submission is rejected, and the same submission will be rejected again.
    Rejected(RejectReason),
}

/// A part of a message that is outside the [profile](crate::profile) of the devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// A proposal whose type is not in [`PROPOSAL_TYPES`](crate::profile::PROPOSAL_TYPES).
    #[error("a proposal of type {kind}")]
    Proposal {
        /// The type (RFC 9420, 17.4).
        kind: u16,
    },
    /// A group context extension whose type is not in
    /// [`GROUP_CONTEXT_EXTENSIONS`](crate::profile::GROUP_CONTEXT_EXTENSIONS).
    #[error("an extension of the group context of type {kind}")]
    GroupContextExtension {
        /// The type (RFC 9420, 17.3).
        kind: u16,
    },
    /// Group data whose version is not [`GROUP_DATA_VERSION`](crate::profile::GROUP_DATA_VERSION).
    #[error("group data of version {version}")]
    DataVersion {
        /// The version.
        version: u8,
    },
}

/// The reason for the rejection of a submission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RejectReason {
    /// The bytes are not the kind of MLSMessage (RFC 9420, 6) that this request takes.
    #[error("not the kind of MLS message that this request takes")]
    Malformed,
    /// The submission is larger than the limit `max_body_bytes` of the service.
    #[error("larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A group with this name already exists.
    #[error("the group exists already")]
    GroupExists,
    /// A group with this name existed, and its last member has ended it. Each name is used only
    /// once.
    #[error("a group of this name was ended; take another name")]
    GroupEnded,
    /// The group has other members, so a device cannot end it.
    #[error("the group has other members; remove them first")]
    NotAlone,
    /// No group with this name exists.
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
    /// Others removed the sender from the group, so it cannot come back by its own external commit.
    /// A member has to add it again.
    ///
    /// The service remembers at most `max_removed_devices_per_group` removed devices of a group.
    /// Beyond that limit, a device that is not a member cannot join the group by external commit,
    /// and a member has to add it.
    #[error("the sender was removed from the group, and has to be added again")]
    Removed,
    /// The commit was accepted, and later taken back because other members could not process it.
    /// The device has to make the changes of the commit again.
    #[error("the commit was taken back, because members could not process it")]
    RolledBack,
    /// The reported entry is not the group's last commit, or this device may not report it. A
    /// device may not report a commit that its user made, or that adds or removes its user.
    ///
    /// Users that joined by external commit in the seven days before the commit may not report it.
    /// The same holds for users that such a user, or a user that the commit removes, has added in
    /// that time.
    #[error("not a commit that this device can report")]
    NotReportable,
    /// The content type does not fit the request, for example a commit that is submitted as a
    /// message.
    #[error("the wrong kind of content")]
    WrongContentType,
    /// The group's handshake mode requires a PublicMessage and this is a PrivateMessage, or the
    /// reverse.
    #[error("the wrong wire format for this group")]
    WrongWireFormat,
    /// The sender is outside the group (RFC 9420, 12.1.8). This service does not admit such
    /// senders.
    #[error("proposals from outside the group are not admitted")]
    ExternalSender,
    /// The message is signed by a leaf that is not the sender's leaf.
    #[error("the signature is not the sender's")]
    NotSignedBySender,
    /// Another device has already submitted the same bytes.
    #[error("another device has already submitted the same bytes")]
    SubmittedByAnother,
    /// The submission is not valid (RFC 9420, 12.2 to 12.4). The text gives the reason, mostly in
    /// the words of OpenMLS.
    #[error("invalid: {0}")]
    Invalid(String),
    /// A leaf has no basic credential, or its credential is not an identity that
    /// [`DeviceId::from_identity`] reads. Or a leaf would change from one device to another.
    #[error("a leaf's credential is not acceptable")]
    UnacceptableCredential,
    /// The submission has a part that is outside the profile of the devices.
    #[error("{0} is not supported in groups of this service; leave it out")]
    Unsupported(Unsupported),
    /// An external commit replaces its sender's leaf, and its signature key differs from the key of
    /// that leaf. A member changes its key by a commit or an update, so that the old key signs for
    /// the new one.
    #[error("the leaf that is replaced has another signature key")]
    SignatureKeyChanged,
    /// The roster change that the sender declared differs from the changes of the commit.
    #[error("the declared roster change differs from the changes of the commit")]
    RosterMismatch,
    /// The roster change is impossible: it adds a device that is a member, or removes a device that
    /// is not. Or a member removes itself, or an external commit changes another device.
    #[error("the roster change is impossible")]
    ImpossibleRosterChange,
    /// The group's last commit had no group info, so that nobody can make or check an external
    /// commit.
    #[error("there is no group info for this epoch")]
    NoGroupInfo,
    /// The group would have more devices than the limit `max_devices_per_group` of the service.
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
    /// The commit adds a device that the service does not know or has removed.
    #[error("{device} is not registered; leave it out")]
    UnknownDevice {
        /// The device.
        device: DeviceId,
    },
    /// The commit adds a device with a key package that cannot be used. The service has not handed
    /// it out to the committer or to the proposer, or has handed it out too long ago. Or another
    /// commit has used it, or it was withdrawn, or it has expired.
    #[error("the key package of {device} was not claimed, or cannot be used any more; claim another one")]
    UnclaimedKeyPackage {
        /// The device that the commit would add.
        device: DeviceId,
    },
    /// Devices of the claimer's user have claimed `max_open_claims_per_user` key packages and not
    /// used them yet. That is the limit of the service.
    #[error("more than {limit} claimed key packages are not used yet; use them, or wait until the claims expire")]
    TooManyClaims {
        /// The limit, in claims.
        limit: u64,
    },
    /// The user who adds a device or claims its key package is blocked by the user of that device.
    #[error("the user of {device} has blocked the user who adds it; leave it out")]
    Blocked {
        /// The device.
        device: DeviceId,
    },
    /// The user who adds the devices has `max_open_invitations_per_user` added devices that have
    /// not accepted yet. That is the limit of the service.
    #[error("more than {limit} devices that the user has added have not accepted yet; wait until some have")]
    TooManyInvitations {
        /// The limit, in devices and groups.
        limit: u64,
    },
    /// The logs contain `max_stored_bytes_per_user` bytes of the sender's user. That is the limit
    /// of the service.
    #[error("more than {limit} bytes of the user wait for readers; send again when devices have read some of them")]
    TooManyBytes {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The device has no open invitation to the group: it has accepted or declined, or it waited
    /// too long.
    #[error("there is no open invitation of this device to the group")]
    NotInvited,
    /// The user has blocked the largest number of users that the service stores for one user.
    #[error("more than {limit} blocked users; unblock some")]
    TooManyBlocks {
        /// The limit, in users.
        limit: usize,
    },
    /// The user's devices have ended the largest number of groups that the service remembers for
    /// one user.
    #[error("more than {limit} ended groups of one user; keep this group, or add another member before leaving")]
    TooManyEndedGroups {
        /// The limit, in groups.
        limit: u64,
    },
    /// The epoch would have more proposals than the limit `max_proposals_per_epoch` of the service.
    #[error("more than {limit} proposals in one epoch")]
    TooManyProposals {
        /// The limit, in proposals.
        limit: u64,
    },
    /// The welcome is missing, is not needed, or is not for the devices that the commit adds.
    #[error("the welcome does not match the commit")]
    WelcomeMismatch,
    /// The group info belongs to another group or epoch, has no ratchet tree, or is not from the
    /// committer.
    #[error("the group info does not match the commit")]
    GroupInfoMismatch,
}

impl From<RejectReason> for Outcome {
    fn from(reason: RejectReason) -> Self {
        Self::Rejected(reason)
    }
}

/// The answer to a request that orders nothing. With any reply except `Done`, nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The request is done, now or earlier.
    Done,
    /// The request is rejected, and the same request will be rejected again.
    Rejected(RejectReason),
}

impl From<RejectReason> for Reply {
    fn from(reason: RejectReason) -> Self {
        Self::Rejected(reason)
    }
}

/// The devices that a commit adds and removes. A device in both sets gets a new leaf instead of its
/// old one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RosterChange {
    /// The devices that get a leaf.
    pub added: BTreeSet<DeviceId>,
    /// The devices that lose their leaf.
    pub removed: BTreeSet<DeviceId>,
}
