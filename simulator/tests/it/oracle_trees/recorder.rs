//! Cryptography that records the public keys to which each path secret is sealed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use openmls_traits::types::{CryptoError, HpkeCiphertext, HpkeConfig};
use regrow_engine::{CryptoProvider, Layer};

/// The label under which path secrets are sealed (RFC 9420, 7.5).
const PATH_LABEL: &[u8] = b"UpdatePathNode";

pub struct SealRecorder {
    inner: Arc<dyn CryptoProvider>,
    sealed: Mutex<BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>>,
}

impl SealRecorder {
    pub fn new(inner: Arc<dyn CryptoProvider>) -> Self {
        Self { inner, sealed: Mutex::default() }
    }

    /// Takes the recorded sets of public keys. Each set belongs to one path secret.
    pub fn take_sealed(&self) -> BTreeSet<BTreeSet<Vec<u8>>> {
        std::mem::take(&mut *self.sealed.lock().unwrap()).into_values().collect()
    }
}

impl Layer for SealRecorder {
    fn within(&self) -> &dyn CryptoProvider {
        &*self.inner
    }

    fn hpke_seal(
        &self,
        config: HpkeConfig,
        pk_r: &[u8],
        info: &[u8],
        aad: &[u8],
        ptxt: &[u8],
    ) -> Result<HpkeCiphertext, CryptoError> {
        if info.windows(PATH_LABEL.len()).any(|window| window == PATH_LABEL) {
            let new = self.sealed.lock().unwrap().entry(ptxt.to_vec()).or_default().insert(pk_r.to_vec());
            assert!(new, "a path secret is sealed to the same key twice");
        }
        self.inner.hpke_seal(config, pk_r, info, aad, ptxt)
    }
}
