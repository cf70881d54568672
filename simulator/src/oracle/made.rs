//! Commits, proposals and messages that were made, with the data that later facts depend on.

use std::sync::Arc;

use super::{
    history::{Commit, DeviceNumber, EpochId},
    path::{Joiner, UpdatePath},
    tree::Tree,
    tree_math::LeafIndex,
};

/// A commit that was made.
#[derive(Clone, Debug)]
pub(super) struct MadeCommit {
    pub(super) by: DeviceNumber,
    pub(super) what: Commit,
    /// The epoch in which the commit is made.
    pub(super) in_epoch: EpochId,
    /// The tree of the epoch that the commit makes.
    pub(super) tree: Arc<Tree>,
    pub(super) path: UpdatePath,
    pub(super) joiners: Vec<Joiner>,
    /// The generation of the committer's ratchet that encrypts the commit; [`None`] for a
    /// PublicMessage.
    pub(super) generation: Option<u32>,
}

/// A proposal by reference that was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct MadeProposal {
    pub(super) by: DeviceNumber,
    pub(super) in_epoch: EpochId,
    pub(super) is_update: bool,
    pub(super) leaf: LeafIndex,
    /// The generation of the proposer's ratchet; [`None`] for a PublicMessage.
    pub(super) generation: Option<u32>,
}

/// An application message that was encrypted.
#[derive(Clone, Copy, Debug)]
pub(super) struct SentMessage {
    pub(super) by: DeviceNumber,
    pub(super) epoch: EpochId,
    pub(super) leaf: LeafIndex,
    pub(super) generation: u32,
    pub(super) sent: bool,
}
