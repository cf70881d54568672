//! The epochs of the group in the order of the delivery service, each with its ratchet tree.

use std::sync::Arc;

use super::{
    history::{Commit, DeviceNumber, EpochId},
    model::Oracle,
    path::UpdatePath,
    tree::Tree,
};

/// An epoch that the delivery service ordered.
#[derive(Clone, Debug)]
pub struct OrderedEpoch<'a> {
    /// The epoch.
    pub epoch: EpochId,
    /// The ratchet tree of the epoch.
    pub tree: &'a Arc<Tree>,
    /// The commit that made the epoch: its committer, its effects and its path. Epoch 0 has none.
    pub commit: Option<(DeviceNumber, &'a Commit, &'a UpdatePath)>,
}

impl Oracle {
    /// The ordered epochs; epoch 0 is the first.
    pub fn ordered_epochs(&self) -> impl Iterator<Item = OrderedEpoch<'_>> {
        let first = self.first_tree.as_ref().map(|tree| OrderedEpoch { epoch: EpochId::First, tree, commit: None });
        let later = self.ordered.iter().filter_map(|commit| {
            let made = self.commits.get(commit)?;
            let commit_parts = Some((made.by, &made.what, &made.path));
            Some(OrderedEpoch { epoch: EpochId::After(*commit), tree: &made.tree, commit: commit_parts })
        });
        first.into_iter().chain(later)
    }
}
