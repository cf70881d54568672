//! The parts of a run that its record has in full detail.

use std::collections::BTreeSet;

use crate::scenario::{CompromiseId, GroupName, MemberName, MessageId};

/// The parts of a run that its record has in full detail; by default none. They are named, because
/// the states of all members after all steps would be too much.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Focus {
    /// The steps before and after which the record has the states of members, by their positions in
    /// [`RunRecord::steps`](super::RunRecord::steps).
    pub steps: BTreeSet<usize>,
    /// The members whose states the record has.
    pub members: BTreeSet<MemberName>,
    /// The groups of which these states tell.
    pub groups: BTreeSet<GroupName>,
    /// The secrets whose derivations the record has, each with the thief.
    pub derivations: BTreeSet<(CompromiseId, Goal)>,
}

/// A secret that a thief may have derived.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Goal {
    /// The key of a message.
    Message(MessageId),
    /// The epoch secret of an epoch of a group.
    Epoch(GroupName, u64),
}
