//! Cryptography that makes the thief's own engine accept a tree that is not the group's.
//!
//! One leaf is shown with another signature key. Every signature counts as valid. The leaf is
//! hashed with its real bytes, so the tree has the hash in the group context (RFC 9420, 7.8). All
//! values for other members are computed correctly: this cryptography deceives only its own user.

use std::{ops::Range, sync::Arc};

use openmls_traits::types::{CryptoError, HashType, SignatureScheme};
use regrow_engine::{CryptoProvider, Layer};

use crate::wire::push_variable;

/// The number of bytes before the signature key that belong to the replaced part. They are a part
/// of the leaf's encryption key, so that no other leaf looks the same.
const BEFORE: usize = 24;

/// The type of a basic credential (RFC 9420, 5.3).
const BASIC: u16 = 1;

/// A part of a leaf: the real bytes and the shown bytes.
pub(super) struct Replacement {
    real: Vec<u8>,
    shown: Vec<u8>,
}

impl Replacement {
    /// Replaces the signature key in the leaf of the device with this identity. [`None`] if the
    /// bytes contain no such leaf with a key of the same length.
    pub(super) fn of_signature_key(bytes: &[u8], identity: &[u8], key: &[u8]) -> Option<Self> {
        // The fields are, by RFC 9420, 7.2: encryption key, signature key, credential.
        let credential = [&BASIC.to_be_bytes()[..], &vector(identity)].concat();
        let length = vector(key).len() - key.len();
        let prefix = &vector(key)[..length];
        let mut candidates = find(bytes, &credential);
        let leaf = candidates.find_map(|credential| {
            let key_at = credential.start.checked_sub(key.len())?;
            let from = key_at.checked_sub(length + BEFORE)?;
            (bytes[key_at - length..key_at] == *prefix).then_some(from..credential.end)
        })?;
        let real = bytes[leaf].to_vec();
        let mut shown = real.clone();
        shown[BEFORE + length..][..key.len()].copy_from_slice(key);
        Some(Self { real, shown })
    }

    /// Returns the bytes with the shown part in place of the real part.
    pub(super) fn shown_in(&self, bytes: &[u8]) -> Vec<u8> {
        replaced(bytes, &self.real, &self.shown)
    }

    fn real_in(&self, bytes: &[u8]) -> Vec<u8> {
        replaced(bytes, &self.shown, &self.real)
    }
}

/// A variable-size vector (RFC 9420, 2.1.2).
fn vector(bytes: &[u8]) -> Vec<u8> {
    let mut vector = Vec::new();
    push_variable(&mut vector, bytes);
    vector
}

fn find<'b>(bytes: &'b [u8], part: &'b [u8]) -> impl Iterator<Item = Range<usize>> + 'b {
    let windows = bytes.windows(part.len()).enumerate();
    windows.filter(move |(_, window)| *window == part).map(|(at, window)| at..at + window.len())
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let found: Vec<_> = find(&bytes, from).collect();
    for range in found {
        bytes[range].copy_from_slice(to);
    }
    bytes
}

/// The inner cryptography, with a replaced leaf.
pub(super) struct ForgingCrypto {
    within: Arc<dyn CryptoProvider>,
    replacement: Replacement,
}

impl ForgingCrypto {
    pub(super) fn new(within: Arc<dyn CryptoProvider>, replacement: Replacement) -> Self {
        Self { within, replacement }
    }
}

impl Layer for ForgingCrypto {
    fn within(&self) -> &dyn CryptoProvider {
        &*self.within
    }

    fn hash(&self, hash: HashType, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.within.hash(hash, &self.replacement.real_in(data))
    }

    fn verify_signature(&self, _: SignatureScheme, _: &[u8], _: &[u8], _: &[u8]) -> Result<(), CryptoError> {
        Ok(())
    }
}
