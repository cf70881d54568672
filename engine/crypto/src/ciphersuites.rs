//! The ciphersuites that both providers support.

use openmls_traits::types::{Ciphersuite, CryptoError};

/// The ciphersuites 1, 3 and 2 of RFC 9420, 17.1.
pub(crate) const CIPHERSUITES: [Ciphersuite; 3] = [
    Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519,
    Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519,
    Ciphersuite::MLS_128_DHKEMP256_AES128GCM_SHA256_P256,
];

/// Returns an error for any other ciphersuite.
pub(crate) fn supports(ciphersuite: Ciphersuite) -> Result<(), CryptoError> {
    if CIPHERSUITES.contains(&ciphersuite) { Ok(()) } else { Err(CryptoError::UnsupportedCiphersuite) }
}
