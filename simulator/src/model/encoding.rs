//! The sizes of the MLS encoding (RFC 9420, 2.1.2).

/// The size of a vector with this many bytes of content, with the length before it.
pub(crate) fn vector(content: u64) -> u64 {
    content
        + match content {
            0..0x40 => 1,
            0x40..0x4000 => 2,
            _ => 4,
        }
}
