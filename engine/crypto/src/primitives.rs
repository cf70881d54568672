//! The operations that a library supplies to a [`Provider`](crate::Provider).

use hpke_rs_crypto::HpkeCrypto;
use openmls_traits::types::{AeadType, CryptoError, HashType};
use tls_codec::SecretVLBytes;

/// The length of a private key, for Ed25519 (RFC 8032, 5.1.5) and for P-256.
pub(crate) const PRIVATE_KEY_BYTES: usize = 32;

/// A private key of Ed25519 or P-256.
pub(crate) type PrivateKey = [u8; PRIVATE_KEY_BYTES];

/// The operations of a cryptographic library. They draw no random bytes.
///
/// [`Provider`](crate::Provider) is their only caller. It has checked the lengths of private keys,
/// of AEAD keys and nonces, and of HKDF's input and output.
#[allow(missing_docs, clippy::missing_errors_doc)]
pub trait Primitives: Default + Send + Sync {
    /// The primitives of HPKE.
    type Hpke: HpkeCrypto + 'static;

    fn hkdf_extract(&self, hash: HashType, salt: &[u8], ikm: &[u8]) -> Result<SecretVLBytes, CryptoError>;
    fn hkdf_expand(&self, hash: HashType, prk: &[u8], info: &[u8], length: usize)
    -> Result<SecretVLBytes, CryptoError>;
    fn hmac(&self, hash: HashType, key: &[u8], message: &[u8]) -> Result<SecretVLBytes, CryptoError>;
    fn hash(&self, hash: HashType, data: &[u8]) -> Result<Vec<u8>, CryptoError>;
    fn aead_encrypt(
        &self,
        alg: AeadType,
        key: &[u8],
        data: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError>;
    fn aead_decrypt(
        &self,
        alg: AeadType,
        key: &[u8],
        ciphertext: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError>;
    fn ed25519_public(&self, key: &PrivateKey) -> Result<Vec<u8>, CryptoError>;
    fn ed25519_sign(&self, data: &[u8], key: &PrivateKey) -> Result<Vec<u8>, CryptoError>;
    fn ed25519_verify(&self, data: &[u8], public: &[u8], signature: &[u8]) -> Result<(), CryptoError>;
    fn p256_sign(&self, data: &[u8], key: &PrivateKey) -> Result<Vec<u8>, CryptoError>;
    fn p256_verify(&self, data: &[u8], public: &[u8], signature: &[u8]) -> Result<(), CryptoError>;
}
