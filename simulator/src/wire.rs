//! The part of the MLS encoding that is read here without OpenMLS: vectors with a length prefix.

/// Splits a vector of variable length (RFC 9420, 2.1.2) from the bytes after it.
pub(crate) fn variable(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = *bytes.first()?;
    let (length, start) = match first >> 6 {
        0 => (usize::from(first), 1),
        1 => (usize::from(u16::from_be_bytes(*bytes.first_chunk()?) & 0x3fff), 2),
        2 => ((u32::from_be_bytes(*bytes.first_chunk()?) & 0x3fff_ffff) as usize, 4),
        _ => return None,
    };
    bytes.get(start..)?.split_at_checked(length)
}

/// Appends a vector of variable length.
pub(crate) fn push_variable(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = bytes.len() as u32;
    match length {
        0..0x40 => out.push(length as u8),
        0x40..0x4000 => out.extend((0x4000 | length as u16).to_be_bytes()),
        _ => out.extend((0x8000_0000 | length).to_be_bytes()),
    }
    out.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushed_vector_can_be_read_back() {
        for length in [0, 1, 63, 64, 16_383, 16_384, 70_000] {
            let mut bytes = Vec::new();
            push_variable(&mut bytes, &vec![7; length]);
            bytes.extend([1, 2]);
            assert_eq!(variable(&bytes), Some((&vec![7; length][..], &[1, 2][..])));
            assert_eq!(variable(&bytes[..length]), None);
        }
        assert_eq!(variable(&[0xc0, 0, 0, 0]), None);
    }
}
