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

impl<R: RandomSource + ?Sized> RandomSource for &R {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), CryptoError> {
        (**self).fill(bytes)
    }
}

/// Returns `N` random bytes.
pub(crate) fn array<const N: usize>(random: &impl RandomSource) -> Result<[u8; N], CryptoError> {
    let mut bytes = [0; N];
    random.fill(&mut bytes)?;
    Ok(bytes)
}

/// Returns `len` random bytes.
pub(crate) fn vec(random: &impl RandomSource, len: usize) -> Result<Vec<u8>, CryptoError> {
    let mut bytes = vec![0; len];
    random.fill(&mut bytes)?;
    Ok(bytes)
}

/// The operating system's randomness. It has no state in this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl RandomSource for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), CryptoError> {
        getrandom::fill(bytes).map_err(|_| CryptoError::InsufficientRandomness)
    }
}
