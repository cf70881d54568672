//! The events that received messages cause.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    DeviceId, EpochChange, Proposed, Refusal,
    names::{Epoch, GroupId, MessageId},
};

/// A received message of one group, and its event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Received {
    /// The group of the message.
    pub group: GroupId,
    /// The identifier of the message.
    pub id: MessageId,
    /// The event that the message caused.
    pub event: ReceivedEvent,
}

/// The effect of a received message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ReceivedEvent {
    /// An application message. Show it once.
    Message(ApplicationMessage),
    /// A proposal. It is valid until the epoch ends, and the next commit of any member can carry
    /// it out.
    Proposal {
        /// The proposing device.
        by: DeviceId,
        /// The proposed change.
        change: Proposed,
    },
    /// A commit of this device or of another member was merged. The group is in a new epoch.
    Commit(EpochChange),
    /// This device was removed. Its secrets of the group are erased, and a member can add it
    /// again. (The delivery service decides whether the device may come back by external commit.
    /// Regrow's service does not let a device come back that others have removed.)
    Removed {
        /// The device that committed the removal. It is this device itself if an external commit
        /// has replaced this device's leaf. Such a commit comes from a copy of this device, or
        /// from an attacker with its signature key. Then this device can rejoin, and should rotate
        /// its signature key.
        by: DeviceId,
        /// The first epoch without this device.
        epoch: Epoch,
    },
    /// A message or proposal of this device came back: the delivery service has ordered it.
    Own,
    /// This device cannot continue in the group with its current state. It must rejoin by
    /// [external commit](crate::Client::join_external). Its open intents are stored until then.
    Lost(Lost),
    /// The message had no effect, for this reason. It is not an error.
    Ignored(Ignored),
}

impl ReceivedEvent {
    /// True if the application would want to know the event later.
    pub(crate) fn is_news(&self) -> bool {
        !matches!(self, Self::Own | Self::Ignored(_))
    }
}

/// The reason why a device cannot continue in a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Lost {
    /// A commit of the current epoch comes from a member but cannot be carried out here.
    ///
    /// Possible reasons: the commit is not valid, its path cannot be decrypted, or a proposal to
    /// which it refers has not arrived. Or its sender has encrypted another message with the same
    /// key, as a copied device does.
    ///
    /// If the delivery service has ordered the commit, the other members may be in the commit's
    /// epoch. This device has changed nothing: if the service has not ordered the commit,
    /// continue.
    #[error("the commit cannot be carried out: {detail}")]
    Commit {
        /// The fault of the commit.
        detail: String,
    },
    /// A commit of the current epoch adds a device whose key package is not valid by the system's
    /// clock. Or it refers to a proposal that was ignored for that reason ([`Ignored::Clock`]).
    /// Check the clock. The commit is valid by the clocks of others, so never report it to the
    /// delivery service.
    #[error("the commit is not valid by this device's clock: {detail}")]
    Clock {
        /// The lifetime, and the system's time.
        detail: String,
    },
    /// A commit of the current epoch uses a feature that Regrow does not support
    /// ([`profile`](regrow_protocol::profile)). Such features are another kind of credential and a
    /// proposal of another type or from outside the group. Others are another extension of the
    /// group context and group data of an unknown version. Members with other software may be in
    /// the commit's epoch.
    #[error("the commit uses a feature that this engine does not support: {0}")]
    Unsupported(Refusal),
    /// This device has confirmed its own commit, but the delivery service has ordered another
    /// commit in that epoch. So this device is alone in the epoch of its own commit. Confirm a
    /// commit only after the service has accepted it.
    ///
    /// The keys of that epoch are erased, so this device cannot verify the other commit. It relies
    /// on the service's order.
    #[error("another commit was ordered in epoch {epoch}, in which this device has confirmed its own")]
    Fork {
        /// The epoch in which both commits were made.
        epoch: Epoch,
    },
    /// A message of this device came back that this device does not know. Its storage is a
    /// restored older state, or a copy that was used elsewhere. The device could use the same keys
    /// again, so it creates no more messages, proposals or commits in the group. Each such call
    /// fails with [`Error::Restored`](crate::Error::Restored).
    #[error("the storage is a restored older state, or a copy that was used elsewhere")]
    #[serde(rename = "RolledBack")]
    Restored,
}

impl Lost {
    /// True if the application should report the commit to the delivery service. The service can
    /// then roll back a commit that most members cannot carry out. Do not report a commit that
    /// only this device cannot carry out.
    pub fn is_reportable(&self) -> bool {
        match self {
            Self::Commit { .. } | Self::Unsupported(_) => true,
            Self::Clock { .. } | Self::Fork { .. } | Self::Restored => false,
        }
    }
}

/// An application message (RFC 9420, 15).
#[derive(Clone, Serialize, Deserialize)]
pub struct ApplicationMessage {
    /// The sender: the device that signed the message.
    pub sender: DeviceId,
    /// The epoch of the message.
    pub epoch: Epoch,
    /// The sent text.
    pub text: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for ApplicationMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sender, epoch, text } = self;
        write!(f, "ApplicationMessage {{ sender: {sender}, epoch: {epoch}, text: {} bytes }}", text.len())
    }
}

/// The reason why a message had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ignored {
    /// A handshake message of a past epoch. It lost a race, or was received before.
    PastEpoch,
    /// The message was read before. It is an application message whose key is erased, or a
    /// proposal that is already waiting.
    AlreadyRead,
    /// An application message whose epoch or generation is too old: the policy no longer keeps its
    /// keys. It cannot be read.
    TooOld,
    /// The proposal adds a device whose key package is not valid by the system's clock. Check the
    /// clock.
    Clock,
}
