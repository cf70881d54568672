//! The primitives of AWS-LC.
//!
//! Each operation uses the implementation that was faster on x86-64 (decision 71 in
//! `docs/decisions/` has the figures), with two exceptions for the sake of equal results:
//!
//! - Ed25519 signatures are verified by `ed25519-dalek`. Its strict rule refuses keys of small
//!   order, which AWS-LC accepts. All members of a group have to agree about every signature.
//!   AWS-LC would be only a twentieth faster.
//! - ECDSA signatures are made by `p256`, which takes the nonce from the key and the message (RFC
//!   6979). AWS-LC draws a random nonce.
//!
//! HKDF and HMAC are RustCrypto's, which are faster for the short inputs of MLS.

mod aead;
mod hpke;
mod kdf;
mod signature;

use aws_lc_rs::digest;
use openmls_traits::types::{AeadType, CryptoError, HashType};
use tls_codec::SecretVLBytes;

pub(crate) use self::hpke::AwsLcHpke;
use crate::{
    primitives::{Primitives, PrivateKey},
    provider::Provider,
    random::SystemRandom,
};

/// The provider over AWS-LC.
pub type AwsLc<R = SystemRandom> = Provider<AwsLcPrimitives, R>;

/// The primitives of [`AwsLc`].
#[derive(Debug, Default)]
pub struct AwsLcPrimitives;

impl Primitives for AwsLcPrimitives {
    type Hpke = AwsLcHpke;

    fn hkdf_extract(&self, hash: HashType, salt: &[u8], ikm: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        Ok(kdf::extract(hash, salt, ikm).into())
    }

    fn hkdf_expand(
        &self,
        hash: HashType,
        prk: &[u8],
        info: &[u8],
        length: usize,
    ) -> Result<SecretVLBytes, CryptoError> {
        kdf::expand(hash, prk, info, length).map(Into::into).ok_or(CryptoError::HkdfOutputLengthInvalid)
    }

    fn hmac(&self, hash: HashType, key: &[u8], message: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        kdf::hmac(hash, key, message).map(Into::into).ok_or(CryptoError::InvalidLength)
    }

    fn hash(&self, hash: HashType, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let algorithm = match hash {
            HashType::Sha2_256 => &digest::SHA256,
            HashType::Sha2_384 => &digest::SHA384,
            HashType::Sha2_512 => &digest::SHA512,
        };
        Ok(digest::digest(algorithm, data).as_ref().into())
    }

    fn aead_encrypt(
        &self,
        alg: AeadType,
        key: &[u8],
        data: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let key = aead::key(alg, key).ok_or(CryptoError::CryptoLibraryError)?;
        aead::seal(&key, nonce, aad, data).ok_or(CryptoError::CryptoLibraryError)
    }

    fn aead_decrypt(
        &self,
        alg: AeadType,
        key: &[u8],
        ciphertext: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let key = aead::key(alg, key).ok_or(CryptoError::CryptoLibraryError)?;
        aead::open(&key, nonce, aad, ciphertext).ok_or(CryptoError::AeadDecryptionError)
    }

    fn ed25519_public(&self, key: &PrivateKey) -> Result<Vec<u8>, CryptoError> {
        signature::ed25519_public(key)
    }

    fn ed25519_sign(&self, data: &[u8], key: &PrivateKey) -> Result<Vec<u8>, CryptoError> {
        signature::ed25519_sign(data, key)
    }

    fn ed25519_verify(&self, data: &[u8], public: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        signature::ed25519_verify(data, public, signature)
    }

    fn p256_sign(&self, data: &[u8], key: &PrivateKey) -> Result<Vec<u8>, CryptoError> {
        signature::p256_sign(data, key)
    }

    fn p256_verify(&self, data: &[u8], public: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        signature::p256_verify(data, public, signature)
    }
}
