//! The sizes of bodies, and the memory that bodies take.

/// The memory of a body that is being decoded: the body, what becomes of it, and up to this much more for lists of small
/// elements, each of which takes more room than its text.
const DECODED_LISTS: usize = 2 * 1024 * 1024;

/// A request is larger by this than the parts that it carries: names, field names, signatures.
const REQUEST_OVERHEAD: usize = 64 * 1024;

/// Bodies from here on are decoded beside the runtime's threads, one at a time. The first 64 KiB are in each request's price.
pub(crate) const LARGE: usize = 64 * 1024;

/// The bytes that this many take in JSON: base64, with room for field names.
pub(crate) const fn encoded_bytes(bytes: usize) -> usize {
    bytes.saturating_add(bytes / 5 * 2).saturating_add(4 * 1024)
}

/// The largest body of a request: two parts at the most that the ordering rules take (a commit, say, with a group info), a
/// third larger in base64.
pub(crate) const fn max_request_bytes(part: usize) -> usize {
    part.saturating_mul(2).div_ceil(3).saturating_mul(4).saturating_add(REQUEST_OVERHEAD)
}

/// The memory that a body of this size takes until it is carried out.
pub(crate) const fn body_bytes(bytes: usize) -> usize {
    let lists = bytes.saturating_mul(4);
    let lists = if lists < DECODED_LISTS { lists } else { DECODED_LISTS };
    // Half a size more for the copy that is made whenever the collected body has to grow.
    bytes.saturating_mul(2).saturating_add(bytes / 2).saturating_add(lists)
}
