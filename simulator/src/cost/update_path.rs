//! The size of the update path in a commit.

use super::public_tree::{after_leaf_node, after_vectors};
use crate::wire::variable;

/// The beginning of a PublicMessage: the version MLS 1.0 and the wire format.
const PUBLIC_MESSAGE: [u8; 4] = [0, 1, 0, 1];

/// The content type of a commit (RFC 9420, 6).
const COMMIT: u8 = 3;

/// The number of bytes of the UpdatePath in a commit (RFC 9420, 7.6 and 12.4). [`None`] for a
/// PrivateMessage, because its content is encrypted.
pub(crate) fn update_path_bytes(commit: &[u8]) -> Option<u64> {
    let group = commit.strip_prefix(&PUBLIC_MESSAGE)?;
    let (_, epoch) = variable(group)?;
    let authenticated_data = match epoch.get(8..)?.split_first()? {
        // A member, or an external sender: its index.
        (1 | 2, index) => index.get(4..)?,
        (3 | 4, rest) => rest,
        _ => return None,
    };
    let (_, content) = variable(authenticated_data)?;
    let (_, path) = variable(content.strip_prefix(&[COMMIT])?)?;
    match path.split_first()? {
        (0, _) => Some(0),
        (1, path) => {
            let rest = after_vectors(after_leaf_node(path)?, 1)?;
            Some((path.len() - rest.len()) as u64)
        }
        _ => None,
    }
}
