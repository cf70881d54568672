//! The keys of a commit's path (RFC 9420, 7.6): they have to be new.
//!
//! OpenMLS compares them with the leaves and with one another, and not with the parents of the tree, as 12.4.2 demands. It
//! finds a key that is there twice only by the private keys that a device then has too many of: when the commit is merged, in
//! debug builds by an assertion, and not on every device. So the path is read from the commit as it was sent, by every
//! receiver and before anything is merged.

use openmls::{prelude::LeafNode, treesync::TreeSync};
use regrow_protocol::mls;
use tls_codec::Serialize as _;

/// Refuses a commit whose path has a key of a parent in the tree that the commit changes, be it one that the commit blanks or
/// replaces: a key that is not drawn anew heals nobody.
///
/// `commit` begins with the Commit (12.4), `leaf` is the leaf of its path.
pub(crate) fn refuse_known_keys(commit: &[u8], leaf: &LeafNode, tree: &TreeSync) -> Result<(), &'static str> {
    match has_known_key(commit, leaf, tree) {
        Some(false) => Ok(()),
        Some(true) => Err("its path has a key that is in the tree already"),
        None => Err("its path cannot be read"),
    }
}

/// [`None`] if the path is not there, or is another's.
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

/// The Commit in a PublicMessage, and what comes after it (RFC 9420, 6, 6.1).
pub(crate) fn public_commit(message: &[u8]) -> Option<&[u8]> {
    mls::commit(mls::public_message(message)?)
}
