//! The errors of the engine. Each variant needs a different reaction of the caller.

use openmls_traits::types::{Ciphersuite, CryptoError};
use regrow_protocol::{DeviceId, InvalidGroupId, InvalidName, UserId};

use crate::{
    Refusal,
    limits::{MAX_APP_DATA_NAME_BYTES, MAX_TEXT_BYTES},
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
    #[error("the app data name has {bytes} bytes; the maximum is {max}", max = MAX_APP_DATA_NAME_BYTES)]
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
    Restored {
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
    #[error("the text has {bytes} bytes; the maximum is {max}", max = MAX_TEXT_BYTES)]
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
