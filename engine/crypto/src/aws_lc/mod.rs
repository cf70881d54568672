//! The provider over AWS-LC.
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
use openmls_traits::{
    crypto::OpenMlsCrypto,
    random::OpenMlsRand,
    types::{
        AeadType, Ciphersuite, CryptoError, ExporterSecret, HashType, HpkeCiphertext, HpkeConfig, HpkeKeyPair,
        KemOutput, SignatureScheme,
    },
};
use tls_codec::SecretVLBytes;

pub(crate) use self::hpke::AwsLcHpke;
use crate::{
    ciphersuites::{CIPHERSUITES, supports},
    random::{self, RandomSource, SystemRandom},
};

/// OpenMLS's operations over AWS-LC.
///
/// It supports the ciphersuites 1, 2 and 3 of RFC 9420, 17.1. No input bytes make it panic.
#[derive(Clone, Copy, Debug)]
pub struct AwsLc<R = SystemRandom> {
    random: R,
}

/// A provider with the operating system's randomness.
impl Default for AwsLc {
    fn default() -> Self {
        Self::new(SystemRandom)
    }
}

impl<R> AwsLc<R> {
    /// A provider that takes its random bytes from `random`.
    pub fn new(random: R) -> Self {
        Self { random }
    }

    /// The source of the provider's random bytes.
    pub fn random(&self) -> &R {
        &self.random
    }
}

impl<R: RandomSource> OpenMlsRand for AwsLc<R> {
    type Error = CryptoError;

    fn random_array<const N: usize>(&self) -> Result<[u8; N], CryptoError> {
        random::array(&self.random)
    }

    fn random_vec(&self, len: usize) -> Result<Vec<u8>, CryptoError> {
        random::vec(&self.random, len)
    }
}

impl<R: RandomSource> OpenMlsCrypto for AwsLc<R> {
    fn supports(&self, ciphersuite: Ciphersuite) -> Result<(), CryptoError> {
        supports(ciphersuite)
    }

    fn supported_ciphersuites(&self) -> Vec<Ciphersuite> {
        CIPHERSUITES.into()
    }

    fn hkdf_extract(&self, hash: HashType, salt: &[u8], ikm: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        Ok(kdf::extract(hash, salt, ikm).into())
    }

    fn hkdf_expand(
        &self,
        hash: HashType,
        prk: &[u8],
        info: &[u8],
        okm_len: usize,
    ) -> Result<SecretVLBytes, CryptoError> {
        kdf::expand(hash, prk, info, okm_len).map(Into::into).ok_or(CryptoError::HkdfOutputLengthInvalid)
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
        ct_tag: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let key = aead::key(alg, key).ok_or(CryptoError::CryptoLibraryError)?;
        aead::open(&key, nonce, aad, ct_tag).ok_or(CryptoError::AeadDecryptionError)
    }

    fn signature_key_gen(&self, alg: SignatureScheme) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        signature::generate(alg, &self.random)
    }

    fn verify_signature(
        &self,
        alg: SignatureScheme,
        data: &[u8],
        pk: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        signature::verify(alg, data, pk, signature)
    }

    fn sign(&self, alg: SignatureScheme, data: &[u8], key: &[u8]) -> Result<Vec<u8>, CryptoError> {
        signature::sign(alg, data, key)
    }

    fn hpke_seal(
        &self,
        config: HpkeConfig,
        pk_r: &[u8],
        info: &[u8],
        aad: &[u8],
        ptxt: &[u8],
    ) -> Result<HpkeCiphertext, CryptoError> {
        crate::hpke::seal::<AwsLcHpke>(&self.random, config, pk_r, info, aad, ptxt)
    }

    fn hpke_open(
        &self,
        config: HpkeConfig,
        input: &HpkeCiphertext,
        sk_r: &[u8],
        info: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        crate::hpke::open::<AwsLcHpke>(config, input, sk_r, info, aad)
    }

    fn hpke_setup_sender_and_export(
        &self,
        config: HpkeConfig,
        pk_r: &[u8],
        info: &[u8],
        exporter_context: &[u8],
        exporter_length: usize,
    ) -> Result<(KemOutput, ExporterSecret), CryptoError> {
        crate::hpke::sender_export::<AwsLcHpke>(&self.random, config, pk_r, info, exporter_context, exporter_length)
    }

    fn hpke_setup_receiver_and_export(
        &self,
        config: HpkeConfig,
        enc: &[u8],
        sk_r: &[u8],
        info: &[u8],
        exporter_context: &[u8],
        exporter_length: usize,
    ) -> Result<ExporterSecret, CryptoError> {
        crate::hpke::receiver_export::<AwsLcHpke>(config, enc, sk_r, info, exporter_context, exporter_length)
    }

    fn derive_hpke_keypair(&self, config: HpkeConfig, ikm: &[u8]) -> Result<HpkeKeyPair, CryptoError> {
        crate::hpke::derive_key_pair::<AwsLcHpke>(config, ikm)
    }
}
