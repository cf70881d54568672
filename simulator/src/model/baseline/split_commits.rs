//! MLS Split Commits (draft-mularczyk-mls-splitcommit-00, 21 October 2024).
//!
//! The committer uploads the path beside the signed message. The service delivers to each member only
//! the one path secret that the member can open.

use crate::{
    cost::CostCounts,
    model::{
        encoding::vector,
        messages::{LeafSource, MLS_MESSAGE, MessageSizes, Sender},
        suite::HASH,
    },
};

/// The derivations of the epoch identifier, an exported secret (RFC 9420, 8.5).
const EPOCH_IDENTIFIER: u64 = 2;

/// The sizes of a commit, which the service may split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SplitCommit {
    /// The signed content: the epoch identifier, the proposals and the committer's leaf.
    pub(crate) content: u64,
    /// The SplitCommitMessage that the committer uploads.
    pub(crate) uploaded: u64,
    /// The PerMemberCommit for a member.
    pub(crate) for_member: u64,
    /// The PerMemberCommit without a path secret: for the committer, and for a removed member.
    pub(crate) without_path: u64,
}

impl SplitCommit {
    /// The sizes of a commit of MLS, which all members get whole.
    pub(crate) fn whole(sizes: &MessageSizes, sender: Sender, content: u64) -> Self {
        let size = sizes.handshake(sender, content, true);
        Self { content, uploaded: size, for_member: size, without_path: size }
    }

    /// The sizes of a split commit with this list of proposals. `nodes` are the bytes of the path's nodes,
    /// and `length` is their number.
    ///
    /// The draft's PerMemberCommit has no public keys, but its receivers use them, and its size is
    /// logarithmic. The model adds the public keys of all nodes of the path, in one vector.
    pub(crate) fn of(
        sizes: &MessageSizes,
        sender: Sender,
        proposals: u64,
        identity: u64,
        nodes: u64,
        length: u64,
    ) -> Self {
        let leaf = sizes.leaf_node(identity, LeafSource::Commit { has_path: nodes > 0 });
        let content = vector(HASH) + vector(proposals) + 1 + leaf;
        let message = sizes.handshake(sender, content, false);
        let keys = vector(length * vector(sizes.suite.public_key));
        Self {
            content,
            uploaded: MLS_MESSAGE + message + 1 + vector(nodes),
            for_member: message + keys + 1 + sizes.path_secret(),
            without_path: message + 1,
        }
    }
}

/// Exchanges the confirmation tag of a commit for the epoch identifier.
pub(crate) fn confirmed(mut counts: CostCounts) -> CostCounts {
    counts.macs -= 1;
    counts.kdf += EPOCH_IDENTIFIER;
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::suite::SuiteSizes, scenario::Ciphersuite};

    #[test]
    fn each_member_gets_one_path_secret() {
        let sizes = MessageSizes {
            suite: SuiteSizes::of(Ciphersuite::default()),
            opaque: false,
            padding: 0,
            context_extensions: 0,
            psk_identifiers: 0,
        };
        // Two nodes, with a path secret for three members: 33 + 2 + 3 * (33 + 49), 33 + 2 + 82.
        let nodes = sizes.path_node(3) + sizes.path_node(1);
        assert_eq!(nodes, (33 + 2 + 246) + (33 + 2 + 82));
        let split = SplitCommit::of(&sizes, Sender::Member, 0, 5, nodes, 2);
        // The identifier, no proposals, the mark of the leaf, and the leaf.
        let leaf = sizes.leaf_node(5, LeafSource::Commit { has_path: true });
        assert_eq!(split.content, 33 + 1 + 1 + leaf);
        let message = sizes.handshake(Sender::Member, split.content, false);
        assert_eq!(split.uploaded, 4 + message + 1 + 2 + nodes);
        // The two public keys, with their vector, and one path secret.
        assert_eq!(split.for_member, message + (2 + 66) + 1 + 82);
        assert_eq!(split.without_path, message + 1);
    }
}
