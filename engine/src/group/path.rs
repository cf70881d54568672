//! The keys of a commit's path (RFC 9420, 7.6): they have to be new.
//!
//! OpenMLS compares them with the leaves and with one another, and not with the parents of the tree, as 12.4.2 demands. It
//! finds a key that is there twice only by the private keys that a device then has too many of: when the commit is merged, in
//! debug builds by an assertion, and not on every device. So the path is read from the commit as it was sent, by every
//! receiver and before anything is merged.

use openmls::{
    prelude::{LeafNode, Sender},
    treesync::TreeSync,
};
use tls_codec::{DeserializeBytes as _, Serialize as _, TlsVarInt};

/// The version and the wire format that an MLSMessage begins with (RFC 9420, 6).
const MLS_MESSAGE_HEADER: usize = 4;
const EPOCH: usize = 8;
const CONTENT_TYPE: usize = 1;

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
    let mut keys = keys(commit, &leaf.tls_serialize_detached().ok()?)?;
    let own = leaf.encryption_key().tls_serialize_detached().ok()?;
    keys.push(vector(&own)?.0);

    let mut parent = Vec::new();
    for (_, node) in tree.full_parents() {
        parent.clear();
        node.tls_serialize(&mut parent).ok()?;
        // A ParentNode begins with its encryption key (7.1).
        if keys.contains(&vector(&parent)?.0) {
            return Some(true);
        }
    }
    Some(false)
}

/// The Commit in a PublicMessage, and what comes after it (RFC 9420, 6, 6.1).
pub(crate) fn public_commit(message: &[u8]) -> Option<&[u8]> {
    let (_, content) = message.split_at_checked(MLS_MESSAGE_HEADER)?;
    let (_group_id, rest) = vector(content)?;
    let (_epoch, rest) = rest.split_at_checked(EPOCH)?;
    let (_sender, rest) = Sender::tls_deserialize_bytes(rest).ok()?;
    let (_authenticated_data, rest) = vector(rest)?;
    let (_content_type, commit) = rest.split_at_checked(CONTENT_TYPE)?;
    Some(commit)
}

/// The public keys of the path's nodes, if the path is there and has that leaf. (MLS encodes everything in one way only.)
fn keys<'c>(commit: &'c [u8], leaf: &[u8]) -> Option<Vec<&'c [u8]>> {
    let (_proposals, path) = vector(commit)?;
    let (is_there, path) = path.split_at_checked(1)?;
    let nodes = path.strip_prefix(leaf).filter(|_| is_there == [1])?;
    let (mut nodes, _) = vector(nodes)?;
    let mut keys = Vec::new();
    while !nodes.is_empty() {
        let (key, rest) = vector(nodes)?;
        let (_encrypted_path_secrets, rest) = vector(rest)?;
        keys.push(key);
        nodes = rest;
    }
    Some(keys)
}

/// What is in a vector of variable length, and what comes after it (RFC 9420, 2.1.2).
fn vector(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = TlsVarInt::tls_deserialize_bytes(bytes).ok()?;
    rest.split_at_checked(usize::try_from(length.value()).ok()?)
}
