//! The transport key: a device opens sessions with its service by it, and signs the list of its
//! user's devices. The device makes it for this service alone. It is no key of MLS
//! (`docs/decisions/0030`).

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey};
use zeroize::Zeroizing;

use super::error::Error;

/// A device's key for a service (Ed25519). Dropping it erases it from memory.
#[derive(Clone)]
pub struct TransportKey(SigningKey);

impl TransportKey {
    /// Makes a new key from the operating system's randomness.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub fn generate() -> Result<Self, Error> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed).map_err(|_| Error::Randomness)?;
        Ok(Self::from_seed(&seed))
    }

    /// Derives the key from 32 random bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed of the key: as secret as the key.
    pub fn seed(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The public key. The service recognizes the device by it.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for TransportKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransportKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_not_shown() {
        assert_eq!(format!("{:?}", TransportKey::from_seed(&[0xAB; 32])), "TransportKey(..)");
    }

    #[test]
    fn two_devices_have_two_keys() {
        assert_ne!(TransportKey::generate().unwrap().public(), TransportKey::generate().unwrap().public());
    }
}
