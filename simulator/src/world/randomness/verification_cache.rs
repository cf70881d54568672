//! The cache of signatures that a device of the simulation has found valid.
//!
//! All members of a group verify the same signatures: the signature of each commit, and those of
//! all leaves when they join. The result is the same for every device, so the cache computes it
//! once. A signature outside the cache is verified.

use std::{
    collections::HashSet,
    sync::{PoisonError, RwLock},
};

use openmls_traits::types::SignatureScheme;
use sha2::{Digest as _, Sha256};

use super::{StreamKey, derive};

/// The largest number of signatures in the cache: 64 MB. A full cache is emptied.
const CAPACITY: usize = 1 << 20;

/// The domain of a signature's key in the cache.
const SIGNATURE: &str = "regrow simulation signature";

/// A cache of valid signatures, which all devices of a simulation share.
#[derive(Default)]
pub struct VerificationCache {
    known: RwLock<HashSet<StreamKey>>,
}

impl VerificationCache {
    /// Verifies a signature with `verify`, unless the cache has the same bytes.
    pub(super) fn check<E>(
        &self,
        scheme: SignatureScheme,
        data: &[u8],
        key: &[u8],
        signature: &[u8],
        verify: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let data = Sha256::digest(data);
        let name = derive(SIGNATURE, &[&(scheme as u16).to_be_bytes(), &data, key, signature]);
        if self.known.read().unwrap_or_else(PoisonError::into_inner).contains(&name) {
            return Ok(());
        }
        verify()?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CAPACITY {
            known.clear();
        }
        known.insert(name);
        Ok(())
    }
}
