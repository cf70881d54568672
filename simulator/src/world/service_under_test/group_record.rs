//! The record of one group at the service: the members of each epoch, and the known log entries.

use std::collections::{BTreeMap, BTreeSet};

use regrow_delivery_service::Sequence;

use crate::scenario::GroupName;

/// The record of one group.
pub(in crate::world) struct GroupRecord {
    pub(super) name: GroupName,
    /// The members of each epoch.
    pub(in crate::world) rosters: Vec<BTreeSet<usize>>,
    /// The application messages by their log entries: their indices in all messages.
    pub(super) messages: BTreeMap<Sequence, usize>,
    /// The sequence of the latest log entry that the world knows.
    pub(super) last_sequence: Sequence,
}

impl GroupRecord {
    /// A group whose creator is alone.
    pub(super) fn new(name: GroupName, creator: usize) -> Self {
        Self { name, rosters: vec![[creator].into()], messages: BTreeMap::new(), last_sequence: Sequence(0) }
    }

    /// The epoch of the group.
    pub(in crate::world) fn epoch(&self) -> u64 {
        self.rosters.len().saturating_sub(1) as u64
    }

    /// The members in the present epoch.
    pub(in crate::world) fn roster(&self) -> BTreeSet<usize> {
        self.rosters.last().cloned().unwrap_or_default()
    }

    /// The name of the group. [`None`] for the group of the steps that name no group.
    pub(in crate::world) fn label(&self) -> Option<&GroupName> {
        (self.name != GroupName::default()).then_some(&self.name)
    }

    /// True if the log entry was unknown. (The service gives the same bytes the same entry again.)
    pub(super) fn is_new(&mut self, sequence: Sequence) -> bool {
        let new = sequence > self.last_sequence;
        self.last_sequence = self.last_sequence.max(sequence);
        new
    }
}
