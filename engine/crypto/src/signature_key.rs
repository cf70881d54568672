//! New signature keys from a [`RandomSource`].

use openmls_traits::types::CryptoError;
use zeroize::Zeroizing;

use crate::random::RandomSource;

/// The length of a private key, for Ed25519 (RFC 8032, 5.1.5) and for P-256.
pub(crate) const PRIVATE_KEY_BYTES: usize = 32;

/// The number of draws for a P-256 private key. One draw in 2^32 is not below the order of the
/// curve, so this many failures mean that the source is broken.
const P256_DRAWS: usize = 8;

/// A private key and its public key.
pub(crate) type KeyPair = (Vec<u8>, Vec<u8>);

/// Draws an Ed25519 key. `public` computes the public key.
pub(crate) fn ed25519(
    random: &impl RandomSource,
    public: impl FnOnce(&[u8; PRIVATE_KEY_BYTES]) -> Result<Vec<u8>, CryptoError>,
) -> Result<KeyPair, CryptoError> {
    let private = draw(random)?;
    let public = public(&private)?;
    Ok((private.to_vec(), public))
}

/// Draws a P-256 key. `public` computes the public key. It returns nothing for zero and for numbers
/// that are not below the order of the curve. Then the function draws again (FIPS 186-5, A.2.2).
pub(crate) fn p256(
    random: &impl RandomSource,
    public: impl Fn(&[u8; PRIVATE_KEY_BYTES]) -> Option<Vec<u8>>,
) -> Result<KeyPair, CryptoError> {
    for _ in 0..P256_DRAWS {
        let private = draw(random)?;
        if let Some(public) = public(&private) {
            return Ok((private.to_vec(), public));
        }
    }
    Err(CryptoError::InsufficientRandomness)
}

fn draw(random: &impl RandomSource) -> Result<Zeroizing<[u8; PRIVATE_KEY_BYTES]>, CryptoError> {
    let mut private = Zeroizing::new([0; PRIVATE_KEY_BYTES]);
    random.fill(&mut *private)?;
    Ok(private)
}
