//! Signatures of P-256 that all have the most frequent length.
//!
//! A signature of P-256 is a DER sequence of 68 to 72 bytes, and the model counts 71. The layer of
//! this module signs again until the signature has that length, so that the rows can be equal.

use std::sync::Arc;

use openmls_traits::types::{CryptoError, SignatureScheme};
use p256::{
    ecdsa::{DerSignature, SigningKey, signature::hazmat::RandomizedPrehashSigner as _},
    elliptic_curve::rand_core::{CryptoRng, Error, RngCore},
};
use regrow_engine::{CryptoProvider, Layer, Layered};
use regrow_simulator::world::fault_injection::FaultInjection;
use sha2::{Digest as _, Sha256};

/// The length of a signature of P-256 in the model.
const LENGTH: usize = 71;

/// Gives each device signatures of one length.
pub struct FixedLength;

impl FaultInjection for FixedLength {
    fn crypto(&self, _: &str, crypto: Arc<dyn CryptoProvider>) -> Arc<dyn CryptoProvider> {
        Arc::new(Layered(FixedLengthSignatures(crypto)))
    }
}

struct FixedLengthSignatures(Arc<dyn CryptoProvider>);

impl Layer for FixedLengthSignatures {
    fn within(&self) -> &dyn CryptoProvider {
        &*self.0
    }

    fn sign(&self, scheme: SignatureScheme, data: &[u8], key: &[u8]) -> Result<Vec<u8>, CryptoError> {
        // The call counts as a signature, whatever its length.
        let signature = self.0.sign(scheme, data, key)?;
        if scheme != SignatureScheme::ECDSA_SECP256R1_SHA256 || signature.len() == LENGTH {
            return Ok(signature);
        }
        let key = SigningKey::from_slice(key).unwrap();
        let hash = Sha256::digest(data);
        let mut counter = Counter(0);
        loop {
            let signature: DerSignature = key.sign_prehash_with_rng(&mut counter, &hash).unwrap();
            if signature.as_bytes().len() == LENGTH {
                return Ok(signature.as_bytes().to_vec());
            }
        }
    }
}

/// A source that gives each signature another additional input (RFC 6979, 3.6).
struct Counter(u64);

impl RngCore for Counter {
    fn next_u32(&mut self) -> u32 {
        self.next_u64() as u32
    }

    fn next_u64(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        let next = self.next_u64().to_be_bytes();
        bytes.iter_mut().zip(next.iter().cycle()).for_each(|(byte, next)| *byte = *next);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Counter {}
