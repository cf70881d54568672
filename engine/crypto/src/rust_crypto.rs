//! The primitives of RustCrypto.

use hpke_rs_rust_crypto::HpkeRustCrypto;
use openmls_traits::{
    crypto::OpenMlsCrypto as _,
    types::{AeadType, CryptoError, HashType, SignatureScheme},
};
use tls_codec::SecretVLBytes;

use crate::{
    primitives::{Primitives, PrivateKey},
    provider::Provider,
    random::SystemRandom,
};

/// The provider over RustCrypto, as in `openmls_rust_crypto`, but with randomness from a
/// [`RandomSource`](crate::RandomSource), and with errors in place of panics.
pub type RustCrypto<R = SystemRandom> = Provider<RustCryptoPrimitives, R>;

/// The primitives of [`RustCrypto`]. The random generator inside is never used.
#[derive(Debug, Default)]
pub struct RustCryptoPrimitives(openmls_rust_crypto::RustCrypto);

impl Primitives for RustCryptoPrimitives {
    type Hpke = HpkeRustCrypto;

    fn hkdf_extract(&self, hash: HashType, salt: &[u8], ikm: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        self.0.hkdf_extract(hash, salt, ikm)
    }

    fn hkdf_expand(
        &self,
        hash: HashType,
        prk: &[u8],
        info: &[u8],
        length: usize,
    ) -> Result<SecretVLBytes, CryptoError> {
        self.0.hkdf_expand(hash, prk, info, length)
    }

    fn hmac(&self, hash: HashType, key: &[u8], message: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        self.0.hmac(hash, key, message)
    }

    fn hash(&self, hash: HashType, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.0.hash(hash, data)
    }

    fn aead_encrypt(
        &self,
        alg: AeadType,
        key: &[u8],
        data: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        self.0.aead_encrypt(alg, key, data, nonce, aad)
    }

    fn aead_decrypt(
        &self,
        alg: AeadType,
        key: &[u8],
        ciphertext: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        self.0.aead_decrypt(alg, key, ciphertext, nonce, aad)
    }

    fn ed25519_public(&self, key: &PrivateKey) -> Result<Vec<u8>, CryptoError> {
        Ok(ed25519_dalek::SigningKey::from_bytes(key).verifying_key().to_bytes().into())
    }

    fn ed25519_sign(&self, data: &[u8], key: &PrivateKey) -> Result<Vec<u8>, CryptoError> {
        self.0.sign(SignatureScheme::ED25519, data, key)
    }

    fn ed25519_verify(&self, data: &[u8], public: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        self.0.verify_signature(SignatureScheme::ED25519, data, public, signature)
    }

    fn p256_sign(&self, data: &[u8], key: &PrivateKey) -> Result<Vec<u8>, CryptoError> {
        self.0.sign(SignatureScheme::ECDSA_SECP256R1_SHA256, data, key)
    }

    fn p256_verify(&self, data: &[u8], public: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        self.0.verify_signature(SignatureScheme::ECDSA_SECP256R1_SHA256, data, public, signature)
    }
}
