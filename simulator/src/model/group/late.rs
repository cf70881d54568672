//! Devices that go offline, and read the entries that they missed when they are back.

use super::{CostGroup, nodes_above};
use crate::{
    cost::Operation,
    model::{
        baseline::partial_mls::{self, Annotations},
        group_model::DeviceNumber,
        tree::LeafIndex,
        work,
    },
};

/// The part of the log that a device reads as a member at one leaf.
#[derive(Clone, Copy, Debug)]
pub(super) struct Membership {
    pub(super) leaf: LeafIndex,
    /// The number of the first handshake.
    pub(super) from: usize,
    /// True if the handshake before the first one has added the device.
    pub(super) joins: bool,
    /// The number of the handshake that removes the device.
    pub(super) until: Option<usize>,
    /// The application messages before the first one, and those before the removal.
    pub(super) sent: SentTotals,
    pub(super) sent_until: Option<SentTotals>,
}

/// The application messages so far, as one member gets them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SentTotals {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// The bytes that a partial client gets.
    pub(super) annotated: u64,
}

impl CostGroup<'_> {
    pub(super) fn connect(&mut self, number: DeviceNumber, online: bool) {
        let (next, sent) = (self.handshakes.len(), self.sent);
        let device = self.devices.entry(number).or_default();
        if device.is_online == online {
            return;
        }
        device.is_online = online;
        let leaf = device.leaf;
        if let Some(leaf) = leaf {
            self.tree.set_online(leaf, online);
        }
        if online {
            let missed = std::mem::take(&mut device.missed);
            for membership in missed {
                self.catch_up(number, membership);
            }
        } else if let Some(leaf) = leaf {
            device.missed.push(Membership { leaf, from: next, joins: false, until: None, sent, sent_until: None });
        }
    }

    /// Adds the costs of a device that reads the entries of a membership late.
    fn catch_up(&mut self, device: DeviceNumber, membership: Membership) {
        if membership.joins {
            let handshake = self.handshakes[membership.from - 1];
            let counts = self.joiner_counts(&handshake, device, membership.leaf);
            self.deliver_welcome(&handshake, membership.leaf, counts);
        }
        let holds_tree = !self.is_partial() || self.holders.contains(&device);
        // A late annotation has the size of an annotation for the tree of now.
        let annotation = match self.leaf(device) {
            Some(leaf) if !holds_tree => {
                let own = self.tree.direct_path_bytes(leaf);
                let proof = partial_mls::proof(&self.tree, leaf);
                Annotations::of(&self.tree, proof, leaf, 1, own).bytes()
            }
            _ => 0,
        };
        let (since, until) = (membership.sent, membership.sent_until.unwrap_or(self.sent));
        let messages = until.messages - since.messages;
        let bytes = if holds_tree { until.bytes - since.bytes } else { until.annotated - since.annotated };
        self.ledger.message(0, messages, bytes);
        let end = membership.until.map_or(self.handshakes.len(), |until| until + 1);
        for number in membership.from..end {
            let handshake = self.handshakes[number];
            let work = if holds_tree { handshake.work } else { handshake.partial_work };
            let late = if holds_tree || !handshake.is_commit { 0 } else { annotation };
            let mut counts = work.removed;
            if membership.until != Some(number) {
                counts = work.fixed;
                if handshake.levels != 0 {
                    counts += work::along_path(nodes_above(handshake.levels, handshake.committer, membership.leaf));
                }
            }
            let is_removed = membership.until == Some(number);
            let size = if is_removed { handshake.size_for_removed } else { handshake.size } + late;
            let entry = self.ledger.deliver(handshake.entry, size);
            if !handshake.is_ignored {
                entry.receivers.add_many(counts, 1);
            }
            let operation = if handshake.is_commit { Operation::ReceiveCommit } else { Operation::ReceiveProposal };
            self.ledger.charge(operation, counts, 1);
        }
    }
}
