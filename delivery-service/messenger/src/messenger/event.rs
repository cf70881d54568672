//! What a messenger tells its application.

use std::fmt;

use regrow_engine::{DeviceId, Epoch, EpochChange, GroupId, MessageId, Proposed, UserId};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{names::Sequence, receipt::Equivocation};

/// What has happened. Messages, and what changes a group by what is read, are told exactly once to an application that
/// keeps what it is told before it asks for more: see [`Messenger`](super::Messenger). The rest are notices, which a crash
/// may swallow; what they are about can be asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A message.
    Message {
        /// The group.
        group: GroupId,
        /// What it is known by, at every member and each time.
        id: MessageId,
        /// The device that has sent it.
        sender: DeviceId,
        /// The epoch in which it was sent.
        epoch: Epoch,
        /// What was sent.
        text: Text,
    },
    /// This device was added to a group.
    Joined {
        /// The group.
        group: GroupId,
        /// Who has added it, as the service says.
        by: DeviceId,
    },
    /// A group is in a new epoch, by a commit of this device or of another.
    Changed {
        /// The group.
        group: GroupId,
        /// What has changed.
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
        /// Who has removed it, if it was told.
        by: Option<DeviceId>,
    },
    /// What was wanted cannot be done, and is not wanted any more.
    Refused {
        /// The group.
        group: GroupId,
        /// What was wanted, if it was a single thing.
        wish: Option<Wish>,
        /// Why. For people.
        reason: String,
    },
    /// A message could not be sent, and will not be.
    Undeliverable {
        /// The group.
        group: GroupId,
        /// What was to be sent.
        text: Text,
        /// Why. For people.
        reason: String,
    },
    /// A message or proposal cannot be read: it is forged, damaged, or of another make.
    Unreadable {
        /// The group.
        group: GroupId,
        /// Who has submitted it, as the service says.
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
        /// Who has submitted it, as the service says.
        sender: DeviceId,
        /// What is wrong with it.
        reason: String,
    },
    /// A commit was taken back, and all that came after it with it. What this device had sent since is sent again; what its
    /// commit was to do has to be wanted again.
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
    /// It has rejoined. What was sent in between cannot be read.
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
        /// Who reads at the service and is not in the group.
        intruders: Vec<DeviceId>,
        /// Who is in the group and reads nothing.
        left_out: Vec<DeviceId>,
    },
}

/// Something that is wanted of a group, until it has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// Add a user, with all devices.
    AddUser(UserId),
    /// Remove a user, with all devices.
    RemoveUser(UserId),
    /// Remove one device.
    RemoveDevice(DeviceId),
    /// Give this device new keys, and a new signature key if so wanted.
    Rotate {
        /// Whether the signature key is replaced as well.
        signature_key: bool,
    },
    /// Leave.
    Leave,
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
    /// As text, whatever the bytes are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}
