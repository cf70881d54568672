//! Partial MLS (draft-ietf-mls-partial-02, 7 May 2026).
//!
//! A partial client does not hold the ratchet tree. The delivery service annotates each message for
//! it with membership proofs. A member that commits needs the tree, downloads it first, and keeps it.

use crate::{
    cost::CostCounts,
    model::{
        encoding::vector,
        suite::HASH,
        tree::{CostTree, HashWork, LeafIndex},
        work::{self, CommitShape, ReceiverWork},
    },
};

/// The leaf index and the number of leaves in a membership proof (draft, 6).
const PROOF_HEAD: u64 = 8;

/// The length before the nodes of a membership proof, for a sum over many proofs. It is exact for 64
/// to 16,383 bytes of nodes.
const PATH_LENGTH: u64 = 2;

/// The membership proofs in an annotated commit: of the sender before and after the commit, and of
/// the receiver.
const COMMIT_PROOFS: u64 = 3;

/// The membership proofs in an annotated welcome.
const WELCOME_PROOFS: u64 = 2;

/// The membership proof of a leaf (draft, 6).
pub(crate) fn proof(tree: &CostTree, leaf: LeafIndex) -> u64 {
    PROOF_HEAD + vector(tree.direct_path_bytes(leaf)) + copath(tree)
}

/// The hashes of the copath.
fn copath(tree: &CostTree) -> u64 {
    vector(u64::from(tree.height()) * vector(HASH))
}

/// The membership proofs of several leaves, whose direct paths have these bytes together.
fn proofs(tree: &CostTree, leaves: u64, direct_paths: u64) -> u64 {
    leaves * (PROOF_HEAD + PATH_LENGTH + copath(tree)) + direct_paths
}

/// The committer before its commit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CommitterBefore {
    /// The membership proof of the committer. 0 for an external joiner.
    pub(crate) proof: u64,
    /// Set if the committer was a partial client.
    pub(crate) upgrade: Option<Upgrade>,
}

/// The bytes and the operations by which a partial client becomes a full one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upgrade {
    pub(crate) bytes: u64,
    pub(crate) counts: CostCounts,
}

/// The annotations of a commit (draft, 10), for all partial receivers together.
pub(crate) struct Annotations {
    /// The annotation that each receiver gets.
    shared: u64,
    /// The proofs of the receivers.
    of_receivers: u64,
    receivers: u64,
}

impl Annotations {
    /// The annotations for a number of receivers, whose direct paths have these bytes together.
    /// `before` is the proof of the sender in the tree before the commit; 0 for an external commit.
    pub(crate) fn of(tree: &CostTree, before: u64, sender: LeafIndex, receivers: u64, direct_paths: u64) -> Self {
        // Two optional values, the tree hash, and the index in the resolution.
        let shared = 1 + before + vector(HASH) + 1 + 4 + proof(tree, sender);
        Self { shared, of_receivers: proofs(tree, receivers, direct_paths), receivers }
    }

    /// The bytes of all annotations.
    pub(crate) fn bytes(&self) -> u64 {
        self.receivers * self.shared + self.of_receivers
    }
}

/// The operations of partial receivers of a commit. The bytes of hashed nodes do not count.
pub(crate) fn receivers(commit: &CommitShape<'_>, engine: ReceiverWork) -> ReceiverWork {
    let proofs = |count: u64| HashWork { hashes: count * (u64::from(commit.tree.height()) + 1), bytes: 0 };
    let without_tree = |counts: CostCounts, hashed: HashWork| CostCounts {
        verifications: counts.verifications - 2 * commit.added_by_value,
        hashes: hashed.hashes,
        hashed_bytes: hashed.bytes,
        ..counts
    };
    ReceiverWork {
        fixed: without_tree(engine.fixed, proofs(COMMIT_PROOFS) + commit.transcripts()),
        removed: without_tree(engine.removed, proofs(1)),
    }
}

/// The operations of a joiner: it verifies the group info and two proofs, and no tree.
pub(crate) fn joiner(tree: &CostTree, mut engine: CostCounts) -> CostCounts {
    engine.verifications = 1;
    engine.hashes = 2 + 1 + WELCOME_PROOFS * (u64::from(tree.height()) + 1);
    engine.hashed_bytes = crate::model::messages::MessageSizes::interim_transcript(1);
    engine
}

impl Upgrade {
    /// The upgrade of a client that downloads and verifies the tree (draft, 5; RFC 9420, 12.4.3.1).
    pub(crate) fn of(tree: &CostTree) -> Self {
        let verified = work::hashes(tree.verification() + tree.hashing());
        let totals = tree.totals();
        Self { bytes: vector(totals.encoded), counts: CostCounts { verifications: totals.members, ..verified } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tree::NodeSizes;

    #[test]
    fn proof_has_the_direct_path_and_the_hashes_beside_it() {
        let mut tree = CostTree::new(NodeSizes { public_key: 33, hash: 33 }, 100);
        for _ in 0..3 {
            tree.add(100, true);
        }
        tree.settle();
        // Two blank parents.
        assert_eq!(proof(&tree, 1), 8 + (2 + (2 + 100) + 2) + (2 + 2 * 33));
        tree.set_path(0, 120);
        // The parent below the root has a parent hash, and the root has none.
        let nodes = (2 + 120) + (2 + 33 + 33 + 1) + (2 + 33 + 1 + 1);
        assert_eq!(proof(&tree, 0), 8 + (2 + nodes) + (2 + 2 * 33));
        let all: u64 = (0..4).map(|leaf| tree.direct_path_bytes(leaf)).sum();
        assert_eq!(tree.direct_path_bytes_of_online(), all);
        let each: u64 = (0..4).map(|leaf| proof(&tree, leaf)).sum();
        assert_eq!(proofs(&tree, 4, all), each);
        tree.set_online(2, false);
        tree.settle();
        assert_eq!(tree.direct_path_bytes_of_online(), all - tree.direct_path_bytes(2));
    }
}
