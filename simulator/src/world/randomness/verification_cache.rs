//! The signatures that somebody in the simulation has found valid.
//!
//! All members of a group verify the same signatures: that of each commit, and those of all leaves when they join. Whether
//! a signature is valid is the same for everyone, so it is computed once. What is not known to be valid is verified.

use std::{
    collections::HashSet,
    sync::{PoisonError, RwLock},
};

use openmls_traits::types::SignatureScheme;
use sha2::{Digest as _, Sha256};

use super::{StreamKey, derive};

/// How many are remembered: 64 MB. When there are more, all are forgotten.
const CAPACITY: usize = 1 << 20;

/// The domain of a signature's name.
const SIGNATURE: &str = "regrow simulation signature";

/// Signatures that were found valid. To be shared by all devices of a simulation.
#[derive(Default)]
pub struct VerificationCache {
    known: RwLock<HashSet<StreamKey>>,
}

impl VerificationCache {
    /// Verifies a signature with `verify`, unless these very bytes were found valid before.
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
