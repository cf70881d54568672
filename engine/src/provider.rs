//! The cryptography and the randomness, as the caller supplies them, and the form in which OpenMLS wants them.

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

/// What the engine asks of its caller: the cryptography and the randomness.
///
/// `openmls_rust_crypto::RustCrypto` is the everyday choice and implements it; [`default_crypto`] makes one. Another
/// implementation can record what is computed, or draw its randomness from a seed in a simulation; one that changes a few
/// operations of another is a [`Layer`] over it.
pub trait CryptoProvider: OpenMlsCrypto {
    /// `len` random bytes from a cryptographically secure source.
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

/// The everyday cryptography: RustCrypto's implementations, with the operating system's randomness.
///
/// It keeps nothing that its keys could be computed from again. (`RustCrypto` has a generator of its own, which gives
/// everything that it has given once more to who reads its state: a [lock](crate::Client::lock) would leave it.)
pub fn default_crypto() -> Arc<dyn CryptoProvider> {
    Arc::new(Layered(SystemRandomness(RustCrypto::default())))
}

/// RustCrypto, without its generator: the one in here never gives anything.
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

/// Cryptography that withstands whoever records messages today and has a quantum computer one day: libcrux's
/// implementations, with X-Wing (ML-KEM-768 and X25519 together) among them. Signatures are Ed25519 still: who has such a
/// computer can forge from then on, and cannot read what was sent before.
///
/// It has a generator of its own, whose state gives what it has drawn once more: unlike [`default_crypto`], it leaves that in
/// the memory of a device that is [locked](crate::Client::lock).
///
/// It has two of the usual ciphersuites as well. A group is as its [`Policy::ciphersuite`](crate::Policy) has it:
///
/// ```
/// # use std::sync::Arc;
/// use regrow_engine::{Ciphersuite, Client, DeviceId, MemoryStore, Policy, post_quantum_crypto};
///
/// let ciphersuite = Ciphersuite::MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519;
/// let policy = Policy { ciphersuite, ..Policy::default() };
/// let device = DeviceId::new("alice", "phone")?;
/// let alice = Client::create(Arc::new(MemoryStore::new()), post_quantum_crypto()?, device, policy)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`CryptoError::InsufficientRandomness`] if the operating system gives none.
#[cfg(feature = "post-quantum")]
pub fn post_quantum_crypto() -> Result<Arc<dyn CryptoProvider>, CryptoError> {
    Ok(Arc::new(openmls_libcrux_crypto::CryptoProvider::new()?))
}

/// The caller's cryptography, in the form of a type that OpenMLS's generics can take.
///
/// Behind a pointer rather than a type parameter: OpenMLS is then compiled once, here, and [`crate::Client`] has no
/// parameters that every signature of an application would have to repeat.
pub(crate) type SharedCrypto = Layered<Arc<dyn CryptoProvider>>;

impl Layer for Arc<dyn CryptoProvider> {
    fn within(&self) -> &dyn CryptoProvider {
        &**self
    }
}

/// One call of the engine: what the caller supplies, and the transaction that the call's writes gather in.
pub(crate) struct Call<'s> {
    pub(crate) crypto: SharedCrypto,
    pub(crate) authority: Arc<dyn Authenticate>,
    pub(crate) records: Transaction<'s>,
}

impl<'s> OpenMlsProvider for Call<'s> {
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
