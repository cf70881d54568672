//! The facts of each group, and the facts that concern all groups.
//!
//! Each group has an [oracle](crate::oracle) of its own, because RFC 9420 describes one group. The
//! groups share the devices, the key packages and the thieves. A key package that one group has used
//! is gone from the device, and so from every other group.

use std::collections::BTreeMap;

use regrow_delivery_service::Sequence;
use regrow_engine::GroupId;

use crate::{
    adversary::HeldSecrets,
    oracle::{CommitId, DeviceNumber, Fact, Impossible, Oracle, ProposalId, RetentionPolicy},
};

/// The facts of all groups.
pub(super) struct FactsOfGroups {
    groups: BTreeMap<GroupId, GroupFacts>,
    /// The facts that belong to no group. A new group begins with them.
    outside: Oracle,
    /// The facts that an oracle refused, in words.
    impossible: Vec<String>,
}

/// The facts of one group.
pub(super) struct GroupFacts {
    pub(super) oracle: Oracle,
    /// The ordered commits, by the sequence of the log entry.
    pub(super) ordered: BTreeMap<Sequence, CommitId>,
    /// The last ordered update of each device in this epoch.
    pub(super) updates: BTreeMap<usize, ProposalId>,
}

impl FactsOfGroups {
    pub(super) fn new(policy: RetentionPolicy) -> Self {
        Self { groups: BTreeMap::new(), outside: Oracle::new(policy), impossible: Vec::new() }
    }

    /// Sets the policy of a device. There is no group yet.
    pub(super) fn set_policy(&mut self, of: DeviceNumber, policy: RetentionPolicy) {
        self.outside.set_policy(of, policy);
    }

    /// The facts of a group. A group without facts begins with the facts that belong to no group.
    pub(super) fn group(&mut self, id: &GroupId) -> &mut GroupFacts {
        let outside = &self.outside;
        self.groups.entry(id.clone()).or_insert_with(|| GroupFacts {
            oracle: outside.clone(),
            ordered: BTreeMap::new(),
            updates: BTreeMap::new(),
        })
    }

    /// The model of a group; the model without a group if there are no facts about this one.
    pub(super) fn oracle(&self, group: &GroupId) -> &Oracle {
        self.groups.get(group).map_or(&self.outside, |facts| &facts.oracle)
    }

    /// The groups with facts, each with its model.
    pub(super) fn oracles(&self) -> impl Iterator<Item = (&GroupId, &Oracle)> {
        self.groups.iter().map(|(id, facts)| (id, &facts.oracle))
    }

    /// The commit of a log entry.
    pub(super) fn ordered(&self, group: &GroupId, sequence: Sequence) -> Option<CommitId> {
        self.groups.get(group)?.ordered.get(&sequence).copied()
    }

    /// Applies a fact about one group.
    pub(super) fn apply(&mut self, group: &GroupId, fact: Fact) {
        let applied = self.group(group).oracle.apply(fact);
        self.note(applied);
    }

    /// Applies a fact about a device, which concerns every group.
    pub(super) fn apply_to_all(&mut self, fact: &Fact) {
        self.apply_to_others(None, fact);
    }

    /// Applies a fact about a device to every group except one.
    pub(super) fn apply_to_others(&mut self, except: Option<&GroupId>, fact: &Fact) {
        let others = self.groups.iter_mut().filter(|(id, _)| Some(*id) != except);
        let oracles = std::iter::once(&mut self.outside).chain(others.map(|(_, facts)| &mut facts.oracle));
        // All oracles have the same key packages and devices, so all refuse the same facts.
        let refused = oracles.map(|oracle| oracle.apply(fact.clone())).fold(Ok(()), Result::and);
        self.note(refused);
    }

    /// The secrets that a device holds now.
    pub(super) fn holdings(&self, of: usize) -> HeldSecrets {
        let of = DeviceNumber(of);
        let groups = self.oracles().map(|(id, oracle)| (id.clone(), oracle.holdings(of)));
        HeldSecrets { outside: self.outside.holdings(of), groups: groups.collect() }
    }

    /// The refused facts since the last call, in words.
    pub(super) fn impossible(&mut self) -> Vec<String> {
        std::mem::take(&mut self.impossible)
    }

    fn note(&mut self, applied: Result<(), Impossible>) {
        self.impossible.extend(applied.err().map(|impossible| impossible.to_string()));
    }
}
