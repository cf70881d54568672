//! The secrets of one device at a moment, by name: those that RFC 9420 and the policy leave it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use super::{
    history::{CommitId, EpochId, KeyPackageId, ProposalId, RetentionPolicy},
    holdings::Holdings,
    made::MadeCommit,
    secret::KeyPair,
    secret_tree::SecretTree,
    tree::Tree,
    tree_math::LeafIndex,
};

/// A device.
#[derive(Clone, Debug, Default)]
pub(super) struct DeviceState {
    /// The key packages whose private keys are on the device. The value is true if the key package
    /// stays after its use.
    pub(super) key_packages: BTreeMap<KeyPackageId, bool>,
    /// The group, if the device is a member and has not lost its state.
    pub(super) group: Option<OracleMembership>,
    /// An external commit of this device that has not been ordered. Its secrets are held apart from
    /// the group.
    pub(super) joining: Option<CommitId>,
}

/// A member's state of the group.
#[derive(Clone, Debug)]
pub(super) struct OracleMembership {
    pub(super) epoch: EpochId,
    pub(super) leaf: LeafIndex,
    pub(super) tree: Arc<Tree>,
    /// The private keys of the member's leaf and of the nodes above it.
    pub(super) keys: BTreeSet<KeyPair>,
    /// The member's update proposals of this epoch. It keeps their private keys until the epoch
    /// ends.
    pub(super) updates: BTreeSet<ProposalId>,
    pub(super) secrets: SecretTree,
    /// The secret trees of past epochs that the policy keeps, the oldest first.
    pub(super) past: VecDeque<SecretTree>,
    /// A commit of this member that has not been ordered.
    pub(super) pending: Option<CommitId>,
}

impl OracleMembership {
    /// A member in its first epoch of the group, without past epochs.
    pub(super) fn new(epoch: EpochId, leaf: LeafIndex, tree: Arc<Tree>, keys: BTreeSet<KeyPair>) -> Self {
        let secrets = SecretTree::new(epoch);
        Self { epoch, leaf, tree, keys, updates: BTreeSet::new(), secrets, past: VecDeque::new(), pending: None }
    }

    /// Enters the epoch that a commit makes, and erases the state of the old epoch. Two parts
    /// remain: the secret tree, if past epochs are kept, and the private keys of nodes that are
    /// still above the leaf. `own` is true if this device made the commit. It can be false for a
    /// commit from the device's own leaf, because a thief may act with the same leaf.
    ///
    /// # Errors
    /// Says which private key is missing.
    pub(super) fn enter(
        &mut self,
        commit: CommitId,
        made: &MadeCommit,
        own: bool,
        policy: &RetentionPolicy,
    ) -> Result<(), String> {
        let first = if own { 0 } else { made.path.first_known_to(self.leaf) };
        let opens = made.path.nodes.get(first).is_some_and(|node| self.opens(&node.sealed_to));
        if !own && !opens {
            return Err("it has no key that the commit's path is sealed to".into());
        }
        let updated = self.updates.iter().map(|proposal| KeyPair::UpdateLeaf(*proposal));
        let learned = made.path.keys_from(commit, first).chain(own.then_some(KeyPair::PathLeaf(commit)));
        let had: BTreeSet<KeyPair> = self.keys.iter().copied().chain(updated).chain(learned).collect();
        let needed = made.tree.keys_of(self.leaf);
        if let Some(missing) = needed.difference(&had).next() {
            return Err(format!("it does not have {missing}"));
        }
        let next = Self::new(EpochId::After(commit), self.leaf, Arc::clone(&made.tree), needed);
        let old = std::mem::replace(self, next);
        self.past = old.past;
        self.past.push_back(old.secrets);
        self.past.drain(..self.past.len().saturating_sub(policy.past_epochs));
        Ok(())
    }

    /// True if the member has one of these private keys: its own keys, and the keys of its updates
    /// that the same commit puts into its leaf.
    fn opens(&self, sealed_to: &[KeyPair]) -> bool {
        let has = |key: &KeyPair| match key {
            KeyPair::UpdateLeaf(proposal) if self.updates.contains(proposal) => true,
            key => self.keys.contains(key),
        };
        sealed_to.iter().any(has)
    }

    /// The secret tree of that epoch, if the member still has it.
    pub(super) fn secrets_of(&mut self, epoch: EpochId) -> Option<&mut SecretTree> {
        let mut all = self.past.iter_mut().chain([&mut self.secrets]);
        all.find(|secrets| secrets.epoch() == epoch)
    }

    fn hold(&self, holdings: &mut Holdings) {
        holdings.private_keys.extend(&self.keys);
        holdings.private_keys.extend(self.updates.iter().map(|proposal| KeyPair::UpdateLeaf(*proposal)));
        holdings.epochs.insert(self.epoch);
        let secrets = self.past.iter().chain([&self.secrets]);
        holdings.secret_trees.extend(secrets.map(|secrets| (secrets.epoch(), secrets.clone())));
    }
}

impl DeviceState {
    /// All secrets of the device. `made` contains the commits that it has under way.
    pub(super) fn holdings(&self, made: &BTreeMap<CommitId, MadeCommit>) -> Holdings {
        let mut holdings = Holdings::default();
        for key_package in self.key_packages.keys() {
            holdings.private_keys.extend([KeyPair::Init(*key_package), KeyPair::KeyPackageLeaf(*key_package)]);
        }
        if let Some(group) = &self.group {
            group.hold(&mut holdings);
        }
        let under_way = self.group.iter().filter_map(|group| group.pending).chain(self.joining);
        for commit in under_way {
            let epoch = EpochId::After(commit);
            let path = made.get(&commit).map(|made| made.path.keys_from(commit, 0)).into_iter().flatten();
            holdings.private_keys.extend(path.chain([KeyPair::PathLeaf(commit)]));
            holdings.epochs.insert(epoch);
            holdings.secret_trees.insert(epoch, SecretTree::new(epoch));
        }
        holdings
    }
}
