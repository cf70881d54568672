//! Format 1 of scenario files as types: what a file says once it has been read and found well-formed.
//!
//! A file holds [`Node`]s, as they are written; [`Scenario::expand`] turns them into the [`Step`]s that are run. The
//! rules that JSON cannot show (an expectation names a message that was sent) are the checker's.

use std::{fmt, sync::Arc, time::Duration};

use regrow_engine::HandshakeMode;

use super::name::{CompromiseId, MemberName, MessageId};

/// The one format that this version reads; the value of a file's `regrow`.
pub const FORMAT: u64 = 1;

/// The size of a message's plaintext, in bytes, if its `send` gives neither `size` nor `text`.
pub const DEFAULT_MESSAGE_SIZE: u32 = 32;

/// One scenario file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// What it is called in reports.
    pub name: String,
    /// One sentence that says why it matters to a product.
    pub about: Option<String>,
    /// Where everything random comes from.
    pub seed: u64,
    /// What is set for the group; the engine's defaults otherwise.
    pub group: GroupSettings,
    /// Everyone who takes part, in the order of the file, each once.
    pub members: Vec<MemberName>,
    /// What happens, as it is written.
    pub steps: Vec<Placed<Node>>,
}

/// The `group` of a scenario. What is not set has the engine's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupSettings {
    /// The group's cipher suite.
    pub ciphersuite: Option<Ciphersuite>,
    /// What the delivery service sees of handshakes.
    pub handshake: Option<HandshakeMode>,
    /// How many past epochs a member keeps the message secrets of.
    pub past_epochs: Option<u32>,
    /// How many messages of one sender may be overtaken and still be read.
    pub out_of_order: Option<u32>,
    /// Messages are padded to a multiple of this many bytes; 0 is no padding.
    pub padding: Option<u32>,
}

/// A cipher suite by its name in RFC 9420, 17.1. Those that the engine's everyday provider has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ciphersuite {
    /// `MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519`, which every implementation has.
    X25519Aes128GcmSha256Ed25519,
    /// `MLS_128_DHKEMP256_AES128GCM_SHA256_P256`.
    P256Aes128GcmSha256P256,
    /// `MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519`.
    X25519ChaCha20Poly1305Sha256Ed25519,
}

/// Where something stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the step as a reader counts, from 1; `5.2` is the second step inside the fifth.
    pub number: Arc<str>,
    /// The field path from the top of the file, such as `steps[4].repeat.steps[1]`.
    pub path: Arc<str>,
    /// The line where the step begins, from 1.
    pub line: u32,
    /// The turn of the `repeat` that it stands in, from 1.
    pub turn: Option<u32>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {} (line {}", self.number, self.line)?;
        if let Some(turn) = self.turn {
            write!(f, ", turn {turn}")?;
        }
        write!(f, ")")
    }
}

/// Something, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed<T> {
    /// Where it stands.
    pub place: Place,
    /// What stands there.
    pub item: T,
}

/// A step as it is written: names inside a `repeat` may still hold `{i}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A step that does one thing.
    Do(Action),
    /// Steps that are prepared on the same epoch. Holds actions, and repeats of actions.
    Race(Vec<Placed<Node>>),
    /// Steps that are done several times. Holds actions and races; never another repeat.
    Repeat {
        /// How many times.
        times: u32,
        /// What is done each time.
        steps: Vec<Placed<Node>>,
    },
}

/// A step as it is run: no `repeat` and no `{i}` is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// One thing.
    Do(Action),
    /// At least two actions, each of another member and each one that [`Action::can_race`]: all are prepared on the
    /// same epoch, then submitted in an order from the seed.
    Race(Vec<Placed<Action>>),
}

/// What one step does. Lists of members are never empty and hold each member once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Makes the group, and adds members in one commit.
    Create {
        /// The creator.
        by: MemberName,
        /// Those who are added; may be empty.
        with: Vec<MemberName>,
    },
    /// Adds members in one commit.
    Add {
        /// The committer.
        by: MemberName,
        /// Those who are added.
        who: Vec<MemberName>,
    },
    /// Removes members in one commit.
    Remove {
        /// The committer.
        by: MemberName,
        /// Those who are removed.
        who: Vec<MemberName>,
    },
    /// A commit with a fresh path.
    Update {
        /// The committer.
        by: MemberName,
        /// Whether the leaf gets a new signature key too.
        signature_key: bool,
    },
    /// Each proposes its own removal; the next commit of another member carries it out.
    Leave {
        /// Those who leave.
        who: Vec<MemberName>,
    },
    /// A proposal by reference.
    Propose {
        /// The proposer.
        by: MemberName,
        /// What is proposed.
        what: Proposal,
    },
    /// Commits what has been proposed.
    Commit {
        /// The committer.
        by: MemberName,
    },
    /// External commits of devices that are not members, one after the other.
    Join {
        /// Those who join.
        who: Vec<MemberName>,
    },
    /// External commits that replace the members' own lost leaves, one after the other.
    Rejoin {
        /// Those who lost their state.
        who: Vec<MemberName>,
    },
    /// An application message.
    Send {
        /// The sender.
        by: MemberName,
        /// What the message is called.
        id: MessageId,
        /// Its plaintext.
        body: Body,
    },
    /// From here on not connected.
    Offline {
        /// Those who go.
        who: Vec<MemberName>,
    },
    /// Connected again, and catching up.
    Online {
        /// Those who come back.
        who: Vec<MemberName>,
    },
    /// Withdraws all key packages at the delivery service, and publishes new ones.
    RenewKeyPackages {
        /// The members whose key packages are replaced.
        who: Vec<MemberName>,
    },
    /// Keeps deliveries of a message back.
    Hold(Delivery),
    /// Lets held deliveries go.
    Release(Delivery),
    /// Loses deliveries of a message.
    Drop(Delivery),
    /// Makes deliveries of a message twice.
    Duplicate(Delivery),
    /// Arms a crash: the next operation of the member that reaches this point dies there, and the member's process
    /// starts again. That nothing reaches it until the end is a failure of the scenario.
    Crash {
        /// Whose process dies.
        who: MemberName,
        /// Where it dies.
        at: CrashPoint,
    },
    /// Something of a device for the adversary.
    Compromise {
        /// Whose device is stolen.
        who: MemberName,
        /// What expectations call what was stolen.
        id: CompromiseId,
        /// What is stolen of it.
        scope: Scope,
    },
    /// The adversary acts in the name of the device that it stole.
    Impersonate {
        /// With which snapshot.
        compromise: CompromiseId,
        /// What it does.
        act: Act,
        /// What its message is called; only a message has a name, and need not have one.
        id: Option<MessageId>,
    },
    /// Virtual time goes by. Whole seconds, more than none.
    Wait(Duration),
    /// Fails the scenario here if it does not hold.
    Expect(Expect),
}

/// What a `propose` proposes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proposal {
    /// One Add for each.
    Add(Vec<MemberName>),
    /// One Remove for each.
    Remove(Vec<MemberName>),
    /// An Update of the proposer's own leaf.
    Update,
}

/// The plaintext of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// So many bytes, drawn from the seed.
    Size(u32),
    /// This text.
    Text(String),
}

/// Deliveries of one message that have not happened yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Which message; its `send` may stand later.
    pub id: MessageId,
    /// To whom; to everyone if not set.
    pub to: Option<Vec<MemberName>>,
}

/// Where a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CrashPoint {
    /// The operation is prepared and stored; nothing has been sent.
    BeforeSubmit,
    /// The delivery service has answered; the answer has not been read.
    AfterSubmit,
    /// The answer has been read; it has not been applied.
    BeforeConfirm,
    /// The batch of storage writes that applies it has not been finished.
    DuringWrite,
}

/// What a thief does in the name of the device that it stole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// It sends an application message.
    Send,
    /// It commits an update of the leaf.
    Commit,
    /// It takes the leaf's place by an external commit.
    Rejoin,
}

/// What is stolen of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Everything: stored values, and what is in memory.
    #[default]
    Device,
    /// The files of its storage, without their key.
    Disk,
}

/// What has to hold. At least one of the fields is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    /// The group's epoch, as the delivery service has it.
    pub epoch: Option<u64>,
    /// Who is in the group, in any order.
    pub members: Option<Vec<MemberName>>,
    /// Whether all online members have to hold the same epoch authenticator.
    pub converged: bool,
    /// What someone can read.
    pub reading: Option<Reading>,
    /// The step before failed, with this code.
    pub fails: Option<FailCode>,
}

/// What someone can read, and how a thief fares, now. Nobody is asked about both a member and a thief in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// What each of these members has decrypted.
    Member {
        /// Who is asked.
        who: Vec<MemberName>,
        /// Messages that each of them has decrypted.
        reads: Vec<MessageId>,
        /// Messages that none of them has decrypted.
        cannot_read: Vec<MessageId>,
    },
    /// What a thief can decrypt, and what has come of its acts.
    Thief {
        /// Which thief: by what was stolen.
        compromise: CompromiseId,
        /// Messages that the thief can decrypt.
        reads: Vec<MessageId>,
        /// Messages that the thief cannot decrypt.
        cannot_read: Vec<MessageId>,
        /// At most so many epochs after the compromise, no message is exposed any more.
        heals_within: Option<u64>,
        /// Whether the delivery service has ordered what the thief did last.
        accepted: Option<bool>,
        /// Whether anybody has noticed what the thief did.
        detected: Option<bool>,
    },
}

/// Why a step failed, for `expect`'s `fails`. The runner maps the engine's and the delivery service's errors onto it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FailCode {
    /// Who acts is not in the group.
    NotAMember,
    /// Who is to be added, or joins, is in the group.
    AlreadyAMember,
    /// Who is to be removed is not in the group.
    UnknownMember,
    /// Who acts has been removed from the group.
    Removed,
    /// Who acts cannot go on with the state that it has, and has to rejoin.
    Lost,
    /// Who acts is not connected.
    Offline,
    /// Something has been proposed, and nothing can be sent before a commit.
    ProposalsWait,
    /// There is nothing to commit.
    NothingToCommit,
    /// A commit of the same member is waiting for the delivery service's answer.
    CommitPending,
    /// The delivery service has no key package of who is to be added.
    NoKeyPackage,
    /// The delivery service has no group info to join with.
    NoGroupInfo,
    /// The delivery service is in a later epoch, and it was not tried again.
    Stale,
    /// The delivery service refused it for another reason.
    Rejected,
    /// A message is not valid.
    InvalidMessage,
}

impl Action {
    /// What the step is called in a file.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Add { .. } => "add",
            Self::Remove { .. } => "remove",
            Self::Update { .. } => "update",
            Self::Leave { .. } => "leave",
            Self::Propose { .. } => "propose",
            Self::Commit { .. } => "commit",
            Self::Join { .. } => "join",
            Self::Rejoin { .. } => "rejoin",
            Self::Send { .. } => "send",
            Self::Offline { .. } => "offline",
            Self::Online { .. } => "online",
            Self::RenewKeyPackages { .. } => "key_packages",
            Self::Hold(_) => "hold",
            Self::Release(_) => "release",
            Self::Drop(_) => "drop",
            Self::Duplicate(_) => "duplicate",
            Self::Crash { .. } => "crash",
            Self::Compromise { .. } => "compromise",
            Self::Impersonate { .. } => "impersonate",
            Self::Wait(_) => "wait",
            Self::Expect(_) => "expect",
        }
    }

    /// The members who submit something to an existing group with this step. Empty for every other step.
    #[must_use]
    pub fn submitters(&self) -> &[MemberName] {
        match self {
            Self::Add { by, .. }
            | Self::Remove { by, .. }
            | Self::Update { by, .. }
            | Self::Propose { by, .. }
            | Self::Commit { by }
            | Self::Send { by, .. } => std::slice::from_ref(by),
            Self::Leave { who } | Self::Join { who } | Self::Rejoin { who } => who,
            _ => &[],
        }
    }

    /// Whether it may stand in a `race`: it submits something to the group, for one member.
    #[must_use]
    pub fn can_race(&self) -> bool {
        self.submitters().len() == 1
    }
}
