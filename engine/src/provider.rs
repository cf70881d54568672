//! The cryptography and the randomness that the caller supplies.

use openmls_traits::{crypto::OpenMlsCrypto, random::OpenMlsRand, types::CryptoError};
use regrow_crypto::Provider;

/// The cryptography and the randomness that the caller supplies.
///
/// The providers of the crate [`regrow_crypto`] implement this trait, and
/// [`default_crypto`](crate::default_crypto()) returns the usual choice. Another implementation can
/// record all computations, or take its randomness from a seed in a simulation. To change only a
/// few operations of another provider, write a [`Layer`](crate::Layer) over it.
///
/// OpenMLS and the engine call it from several threads of rayon's pool. A rayon task that calls the
/// engine must not hold a lock that other tasks of the pool wait for.
pub trait CryptoProvider: OpenMlsCrypto {
    /// Returns `len` random bytes from a cryptographically secure source.
    ///
    /// # Errors
    /// [`CryptoError::InsufficientRandomness`] if the source fails.
    fn random_bytes(&self, len: usize) -> Result<Vec<u8>, CryptoError>;
}

impl<P, R> CryptoProvider for Provider<P, R>
where
    Self: OpenMlsCrypto + OpenMlsRand<Error = CryptoError>,
{
    fn random_bytes(&self, len: usize) -> Result<Vec<u8>, CryptoError> {
        self.random_vec(len)
    }
}
