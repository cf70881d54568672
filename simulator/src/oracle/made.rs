//! Commits, proposals and messages that were made, as far as what follows depends on them.

use std::sync::Arc;

use super::{
    Commit, Device, Epoch,
    path::{Joiner, UpdatePath},
    tree::Tree,
    tree_math::LeafIndex,
};

/// A commit that was made.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) by: Device,
    pub(super) what: Commit,
    /// The epoch that it is made in.
    pub(super) in_epoch: Epoch,
    /// The tree of the epoch that it makes.
    pub(super) tree: Arc<Tree>,
    pub(super) path: UpdatePath,
    pub(super) joiners: Vec<Joiner>,
    /// The generation of its committer's ratchet that it is encrypted with; [`None`] if it is a PublicMessage.
    pub(super) generation: Option<u32>,
}

/// A proposal by reference that was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proposed {
    pub(super) by: Device,
    pub(super) in_epoch: Epoch,
    pub(super) is_update: bool,
    pub(super) leaf: LeafIndex,
    /// As of a commit.
    pub(super) generation: Option<u32>,
}

/// An application message that was encrypted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    pub(super) by: Device,
    pub(super) epoch: Epoch,
    pub(super) leaf: LeafIndex,
    pub(super) generation: u32,
    pub(super) sent: bool,
}
