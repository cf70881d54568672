//! Finds known byte strings in bytes, in several encodings.
//!
//! A needle is found as raw bytes, as an array of MessagePack integers, as hexadecimal, as Base64,
//! and as a list of decimal numbers. The search knows nothing else about the bytes. Therefore it
//! finds a secret that was not erased, wherever the secret is. It does not find bytes that are
//! transformed in another way, cut into parts, or shorter than [`SHORTEST`].

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

/// The length of the shortest needle. It is the length of an AES-128 key, the shortest secret of a
/// ciphersuite. Shorter strings would be found by chance.
pub(crate) const SHORTEST: usize = 16;

/// The number of bytes of a needle that are looked up at each position.
const PREFIX: usize = 8;

/// The size of the filter in bits. With ten thousand needles, about one position in a hundred
/// passes it by chance.
const FILTER_BITS: u32 = 20;

/// The byte strings to find, by their numbers.
pub(crate) struct Needles {
    by_prefix: FxHashMap<u64, Vec<u32>>,
    filter: Vec<u64>,
}

impl Default for Needles {
    fn default() -> Self {
        Self { by_prefix: FxHashMap::default(), filter: vec![0; 1 << (FILTER_BITS - 6)] }
    }
}

impl Needles {
    /// Adds a needle. Ignores a needle that is too short.
    pub(crate) fn add(&mut self, number: u32, bytes: &[u8]) {
        let Some(prefix) = prefix(bytes).filter(|_| bytes.len() >= SHORTEST) else { return };
        let (word, bit) = place(prefix);
        self.filter[word] |= bit;
        self.by_prefix.entry(prefix).or_default().push(number);
    }

    /// The needles that occur in `haystack`, in any known encoding. `bytes_of` returns the bytes of
    /// a needle.
    pub(crate) fn find<'n>(&self, haystack: &[u8], bytes_of: impl Fn(u32) -> &'n [u8]) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        self.find_raw(haystack, &bytes_of, &mut found);
        for view in views(haystack) {
            self.find_raw(&view, &bytes_of, &mut found);
        }
        found
    }

    /// Adds the needles that occur in `haystack` as raw bytes.
    pub(crate) fn find_raw<'n>(&self, haystack: &[u8], bytes_of: &impl Fn(u32) -> &'n [u8], found: &mut BTreeSet<u32>) {
        for at in 0..(haystack.len() + 1).saturating_sub(SHORTEST) {
            let Some(prefix) = prefix(&haystack[at..]) else { break };
            let (word, bit) = place(prefix);
            if self.filter[word] & bit == 0 {
                continue;
            }
            for needle in self.by_prefix.get(&prefix).into_iter().flatten() {
                if haystack[at..].starts_with(bytes_of(*needle)) {
                    found.insert(*needle);
                }
            }
        }
    }
}

fn prefix(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk::<PREFIX>().map(|first| u64::from_le_bytes(*first))
}

/// The position of a prefix in the filter.
fn place(prefix: u64) -> (usize, u64) {
    // Fibonacci hashing: secrets are random, but other values on the tape may not be.
    let hash = prefix.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - FILTER_BITS);
    ((hash >> 6) as usize, 1 << (hash & 63))
}

/// Decodes the parts of the bytes that may be encoded bytes.
fn views(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut views = vec![without_markers(bytes)];
    views.extend(runs(bytes, 2 * SHORTEST, |byte| byte.is_ascii_hexdigit()).flat_map(unhex));
    views.extend(runs(bytes, SHORTEST * 4 / 3, is_base64).flat_map(unbase64));
    views.extend(runs(bytes, 2 * SHORTEST, |byte| byte.is_ascii_digit() || b", \n".contains(&byte)).map(undecimal));
    views
}

/// Decodes arrays of MessagePack integers, in which a marker precedes each byte above 127.
fn without_markers(bytes: &[u8]) -> Vec<u8> {
    const UINT_8: u8 = 0xcc;
    let mut view = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().peekable();
    while let Some(byte) = rest.next() {
        match rest.peek() {
            Some(next) if *byte == UINT_8 && **next >= 0x80 => view.extend(rest.next()),
            _ => view.push(*byte),
        }
    }
    view
}

/// The longest runs of bytes of a kind, if they have at least `least` bytes.
fn runs(bytes: &[u8], least: usize, kind: impl Fn(u8) -> bool + Copy) -> impl Iterator<Item = &[u8]> {
    bytes.split(move |byte| !kind(*byte)).filter(move |run| run.len() >= least)
}

/// Decodes a run of hexadecimal digits, from each possible start.
fn unhex(run: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..2).filter_map(|start| {
        let digits = &run[start..];
        hex::decode(&digits[..digits.len() & !1]).ok()
    })
}

fn is_base64(byte: u8) -> bool {
    sextet(byte).is_some()
}

/// The value of a Base64 digit, in either alphabet (RFC 4648, 4 and 5).
fn sextet(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

/// Decodes a run of Base64 digits, from each possible start.
fn unbase64(run: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..4.min(run.len())).map(|start| {
        let mut view = Vec::with_capacity(run.len() * 3 / 4);
        let (mut bits, mut held) = (0_u32, 0);
        for value in run[start..].iter().filter_map(|digit| sextet(*digit)) {
            bits = bits << 6 | u32::from(value);
            held += 6;
            if held >= 8 {
                held -= 8;
                view.push((bits >> held) as u8);
            }
        }
        view
    })
}

/// Decodes a list of decimal numbers, each a byte. Skips numbers that are no bytes, because they
/// are no part of a secret.
fn undecimal(run: &[u8]) -> Vec<u8> {
    let numbers = run.split(|byte| !byte.is_ascii_digit()).filter(|digits| !digits.is_empty());
    numbers.filter_map(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDLE: [u8; 20] = [0, 255, 204, 130, 7, 99, 204, 12, 3, 200, 201, 4, 5, 6, 204, 204, 128, 127, 1, 2];

    fn is_found_in(haystack: &[u8]) -> bool {
        let mut needles = Needles::default();
        needles.add(7, &NEEDLE);
        needles.add(8, &[1; 32]);
        needles.find(haystack, |number| if number == 7 { &NEEDLE } else { &[1; 32] }) == BTreeSet::from([7])
    }

    #[test]
    fn raw_bytes_are_found() {
        assert!(is_found_in(&NEEDLE));
        assert!(is_found_in(&[&[9; 3][..], &NEEDLE, &[9; 3]].concat()));
        assert!(!is_found_in(&NEEDLE[1..]));
        assert!(!is_found_in(&[&NEEDLE[..19], &[3]].concat()));
    }

    #[test]
    fn an_array_of_numbers_is_found() {
        #[derive(serde::Serialize)]
        struct Record {
            before: u64,
            numbers: Vec<u8>,
        }
        let packed: Vec<u8> =
            NEEDLE.iter().flat_map(|byte| if *byte < 0x80 { vec![*byte] } else { vec![0xcc, *byte] }).collect();
        assert!(is_found_in(&[&[0xdc, 0, 20][..], &packed].concat()));
        let json = serde_json::to_vec(&Record { before: 12, numbers: NEEDLE.to_vec() }).unwrap();
        assert!(is_found_in(&json));
    }

    #[test]
    fn hexadecimal_and_base64_are_found_at_any_offset() {
        for before in ["", "a", "ab", "abc"] {
            assert!(is_found_in(format!("x={before}{}", hex::encode(NEEDLE)).as_bytes()));
            assert!(is_found_in(format!("x={before}{}", hex::encode_upper(NEEDLE)).as_bytes()));
            assert!(is_found_in(format!("x={before}{}", base64(&NEEDLE)).as_bytes()));
        }
    }

    #[test]
    fn too_short_needles_are_ignored() {
        let mut needles = Needles::default();
        needles.add(1, &[5; SHORTEST - 1]);
        assert!(needles.find(&[5; 64], |_| &[5; SHORTEST - 1]).is_empty());
    }

    fn base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let bits = chunk.iter().chain(&[0, 0]).take(3).fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
            for digit in 0..=chunk.len() {
                text.push(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize] as char);
            }
        }
        text
    }
}
