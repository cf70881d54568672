//! The events that a messenger tells its application.

use std::{fmt, sync::Arc, time::Duration};

use regrow_engine::{DeviceId, Epoch, EpochChange, GroupId, MessageId, Proposed, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use zeroize::Zeroizing;

use super::lane::Scope;
use crate::{RejectCode, device_list::DeviceCard, error::Error, names::Sequence, receipt::Equivocation};

/// An event. An application that keeps each event before it asks for the next is told exactly once of messages and of
/// changes by other members: see [`Messenger`](super::Messenger). The other events are notices, which a crash may swallow;
/// their subjects can be asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A message.
    Message {
        /// The group.
        group: GroupId,
        /// The message's identifier, the same at every member and each time that the message is told. If the sender had to
        /// send the text twice, there are two messages: each member is told one of them.
        id: MessageId,
        /// The device that has sent it.
        sender: DeviceId,
        /// The epoch in which it was sent.
        epoch: Epoch,
        /// The text.
        text: Text,
    },
    /// This device was added to a group.
    Joined {
        /// The group.
        group: GroupId,
        /// The device that has added it, as the service says.
        by: DeviceId,
    },
    /// This device was added to a group by a device that [may not](super::Options::may_add) add it without asking. The group is
    /// read already. A person [accepts](super::Messenger::accept_group) or [declines](super::Messenger::decline_group) it;
    /// after 30 days without an answer the service delivers nothing of it any more.
    Invited {
        /// The group.
        group: GroupId,
        /// The device that has added this one, as the service says.
        by: DeviceId,
    },
    /// A group is in a new epoch, by a commit of this device or of another.
    Changed {
        /// The group.
        group: GroupId,
        /// The changes.
        change: EpochChange,
    },
    /// Somebody proposes something; a commit will do it.
    Proposed {
        /// The group.
        group: GroupId,
        /// Who.
        by: DeviceId,
        /// What.
        change: Proposed,
    },
    /// This device is not in the group any more.
    Removed {
        /// The group.
        group: GroupId,
        /// The device that has removed it, if it is known.
        by: Option<DeviceId>,
    },
    /// An intent cannot be carried out, and is given up.
    Refused {
        /// The group.
        group: GroupId,
        /// The intent, if it was a single one.
        intent: Option<Intent>,
        /// Why. For people.
        reason: String,
    },
    /// Something has failed, and is tried again later. Only this scope waits: everything else goes on. It is told once,
    /// until the scope works again.
    Delayed {
        /// The concern that waits.
        scope: Scope,
        /// The failure.
        cause: Arc<Error>,
        /// The time until the next attempt.
        again: Duration,
    },
    /// A device of a user that was to be added cannot be added now. The user's other devices are added all the same.
    NotAdded {
        /// The group.
        group: GroupId,
        /// The device. To try it again, [add the user](super::Messenger::add_user) again.
        device: DeviceId,
        /// The failure: the device's key package is no good, or the service has none of it.
        cause: Arc<Error>,
    },
    /// The service refuses key packages of this device. They are erased on the device, and new ones are made. Nothing
    /// else waits for that. If it repeats, look at the reason: a wrong clock is the usual one.
    KeyPackagesRefused {
        /// The number of key packages.
        key_packages: usize,
        /// The service's reason, if this version of the crate knows it.
        reason: Option<RejectCode>,
        /// The service's reason. For people.
        detail: String,
        /// The time until new ones are made.
        again: Duration,
    },
    /// This device's clock and the service's are further apart than [`MAX_CLOCK_SKEW`](super::MAX_CLOCK_SKEW). The
    /// service's time is used until they agree, and no member is judged inactive. Ask a person to set the clock.
    ClockSkew {
        /// The time by this device's clock.
        own: Timestamp,
        /// The time by the service's clock.
        service: Timestamp,
    },
    /// The service has removed a device of this user, as [wanted](super::Messenger::remove_device).
    DeviceRemoved {
        /// The device.
        device: DeviceId,
    },
    /// This device is not on the list of its user's devices, so that nobody adds it to groups. Show the card to a device
    /// that is on the list, which [links](super::Messenger::link_device) this one. It is told once by each process.
    Unlisted {
        /// This device's name and public keys.
        card: DeviceCard,
    },
    /// A device was not put on the list of this user's devices.
    NotLinked {
        /// The device. To try it again, [link it](super::Messenger::link_device) again.
        device: DeviceId,
        /// The failure.
        cause: Arc<Error>,
    },
    /// The list of a user's devices has changed: of this user, or of one that this device has added to a group or seen
    /// added. A person should know each device of the own list.
    DevicesChanged {
        /// The user.
        user: UserId,
        /// Devices that the list has now.
        added: Vec<DeviceId>,
        /// Devices that the list has no longer.
        removed: Vec<DeviceId>,
        /// Whether no former device vouches for the list, because it has begun anew. The user's devices are not added to
        /// groups before a person [accepts](super::Messenger::accept_devices) the list.
        begun_anew: bool,
    },
    /// The service shows a list of a user's devices that contradicts the list that it has shown before, or that no device
    /// has signed. The user's devices are not added to groups. If there is an honest reason, such as a service that was
    /// restored from a backup, a person can [accept](super::Messenger::accept_devices) the list.
    DeviceListForged {
        /// The user.
        user: UserId,
        /// The contradiction. For people.
        detail: String,
    },
    /// A device was added to a group that is not on the list of its user's devices: the member that has added it is
    /// deceived, or deceives. A person should ask the user.
    UnlistedMember {
        /// The group.
        group: GroupId,
        /// The device.
        device: DeviceId,
    },
    /// The service does not remove a device of this user. It is still removed from the groups.
    DeviceNotRemoved {
        /// The device. To try it again, [remove it](super::Messenger::remove_device) again.
        device: DeviceId,
        /// The failure.
        cause: Arc<Error>,
    },
    /// A message could not be sent, and will not be.
    Undeliverable {
        /// The group.
        group: GroupId,
        /// The text.
        text: Text,
        /// Why. For people.
        reason: String,
    },
    /// A message or proposal cannot be read: it is forged, damaged, or of another make.
    Unreadable {
        /// The group.
        group: GroupId,
        /// The device that has submitted it, as the service says.
        sender: DeviceId,
        /// Why. For people.
        reason: String,
    },
    /// A commit that the service has ordered cannot be followed. It is reported; either it is taken back, or this device
    /// rejoins.
    BadCommit {
        /// The group.
        group: GroupId,
        /// Its number in the group's log.
        sequence: Sequence,
        /// The device that has submitted it, as the service says.
        sender: DeviceId,
        /// The reason. For people.
        reason: String,
    },
    /// A commit was taken back, and all entries after it. Texts that this device had sent since are sent again, and members
    /// that have read them are not told them twice. Intents that its commit was to carry out have to be wanted again.
    RolledBack {
        /// The group.
        group: GroupId,
        /// The commit's number.
        commit: Sequence,
        /// Whether this device had followed the commit. It rejoins then, or is not in the group if the commit had
        /// added it.
        followed: bool,
    },
    /// This device cannot go on in the group with the state that it has, and rejoins by external commit.
    Rejoining {
        /// The group.
        group: GroupId,
        /// Why.
        why: Rejoin,
    },
    /// It has rejoined. Messages that were sent in between cannot be read.
    Rejoined {
        /// The group.
        group: GroupId,
    },
    /// It cannot rejoin for now. It is tried again when something is heard of the group.
    Stranded {
        /// The group.
        group: GroupId,
        /// Why. For people.
        reason: String,
    },
    /// Entries of the group's log are missing: the service keeps them no longer, or keeps them back.
    Gap {
        /// The group.
        group: GroupId,
        /// The last one before.
        after: Sequence,
        /// The first one after.
        before: Sequence,
    },
    /// The service has signed two histories of the group. The proof convicts it before everybody who has its key. Nothing
    /// is sent in the group from here on, before [`Messenger::trust_again`](super::Messenger::trust_again).
    Equivocation {
        /// The group.
        group: GroupId,
        /// Two receipts that contradict each other.
        proof: Equivocation,
    },
    /// An entry does not continue what the service has signed before. This device knows it, and cannot prove it. Nothing is
    /// sent in the group from here on, as above.
    BrokenChain {
        /// The group.
        group: GroupId,
        /// The entry's number.
        sequence: Sequence,
    },
    /// The roster by which the service delivers is not that of the group: in an opaque group, a committer has declared
    /// something else than it did; or the service has its own idea of who is in the group.
    RosterLie {
        /// The group.
        group: GroupId,
        /// The devices that read at the service and are not in the group.
        intruders: Vec<DeviceId>,
        /// The devices that are in the group and read nothing.
        left_out: Vec<DeviceId>,
    },
}

/// Something that is wanted of a group, until it has happened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Intent {
    /// Add a user, with all devices on the user's list that the group has not removed.
    AddUser(UserId),
    /// Add one device.
    AddDevice(DeviceId),
    /// Remove a user, with all devices.
    RemoveUser(UserId),
    /// Remove one device.
    RemoveDevice(DeviceId),
    /// Give this device new keys, and a new signature key if so wanted.
    Rotate {
        /// Whether the signature key is replaced as well.
        signature_key: bool,
    },
    /// Set the group's data.
    SetData(ByteBuf),
    /// Leave.
    Leave,
}

impl Intent {
    /// The user that the intent adds or removes, or a device of that user.
    pub(super) fn user(&self) -> Option<&UserId> {
        match self {
            Self::AddUser(user) | Self::RemoveUser(user) => Some(user),
            Self::AddDevice(device) | Self::RemoveDevice(device) => Some(device.user()),
            Self::Rotate { .. } | Self::SetData(_) | Self::Leave => None,
        }
    }

    /// Whether the newer intent takes this one back, so that the newer one alone counts.
    pub(super) fn is_void_after(&self, newer: &Self) -> bool {
        match (self, newer) {
            (Self::AddUser(user), Self::RemoveUser(removed)) => user == removed,
            (Self::AddDevice(device), Self::RemoveUser(removed)) => device.user() == removed,
            (Self::AddDevice(device), Self::RemoveDevice(removed)) => device == removed,
            (Self::SetData(_), Self::SetData(_)) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddUser(user) => write!(f, "to add {user}"),
            Self::AddDevice(device) => write!(f, "to add {device}"),
            Self::RemoveUser(user) => write!(f, "to remove {user}"),
            Self::RemoveDevice(device) => write!(f, "to remove {device}"),
            Self::Rotate { signature_key: false } => f.write_str("to rotate keys"),
            Self::Rotate { signature_key: true } => f.write_str("to rotate the signature key"),
            Self::SetData(data) => write!(f, "to set the group's data ({} bytes)", data.len()),
            Self::Leave => f.write_str("to leave"),
        }
    }
}

/// Why a device rejoins a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rejoin {
    /// A commit that it cannot follow was not taken back.
    BadCommit,
    /// It has followed a commit that was taken back.
    RolledBack,
    /// It has missed a commit.
    Missed,
    /// Its storage was put back to an earlier state, or copied.
    Restored,
    /// It was added, and cannot open the welcome.
    Welcome,
    /// An entry of the group could not be taken in, or the messenger's record of the group is damaged.
    Failed,
}

/// A text. It is erased from memory when it is dropped, and not shown by `{:?}`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Text(pub Zeroizing<Vec<u8>>);

impl Text {
    /// The text's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

impl fmt::Display for Text {
    /// The bytes as text; bytes that are none are replaced.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}
