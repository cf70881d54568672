//! The times when the leaves last got new keys, as far as this device knows. They are from this
//! device's clock, and start when it joins the group.

use std::collections::BTreeMap;

use openmls::prelude::LeafNodeIndex;
use serde::{Deserialize, Serialize};

use crate::names::Timestamp;

/// The times when the members' leaves last got new keys, by the leaves' indices. There is one
/// entry for each member.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Freshness(BTreeMap<u32, Timestamp>);

impl Freshness {
    /// Replaces times after `now` by `now`, because the clock was ahead. Returns true if there
    /// were any.
    pub(crate) fn take_future_for(&mut self, now: Timestamp) -> bool {
        let future = self.0.values_mut().filter(|since| **since > now);
        future.map(|since| *since = now).count() > 0
    }

    /// Records that the leaf got its keys at the time `now`, unless the leaf has an entry.
    pub(crate) fn note(&mut self, leaf: LeafNodeIndex, now: Timestamp) {
        self.0.entry(leaf.u32()).or_insert(now);
    }

    /// Deletes the leaf's entry.
    pub(crate) fn forget(&mut self, leaf: LeafNodeIndex) {
        self.0.remove(&leaf.u32());
    }

    /// Returns the age of the leaf's keys in seconds. (0 if the clock was set back since.)
    pub(crate) fn age(&self, leaf: LeafNodeIndex, now: Timestamp) -> u64 {
        self.0.get(&leaf.u32()).map_or(0, |since| now.0.saturating_sub(since.0))
    }
}
