//! What the oracle is told: what has happened, in the order in which it happened.
//!
//! Everything is a number. Whoever tells the facts gives the numbers, each once: two things never share one.

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
    Device(usize), "device"
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
    /// A commit that was made, whether the delivery service ever orders it or not (RFC 9420, 12.4). What is made anew
    /// after a lost race is another.
    CommitId(u64), "commit"
);
number!(
    /// An application message that was encrypted (RFC 9420, 15). A text that is encrypted anew is another message.
    MessageNumber(u64), "message"
);

/// An epoch, by the commit that makes it: of the commits that are made in one epoch, each would make another next one, and
/// their makers hold its secrets although only one of them will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Epoch {
    /// Epoch 0, in which the group's creator is alone.
    First,
    /// The one that this commit makes.
    After(CommitId),
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => write!(f, "the first epoch"),
            Self::After(commit) => write!(f, "the epoch of {commit}"),
        }
    }
}

/// As far as the group's policy decides what a device keeps. The other settings do not matter to a thief: what a device
/// refuses to compute, a thief computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How many past epochs' message secrets are kept.
    pub past_epochs: usize,
    /// How many generations behind the latest one the keys of messages that have not come are kept.
    pub out_of_order: u32,
    /// Whether handshakes are PrivateMessages (RFC 9420, 6.3). External commits are PublicMessages all the same.
    pub opaque: bool,
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A device has made a key package: its init key and its leaf key are on the device.
    KeyPackageMade {
        /// Whose it is.
        of: Device,
        /// The key package.
        key_package: KeyPackageId,
        /// Whether it stays when it is used.
        last_resort: bool,
    },
    /// A key package has been erased without having been used, as when it has expired.
    KeyPackageErased {
        /// Whose it was.
        of: Device,
        /// The key package.
        key_package: KeyPackageId,
    },
    /// A device has created the group, and is alone in its epoch 0.
    Created {
        /// The creator.
        by: Device,
    },
    /// A member has made a proposal by reference. It need not have been sent.
    Proposed {
        /// The member.
        by: Device,
        /// The proposal.
        proposal: ProposalId,
        /// What it proposes.
        what: Proposal,
    },
    /// A member has processed another's proposal. Where handshakes are PrivateMessages, its key is gone.
    Received {
        /// The member.
        who: Device,
        /// The proposal.
        proposal: ProposalId,
    },
    /// A device has made a commit, and holds the epoch that it would make. A commit that it had made before is replaced; an
    /// external commit is held apart from the state of the group that the device may have.
    Prepared {
        /// The committer.
        by: Device,
        /// The commit.
        commit: CommitId,
        /// What it does.
        what: Commit,
    },
    /// A device has discarded a commit of its own.
    Discarded {
        /// The committer.
        by: Device,
        /// The commit.
        commit: CommitId,
    },
    /// The delivery service has accepted a commit: it and its welcome are traffic, and its epoch is the group's.
    Ordered {
        /// The commit.
        commit: CommitId,
    },
    /// A device has entered the epoch that a commit makes: its committer by confirming it, a member by processing it. Who is
    /// removed by it has erased everything of the group.
    Entered {
        /// The device.
        who: Device,
        /// The commit.
        commit: CommitId,
    },
    /// A device has joined by the welcome of this commit, with the key package that it was added by.
    Joined {
        /// The device.
        who: Device,
        /// The commit.
        commit: CommitId,
    },
    /// A device has erased all that it had of the group, a commit under way included.
    Forgot {
        /// The device.
        who: Device,
    },
    /// A member has encrypted an application message in the epoch that it is in: the next generation of its ratchet is used.
    /// One that is never [`Sent`](Self::Sent) has used it all the same.
    Encrypted {
        /// The sender.
        by: Device,
        /// The message.
        message: MessageNumber,
    },
    /// The delivery service has accepted a message: it is traffic.
    Sent {
        /// The message.
        message: MessageNumber,
    },
    /// A member has decrypted a message, and its key is gone.
    Read {
        /// The member.
        who: Device,
        /// The message.
        message: MessageNumber,
    },
    /// Somebody has made a copy of a device, and runs it. The copy begins as what the device is then, and goes its own way:
    /// what either does the other does not know. It acts with the device's leaf and in its name, so that who adds or
    /// removes the device adds or removes both, and an external commit of the one takes the other's leaf.
    Stolen {
        /// The device.
        of: Device,
        /// The copy: a number that no other has.
        thief: Device,
    },
}

/// What a proposal by reference proposes, as far as it leaves a secret on its proposer's device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proposal {
    /// New keys for the proposer's leaf. The private key is on the device until the epoch ends.
    Update,
    /// Anything else.
    Other,
}

/// What a commit does. Every commit has a path (RFC 9420, 12.4.1), and none injects a pre-shared key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The number of the epoch that it is made in.
    pub epoch: u64,
    /// Whom it adds, and by which key package, in the order of its proposals.
    pub adds: Vec<(Device, KeyPackageId)>,
    /// Whom it removes.
    pub removes: Vec<Device>,
    /// Whose update proposal it commits to, and to which of them.
    pub updates: Vec<(Device, ProposalId)>,
    /// Whether its maker joins by it (RFC 9420, 12.4.3.2). A leaf that it still has in the group is removed by it, whether
    /// [`removes`](Self::removes) says so or not.
    pub external: bool,
}
