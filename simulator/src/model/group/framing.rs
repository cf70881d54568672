//! The framing of handshakes and messages, and the derivations for encrypted ones.

use super::CostGroup;
use crate::{
    cost::CostCounts,
    model::{group_model::DeviceNumber, secret_tree::Derivations, tree::LeafIndex, work::Framing},
};

/// The framing of a message.
#[derive(Clone, Debug, Default)]
pub(super) struct Framed {
    pub(super) framing: Framing,
    /// The receivers in a race, which make other derivations.
    pub(super) others: Vec<(DeviceNumber, KdfDifference)>,
}

/// The derivations of a receiver in a race, in place of those of the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct KdfDifference {
    from: u64,
    to: u64,
}

impl KdfDifference {
    pub(super) fn applied_to(self, mut counts: CostCounts) -> CostCounts {
        counts.kdf = counts.kdf + self.to - self.from;
        counts
    }
}

impl CostGroup<'_> {
    /// The framing of a member's handshake.
    pub(super) fn frame(&mut self, by: DeviceNumber, leaf: LeafIndex) -> Framed {
        match self.settings.sizes.opaque {
            true => self.frame_private(by, leaf),
            false => Framed { framing: Framing { has_tag: true, ..Framing::default() }, others: Vec::new() },
        }
    }

    pub(super) fn frame_private(&mut self, by: DeviceNumber, leaf: LeafIndex) -> Framed {
        let Derivations { sender, receiver, others } = self.secret_trees.message(by, leaf, self.tree.totals().leaves);
        let framing =
            Framing { is_private: true, has_tag: false, sender_derivations: sender, receiver_derivations: receiver };
        let others = others.into_iter().map(|(device, own)| (device, KdfDifference { from: receiver, to: own }));
        Framed { framing, others: others.collect() }
    }
}
