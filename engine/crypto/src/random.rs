//! The source of a provider's random bytes.

use openmls_traits::types::CryptoError;

/// A source of random bytes for one provider.
pub trait RandomSource: Send + Sync {
    /// Fills `bytes` with random bytes.
    ///
    /// # Errors
    /// [`CryptoError::InsufficientRandomness`] if the source fails. The provider then returns this
    /// error, and no result.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), CryptoError>;
}

/// The operating system's randomness. It has no state in this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl RandomSource for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), CryptoError> {
        getrandom::fill(bytes).map_err(|_| CryptoError::InsufficientRandomness)
    }
}
