//! Finds the leaves of devices and users in a group's ratchet tree.

use std::collections::HashMap;

use openmls::{group::MlsGroup, prelude::LeafNodeIndex};

use crate::{DeviceId, UserId, error::Error, identity::device_of_leaf};

/// Returns the device of a leaf; [`None`] if the leaf is blank.
pub(crate) fn device_at(group: &MlsGroup, leaf: LeafNodeIndex) -> Result<Option<DeviceId>, Error> {
    Ok(group.public_group().leaf(leaf).map(device_of_leaf).transpose()?)
}

/// Returns the leaf of that device, if it is a member.
pub(crate) fn leaf_of(group: &MlsGroup, device: &DeviceId) -> Option<LeafNodeIndex> {
    let identity = device.to_identity();
    let mut leaves = group.treesync().full_leaves();
    leaves.find(|(_, node)| node.credential().serialized_content() == identity).map(|(leaf, _)| leaf)
}

/// Returns the leaves of all members, by the identity in their credential. (To parse a thousand
/// names costs more than to compare the encoded identities.)
pub(crate) fn leaves_by_identity(group: &MlsGroup) -> HashMap<&[u8], LeafNodeIndex> {
    group.treesync().full_leaves().map(|(leaf, node)| (node.credential().serialized_content(), leaf)).collect()
}

/// Returns the leaves of that user's devices.
pub(crate) fn leaves_of_user(group: &MlsGroup, user: &UserId) -> Result<Vec<LeafNodeIndex>, Error> {
    let mut leaves = Vec::new();
    for (leaf, node) in group.treesync().full_leaves() {
        if device_of_leaf(node)?.user() == user {
            leaves.push(leaf);
        }
    }
    Ok(leaves)
}
