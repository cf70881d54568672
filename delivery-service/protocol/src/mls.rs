//! Readers of fields in encoded MLS messages (RFC 9420). They serve checks of bytes that OpenMLS
//! does not expose.
//!
//! The engine and the service make these checks on the same bytes. Every reader returns [`None`]
//! for bytes that end too early or are not encoded as RFC 9420 requires.

/// The length of the version and the wire format at the beginning of an MLSMessage (RFC 9420, 6).
const MLS_MESSAGE_HEADER: usize = 4;
const EPOCH: usize = 8;
const CONTENT_TYPE: usize = 1;
/// The length of a sender index or a leaf index within a Sender (RFC 9420, 6).
const SENDER_INDEX: usize = 4;

/// Reads a vector of variable length at the beginning of `bytes` (RFC 9420, 2.1.2). Returns its
/// content and the bytes after the vector.
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
    // Only the shortest encoding of a length is valid.
    if length < [0, 1 << 6, 1 << 14][usize::from(first >> 6)] {
        return None;
    }
    rest.split_at_checked(length)
}

/// Appends a vector of variable length (RFC 9420, 2.1.2). Returns false if the content does not fit
/// into a vector: the limit is 2^30 - 1 bytes.
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

/// Returns the PublicMessage in an MLSMessage (RFC 9420, 6).
pub fn public_message(message: &[u8]) -> Option<&[u8]> {
    message.get(MLS_MESSAGE_HEADER..)
}

/// Returns the bytes of a PublicMessage from its Commit to its end (RFC 9420, 6, 6.2).
pub fn commit(public_message: &[u8]) -> Option<&[u8]> {
    let (_group_id, rest) = vector(public_message)?;
    let (_epoch, rest) = rest.split_at_checked(EPOCH)?;
    let (_sender, rest) = sender(rest)?;
    let (_authenticated_data, rest) = vector(rest)?;
    let (_content_type, commit) = rest.split_at_checked(CONTENT_TYPE)?;
    Some(commit)
}

/// Reads a Sender (RFC 9420, 6). Returns its bytes and the bytes after it.
fn sender(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match bytes.first()? {
        // A member or an external sender, with an index.
        1 | 2 => bytes.split_at_checked(1 + SENDER_INDEX),
        // A new member that sends a proposal or a commit.
        3 | 4 => bytes.split_at_checked(1),
        _ => None,
    }
}

/// Returns the public keys of a commit's path, the leaf's key first (RFC 9420, 7.6, 12.4).
///
/// `commit` begins with the Commit; `leaf` is the encoded leaf node of its path. Returns [`None`]
/// if the commit has no path, or a path with another leaf. (MLS encodes every value in one way
/// only.)
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

/// Returns the encryption key of an encoded node. A LeafNode and a ParentNode begin with it (RFC
/// 9420, 7.1, 7.2).
pub fn encryption_key(node: &[u8]) -> Option<&[u8]> {
    vector(node).map(|(key, _)| key)
}

/// Returns true if the lists of an MLSMessage have at most `most` elements together.
///
/// Counts only lists whose elements take much more memory than bytes: the proposals, path nodes and
/// ciphertexts of a commit, the secrets of a welcome, and the nodes of a ratchet tree.
///
/// Counting stops at the first element beyond `most`. Returns [`None`] if the message cannot be
/// read that far.
pub fn has_at_most(message: &[u8], most: usize) -> Option<bool> {
    let mut left = Left { elements: most, is_exceeded: false };
    let (&[_, _, _, format], body) = message.split_first_chunk::<MLS_MESSAGE_HEADER>()?;
    let read = match format {
        PUBLIC_MESSAGE => commit_elements(body, &mut left),
        WELCOME => secret_elements(body, &mut left),
        GROUP_INFO => tree_elements(body, &mut left),
        _ => Some(()),
    };
    if left.is_exceeded { Some(false) } else { read.map(|()| true) }
}

const PUBLIC_MESSAGE: u8 = 1;
const WELCOME: u8 = 3;
const GROUP_INFO: u8 = 4;
const COMMIT: u8 = 3;
const RATCHET_TREE: u16 = 2;
const TYPE: usize = 2;
const VERSION_AND_CIPHERSUITE: usize = 4;
const LEAF_INDEX: usize = 4;
const LIFETIME: usize = 16;

/// The number of elements that may still follow.
struct Left {
    elements: usize,
    /// True after one element beyond the limit.
    is_exceeded: bool,
}

impl Left {
    /// Counts an element. Returns `None` if the element is beyond the limit.
    fn count(&mut self) -> Option<()> {
        let left = self.elements.checked_sub(1);
        self.is_exceeded = left.is_none();
        self.elements = left?;
        Some(())
    }
}

/// Counts the elements of a list. `element` returns the length of the first element.
fn elements(
    mut list: &[u8],
    left: &mut Left,
    mut element: impl FnMut(&[u8], &mut Left) -> Option<usize>,
) -> Option<()> {
    while !list.is_empty() {
        left.count()?;
        let length = element(list, left)?;
        list = list.get(length..).filter(|_| length > 0)?;
    }
    Some(())
}

/// Returns the bytes after `count` vectors.
fn after_vectors(bytes: &[u8], count: usize) -> Option<&[u8]> {
    (0..count).try_fold(bytes, |rest, _| vector(rest).map(|(_, rest)| rest))
}

fn skip(bytes: &[u8], count: usize) -> Option<&[u8]> {
    bytes.get(count..)
}

/// Counts the elements of the commit in a PublicMessage (RFC 9420, 12.4).
fn commit_elements(public_message: &[u8], left: &mut Left) -> Option<()> {
    let commit = commit(public_message)?;
    let content_type = public_message.len().checked_sub(commit.len() + CONTENT_TYPE)?;
    if public_message.get(content_type) != Some(&COMMIT) {
        return Some(());
    }
    let (proposals, path) = vector(commit)?;
    elements(proposals, left, |list, _| Some(list.len() - after_proposal_or_ref(list)?.len()))?;
    match path.split_first()? {
        (1, path) => {
            let (nodes, _) = vector(after_leaf(path)?)?;
            elements(nodes, left, |list, left| {
                let (ciphertexts, rest) = vector(after_vectors(list, 1)?)?;
                elements(ciphertexts, left, |list, _| Some(list.len() - after_vectors(list, 2)?.len()))?;
                Some(list.len() - rest.len())
            })
        }
        _ => Some(()),
    }
}

/// Returns the bytes after a ProposalOrRef (RFC 9420, 12.1, 12.4). The profile has no proposals of
/// other types.
fn after_proposal_or_ref(bytes: &[u8]) -> Option<&[u8]> {
    match bytes.split_first()? {
        (1, proposal) => {
            let (kind, body) = proposal.split_first_chunk::<TYPE>()?;
            match u16::from_be_bytes(*kind) {
                // A KeyPackage: version, ciphersuite, init key, leaf, extensions, signature (RFC
                // 9420, 10).
                1 => {
                    let leaf = after_vectors(skip(body, VERSION_AND_CIPHERSUITE)?, 1)?;
                    after_vectors(after_leaf(leaf)?, 2)
                }
                2 => after_leaf(body),
                3 => skip(body, LEAF_INDEX),
                6 | 7 => after_vectors(body, 1),
                _ => None,
            }
        }
        (2, reference) => after_vectors(reference, 1),
        _ => None,
    }
}

/// Returns the bytes after a LeafNode (RFC 9420, 7.2).
fn after_leaf(bytes: &[u8]) -> Option<&[u8]> {
    let credential = after_vectors(bytes, 2)?;
    let capabilities = after_vectors(skip(credential, TYPE)?, 1)?;
    let (source, rest) = after_vectors(capabilities, 5)?.split_first()?;
    let rest = match source {
        1 => skip(rest, LIFETIME)?,
        2 => rest,
        3 => after_vectors(rest, 1)?,
        _ => return None,
    };
    after_vectors(rest, 2)
}

/// Counts the secrets in a Welcome (RFC 9420, 12.4.3.1).
fn secret_elements(welcome: &[u8], left: &mut Left) -> Option<()> {
    let (secrets, _) = vector(skip(welcome, TYPE)?)?;
    elements(secrets, left, |list, _| Some(list.len() - after_vectors(list, 3)?.len()))
}

/// Counts the nodes of the ratchet tree in a GroupInfo (RFC 9420, 7.8, 12.4.3).
fn tree_elements(group_info: &[u8], left: &mut Left) -> Option<()> {
    let (_group_id, rest) = vector(skip(group_info, VERSION_AND_CIPHERSUITE)?)?;
    // Skip the tree hash, the transcript hash and the context's extensions. The group info's
    // extensions follow.
    let rest = after_vectors(skip(rest, EPOCH)?, 3)?;
    let (mut extensions, _) = vector(rest)?;
    while !extensions.is_empty() {
        let (kind, rest) = extensions.split_first_chunk::<TYPE>()?;
        let (data, rest) = vector(rest)?;
        if u16::from_be_bytes(*kind) == RATCHET_TREE {
            let (nodes, _) = vector(data)?;
            elements(nodes, left, |list, _| Some(list.len() - after_node(list)?.len()))?;
        }
        extensions = rest;
    }
    Some(())
}

/// Returns the bytes after an optional node of a tree (RFC 9420, 7.8).
fn after_node(bytes: &[u8]) -> Option<&[u8]> {
    match bytes.split_first()? {
        (0, rest) => Some(rest),
        (1, node) => match node.split_first()? {
            (1, leaf) => after_leaf(leaf),
            // The encryption key, the parent hash and the unmerged leaves (RFC 9420, 7.1).
            (2, parent) => after_vectors(parent, 3),
            _ => None,
        },
        _ => None,
    }
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
    fn a_length_in_a_longer_encoding_is_refused() {
        for bytes in [&[0x40, 1, b'a'][..], &[0x80, 0, 0, 1, b'a'], &[0x80, 0, 0x3f, 0xff], &[0xc0, 0], &[]] {
            assert_eq!(vector(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_vector_that_ends_too_early_is_refused() {
        let whole = vectors(&[&[7; 100]]);
        assert!((0..whole.len()).all(|length| vector(&whole[..length]).is_none()));
    }

    /// A PublicMessage from a member, with a commit whose path has two nodes.
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
    fn path_keys_returns_leaf_and_node_keys() {
        let leaf = vectors(&[b"leaf key", b"the rest of the leaf"]);
        let message = message(&leaf);
        let commit = commit(public_message(&message).unwrap()).unwrap();
        assert_eq!(path_keys(commit, &leaf), Some(vec![&b"leaf key"[..], b"one", b"two"]));
        assert_eq!(path_keys(commit, b"another leaf"), None);
        assert!((0..commit.len()).all(|length| path_keys(&commit[..length], &leaf).is_none()));
    }

    /// An MLSMessage of this wire format.
    fn mls_message(format: u8, body: &[&[u8]]) -> Vec<u8> {
        [&[0, 1, 0, format][..], &body.concat()].concat()
    }

    /// A leaf of a commit, with empty fields.
    fn leaf() -> Vec<u8> {
        [
            vectors(&[b"key", b"signature key"]),
            vec![0, 1],
            vectors(&[b"alice".as_slice(); 6]),
            vec![3],
            vectors(&[b"hash".as_slice(); 3]),
        ]
        .concat()
    }

    /// Checks that the message has `elements` elements, and that a truncated message gives `None`.
    #[track_caller]
    fn has(message: &[u8], elements: usize) {
        assert_eq!(has_at_most(message, elements), Some(true));
        assert_eq!(has_at_most(message, elements - 1), Some(false));
        assert_eq!(has_at_most(message, 0), Some(false));
        assert_eq!(has_at_most(&message[..message.len() / 2], usize::MAX), None);
    }

    #[test]
    fn secrets_of_a_welcome_are_counted() {
        let secrets = vectors(&[&vectors(&[b"".as_slice(); 9])]);
        has(&mls_message(WELCOME, &[&[0, 1], &secrets, &vectors(&[b"sealed"])]), 3);
    }

    #[test]
    fn nodes_of_a_tree_are_counted() {
        let parent = vectors(&[b"key", b"hash", b""]);
        let nodes = [&[1, 1][..], &leaf(), &[1, 2], &parent, &[0, 0], &[1, 1], &leaf()].concat();
        let tree = [&[0, 2][..], &vectors(&[&vectors(&[&nodes])])].concat();
        let extensions = [&[0, 9][..], &vectors(&[b"other"]), &tree].concat();
        let context = [&[0, 1, 0, 1][..], &vectors(&[b"group"]), &[0; EPOCH], &vectors(&[b"", b"", b""])].concat();
        has(&mls_message(GROUP_INFO, &[&context, &vectors(&[&extensions])]), 5);
    }

    #[test]
    fn proposals_nodes_and_ciphertexts_of_a_commit_are_counted() {
        let key_package = [&[0, 1, 0, 1][..], &vectors(&[b"init"]), &leaf(), &vectors(&[b"", b"signature"])].concat();
        let proposals: Vec<u8> = [
            &[1, 0, 1][..],
            &key_package,
            &[1, 0, 2],
            &leaf(),
            &[1, 0, 3, 0, 0, 0, 7],
            &[1, 0, 6],
            &vectors(&[b"kem"]),
            &[1, 0, 7],
            &vectors(&[b"extensions"]),
            &[2],
            &vectors(&[b""]),
        ]
        .concat();
        let nodes = [vectors(&[b"key", &vectors(&[b"kem", b"text", b"kem", b"text"])]), vectors(&[b"key", b""])];
        let path = [&[1][..], &leaf(), &vectors(&[&nodes.concat()])].concat();
        let framed = |content_type, content: &[&[u8]]| {
            let head = [&vectors(&[b"group"])[..], &[0; EPOCH], &[1, 0, 0, 0, 3], &vectors(&[b"data"])].concat();
            mls_message(PUBLIC_MESSAGE, &[&head, &[content_type], &content.concat()])
        };
        has(&framed(COMMIT, &[&vectors(&[&proposals]), &path]), 6 + 2 + 2);
        has(&framed(COMMIT, &[&vectors(&[&proposals]), &[0]]), 6);
        let unknown = [1, 0, 99];
        assert_eq!(has_at_most(&framed(COMMIT, &[&vectors(&[&unknown])]), 9), None);
        assert_eq!(has_at_most(&framed(1, &[b"any text"]), 0), Some(true), "no commit");
    }

    #[test]
    fn messages_of_other_formats_are_not_counted() {
        for format in [2, 5, 9] {
            assert_eq!(has_at_most(&mls_message(format, &[b"anything"]), 0), Some(true));
        }
        assert_eq!(has_at_most(&[0, 1, 0], 9), None);
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
