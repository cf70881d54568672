//! The results of crypto operations, which the devices of a simulation share.
//!
//! The members of a group compute the same values from the same inputs. All verify the signature of
//! each commit. Many open the same ciphertext of its path with the same private key, and derive the
//! same key pairs (RFC 9420, 7.4). The first device computes a result, and the others take it from
//! here. An operation that fails is computed each time.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use openmls_traits::types::{HpkeConfig, HpkeKeyPair, SignatureScheme};
use sha2::{Digest as _, Sha256};

use super::{StreamKey, derive};

/// The largest number of results of one kind: at most 64 MB. A full table is emptied.
const CAPACITY: usize = 1 << 18;

/// The domains of the names of results.
const SIGNATURE: &str = "regrow simulation signature";
const HPKE_OPEN: &str = "regrow simulation hpke open";
const HPKE_KEY_PAIR: &str = "regrow simulation hpke key pair";

/// The results that all devices of a simulation share. They contain secrets of the simulation.
#[derive(Default)]
pub struct SharedResults {
    signatures: Table<()>,
    opened: Table<Vec<u8>>,
    key_pairs: Table<HpkeKeyPair>,
}

impl SharedResults {
    /// Verifies a signature with `verify`, unless the same bytes have been verified.
    pub(super) fn verified<E>(
        &self,
        scheme: SignatureScheme,
        data: &[u8],
        key: &[u8],
        signature: &[u8],
        verify: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let data = Sha256::digest(data);
        let name = derive(SIGNATURE, &[&(scheme as u16).to_be_bytes(), &data, key, signature]);
        self.signatures.get(name, verify)
    }

    /// The plaintext of an HPKE ciphertext, which `open` computes from the inputs.
    pub(super) fn opened<E>(
        &self,
        config: HpkeConfig,
        inputs: [&[u8]; 5],
        open: impl FnOnce(HpkeConfig) -> Result<Vec<u8>, E>,
    ) -> Result<Vec<u8>, E> {
        let [encapsulated, ciphertext, private, info, aad] = inputs;
        let name = derive(HPKE_OPEN, &[&numbers(&config), encapsulated, ciphertext, private, info, aad]);
        self.opened.get(name, || open(config))
    }

    /// The key pair of an input, which `make` computes from the input.
    pub(super) fn key_pair<E>(
        &self,
        config: HpkeConfig,
        input: &[u8],
        make: impl FnOnce(HpkeConfig) -> Result<HpkeKeyPair, E>,
    ) -> Result<HpkeKeyPair, E> {
        let name = derive(HPKE_KEY_PAIR, &[&numbers(&config), input]);
        self.key_pairs.get(name, || make(config))
    }
}

/// The numbers of the algorithms (RFC 9180, 7).
pub(super) fn numbers(&HpkeConfig(kem, kdf, aead): &HpkeConfig) -> [u8; 6] {
    let [kem, kdf, aead] = [kem as u16, kdf as u16, aead as u16].map(u16::to_be_bytes);
    [kem[0], kem[1], kdf[0], kdf[1], aead[0], aead[1]]
}

/// Results by the hash of their inputs.
struct Table<T> {
    known: RwLock<HashMap<StreamKey, T>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { known: RwLock::default() }
    }
}

impl<T: Clone> Table<T> {
    /// The known result, or the result of `compute`.
    fn get<E>(&self, name: StreamKey, compute: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        if let Some(known) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return Ok(known.clone());
        }
        let computed = compute()?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CAPACITY {
            known.clear();
        }
        known.insert(name, computed.clone());
        Ok(computed)
    }
}
