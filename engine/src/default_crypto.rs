//! The crypto providers that the engine supplies.

use std::sync::Arc;

use regrow_crypto::DefaultCrypto;

use crate::provider::CryptoProvider;

/// Returns the usual cryptography, with the operating system's randomness.
///
/// It is AWS-LC with the feature `aws-lc`, which is on by default, and RustCrypto without it. Both
/// give the same results. To choose RustCrypto in a build that has both, pass a
/// `regrow_crypto::RustCrypto`.
///
/// It keeps no state from which its keys could be computed again. (Many providers have a random
/// generator. An attacker that reads the generator's state can reproduce all its earlier output. A
/// [lock](crate::Client::lock) would not erase that state.)
pub fn default_crypto() -> Arc<dyn CryptoProvider> {
    Arc::new(DefaultCrypto::default())
}

/// Returns the usual cryptography, with X-Wing against attackers that record messages today and have
/// a quantum computer later.
///
/// X-Wing is a KEM: ML-KEM-768 and X25519 together. Signatures are still Ed25519. An
/// attacker with such a computer can forge signatures from then on, but cannot read earlier messages.
///
/// It supports all ciphersuites of [`default_crypto`] too. [`Policy::ciphersuite`](crate::Policy)
/// sets the ciphersuite of a group:
///
/// ```
/// # use std::sync::Arc;
/// use regrow_engine::{Ciphersuite, Client, DeviceId, MemoryStore, Policy, post_quantum_crypto};
///
/// let ciphersuite = Ciphersuite::MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519;
/// let policy = Policy { ciphersuite, ..Policy::default() };
/// let device = DeviceId::new("alice", "phone")?;
/// let store = Arc::new(MemoryStore::new());
/// let alice = Client::create(store, post_quantum_crypto(), device, policy)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "post-quantum")]
pub fn post_quantum_crypto() -> Arc<dyn CryptoProvider> {
    Arc::new(DefaultCrypto::post_quantum(regrow_crypto::SystemRandom))
}
