//! The cryptography and the randomness that the caller supplies, and their adaptation to OpenMLS.

use std::sync::Arc;

use openmls_rust_crypto::RustCrypto;
use openmls_traits::{
    OpenMlsProvider,
    crypto::OpenMlsCrypto,
    random::OpenMlsRand,
    types::{CryptoError, SignatureScheme},
};

use crate::{
    Authenticate,
    layer::{Layer, Layered},
    storage::Transaction,
};

/// The cryptography and the randomness that the caller supplies.
///
/// `openmls_rust_crypto::RustCrypto` implements this trait, and [`default_crypto`] returns the
/// usual choice. Another implementation can record all computations, or take its randomness from a
/// seed in a simulation. To change only a few operations of another provider, write a [`Layer`]
/// over it.
pub trait CryptoProvider: OpenMlsCrypto {
    /// Returns `len` random bytes from a cryptographically secure source.
    ///
    /// # Errors
    /// [`CryptoError::InsufficientRandomness`] if the source fails.
    fn random_bytes(&self, len: usize) -> Result<Vec<u8>, CryptoError>;
}

impl CryptoProvider for RustCrypto {
    fn random_bytes(&self, len: usize) -> Result<Vec<u8>, CryptoError> {
        self.random_vec(len).map_err(|_| CryptoError::InsufficientRandomness)
    }
}

/// Returns the usual cryptography: RustCrypto's implementations, with the operating system's
/// randomness.
///
/// It keeps no state from which its keys could be computed again. (`RustCrypto` has its own random
/// generator. An attacker that reads the generator's state can reproduce all its earlier output. A
/// [lock](crate::Client::lock) would not erase that state.)
pub fn default_crypto() -> Arc<dyn CryptoProvider> {
    Arc::new(Layered(SystemRandomness(RustCrypto::default())))
}

/// RustCrypto with the operating system's randomness. The random generator of the inner
/// `RustCrypto` is never used.
struct SystemRandomness(RustCrypto);

impl Layer for SystemRandomness {
    fn within(&self) -> &dyn CryptoProvider {
        &self.0
    }

    fn random_bytes(&self, len: usize) -> Result<Vec<u8>, CryptoError> {
        let mut bytes = vec![0; len];
        getrandom::fill(&mut bytes).map_err(|_| CryptoError::InsufficientRandomness)?;
        Ok(bytes)
    }

    fn signature_key_gen(&self, alg: SignatureScheme) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        RustCrypto::default().signature_key_gen(alg)
    }
}

#[cfg(feature = "post-quantum")]
impl CryptoProvider for openmls_libcrux_crypto::CryptoProvider {
    fn random_bytes(&self, len: usize) -> Result<Vec<u8>, CryptoError> {
        self.random_vec(len).map_err(|_| CryptoError::InsufficientRandomness)
    }
}

/// Returns cryptography against attackers that record messages today and have a quantum computer
/// later.
///
/// It consists of libcrux's implementations, which include X-Wing (ML-KEM-768 and X25519
/// together). Signatures are still Ed25519. An attacker with such a computer can forge signatures
/// from then on, but cannot read earlier messages.
///
/// It has its own random generator, whose state stays in memory even when the device is
/// [locked](crate::Client::lock). An attacker that reads this state can reproduce earlier output
/// of the generator. [`default_crypto`] does not have this weakness.
///
/// It also supports two of the usual ciphersuites. [`Policy::ciphersuite`](crate::Policy) sets the
/// ciphersuite of a group:
///
/// ```
/// # use std::sync::Arc;
/// use regrow_engine::{Ciphersuite, Client, DeviceId, MemoryStore, Policy, post_quantum_crypto};
///
/// let ciphersuite = Ciphersuite::MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519;
/// let policy = Policy { ciphersuite, ..Policy::default() };
/// let device = DeviceId::new("alice", "phone")?;
/// let store = Arc::new(MemoryStore::new());
/// let alice = Client::create(store, post_quantum_crypto()?, device, policy)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`CryptoError::InsufficientRandomness`] if the operating system's randomness fails.
#[cfg(feature = "post-quantum")]
pub fn post_quantum_crypto() -> Result<Arc<dyn CryptoProvider>, CryptoError> {
    Ok(Arc::new(openmls_libcrux_crypto::CryptoProvider::new()?))
}

/// The caller's cryptography, as a type that OpenMLS's generics accept.
///
/// It is a pointer and not a type parameter, so OpenMLS is compiled only once, in this crate.
/// Also, [`crate::Client`] needs no type parameters that every signature of an application would
/// have to repeat.
pub(crate) type SharedCrypto = Layered<Arc<dyn CryptoProvider>>;

impl Layer for Arc<dyn CryptoProvider> {
    fn within(&self) -> &dyn CryptoProvider {
        &**self
    }
}

/// One call of the engine: the caller's cryptography and authentication service, and the
/// transaction that collects the call's writes.
pub(crate) struct EngineCall<'s> {
    pub(crate) crypto: SharedCrypto,
    pub(crate) authority: Arc<dyn Authenticate>,
    pub(crate) records: Transaction<'s>,
}

impl<'s> OpenMlsProvider for EngineCall<'s> {
    type CryptoProvider = SharedCrypto;
    type RandProvider = SharedCrypto;
    type StorageProvider = Transaction<'s>;

    fn storage(&self) -> &Transaction<'s> {
        &self.records
    }

    fn crypto(&self) -> &SharedCrypto {
        &self.crypto
    }

    fn rand(&self) -> &SharedCrypto {
        &self.crypto
    }
}
