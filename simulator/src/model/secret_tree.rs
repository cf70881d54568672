//! The derivations in the secret tree of an epoch (RFC 9420, 9).
//!
//! OpenMLS derives the secrets of a leaf when a device first sends or reads a message of that leaf.
//! All members of an epoch read the same messages, so they make the same derivations. The exception
//! is a device in a race: it has encrypted a message of its own before it reads the messages of the
//! others.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{group_model::DeviceNumber, tree::LeafIndex};

/// The derived part of a secret tree.
#[derive(Clone, Default)]
pub(crate) struct SecretTree {
    /// The parents, by level and position, whose children are known.
    opened: FxHashSet<(u32, LeafIndex)>,
    /// The leaves whose ratchets are known.
    senders: FxHashSet<LeafIndex>,
}

impl SecretTree {
    /// Begins an epoch.
    pub(crate) fn clear(&mut self) {
        self.opened.clear();
        self.senders.clear();
    }

    /// The derivations for the next message of a leaf, in a tree with this number of leaves: two
    /// for each parent that is opened, two for the ratchets of the leaf, and three for the key, the
    /// nonce and the next secret of the message.
    pub(crate) fn derivations(&mut self, leaf: LeafIndex, leaves: u64) -> u64 {
        let mut derivations = 3;
        if self.senders.insert(leaf) {
            derivations += 2;
            for level in 1..=leaves.trailing_zeros() {
                if self.opened.insert((level, leaf >> level)) {
                    derivations += 2;
                }
            }
        }
        derivations
    }
}

/// The secret trees of an epoch: one that most members share, and those of the devices in a race.
#[derive(Default)]
pub(crate) struct SecretTrees {
    shared: SecretTree,
    of_racers: FxHashMap<DeviceNumber, RacerTree>,
}

/// The secret tree of a device in a race.
struct RacerTree {
    tree: SecretTree,
    /// The derivations for the message that the device has encrypted and not yet sent.
    unsent: u64,
}

/// The derivations for one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Derivations {
    pub(crate) sender: u64,
    /// The derivations of most receivers.
    pub(crate) receiver: u64,
    /// The receivers with another number of derivations.
    pub(crate) others: Vec<(DeviceNumber, u64)>,
}

impl SecretTrees {
    /// Begins an epoch.
    pub(crate) fn clear(&mut self) {
        self.shared.clear();
        self.of_racers.clear();
    }

    /// A device encrypts a message before it reads the messages of the others.
    pub(crate) fn encrypt_early(&mut self, device: DeviceNumber, leaf: LeafIndex, leaves: u64) {
        let fresh = || RacerTree { tree: self.shared.clone(), unsent: 0 };
        let racer = self.of_racers.entry(device).or_insert_with(fresh);
        racer.unsent = racer.tree.derivations(leaf, leaves);
    }

    /// The derivations for the message that a device has encrypted early.
    pub(crate) fn unsent(&self, device: DeviceNumber) -> u64 {
        self.of_racers.get(&device).map_or(0, |racer| racer.unsent)
    }

    /// The derivations for the next message of a device.
    pub(crate) fn message(&mut self, device: DeviceNumber, leaf: LeafIndex, leaves: u64) -> Derivations {
        let receiver = self.shared.derivations(leaf, leaves);
        let mut derivations = Derivations { sender: receiver, receiver, others: Vec::new() };
        for (number, racer) in &mut self.of_racers {
            if *number == device {
                derivations.sender = match std::mem::take(&mut racer.unsent) {
                    0 => racer.tree.derivations(leaf, leaves),
                    unsent => unsent,
                };
            } else {
                let own = racer.tree.derivations(leaf, leaves);
                if own != receiver {
                    derivations.others.push((*number, own));
                }
            }
        }
        derivations
    }
}
