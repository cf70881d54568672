//! Readers of fields in encoded MLS messages (RFC 9420), for checks of bytes that OpenMLS does not give out.
//!
//! Engine and service make these checks on the same bytes. Every reader returns [`None`] for bytes that end too early or
//! are not encoded as the RFC demands.

/// The version and the wire format that an MLSMessage begins with (RFC 9420, 6).
const MLS_MESSAGE_HEADER: usize = 4;
const EPOCH: usize = 8;
const CONTENT_TYPE: usize = 1;
/// An index or a leaf number within a Sender (RFC 9420, 6).
const SENDER_INDEX: usize = 4;

/// The content of a vector of variable length at the beginning of `bytes`, and the bytes after the vector (RFC 9420,
/// 2.1.2).
pub fn vector(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (length, rest) = match first >> 6 {
        0 => (usize::from(first), rest),
        1 => {
            let (&[second], rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes([first & 0x3f, second])), rest)
        }
        2 => {
            let (&[second, third, fourth], rest) = rest.split_first_chunk()?;
            (u32::from_be_bytes([first & 0x3f, second, third, fourth]) as usize, rest)
        }
        _ => return None,
    };
    // A length has one encoding: the shortest.
    if length < [0, 1 << 6, 1 << 14][usize::from(first >> 6)] {
        return None;
    }
    rest.split_at_checked(length)
}

/// Appends a vector of variable length (RFC 9420, 2.1.2). Returns whether it fits into one: at most 2^30 - 1 bytes.
#[must_use]
pub fn put_vector(bytes: &mut Vec<u8>, content: &[u8]) -> bool {
    match content.len() {
        length @ 0..0x40 => bytes.push(length as u8),
        length @ 0x40..0x4000 => bytes.extend_from_slice(&(length as u16 | 0x4000).to_be_bytes()),
        length @ 0x4000..0x4000_0000 => bytes.extend_from_slice(&(length as u32 | 0x8000_0000).to_be_bytes()),
        _ => return false,
    }
    bytes.extend_from_slice(content);
    true
}

/// The PublicMessage in an MLSMessage (RFC 9420, 6).
pub fn public_message(message: &[u8]) -> Option<&[u8]> {
    message.get(MLS_MESSAGE_HEADER..)
}

/// The Commit in a PublicMessage, and the bytes after it (RFC 9420, 6, 6.2).
pub fn commit(public_message: &[u8]) -> Option<&[u8]> {
    let (_group_id, rest) = vector(public_message)?;
    let (_epoch, rest) = rest.split_at_checked(EPOCH)?;
    let (_sender, rest) = sender(rest)?;
    let (_authenticated_data, rest) = vector(rest)?;
    let (_content_type, commit) = rest.split_at_checked(CONTENT_TYPE)?;
    Some(commit)
}

/// A Sender, and the bytes after it (RFC 9420, 6).
fn sender(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match bytes.first()? {
        // A member or an external sender, with its index.
        1 | 2 => bytes.split_at_checked(1 + SENDER_INDEX),
        // A new member, by a proposal or by a commit.
        3 | 4 => bytes.split_at_checked(1),
        _ => None,
    }
}

/// The public keys of a commit's path, that of its leaf first (RFC 9420, 7.6, 12.4).
///
/// `commit` begins with the Commit; `leaf` is the encoded leaf node of its path. [`None`] if the commit has no path, or a
/// path with another leaf. (MLS encodes every value in one way only.)
pub fn path_keys<'c>(commit: &'c [u8], leaf: &'c [u8]) -> Option<Vec<&'c [u8]>> {
    let (_proposals, path) = vector(commit)?;
    let (is_there, path) = path.split_at_checked(1)?;
    let nodes = path.strip_prefix(leaf).filter(|_| is_there == [1])?;
    let (mut nodes, _) = vector(nodes)?;
    let mut keys = vec![encryption_key(leaf)?];
    while !nodes.is_empty() {
        let (key, rest) = vector(nodes)?;
        let (_encrypted_path_secrets, rest) = vector(rest)?;
        keys.push(key);
        nodes = rest;
    }
    Some(keys)
}

/// The encryption key of an encoded node: a LeafNode and a ParentNode begin with it (RFC 9420, 7.1, 7.2).
pub fn encryption_key(node: &[u8]) -> Option<&[u8]> {
    vector(node).map(|(key, _)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors(contents: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert!(contents.iter().all(|content| put_vector(&mut bytes, content)));
        bytes
    }

    #[test]
    fn vectors_of_every_length_are_read_back() {
        for length in [0, 1, 63, 64, 16_383, 16_384, 100_000] {
            let content = vec![7; length];
            let mut bytes = vectors(&[&content]);
            bytes.extend_from_slice(b"rest");
            assert_eq!(vector(&bytes), Some((&content[..], &b"rest"[..])), "{length}");
        }
    }

    #[test]
    fn a_length_that_is_not_the_shortest_is_refused() {
        for bytes in [&[0x40, 1, b'a'][..], &[0x80, 0, 0, 1, b'a'], &[0x80, 0, 0x3f, 0xff], &[0xc0, 0], &[]] {
            assert_eq!(vector(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_vector_that_ends_too_early_is_refused() {
        let whole = vectors(&[&[7; 100]]);
        assert!((0..whole.len()).all(|length| vector(&whole[..length]).is_none()));
    }

    /// A commit with a path of two nodes, in a PublicMessage of a member.
    fn message(leaf: &[u8]) -> Vec<u8> {
        let mut message = vec![0, 1, 0, 1];
        message.extend(vectors(&[b"group"]));
        message.extend([0; EPOCH]);
        message.extend([1, 0, 0, 0, 3]);
        message.extend(vectors(&[b"data"]));
        message.push(3);
        message.extend(vectors(&[b"proposals"]));
        message.push(1);
        message.extend(leaf);
        message.extend(vectors(&[&vectors(&[b"one", b"secrets", b"two", b""])]));
        message
    }

    #[test]
    fn the_keys_of_a_path_are_those_of_its_leaf_and_nodes() {
        let leaf = vectors(&[b"leaf key", b"the rest of the leaf"]);
        let message = message(&leaf);
        let commit = commit(public_message(&message).unwrap()).unwrap();
        assert_eq!(path_keys(commit, &leaf), Some(vec![&b"leaf key"[..], b"one", b"two"]));
        assert_eq!(path_keys(commit, b"another leaf"), None);
        assert!((0..commit.len()).all(|length| path_keys(&commit[..length], &leaf).is_none()));
    }

    #[test]
    fn every_kind_of_sender_is_read() {
        assert_eq!(sender(&[1, 0, 0, 0, 9, 5]), Some((&[1, 0, 0, 0, 9][..], &[5][..])));
        assert_eq!(sender(&[2, 0, 0, 0, 9, 5]), Some((&[2, 0, 0, 0, 9][..], &[5][..])));
        assert_eq!(sender(&[3, 5]), Some((&[3][..], &[5][..])));
        assert_eq!(sender(&[4, 5]), Some((&[4][..], &[5][..])));
        assert_eq!(sender(&[0, 5]), None);
        assert_eq!(sender(&[1, 0, 0, 0]), None);
    }
}
