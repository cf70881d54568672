//! The facts that the oracle is told, in the order in which they happened.
//!
//! Everything is a number. The caller that tells the facts chooses the numbers, and no two things
//! share one.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $Name:ident($Of:ty), $text:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $Name(pub $Of);

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($text, " {}"), self.0)
            }
        }
    };
}

number!(
    /// A device.
    DeviceNumber(usize), "device"
);
number!(
    /// A key package (RFC 9420, 10).
    KeyPackageId(u64), "key package"
);
number!(
    /// A proposal by reference (RFC 9420, 12.1).
    ProposalId(u64), "proposal"
);
number!(
    /// A commit that was made, even if the delivery service never orders it (RFC 9420, 12.4). A
    /// commit that is made again after a lost race is a different commit.
    CommitId(u64), "commit"
);
number!(
    /// An application message that was encrypted (RFC 9420, 15). A text that is encrypted again is
    /// a different message.
    MessageNumber(u64), "message"
);

/// An epoch, named by the commit that makes it. Each commit that is made in an epoch would make a
/// different next epoch. Each committer holds the secrets of its own next epoch, although the
/// service orders only one of the commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EpochId {
    /// Epoch 0, in which the group's creator is alone.
    First,
    /// The epoch that this commit makes.
    After(CommitId),
}

impl fmt::Display for EpochId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => write!(f, "the first epoch"),
            Self::After(commit) => write!(f, "the epoch of {commit}"),
        }
    }
}

/// The part of the group's policy that decides which secrets a device keeps. The other settings do
/// not matter to a thief, because a thief can compute everything that a device refuses to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// The number of past epochs whose message secrets are kept.
    pub past_epochs: usize,
    /// The number of generations behind the latest one in which unused keys are kept, for late
    /// messages.
    pub out_of_order: u32,
    /// True if handshakes are PrivateMessages (RFC 9420, 6.3). External commits are always
    /// PublicMessages.
    pub opaque: bool,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A device has made a key package: its init key and its leaf key are on the device.
    KeyPackageMade {
        /// The owner of the key package.
        of: DeviceNumber,
        /// The key package.
        key_package: KeyPackageId,
        /// True if the key package stays after its use.
        last_resort: bool,
    },
    /// A device has erased an unused key package, for example after its expiry.
    KeyPackageErased {
        /// The owner of the key package.
        of: DeviceNumber,
        /// The key package.
        key_package: KeyPackageId,
    },
    /// A device has created the group, and is alone in its epoch 0.
    Created {
        /// The creator.
        by: DeviceNumber,
    },
    /// A member has made a proposal by reference. The member need not have sent it.
    Proposed {
        /// The member.
        by: DeviceNumber,
        /// The proposal.
        proposal: ProposalId,
        /// The kind of the proposal.
        what: ProposalKind,
    },
    /// A member has processed the proposal of another member. If handshakes are PrivateMessages,
    /// the member has erased the key of the proposal.
    Received {
        /// The member.
        who: DeviceNumber,
        /// The proposal.
        proposal: ProposalId,
    },
    /// A device has made a commit, and holds the secrets of the epoch that it would make. The
    /// commit replaces an earlier commit of the device. An external commit is held apart from the
    /// state of the group that the device may have.
    Prepared {
        /// The committer.
        by: DeviceNumber,
        /// The commit.
        commit: CommitId,
        /// The effects of the commit.
        what: Commit,
    },
    /// A device has discarded a commit of its own.
    Discarded {
        /// The committer.
        by: DeviceNumber,
        /// The commit.
        commit: CommitId,
    },
    /// The delivery service has accepted a commit. The commit and its welcome are traffic, and the
    /// group is in the commit's epoch.
    Ordered {
        /// The commit.
        commit: CommitId,
    },
    /// A device has entered the epoch that a commit makes: the committer by confirming it, another
    /// member by processing it. A member that the commit removes has erased its state of the group.
    Entered {
        /// The device.
        who: DeviceNumber,
        /// The commit.
        commit: CommitId,
    },
    /// A device has joined by the welcome of this commit, with the key package that the commit
    /// names.
    Joined {
        /// The device.
        who: DeviceNumber,
        /// The commit.
        commit: CommitId,
    },
    /// A member has erased the message secrets of its oldest past epochs, because they were too old.
    PastErased {
        /// The member.
        who: DeviceNumber,
        /// The number of past epochs that it keeps.
        kept: usize,
    },
    /// A device has erased its whole state of the group, including a commit under way.
    Forgot {
        /// The device.
        who: DeviceNumber,
    },
    /// A member has encrypted an application message in its present epoch, and has used the next
    /// generation of its ratchet. A message that is never [`Sent`](Self::Sent) has used it, too.
    Encrypted {
        /// The sender.
        by: DeviceNumber,
        /// The message.
        message: MessageNumber,
    },
    /// The delivery service has accepted a message. The message is traffic.
    Sent {
        /// The message.
        message: MessageNumber,
    },
    /// A member has decrypted a message, and has erased its key.
    Read {
        /// The member.
        who: DeviceNumber,
        /// The message.
        message: MessageNumber,
    },
    /// A thief has made a copy of a device, and runs it. The copy starts with the state of the
    /// device. From then on, the device and the copy know nothing of each other. The copy acts with
    /// the device's leaf and in its name. A commit that adds or removes the device adds or removes
    /// both. An external commit of one takes the leaf of the other.
    Stolen {
        /// The device.
        of: DeviceNumber,
        /// The number of the copy, which no other device has.
        thief: DeviceNumber,
    },
}

/// The kind of a proposal by reference. It decides if a secret stays on the proposer's device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposalKind {
    /// New keys for the proposer's leaf. The private key is on the device until the epoch ends.
    Update,
    /// Anything else.
    Other,
}

/// The effects of a commit. Every commit has a path (RFC 9420, 12.4.1), and no commit injects a
/// pre-shared key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The number of the epoch in which the commit is made.
    pub epoch: u64,
    /// The added devices and their key packages, in the order of the proposals.
    pub adds: Vec<(DeviceNumber, KeyPackageId)>,
    /// The removed devices.
    pub removes: Vec<DeviceNumber>,
    /// The devices whose update proposals the commit contains, each with its proposal.
    pub updates: Vec<(DeviceNumber, ProposalId)>,
    /// True if the committer joins by this commit (RFC 9420, 12.4.3.2). If the committer still has
    /// a leaf in the group, the commit removes it, even if [`removes`](Self::removes) does not name
    /// it.
    pub external: bool,
}
