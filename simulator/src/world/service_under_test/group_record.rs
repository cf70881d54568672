//! The record of one group at the service: the members of each epoch, and the known log entries.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use regrow_delivery_service::{Sequence, Timestamp};

use crate::scenario::{GroupName, MessageId};

/// The record of one group.
pub(in crate::world) struct GroupRecord {
    pub(in crate::world) name: GroupName,
    /// The members of each epoch.
    pub(in crate::world) rosters: Vec<BTreeSet<usize>>,
    /// The application messages by their log entries: their indices in all messages.
    pub(super) messages: BTreeMap<Sequence, usize>,
    /// The names of the handshakes by their log entries.
    pub(super) handshakes: BTreeMap<Sequence, MessageId>,
    /// The sequence of the latest log entry that the world knows.
    pub(in crate::world) last_sequence: Sequence,
    /// The time until which the service promises to keep each log entry.
    kept_until: BTreeMap<Sequence, Timestamp>,
}

impl GroupRecord {
    /// A group whose creator is alone.
    pub(super) fn new(name: GroupName, creator: usize) -> Self {
        Self {
            name,
            rosters: vec![[creator].into()],
            messages: BTreeMap::new(),
            handshakes: BTreeMap::new(),
            last_sequence: Sequence(0),
            kept_until: BTreeMap::new(),
        }
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
    pub(super) fn is_new(&mut self, sequence: Sequence, kept_until: Timestamp) -> bool {
        let new = sequence > self.last_sequence;
        self.kept_until.entry(sequence).or_insert(kept_until);
        self.last_sequence = self.last_sequence.max(sequence);
        new
    }

    /// True if the service may have deleted an entry after this one, because its time is over.
    pub(super) fn may_have_deleted_after(&self, sequence: Sequence, expired_until: Timestamp) -> bool {
        let mut later = self.kept_until.range((Bound::Excluded(sequence), Bound::Unbounded));
        later.any(|(_, kept_until)| *kept_until <= expired_until)
    }
}
