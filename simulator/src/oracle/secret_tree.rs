//! The secret tree and its ratchets (RFC 9420, 9). They tell which keys a device still has.
//!
//! The secrets of the inner nodes have no names here. A device derives a leaf's ratchets when it
//! first needs one. On the way down it keeps the sibling secrets and erases the others. Therefore
//! it can still derive the same keys for every other leaf.

use std::collections::{BTreeMap, BTreeSet};

use super::{history::EpochId, tree_math::LeafIndex};

/// The purpose of a ratchet. Each leaf has one ratchet for each purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RatchetKind {
    /// Proposals and commits.
    Handshake,
    /// Application messages.
    Application,
}

/// The state of one ratchet on a device (RFC 9420, 9.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ratchet {
    /// The next generation. The device can derive its key and all later keys.
    head: u32,
    /// The earlier generations whose keys are kept, for messages that may still arrive.
    skipped: BTreeSet<u32>,
}

impl Ratchet {
    /// The first generation from which on the device can derive all keys.
    pub fn head(&self) -> u32 {
        self.head
    }

    /// The earlier generations whose keys are kept.
    pub fn skipped(&self) -> &BTreeSet<u32> {
        &self.skipped
    }

    /// True if the device can get the key of this generation.
    pub fn yields(&self, generation: u32) -> bool {
        generation >= self.head || self.skipped.contains(&generation)
    }

    /// Adds the keys of another state of this ratchet.
    fn pool(&mut self, other: &Self) {
        self.head = self.head.min(other.head);
        self.skipped.extend(&other.skipped);
        self.skipped.retain(|generation| *generation < self.head);
    }

    /// Uses the next generation for an own message, and erases its key.
    fn encrypt(&mut self) -> u32 {
        let generation = self.head;
        self.head += 1;
        generation
    }

    /// Uses a generation for another member's message, and erases its key. Keeps the skipped keys
    /// that are within `out_of_order` generations of the latest.
    fn decrypt(&mut self, generation: u32, out_of_order: u32) {
        if generation >= self.head {
            self.skipped.extend(self.head..generation);
            self.head = generation + 1;
        }
        self.skipped.remove(&generation);
        self.skipped = self.skipped.split_off(&self.head.saturating_sub(out_of_order));
    }
}

/// The state of one epoch's secret tree on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretTree {
    epoch: EpochId,
    /// The ratchets that are not in their initial state.
    ratchets: BTreeMap<(LeafIndex, RatchetKind), Ratchet>,
}

impl SecretTree {
    pub(super) fn new(epoch: EpochId) -> Self {
        Self { epoch, ratchets: BTreeMap::new() }
    }

    /// The epoch of the secret tree.
    pub fn epoch(&self) -> EpochId {
        self.epoch
    }

    /// The ratchet of that leaf for that content.
    pub fn ratchet(&self, leaf: LeafIndex, content: RatchetKind) -> Ratchet {
        self.ratchets.get(&(leaf, content)).cloned().unwrap_or_default()
    }

    /// True if the device can get the key of that generation.
    pub(super) fn yields(&self, leaf: LeafIndex, content: RatchetKind, generation: u32) -> bool {
        self.ratchets.get(&(leaf, content)).is_none_or(|ratchet| ratchet.yields(generation))
    }

    /// Adds the keys of another state of this tree. If a ratchet is in its initial state in one of
    /// the two trees, it is in the result, too.
    pub(super) fn pool(&mut self, other: &Self) {
        self.ratchets.retain(|ratchet, _| other.ratchets.contains_key(ratchet));
        for (ratchet, other) in &other.ratchets {
            if let Some(ratchet) = self.ratchets.get_mut(ratchet) {
                ratchet.pool(other);
            }
        }
    }

    pub(super) fn encrypt(&mut self, leaf: LeafIndex, content: RatchetKind) -> u32 {
        self.ratchets.entry((leaf, content)).or_default().encrypt()
    }

    pub(super) fn decrypt(&mut self, leaf: LeafIndex, content: RatchetKind, generation: u32, out_of_order: u32) {
        self.ratchets.entry((leaf, content)).or_default().decrypt(generation, out_of_order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yields(ratchet: &Ratchet, upto: u32) -> Vec<u32> {
        (0..upto).filter(|generation| ratchet.yields(*generation)).collect()
    }

    #[test]
    fn used_key_is_gone_and_later_keys_follow() {
        let mut ratchet = Ratchet::default();
        ratchet.decrypt(0, 5);
        ratchet.decrypt(1, 5);
        assert_eq!(yields(&ratchet, 5), [2, 3, 4]);
        assert_eq!((ratchet.encrypt(), ratchet.encrypt()), (2, 3));
        assert_eq!(yields(&ratchet, 6), [4, 5]);
    }

    #[test]
    fn skipped_keys_are_kept_until_used() {
        let mut ratchet = Ratchet::default();
        ratchet.decrypt(3, 5);
        assert_eq!(yields(&ratchet, 5), [0, 1, 2, 4]);
        ratchet.decrypt(1, 5);
        assert_eq!(yields(&ratchet, 5), [0, 2, 4]);
    }

    /// The window counts generations, not keys: used generations take up room in it.
    #[test]
    fn window_limits_the_skipped_keys() {
        let mut ratchet = Ratchet::default();
        ratchet.decrypt(3, 2);
        assert_eq!(yields(&ratchet, 4), [2], "3 is the latest and used; 2 is the second in the window");
        ratchet.decrypt(4, 2);
        assert!(yields(&ratchet, 5).is_empty());
        let mut none = Ratchet::default();
        none.decrypt(3, 0);
        assert_eq!(yields(&none, 5), [4]);
    }

    #[test]
    fn pooled_trees_have_the_keys_of_both() {
        let used = |generations: &[(u32, u32)]| {
            let mut tree = SecretTree::new(EpochId::First);
            for (leaf, generation) in generations {
                tree.decrypt(LeafIndex(*leaf), RatchetKind::Application, *generation, 5);
            }
            tree
        };
        let mut tree = used(&[(1, 0), (1, 4)]);
        tree.pool(&used(&[(1, 0), (1, 2), (1, 1), (2, 0)]));
        let yields = |leaf, generation| tree.yields(LeafIndex(leaf), RatchetKind::Application, generation);
        assert_eq!((0..6).filter(|generation| yields(1, *generation)).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert!(yields(2, 0), "one of the two has not used this key");
    }

    #[test]
    fn each_leaf_and_content_has_its_own_ratchet() {
        let mut tree = SecretTree::new(EpochId::First);
        tree.decrypt(LeafIndex(1), RatchetKind::Application, 0, 5);
        assert!(!tree.yields(LeafIndex(1), RatchetKind::Application, 0));
        assert!(tree.yields(LeafIndex(1), RatchetKind::Handshake, 0));
        assert!(tree.yields(LeafIndex(0), RatchetKind::Application, 0));
    }
}
