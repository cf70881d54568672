//! The errors of the engine. Each variant needs a different reaction of the caller.

use openmls_traits::types::{Ciphersuite, CryptoError};
use regrow_protocol::{DeviceId, InvalidGroupId, InvalidName, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    Change, LeafFault,
    names::{Epoch, GroupId, Timestamp},
    storage::{StorageError, StoreError},
};

/// A call of the engine failed. It has changed nothing, neither in the store nor in memory.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed or is damaged.
    #[error(transparent)]
    Storage(StorageError),
    /// The device is [locked](crate::Client::lock). [Unlock](crate::Client::unlock) it first.
    #[error("the device is locked")]
    Locked,
    /// The key or the passphrase does not [unlock](crate::Client::unlock) the device. Ask the user
    /// for another one.
    #[error("the key does not unlock the device")]
    WrongKey,
    /// The store has no lock, so the device cannot be locked. Use another store, such as
    /// [`SqliteStore`](crate::SqliteStore), or a policy without
    /// [`lock_after`](crate::Policy::lock_after).
    #[error("the store cannot be locked")]
    NoLock,

    /// The store already contains a device, so no new device can be created in it. Open the
    /// device, or use another store.
    #[error("the store already belongs to the device {device}")]
    DeviceExists {
        /// The device in the store.
        device: DeviceId,
    },
    /// The store contains no device. Create one, or find the right store.
    #[error("the store holds no device")]
    NoDevice,

    /// The backup cannot be restored as this device. The new device must be another device of the
    /// same user.
    #[error("{device} cannot replace {of}: it must belong to the same user and have another name")]
    NotASuccessor {
        /// The new device.
        device: DeviceId,
        /// The device of the backup.
        of: DeviceId,
    },

    /// The app data name is too long for [`Client::set_app_data`](crate::Client::set_app_data).
    #[error("the app data name has {bytes} bytes; the maximum is {max}", max = crate::MAX_APP_DATA_NAME_BYTES)]
    AppDataName {
        /// The name's length.
        bytes: usize,
    },

    /// A name is not a valid name of a user or a device.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The bytes are not a valid group identifier.
    #[error(transparent)]
    GroupId(#[from] InvalidGroupId),
    /// This device is not in the group.
    #[error("this device is not in the group {group}")]
    UnknownGroup {
        /// The identifier of the requested group.
        group: GroupId,
    },
    /// This device is already in a group with this identifier.
    #[error("this device is already in the group {group}")]
    GroupExists {
        /// The group's identifier.
        group: GroupId,
    },
    /// This device was removed from the group. Only this fact is still stored. A member can add
    /// the device again, or it can join by external commit if the delivery service permits that.
    #[error("this device was removed from the group {group} by the commit that made epoch {epoch}")]
    Removed {
        /// The group's identifier.
        group: GroupId,
        /// The first epoch without this device.
        epoch: Epoch,
    },

    /// The device's storage is a restored older state or a copy, so in this group the device could
    /// use the same keys again. It creates no message, proposal or commit in the group until it
    /// has [rejoined](crate::Client::join_external).
    #[error(
        "the storage is a restored older state or a copy; this device must rejoin the group {group} before it sends again"
    )]
    RolledBack {
        /// The group's identifier.
        group: GroupId,
    },
    /// The application has perhaps not stored the events that were received before the device was
    /// opened. Get the [unacknowledged](crate::Client::unacknowledged) events, store them, and
    /// [acknowledge](crate::Client::acknowledge) them.
    #[error(
        "events that were received before the device was opened are not acknowledged; store and acknowledge them first"
    )]
    Unacknowledged,

    /// A commit of this device waits for the delivery service's answer. Confirm or discard the
    /// commit first.
    #[error("a commit of epoch {epoch} is pending; confirm or discard it first")]
    CommitPending {
        /// The epoch in which the commit was created.
        epoch: Epoch,
    },
    /// This commit is not pending: it was confirmed or discarded before, or another commit has
    /// won.
    #[error("the commit is no longer pending")]
    NotPending,
    /// There are no proposals and no intents, so a commit would change nothing. To get new keys,
    /// call [`Group::update`](crate::Group::update).
    #[error("there is nothing to commit")]
    NothingToCommit,

    /// This epoch has proposals, so no message may be sent before a commit (RFC 9420, 12.4).
    /// Commit, or wait for another member's commit, and then send the message. (If the only
    /// proposals are this device's own, [update] instead.)
    ///
    /// [update]: crate::Group::update
    #[error("proposals are waiting; commit them before sending a message")]
    ProposalsWait,

    /// The device is not a member of the group.
    #[error("{device} is not a member of the group")]
    UnknownMember {
        /// The requested device.
        device: DeviceId,
    },
    /// No device of the user is in the group.
    #[error("no device of the user {user} is in the group")]
    UnknownUser {
        /// The requested user.
        user: UserId,
    },
    /// The compared safety number is no longer current: devices or keys of one of the two users
    /// have changed since. Show the new number, and compare again.
    #[error("the safety number of {user} has changed since it was compared")]
    SafetyNumberChanged {
        /// The user that the application tried to mark as verified.
        user: UserId,
    },
    /// The device is a member of the group already.
    #[error("{device} is already a member of the group")]
    AlreadyMember {
        /// The device that the caller tried to add.
        device: DeviceId,
    },
    /// The group was created without support for group data, so some members may not support it.
    /// Create a new group.
    #[error("the group does not require its members to support group data; create a new group")]
    DataUnsupported,
    /// The device belongs to another user. If the call got several devices of one user, none of
    /// them is used.
    #[error("{device} is not a device of {user}")]
    OtherUser {
        /// The given device, or the device of the given key package.
        device: DeviceId,
        /// The expected user.
        user: UserId,
    },
    /// The key package belongs to another device. Get a key package of the expected device.
    #[error("the key package is of {device}, not of {expected}")]
    OtherDevice {
        /// The device of the key package.
        device: DeviceId,
        /// The expected device.
        expected: DeviceId,
    },
    /// No unused key package can add the device to this group. Get another key package, and call
    /// again.
    #[error("there is no unused key package for this group; get another one")]
    NoKeyPackage,
    /// A device cannot remove itself by a commit (RFC 9420, 12.2). Propose to
    /// [leave](crate::Group::leave) instead, and another member commits the removal.
    #[error("a device cannot commit its own removal; it can propose to leave")]
    OwnRemoval,

    /// The bytes are not an MLS message of the expected kind.
    #[error("not {expected}: {detail}")]
    Malformed {
        /// The expected kind: "a key package".
        expected: &'static str,
        /// The fault of the bytes.
        detail: String,
    },
    /// The message belongs to an epoch that this device has not reached. Fetch and process the
    /// earlier messages first.
    #[error("the message is of epoch {epoch}, this device is in epoch {current}")]
    FutureEpoch {
        /// The message's epoch.
        epoch: Epoch,
        /// The device's epoch.
        current: Epoch,
    },
    /// The message is not authentic, or not valid in the group's state. It is forged or damaged,
    /// or a faulty client created it.
    #[error("the message is invalid: {detail}")]
    Invalid {
        /// The reason, as far as it is known.
        detail: String,
    },
    /// The message is authentic, but this device does not accept its content.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// The welcome or group info does not contain the ratchet tree (RFC 9420, 12.4.3.3), and the
    /// caller did not pass one. Get the tree of this epoch from the delivery service, and call
    /// again [with it](crate::JoinMessage::with_tree).
    #[error("to join the group {group} in epoch {epoch}, get its ratchet tree from the delivery service")]
    NeedsRatchetTree {
        /// The group.
        group: GroupId,
        /// The epoch of the required tree.
        epoch: Epoch,
    },
    /// The welcome does not fit any key package of this device. It is for another device, or the
    /// key package was already used or has expired.
    #[error("the welcome is for none of this device's key packages")]
    NotInvited,

    /// The policy's key package lifetime is longer than any device accepts.
    #[error("key packages can be used for {max} seconds at most", max = regrow_protocol::profile::MAX_USE_SECONDS)]
    KeyPackageLifetime,

    /// The time is after the year 9999, so it is probably in milliseconds. Pass seconds since the
    /// Unix epoch.
    #[error("the time {} is after the year 9999; times are in seconds", now.0)]
    Time {
        /// The given time.
        now: Timestamp,
    },
    /// The device's signature key does not fit the policy's ciphersuite, because the device was
    /// created with another one. Open the device with a ciphersuite of the same signature
    /// algorithm, or create a new device.
    #[error("the device's signature key does not fit the signature algorithm of {ciphersuite:?}")]
    PolicyCiphersuite {
        /// The policy's ciphersuite.
        ciphersuite: Ciphersuite,
    },
    /// The group uses another handshake mode than the policy with which this device joined (RFC
    /// 9420, 6). [Forget](crate::Client::forget) the group, and join it with the group's
    /// [handshake mode](crate::Policy::handshake).
    #[error("the group uses another handshake mode than this device's policy")]
    HandshakeMode,
    /// More messages of one sender are missing than the policy lets this device
    /// [skip](crate::Policy::max_forward). The device cannot read this sender before the next
    /// epoch. Call [`update`](crate::Group::update) to begin one.
    #[error("too many messages of the sender are missing; begin a new epoch with an update")]
    Gap,
    /// The text is too long for one message. Send it in parts.
    #[error("the text has {bytes} bytes; the maximum is {max}", max = crate::MAX_TEXT_BYTES)]
    TextLength {
        /// The text's length.
        bytes: usize,
    },
    /// Another [`Client`](crate::Client) was created or opened over the store later. Two clients
    /// would use one key twice, so this client no longer works. Drop it, and use the other one.
    #[error("another client has taken over the store of this one")]
    Superseded,

    /// The cryptography or the randomness failed.
    #[error("cryptography failed: {0}")]
    Crypto(CryptoError),
    /// OpenMLS reports an error that is not caused by the input. Please report it.
    #[error("internal error while trying to {action}: {detail}")]
    Internal {
        /// The attempted operation.
        action: &'static str,
        /// The error text of OpenMLS.
        detail: String,
    },
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Store(StoreError::Locked) => Self::Locked,
            StorageError::Store(StoreError::WrongKey) => Self::WrongKey,
            other => Self::Storage(other),
        }
    }
}

/// The reason why an authentic message is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// A credential does not name a user and a device.
    #[error("a credential does not name a device: {0}")]
    Credential(InvalidName),
    /// A leaf would name another device than before. A device cannot become another device (RFC
    /// 9420, 5.3.1).
    #[error("the leaf of {from} would become the leaf of {to}")]
    Succession {
        /// The device that the leaf names now.
        from: DeviceId,
        /// The device that the leaf would name.
        to: DeviceId,
    },
    /// The application's [authentication service](crate::Authenticate) does not accept the key as
    /// the device's key.
    #[error("the signature key is not accepted for {device}: {reason}")]
    Unauthenticated {
        /// The device that the leaf names.
        device: DeviceId,
        /// The authentication service's reason.
        reason: String,
    },
    /// The application does not [permit](crate::Authenticate::may) this change.
    #[error("{by} may not make this change ({change}): {reason}")]
    Forbidden {
        /// The device that proposed the change.
        by: DeviceId,
        /// The forbidden change.
        change: Box<Change>,
        /// The application's reason.
        reason: String,
    },
    /// A key package has a key of another device's leaf (RFC 9420, 7.3). Ask for a new key
    /// package.
    #[error("the key package of {device} has a key of {owner}")]
    KeyInUse {
        /// The device that the key package would add.
        device: DeviceId,
        /// The device that already has the key.
        owner: DeviceId,
    },
    /// A device would be in the group twice.
    #[error("{0} would be in the group twice")]
    Duplicate(DeviceId),
    /// An external commit removes another device than the joining device (RFC 9420, 12.4.3.2).
    #[error("the external commit of {joiner} removes {removed}")]
    ForeignRemoval {
        /// The joining device.
        joiner: DeviceId,
        /// The device that would be removed.
        removed: DeviceId,
    },
    /// An external commit replaces a device's leaf, but has another signature key than that leaf.
    /// Its creator knows the device's name and has none of its keys.
    #[error("the external commit replaces the leaf of {device} without its signature key")]
    SignatureKeyChanged {
        /// The device whose leaf would be replaced.
        device: DeviceId,
    },
    /// The key package is not usable now, or would be usable for longer than any device accepts
    /// (RFC 9420, 7.2). Ask for a new key package.
    #[error(
        "the key package is for use from {not_before} to {until} (Unix time), which is not acceptable now; ask for a new one"
    )]
    Lifetime {
        /// The first second of its lifetime, since the Unix epoch.
        not_before: u64,
        /// The first second at which the key package is no longer usable.
        until: u64,
    },
    /// A part of the message uses another ciphersuite than the group.
    #[error("the ciphersuite {0:?} is not the group's ciphersuite")]
    Ciphersuite(Ciphersuite),
    /// A proposal changes another part of the group context than the [group
    /// data](crate::Group::set_data).
    #[error("the group context would change in another part than the group data")]
    GroupContext,
    /// The group data would be too long.
    #[error("the group data has {bytes} bytes; the maximum is {max}", max = crate::MAX_GROUP_DATA_BYTES)]
    DataLength {
        /// The length of the data.
        bytes: usize,
    },
    /// The group data has a version that this engine does not support. Use a newer version of the
    /// engine.
    #[error("the group data has the unknown version {version:?}")]
    DataVersion {
        /// The first byte of the data, if there is one.
        version: Option<u8>,
    },
    /// A device's leaf has a fault, so every member would refuse a commit with it (RFC 9420, 7.3).
    /// Ask the device for a new key package, or use a client that creates correct ones.
    #[error("the leaf of {device} cannot be in the group: {fault}")]
    Leaf {
        /// The device that the leaf names.
        device: DeviceId,
        /// The leaf's fault.
        fault: LeafFault,
    },
    /// The proposal comes from an external sender, or from a device that wants to join (RFC 9420,
    /// 12.1.8). The engine accepts proposals only from members.
    #[error("the proposal does not come from a member of the group")]
    OutsideProposal,
    /// No commit can contain the proposal or the addition. The reason is only found while the
    /// commit is created, for example if a key package has expired by the system's clock.
    #[error("no commit can contain this change: {detail}")]
    NotCommittable {
        /// OpenMLS's reason.
        detail: String,
    },
    /// The engine does not support this type of proposal.
    #[error("proposals of this type are not accepted: {0}")]
    ProposalType(String),
}

impl Refusal {
    /// True if the reason is a feature that Regrow does not support at all, whichever device uses
    /// it.
    pub(crate) fn is_outside_profile(&self) -> bool {
        matches!(
            self,
            Self::Credential(_)
                | Self::ProposalType(_)
                | Self::OutsideProposal
                | Self::GroupContext
                | Self::DataLength { .. }
                | Self::DataVersion { .. }
        )
    }
}
