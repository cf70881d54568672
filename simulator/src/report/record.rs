//! The record of a run: its steps, its ratchet trees, its messages, and the knowledge of each thief.
//!
//! A report shows it, and nothing decides by it. A run makes it only if its options ask for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{focus::Goal, member_state::MemberStates};
use crate::{
    adversary::Derivation,
    oracle::{KeyPair, Obstacle, Tree, UpdatePath},
    scenario::{CompromiseId, GroupName, MemberName, MessageId, Place, TheftScope},
};

/// The record of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunRecord {
    /// The sentence about the scenario.
    pub about: Option<String>,
    /// All members, in the order of the file. The oracle's number of a device is its index here.
    pub members: Vec<MemberName>,
    /// The steps that began, in their order.
    pub steps: Vec<StepRecord>,
    /// The groups that were created, each with its ordered epochs. The index is the number of the
    /// epoch.
    pub groups: BTreeMap<GroupName, Vec<EpochRecord>>,
    /// The application messages of all groups, in the order of the delivery service.
    pub messages: Vec<MessageRecord>,
    /// The thieves, in the order of the thefts.
    pub thieves: Vec<ThiefRecord>,
    /// The derivations that the focus of the run names.
    pub(crate) derivations: BTreeMap<(CompromiseId, Goal), Derivation>,
}

impl RunRecord {
    /// True if there are several groups. Reports then name the groups.
    #[must_use]
    pub fn has_several_groups(&self) -> bool {
        self.groups.len() > 1
    }
}

/// A step that began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRecord {
    /// The place of the step in the file.
    pub place: Place,
    /// The step as a file would have it, on one line.
    pub text: String,
    /// The virtual seconds from the beginning of the scenario to the end of the step.
    pub time: u64,
    /// The epoch of each group after the step.
    pub epochs: BTreeMap<GroupName, u64>,
    /// The members that are offline after the step.
    pub offline: Vec<MemberName>,
    /// The events of the step.
    pub events: Vec<StepEvent>,
    /// The deliveries in the step.
    pub deliveries: Vec<DeliveryRecord>,
    /// The states of the members that the focus of the run names.
    pub members: Vec<MemberStates>,
}

/// An event of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepEvent {
    /// The kind of the event.
    pub kind: StepEventKind,
    /// The event in a sentence.
    pub text: String,
}

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepEventKind {
    /// A device created the group.
    Created,
    /// The delivery service accepted a handshake.
    Accepted,
    /// The delivery service accepted an application message.
    Message,
    /// The epoch of a submission was over.
    Stale,
    /// A device made its change again on a newer epoch.
    Again,
    /// A device's process crashed.
    Crash,
    /// A device was locked or unlocked, or withdrew its key packages. Two members compared their
    /// numbers, or an application changed its answers.
    Device,
    /// A thief stole a device or its storage.
    Theft,
    /// A thief acted in a member's name.
    Forgery,
    /// A device noticed a thief.
    Detected,
    /// The step failed.
    Failed,
    /// All expectations of the step held.
    Held,
}

/// The deliveries of one entry with the same result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// The group of the entry.
    pub group: GroupName,
    /// The entry: its kind with its id, or with its sequence number.
    pub entry: String,
    /// The result on the devices, in words.
    pub meaning: String,
    /// The devices.
    pub to: Vec<MemberName>,
}

/// An epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochRecord {
    /// The ratchet tree. The device numbers in it are indices of [`RunRecord::members`].
    pub tree: Arc<Tree>,
    /// The commit that made the epoch; none for epoch 0.
    pub commit: Option<CommitRecord>,
    /// The position in [`RunRecord::steps`] of the step that made the epoch.
    pub step: Option<usize>,
    /// The members that entered the epoch, each with the position of the step in which it did.
    pub entered: BTreeMap<MemberName, usize>,
}

/// The commit that made an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRecord {
    /// The member in whose name the commit was made.
    pub by: MemberName,
    /// The thief that made the commit in the member's name.
    pub forged_by: Option<CompromiseId>,
    /// The members that the commit added.
    pub adds: Vec<MemberName>,
    /// The members that the commit removed.
    pub removes: Vec<MemberName>,
    /// The members whose update proposals the commit contains.
    pub updates: Vec<MemberName>,
    /// True for an external commit.
    pub external: bool,
    /// The update path.
    pub path: UpdatePath,
}

/// An application message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRecord {
    /// The id of the message in the scenario.
    pub id: MessageId,
    /// The group of the message.
    pub group: GroupName,
    /// The member in whose name the message was sent.
    pub sender: MemberName,
    /// True if a thief sent the message.
    pub forged: bool,
    /// The epoch of the message.
    pub epoch: u64,
    /// The position in [`RunRecord::steps`] of the step that sent the message.
    pub step: Option<usize>,
}

/// A thief.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThiefRecord {
    /// The id of the theft.
    pub id: CompromiseId,
    /// The member whose device was stolen.
    pub who: MemberName,
    /// The stolen part of the device.
    pub scope: TheftScope,
    /// The position in [`RunRecord::steps`] of the theft.
    pub step: Option<usize>,
    /// The number of messages that had been sent before the theft.
    pub messages_before: usize,
    /// For each message, the result for the thief.
    pub messages: Vec<Reading>,
    /// The knowledge of the thief in each group.
    pub groups: BTreeMap<GroupName, ThiefInGroup>,
}

/// The knowledge of a thief in one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThiefInGroup {
    /// The group's epoch at the theft; none if the group did not exist.
    pub epoch: Option<u64>,
    /// The device's epoch at the theft, if the thief has the device's state of the group.
    pub device_epoch: Option<u64>,
    /// The key pairs whose private keys the thief can derive from the stolen bytes and all traffic.
    pub keys: BTreeSet<KeyPair>,
    /// The epochs of which the thief knows secrets.
    pub epochs: BTreeMap<u64, EpochKnowledge>,
    /// The number of epochs from the theft to the first epoch from which on the thief knows no epoch
    /// secret; none if the thief has secrets of the present epoch.
    pub healed_after: Option<u64>,
}

impl ThiefInGroup {
    /// True if the thief has, or can derive, any secret of the group.
    #[must_use]
    pub fn has_secrets(&self) -> bool {
        self.device_epoch.is_some() || !self.epochs.is_empty()
    }
}

/// The secrets of one epoch that a thief knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochKnowledge {
    /// All secrets of the epoch.
    All,
    /// The secrets that a device in the epoch still had.
    Rest,
}

/// The result for one thief and one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The thief can read the message.
    Read {
        /// The path from the stolen bytes to the key of the message, one derivation for each text.
        path: Vec<String>,
    },
    /// The thief cannot read the message.
    Hidden {
        /// The reason, as far as the oracle knows it.
        obstacle: Option<Obstacle>,
    },
}
