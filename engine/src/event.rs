//! What a received message meant.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    DeviceId, UserId,
    error::Refusal,
    names::{Epoch, GroupId, MessageId},
};

/// What one received message meant to one group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Received {
    /// The group that the message was of.
    pub group: GroupId,
    /// Which message it was.
    pub id: MessageId,
    /// What it meant.
    pub event: Event,
}

/// What a message meant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Event {
    /// An application message, to be shown once.
    Message(Message),
    /// A proposal, valid until the epoch ends. Somebody's next commit carries it out.
    Proposal {
        /// Who proposes.
        by: DeviceId,
        /// What is proposed.
        change: Proposed,
    },
    /// A commit was merged, this device's own or another's: the group is in a new epoch.
    Commit(EpochChange),
    /// This device was removed. Its secrets of the group are erased; it can be added again. (Whether it may
    /// come back by external commit, the delivery service says: Regrow's lets nobody whom others have removed.)
    Removed {
        /// Who removed it. Itself, if it was an external commit that took its place: of this device, elsewhere, or of somebody
        /// who has its signature key. It can then rejoin, and should rotate that key.
        by: DeviceId,
        /// The first epoch without this device.
        epoch: Epoch,
    },
    /// An own message or proposal came back: the delivery service has ordered it.
    Own,
    /// This device cannot go on in the group with the state that it has. It has to rejoin, by
    /// [external commit](crate::Client::join_external); what was wanted and has not happened is kept until then.
    Lost(Lost),
    /// Nothing happened and nothing is wrong, for this reason.
    Ignored(Ignored),
}

impl Event {
    /// Whether it tells anything that the application would want to know later.
    pub(crate) fn is_news(&self) -> bool {
        !matches!(self, Self::Own | Self::Ignored(_))
    }
}

/// Why a device cannot go on in a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Lost {
    /// A commit of the present epoch is a member's and cannot be carried out here: it is not valid, its path cannot be decrypted,
    /// a proposal that it names has not come, or its sender has encrypted something else with its key, as a device that was
    /// copied does. If the delivery service has ordered it, the others
    /// may be in the epoch that it makes. Nothing has changed: if it has not, go on.
    #[error("the commit cannot be carried out: {detail}")]
    Commit {
        /// What is wrong with it.
        detail: String,
    },
    /// A commit of the present epoch adds a device whose key package is not valid by the system's clock, or refers to a
    /// proposal that was passed over for that reason ([`Ignored::Clock`]). Check the clock. The commit is good by the
    /// clocks of others: never report it to the delivery service.
    #[error("the commit is not valid by this device's clock: {detail}")]
    Clock {
        /// The lifetime, and the system's time.
        detail: String,
    },
    /// A commit of the present epoch uses what Regrow has no part in: a foreign kind of identity, a proposal of another type or
    /// from outside the group, another extension of the group context, or data of an unknown version
    /// ([`profile`](regrow_protocol::profile)). Members of another make may be in the epoch that it makes.
    #[error("the commit uses what this engine does not support: {0}")]
    Unsupported(Refusal),
    /// This device has confirmed a commit of its own, and the delivery service has ordered another in that epoch: this
    /// device alone is in the epoch that its commit made. Confirm a commit only when the service has accepted it. The keys of
    /// the epoch are gone, so that the other commit is not verified: the order in which it came is the service's word.
    #[error("another commit was ordered in epoch {epoch}, in which this device has confirmed its own")]
    Fork {
        /// The epoch in which both commits were made.
        epoch: Epoch,
    },
    /// A message of this device's own came back that this device does not know: its storage was put back to an earlier
    /// state, or copied and used elsewhere. It could use keys that it has used, so that from here on it makes nothing in
    /// the group: every call that would fails with [`Error::RolledBack`](crate::Error::RolledBack).
    #[error("the storage was put back to an earlier state, or copied and used elsewhere")]
    RolledBack,
}

impl Lost {
    /// Whether the delivery service is to hear of the commit, so that it can take back a commit that most members cannot
    /// carry out. A commit that only this device cannot carry out is nothing to report.
    pub fn is_reportable(&self) -> bool {
        match self {
            Self::Commit { .. } | Self::Unsupported(_) => true,
            Self::Clock { .. } | Self::Fork { .. } | Self::RolledBack => false,
        }
    }
}

/// An application message (RFC 9420, 15).
#[derive(Clone, Serialize, Deserialize)]
pub struct Message {
    /// Who sent it: the device whose signature it bears.
    pub sender: DeviceId,
    /// The epoch in which it was sent.
    pub epoch: Epoch,
    /// What was sent.
    pub text: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sender, epoch, text } = self;
        write!(f, "Message {{ sender: {sender}, epoch: {epoch}, text: {} bytes }}", text.len())
    }
}

/// What a proposal would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proposed {
    /// Add this device.
    Add(DeviceId),
    /// Remove this device; its own proposal to leave, if the proposer is the same.
    Remove(DeviceId),
    /// Give the proposer's leaf new keys.
    Update,
    /// Set the group's [data](crate::Group::data) to this.
    Data(Vec<u8>),
}

impl Proposed {
    pub(crate) fn adds(&self, device: &DeviceId) -> bool {
        matches!(self, Self::Add(added) if added == device)
    }
}

/// What a commit changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochChange {
    /// Who committed.
    pub by: DeviceId,
    /// The new epoch.
    pub epoch: Epoch,
    /// What changed, in the order of the commit's proposals.
    pub changes: Vec<Change>,
    /// The users that were [verified](crate::Group::verify_user) until now: a key of theirs has appeared that was not
    /// compared, of a new device or of one that changed its key. They have to be verified again.
    pub no_longer_verified: Vec<UserId>,
    /// Whether intents of this device are still to be carried out: call [`Group::resume`](crate::Group::resume).
    pub resume: bool,
}

impl EpochChange {
    /// Who was added; the joiner, of an external commit.
    pub fn added(&self) -> impl Iterator<Item = &DeviceId> {
        Change::added(&self.changes)
    }

    /// Who was removed. A device that rejoined was both removed and added.
    pub fn removed(&self) -> impl Iterator<Item = &DeviceId> {
        Change::removed(&self.changes)
    }
}

/// One thing that a commit changes. (That the committer has new keys goes without saying: all commits do that.)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// This device was not in the group and is.
    Added(DeviceId),
    /// This device was in the group and is not.
    Removed(DeviceId),
    /// This device's leaf has the new keys that it proposed.
    Updated(DeviceId),
    /// The group's [data](crate::Group::data) is this.
    Data(Vec<u8>),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(device) => write!(f, "add {device}"),
            Self::Removed(device) => write!(f, "remove {device}"),
            Self::Updated(device) => write!(f, "update {device}"),
            Self::Data(data) => write!(f, "set the group's data, {} bytes", data.len()),
        }
    }
}

impl Change {
    pub(crate) fn added(changes: &[Self]) -> impl Iterator<Item = &DeviceId> {
        changes.iter().filter_map(|change| if let Self::Added(device) = change { Some(device) } else { None })
    }

    pub(crate) fn removed(changes: &[Self]) -> impl Iterator<Item = &DeviceId> {
        changes.iter().filter_map(|change| if let Self::Removed(device) = change { Some(device) } else { None })
    }
}

/// Why a message meant nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ignored {
    /// A handshake message of an epoch that is over: lost a race, or seen before.
    PastEpoch,
    /// It was read before: an application message whose key is gone, or a proposal that waits already.
    AlreadyRead,
    /// An application message of an epoch, or of a generation, whose keys the policy no longer keeps. It cannot be read.
    TooOld,
    /// A proposal adds a device whose key package is not valid by the system's clock. Check the clock.
    Clock,
}
