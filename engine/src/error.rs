//! What can go wrong, by what a caller would do about it.

use openmls_traits::types::{Ciphersuite, CryptoError};
use regrow_protocol::{DeviceId, InvalidGroupId, InvalidName, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    Change, LeafFault,
    names::{Epoch, GroupId, Timestamp},
    storage::{StorageError, StoreError},
};

/// A call of the engine failed. Nothing of it has happened: not in the store, not in memory.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed or is damaged.
    #[error(transparent)]
    Storage(StorageError),
    /// The device is [locked](crate::Client::lock): nothing can be done before it is
    /// [unlocked](crate::Client::unlock).
    #[error("the device is locked")]
    Locked,
    /// The key or the passphrase does not [unlock](crate::Client::unlock) the device. Ask for another.
    #[error("the key does not unlock the device")]
    WrongKey,
    /// The store cannot be locked, and so the device cannot be either. Use another store, such as
    /// [`SqliteStore`](crate::SqliteStore), or a policy without [`lock_after`](crate::Policy::lock_after).
    #[error("the store cannot be locked")]
    NoLock,

    /// The store already holds a device, so no new one can be made in it. Open it, or use another store.
    #[error("the store already belongs to the device {device}")]
    DeviceExists {
        /// The device that the store holds.
        device: DeviceId,
    },
    /// The store holds no device. Create one, or look for the right store.
    #[error("the store holds no device")]
    NoDevice,

    /// A device cannot be restored as this one: it has to be another device of the same user.
    #[error("{device} cannot take the place of {of}: it must be of the same user, and under another name")]
    NotASuccessor {
        /// The device that was to be made.
        device: DeviceId,
        /// The device that the backup is of.
        of: DeviceId,
    },

    /// A value cannot be [kept](crate::Client::keep) under a name that long.
    #[error("the name of a kept value has {bytes} bytes; it may have {max}", max = crate::MAX_KEPT_NAME_BYTES)]
    KeptName {
        /// The name's length.
        bytes: usize,
    },

    /// A name is not one of a user or a device.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Bytes are not the identifier of a group.
    #[error(transparent)]
    GroupId(#[from] InvalidGroupId),
    /// This device has no such group.
    #[error("this device is in no group {group}")]
    UnknownGroup {
        /// The group that was asked for.
        group: GroupId,
    },
    /// There is such a group already.
    #[error("this device is already in the group {group}")]
    GroupExists {
        /// The group's identifier.
        group: GroupId,
    },
    /// This device was removed from the group; all that remains is this fact. It can be added again, or join by
    /// external commit if the delivery service lets it.
    #[error("this device was removed from the group {group} by the commit that made epoch {epoch}")]
    Removed {
        /// The group's identifier.
        group: GroupId,
        /// The first epoch without this device.
        epoch: Epoch,
    },

    /// The device's storage was put back to an earlier state, or copied: in this group it could use keys that it has used.
    /// It makes nothing there until it has [rejoined](crate::Client::join_external).
    #[error(
        "the storage was put back to an earlier state; in the group {group} nothing is made before this device rejoins"
    )]
    RolledBack {
        /// The group's identifier.
        group: GroupId,
    },
    /// What was received before the device was opened has perhaps not been kept: look at what is
    /// [unacknowledged](crate::Client::unacknowledged), keep it, and [acknowledge](crate::Client::acknowledge) it.
    #[error("what was received before the device was opened is not acknowledged")]
    Unacknowledged,

    /// A commit of this device waits for the delivery service's answer. Confirm or discard it first.
    #[error("a commit made in epoch {epoch} waits to be confirmed or discarded")]
    CommitPending {
        /// The epoch in which it was made.
        epoch: Epoch,
    },
    /// The commit is not the one that is pending: it was confirmed or discarded before, or another commit won.
    #[error("the commit is not pending any more")]
    NotPending,
    /// There are no proposals and no intents: a commit would change nothing. Update, if new keys are what is wanted.
    #[error("there is nothing to commit")]
    NothingToCommit,

    /// Something has been proposed in this epoch, so no message may be sent before a commit (RFC 9420, 12.4). Commit,
    /// or wait for another's commit; then send. (If all that waits is this device's own to do, [update] instead.)
    ///
    /// [update]: crate::Group::update
    #[error("proposals wait to be committed, and nothing is sent before")]
    ProposalsWait,

    /// The device is no member of the group.
    #[error("{device} is not a member of the group")]
    UnknownMember {
        /// The device that was named.
        device: DeviceId,
    },
    /// No device of the user is in the group.
    #[error("no device of the user {user} is in the group")]
    UnknownUser {
        /// The user that was named.
        user: UserId,
    },
    /// The safety number that was compared is not the present one: devices or keys of one of the two users have changed
    /// since. Show the new one, and compare again.
    #[error("the safety number of {user} has changed since it was compared")]
    SafetyNumberChanged {
        /// The user that was to be marked as verified.
        user: UserId,
    },
    /// The device is a member of the group already.
    #[error("{device} is already a member of the group")]
    AlreadyMember {
        /// The device that was to be added.
        device: DeviceId,
    },
    /// The group was made without support for data, so that some members may not have it. Make a new group.
    #[error("not all members of the group have to support data in it")]
    DataUnsupported,
    /// The device is another user's. Nothing of a set that is to be one user's is used.
    #[error("{device} is not a device of {user}")]
    OtherUser {
        /// The device that was named, or whose key package it is.
        device: DeviceId,
        /// The user that it should be of.
        user: UserId,
    },
    /// The key package is another device's. Ask for those of the device that is meant.
    #[error("the key package is of {device}, not of {expected}")]
    OtherDevice {
        /// Whose key package it is.
        device: DeviceId,
        /// Whose it should be.
        expected: DeviceId,
    },
    /// No key package is left that could add the device to this group. Get another, and call again.
    #[error("there is no unused key package for this group")]
    NoKeyPackage,
    /// A device cannot remove itself by a commit (RFC 9420, 12.2). Leave instead: another member commits it.
    #[error("a device cannot commit its own removal; it can propose to leave")]
    OwnRemoval,

    /// The bytes are not an MLS message of the kind that is expected here.
    #[error("not {expected}: {detail}")]
    Malformed {
        /// What was expected: "a key package".
        expected: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// The message is of an epoch that this device has not reached. Fetch and process what comes before it.
    #[error("the message is of epoch {epoch}, this device is in epoch {current}")]
    FutureEpoch {
        /// The message's epoch.
        epoch: Epoch,
        /// The device's epoch.
        current: Epoch,
    },
    /// The message is not authentic, or not valid in the group's state: forged, damaged, or made by a faulty client.
    #[error("the message is invalid: {detail}")]
    Invalid {
        /// Why, as far as it can be told.
        detail: String,
    },
    /// The message is authentic, and says what this device does not accept.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// The welcome or group info has no ratchet tree in it (RFC 9420, 12.4.3.3), and none came beside it: get that of this
    /// epoch from the delivery service, and call again [with it](crate::JoinMessage::with_tree).
    #[error("joining the group {group} in epoch {epoch} needs its ratchet tree, from the delivery service")]
    NeedsRatchetTree {
        /// The group.
        group: GroupId,
        /// The epoch that the tree has to be of.
        epoch: Epoch,
    },
    /// The welcome is for none of this device's key packages: another device's, or the key package was used or expired.
    #[error("the welcome is for none of this device's key packages")]
    NotInvited,

    /// The policy has key packages used for longer than any device accepts.
    #[error("key packages can be used for {max} seconds at most", max = regrow_protocol::profile::MAX_USE_SECONDS)]
    KeyPackageLifetime,

    /// The time is after the year 9999: it is probably in milliseconds. Pass seconds since the Unix epoch.
    #[error("the time {} is after the year 9999; times are in seconds", now.0)]
    Time {
        /// The time that was passed.
        now: Timestamp,
    },
    /// The device's signature key does not fit the policy's ciphersuite, with which it was not made. Open the device with a
    /// policy of a ciphersuite with the same signature algorithm, or make a new device.
    #[error("the device's signature key is not of the signature algorithm of {ciphersuite:?}")]
    PolicyCiphersuite {
        /// The policy's ciphersuite.
        ciphersuite: Ciphersuite,
    },
    /// The group's handshake messages travel otherwise than this device was told by the policy with which it joined
    /// (RFC 9420, 6). [Forget](crate::Client::forget) the group, and join it with the group's
    /// [handshake mode](crate::Policy::handshake).
    #[error("the group's handshake messages are of another handshake mode than this device's policy")]
    HandshakeMode,
    /// More messages of one sender are missing than the policy lets this device [pass over](crate::Policy::max_forward). The
    /// sender cannot be read before the next epoch: [update](crate::Group::update) to begin one.
    #[error("more messages of the sender are missing than may be passed over")]
    Gap,
    /// The text is too long for one message. Send it in parts.
    #[error("the text has {bytes} bytes; it may have {max}", max = crate::MAX_TEXT_BYTES)]
    TextLength {
        /// The text's length.
        bytes: usize,
    },
    /// Another [`Client`](crate::Client) has been made over the store since. Two of them would use one key twice, so this
    /// one does nothing any more: drop it, and use the other.
    #[error("another client has been opened over the store of this one")]
    Superseded,

    /// The cryptography or the randomness failed.
    #[error("cryptography failed: {0}")]
    Crypto(CryptoError),
    /// OpenMLS reports an error that no input explains. Please report it.
    #[error("internal error while trying to {action}: {detail}")]
    Internal {
        /// What was attempted.
        action: &'static str,
        /// What OpenMLS says.
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

/// Why an authentic message is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// A credential does not name a user and a device.
    #[error("a credential does not name a device: {0}")]
    Credential(InvalidName),
    /// A leaf would name another device than before (RFC 9420, 5.3.1): a device cannot become another.
    #[error("the leaf of {from} would become that of {to}")]
    Succession {
        /// Whose leaf it is.
        from: DeviceId,
        /// Whom it would name.
        to: DeviceId,
    },
    /// The application's [authentication service](crate::Authenticate) does not accept that the key is the device's.
    #[error("the signature key is not accepted as that of {device}: {reason}")]
    Unauthenticated {
        /// Whom the leaf names.
        device: DeviceId,
        /// What the authentication service says.
        reason: String,
    },
    /// The application does not [permit](crate::Authenticate::may) this change.
    #[error("{by} may not do this: {change}: {reason}")]
    Forbidden {
        /// Who proposed the change.
        by: DeviceId,
        /// What it is.
        change: Box<Change>,
        /// What the application says.
        reason: String,
    },
    /// A key package has a key that another device's leaf has (RFC 9420, 7.3). Ask for a new one.
    #[error("the key package of {device} has a key of {owner}")]
    KeyInUse {
        /// Whom the key package would add.
        device: DeviceId,
        /// Whose key it is.
        owner: DeviceId,
    },
    /// A device would be in the group twice.
    #[error("{0} would be in the group twice")]
    Duplicate(DeviceId),
    /// An external commit removes somebody else than the device that joins (RFC 9420, 12.4.3.2).
    #[error("the external commit of {joiner} removes {removed}")]
    ForeignRemoval {
        /// Who joins.
        joiner: DeviceId,
        /// Whose leaf would be removed.
        removed: DeviceId,
    },
    /// An external commit replaces a device's leaf, and does not have that leaf's signature key: whoever made it knows the
    /// device's name, and nothing of its keys.
    #[error("the external commit replaces the leaf of {device} without its signature key")]
    SignatureKeyChanged {
        /// Whose leaf would be replaced.
        device: DeviceId,
    },
    /// A key package is not used now, or would be used for longer than any device accepts (RFC 9420, 7.2). Ask for a new one.
    #[error("the key package, to be used from {not_before} to {until}, is not acceptable now")]
    Lifetime {
        /// The first second of its lifetime, since the Unix epoch.
        not_before: u64,
        /// The second after the last in which it is used.
        until: u64,
    },
    /// Something in the message uses another ciphersuite than the group.
    #[error("the ciphersuite is {0:?}, not the group's")]
    Ciphersuite(Ciphersuite),
    /// A proposal changes the group context otherwise than the group's [data](crate::Group::set_data).
    #[error("the group context would change otherwise than in its data")]
    GroupContext,
    /// The group's data would be too long.
    #[error("the group's data has {bytes} bytes; it may have {max}", max = crate::MAX_GROUP_DATA_BYTES)]
    DataLength {
        /// How long it would be.
        bytes: usize,
    },
    /// The group's data is of a version that this engine does not know. Update it.
    #[error("the group's data is of version {version:?}, which is unknown")]
    DataVersion {
        /// Its first byte, if it has one.
        version: Option<u8>,
    },
    /// A device's leaf has a fault that makes every member refuse a commit with it (RFC 9420, 7.3). Ask the device for a new
    /// key package, or for a client that makes proper ones.
    #[error("the leaf of {device} cannot be in the group: {fault}")]
    Leaf {
        /// The device that the leaf names.
        device: DeviceId,
        /// The leaf's fault.
        fault: LeafFault,
    },
    /// The proposal comes from an external sender or from a device that wants to join (RFC 9420, 12.1.8). The engine
    /// takes proposals from members only.
    #[error("the proposal does not come from a member of the group")]
    OutsideProposal,
    /// A commit cannot be made with the proposal or the addition, for a reason that shows only then: a key package has
    /// expired by the system's clock, for example.
    #[error("no commit can be made with it: {detail}")]
    NotCommittable {
        /// The reason that OpenMLS gives.
        detail: String,
    },
    /// The proposal is of a type that this engine does not take part in.
    #[error("proposals of this type are not accepted: {0}")]
    ProposalType(String),
}

impl Refusal {
    /// Whether it is for a thing that Regrow has no part in, whoever uses it.
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
