//! The hashes of short inputs that this thread has computed.
//!
//! OpenMLS hashes each node of the ratchet tree several times for each commit (RFC 9420, 7.8), on
//! every member, and a commit changes few nodes.

use std::{cell::RefCell, collections::HashMap};

use openmls_traits::types::HashType;
use rustc_hash::FxBuildHasher;

/// The length in bytes of the longest input that is kept.
const LONGEST: usize = 512;

/// The number of bytes of the inputs that a thread keeps. A thread with more forgets all.
const CAPACITY: usize = 64 << 20;

#[derive(Default)]
struct KnownHashes {
    hashes: HashMap<Box<[u8]>, Vec<u8>, FxBuildHasher>,
    /// The bytes of the inputs.
    size: usize,
}

thread_local! {
    static KNOWN: RefCell<KnownHashes> = RefCell::default();
}

/// The hash of `data`, which `compute` computes.
pub(super) fn hash<E>(
    algorithm: HashType,
    data: &[u8],
    compute: impl FnOnce() -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, E> {
    if algorithm != HashType::Sha2_256 || data.len() > LONGEST {
        return compute();
    }
    KNOWN.with_borrow_mut(|known| {
        if let Some(hash) = known.hashes.get(data) {
            return Ok(hash.clone());
        }
        let hash = compute()?;
        if known.size + data.len() > CAPACITY {
            *known = KnownHashes::default();
        }
        known.size += data.len();
        known.hashes.insert(data.into(), hash.clone());
        Ok(hash)
    })
}
