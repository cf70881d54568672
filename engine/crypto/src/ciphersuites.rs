//! The ciphersuites and signature schemes that both providers support.

#[cfg(feature = "rust-crypto")]
use openmls_traits::types::SignatureScheme;
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

/// Returns an error for the schemes of other ciphersuites.
#[cfg(feature = "rust-crypto")]
pub(crate) fn supports_scheme(scheme: SignatureScheme) -> Result<(), CryptoError> {
    match scheme {
        SignatureScheme::ED25519 | SignatureScheme::ECDSA_SECP256R1_SHA256 => Ok(()),
        _ => Err(CryptoError::UnsupportedSignatureScheme),
    }
}
