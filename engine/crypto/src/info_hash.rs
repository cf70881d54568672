//! The hash of a long `info` (RFC 9180, 5.1), computed once for many recipients.
//!
//! A commit that adds devices seals the group secrets to each of them, with the whole encrypted
//! group info as a part of `info` (RFC 9420, 12.4.3.1). With the ratchet tree, that is 0.2 MB in a
//! group of a thousand. The key schedule hashes `info` for each recipient, although it is the same
//! for all. So this thread keeps the last long `info` and its hash, and compares.
//!
//! The kept bytes are a ciphertext, which everybody may have. The other `info` of MLS is the group
//! context, which is private in some groups. It is shorter than [`LONG`].

use std::cell::RefCell;

use hpke_rs_crypto::{error::Error, types::KdfAlgorithm};

/// The label of the input (RFC 9180, 4), and its place behind `HPKE-v1` and the suite.
const LABEL: &[u8] = b"info_hash";
const LABEL_AT: usize = 7 + 10;

/// The length in bytes from which an input is kept. A group context of the engine has a fraction of
/// it, for its group data has at most 4,096 bytes.
const LONG: usize = 16 * 1024;

/// The last long input and its hash.
struct Known {
    algorithm: KdfAlgorithm,
    salt: Vec<u8>,
    input: Vec<u8>,
    hash: Vec<u8>,
}

impl Known {
    fn is_of(&self, algorithm: KdfAlgorithm, salt: &[u8], input: &[u8]) -> bool {
        self.algorithm == algorithm && self.salt == salt && self.input == input
    }
}

thread_local! {
    static KNOWN: RefCell<Option<Known>> = const { RefCell::new(None) };
}

/// HKDF-Extract (RFC 5869), which `compute` computes. The output for the last long `info` is known.
///
/// The next operation with another `info` on this thread drops the known one.
pub(crate) fn extract(
    algorithm: KdfAlgorithm,
    salt: &[u8],
    input: &[u8],
    compute: impl FnOnce(KdfAlgorithm, &[u8], &[u8]) -> Result<Vec<u8>, Error>,
) -> Result<Vec<u8>, Error> {
    if !input.get(LABEL_AT..).is_some_and(|rest| rest.starts_with(LABEL)) {
        return compute(algorithm, salt, input);
    }
    KNOWN.with_borrow_mut(|known| {
        if let Some(known) = known.as_ref().filter(|known| known.is_of(algorithm, salt, input)) {
            return Ok(known.hash.clone());
        }
        *known = None;
        let hash = compute(algorithm, salt, input)?;
        if input.len() >= LONG {
            *known = Some(Known { algorithm, salt: salt.to_vec(), input: input.to_vec(), hash: hash.clone() });
        }
        Ok(hash)
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const SHA_256: KdfAlgorithm = KdfAlgorithm::HkdfSha256;

    /// A labelled input with this `info`.
    fn input(label: &str, info: &[u8]) -> Vec<u8> {
        [b"HPKE-v1HPKE\0\x20\0\x01\0\x01", label.as_bytes(), info].concat()
    }

    /// Extracts from each of these inputs. Returns the number of computations. The output of a
    /// computation is the salt and the input.
    fn computations(inputs: &[(KdfAlgorithm, &[u8], Vec<u8>)]) -> usize {
        let count = Cell::new(0);
        for (algorithm, salt, input) in inputs {
            let hash = extract(*algorithm, salt, input, |_, salt, input| {
                count.set(count.get() + 1);
                Ok([salt, input].concat())
            });
            assert_eq!(hash.unwrap(), [*salt, input].concat());
        }
        count.get()
    }

    #[test]
    fn the_same_long_info_is_hashed_once() {
        let (one, other) = (input("info_hash", &[1; LONG]), input("info_hash", &[2; LONG]));
        let with = |input: &Vec<u8>| (SHA_256, &b""[..], input.clone());

        assert_eq!(computations(&[with(&one), with(&one), with(&one)]), 1);
        assert_eq!(computations(&[with(&other), with(&one), with(&other)]), 3);
    }

    #[test]
    fn nothing_else_is_kept() {
        let long = input("info_hash", &[3; LONG]);
        let secret = input("eae_prk", &[3; LONG]);
        let short = input("info_hash", &[3; 100]);
        let sha_512 = KdfAlgorithm::HkdfSha512;

        assert_eq!(computations(&[(SHA_256, b"", secret.clone()), (SHA_256, b"", secret)]), 2);
        assert_eq!(computations(&[(SHA_256, b"", short.clone()), (SHA_256, b"", short.clone())]), 2);
        assert_eq!(computations(&[(SHA_256, b"salt", long.clone()), (SHA_256, b"", long.clone())]), 2);
        assert_eq!(computations(&[(sha_512, b"", long.clone()), (SHA_256, b"", long.clone())]), 2);
        assert_eq!(computations(&[(SHA_256, b"", long), (SHA_256, b"", short)]), 1);
        KNOWN.with_borrow(|known| assert!(known.is_none(), "a short info drops the long one"));
    }
}
