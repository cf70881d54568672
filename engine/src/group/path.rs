//! Checks that the keys of a commit's path are new (RFC 9420, 7.6).
//!
//! OpenMLS compares these keys with the leaves and with each other, but not with the parents of
//! the tree, as 12.4.2 requires. It notices a repeated key only indirectly, when a device has too
//! many private keys. That happens when the commit is merged, as an assertion in debug builds, and
//! not on every device. Therefore every receiver reads the path from the received commit, before
//! anything is merged.

use openmls::{prelude::LeafNode, treesync::TreeSync};
use regrow_protocol::mls;
use tls_codec::Serialize as _;

/// Refuses a commit whose path has a key of a parent in the tree before the commit. This includes
/// parents that the commit blanks or replaces: a key that is not new does not heal the committer.
///
/// `commit` begins with the Commit (12.4). `leaf` is the leaf of the commit's path.
pub(crate) fn refuse_known_keys(commit: &[u8], leaf: &LeafNode, tree: &TreeSync) -> Result<(), &'static str> {
    match has_known_key(commit, leaf, tree) {
        Some(false) => Ok(()),
        Some(true) => Err("its path has a key that is in the tree already"),
        None => Err("its path cannot be read"),
    }
}

/// True if the path has a key of the tree. [`None`] if the commit has no path, or the path has
/// another leaf.
fn has_known_key(commit: &[u8], leaf: &LeafNode, tree: &TreeSync) -> Option<bool> {
    let leaf = leaf.tls_serialize_detached().ok()?;
    let keys = mls::path_keys(commit, &leaf)?;

    let mut parent = Vec::new();
    for (_, node) in tree.full_parents() {
        parent.clear();
        node.tls_serialize(&mut parent).ok()?;
        if keys.contains(&mls::encryption_key(&parent)?) {
            return Some(true);
        }
    }
    Some(false)
}

/// Returns the Commit in a PublicMessage, with the bytes after it (RFC 9420, 6, 6.1).
pub(crate) fn public_commit(message: &[u8]) -> Option<&[u8]> {
    mls::commit(mls::public_message(message)?)
}
