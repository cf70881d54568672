//! The secrets in a snapshot, by name. A thief starts with them.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use super::{history::EpochId, secret::KeyPair, secret_tree::SecretTree};

/// The secrets that one device held at one moment, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    pub(super) private_keys: BTreeSet<KeyPair>,
    /// The epochs whose init secret and external secret the device has.
    pub(super) epochs: BTreeSet<EpochId>,
    pub(super) secret_trees: BTreeMap<EpochId, SecretTree>,
}

impl Holdings {
    /// Adds the holdings of another thief, or of the same thief at another moment.
    pub fn pool(&mut self, other: &Self) {
        self.private_keys.extend(&other.private_keys);
        self.epochs.extend(&other.epochs);
        for (epoch, secrets) in &other.secret_trees {
            match self.secret_trees.entry(*epoch) {
                Entry::Vacant(vacant) => drop(vacant.insert(secrets.clone())),
                Entry::Occupied(known) => known.into_mut().pool(secrets),
            }
        }
    }

    /// The HPKE private keys.
    pub fn private_keys(&self) -> &BTreeSet<KeyPair> {
        &self.private_keys
    }

    /// The epochs whose init secret and external secret the device has: its present epoch, and the
    /// epochs of its commits that have not been ordered.
    pub fn epochs(&self) -> &BTreeSet<EpochId> {
        &self.epochs
    }

    /// The secret trees that the device has, including those of kept past epochs.
    pub fn secret_trees(&self) -> impl Iterator<Item = &SecretTree> {
        self.secret_trees.values()
    }
}
