//! The sizes of bodies and the memory that they take.

/// The most extra memory for lists of small elements in a decoded body. Each element takes more
/// memory than its text.
const DECODED_LISTS: usize = 2 * 1024 * 1024;

/// The bytes of a request beside its parts: names, field names, signatures.
const REQUEST_OVERHEAD: usize = 64 * 1024;

/// The size from which the server decodes bodies beside the threads of the runtime, one at a time.
/// The price of each request includes the first 64 KiB.
pub(crate) const LARGE: usize = 64 * 1024;

/// Returns the size of `bytes` bytes in JSON: base64, with room for field names.
pub(crate) const fn encoded_bytes(bytes: usize) -> usize {
    bytes.saturating_add(bytes / 5 * 2).saturating_add(4 * 1024)
}

/// Returns the largest body of a request. It has at most two parts of the size that the ordering
/// rules accept, such as a commit and a group info. Base64 makes them a third larger.
pub(crate) const fn max_request_bytes(part: usize) -> usize {
    part.saturating_mul(2).div_ceil(3).saturating_mul(4).saturating_add(REQUEST_OVERHEAD)
}

/// Returns the memory that a body of `bytes` bytes takes until the server has handled it.
pub(crate) const fn body_bytes(bytes: usize) -> usize {
    let lists = bytes.saturating_mul(4);
    let lists = if lists < DECODED_LISTS { lists } else { DECODED_LISTS };
    // The copy that the server makes when the buffer of the body grows takes half of the size more.
    bytes.saturating_mul(2).saturating_add(bytes / 2).saturating_add(lists)
}
