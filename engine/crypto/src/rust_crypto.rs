//! The provider over RustCrypto.

use hpke_rs_crypto::{HpkeCrypto as _, types::KemAlgorithm};
use hpke_rs_rust_crypto::HpkeRustCrypto;
use openmls_traits::{
    crypto::OpenMlsCrypto,
    random::OpenMlsRand,
    types::{
        AeadType, Ciphersuite, CryptoError, ExporterSecret, HashType, HpkeCiphertext, HpkeConfig, HpkeKeyPair,
        KemOutput, SignatureScheme,
    },
};
use tls_codec::SecretVLBytes;

use crate::{
    ciphersuites::{CIPHERSUITES, supports, supports_scheme},
    hpke,
    random::{self, RandomSource, SystemRandom},
    signature_key::{self, PRIVATE_KEY_BYTES},
};

/// The length of a nonce, for all three algorithms.
const NONCE_BYTES: usize = 12;

/// OpenMLS's operations over RustCrypto, as in `openmls_rust_crypto`, but with randomness from a
/// [`RandomSource`], and with errors in place of panics.
#[derive(Debug)]
pub struct RustCrypto<R = SystemRandom> {
    random: R,
    /// Its own random generator is never used.
    deterministic: openmls_rust_crypto::RustCrypto,
}

/// A provider with the operating system's randomness.
impl Default for RustCrypto {
    fn default() -> Self {
        Self::new(SystemRandom)
    }
}

impl<R> RustCrypto<R> {
    /// A provider that takes its random bytes from `random`.
    pub fn new(random: R) -> Self {
        Self { random, deterministic: openmls_rust_crypto::RustCrypto::default() }
    }

    /// The source of the provider's random bytes.
    pub fn random(&self) -> &R {
        &self.random
    }
}

impl<R: RandomSource> OpenMlsRand for RustCrypto<R> {
    type Error = CryptoError;

    fn random_array<const N: usize>(&self) -> Result<[u8; N], CryptoError> {
        random::array(&self.random)
    }

    fn random_vec(&self, len: usize) -> Result<Vec<u8>, CryptoError> {
        random::vec(&self.random, len)
    }
}

impl<R: RandomSource> OpenMlsCrypto for RustCrypto<R> {
    fn supports(&self, ciphersuite: Ciphersuite) -> Result<(), CryptoError> {
        supports(ciphersuite)
    }

    fn supported_ciphersuites(&self) -> Vec<Ciphersuite> {
        CIPHERSUITES.into()
    }

    fn hkdf_extract(&self, hash: HashType, salt: &[u8], ikm: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        self.deterministic.hkdf_extract(hash, salt, ikm)
    }

    fn hkdf_expand(
        &self,
        hash: HashType,
        prk: &[u8],
        info: &[u8],
        okm_len: usize,
    ) -> Result<SecretVLBytes, CryptoError> {
        // RustCrypto would first allocate the output (RFC 5869, 2.3 has this limit).
        if okm_len > 255 * hash.size() {
            return Err(CryptoError::HkdfOutputLengthInvalid);
        }
        self.deterministic.hkdf_expand(hash, prk, info, okm_len)
    }

    fn hmac(&self, hash: HashType, key: &[u8], message: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        self.deterministic.hmac(hash, key, message)
    }

    fn hash(&self, hash: HashType, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.deterministic.hash(hash, data)
    }

    fn aead_encrypt(
        &self,
        alg: AeadType,
        key: &[u8],
        data: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        // RustCrypto would panic.
        if nonce.len() != NONCE_BYTES {
            return Err(CryptoError::CryptoLibraryError);
        }
        self.deterministic.aead_encrypt(alg, key, data, nonce, aad)
    }

    fn aead_decrypt(
        &self,
        alg: AeadType,
        key: &[u8],
        ct_tag: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        // RustCrypto would panic.
        if nonce.len() != NONCE_BYTES {
            let is_key = key.len() == alg.key_size();
            return Err(if is_key { CryptoError::AeadDecryptionError } else { CryptoError::CryptoLibraryError });
        }
        self.deterministic.aead_decrypt(alg, key, ct_tag, nonce, aad)
    }

    fn signature_key_gen(&self, alg: SignatureScheme) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        match alg {
            SignatureScheme::ED25519 => signature_key::ed25519(&self.random, |private| {
                Ok(ed25519_dalek::SigningKey::from_bytes(private).verifying_key().to_bytes().into())
            }),
            SignatureScheme::ECDSA_SECP256R1_SHA256 => signature_key::p256(&self.random, |private| {
                HpkeRustCrypto::secret_to_public(KemAlgorithm::DhKemP256, private).ok()
            }),
            _ => Err(CryptoError::UnsupportedSignatureScheme),
        }
    }

    fn verify_signature(
        &self,
        alg: SignatureScheme,
        data: &[u8],
        pk: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        supports_scheme(alg)?;
        self.deterministic.verify_signature(alg, data, pk, signature)
    }

    fn sign(&self, alg: SignatureScheme, data: &[u8], key: &[u8]) -> Result<Vec<u8>, CryptoError> {
        supports_scheme(alg)?;
        // RustCrypto would panic.
        if key.len() != PRIVATE_KEY_BYTES {
            return Err(CryptoError::CryptoLibraryError);
        }
        self.deterministic.sign(alg, data, key)
    }

    fn hpke_seal(
        &self,
        config: HpkeConfig,
        pk_r: &[u8],
        info: &[u8],
        aad: &[u8],
        ptxt: &[u8],
    ) -> Result<HpkeCiphertext, CryptoError> {
        hpke::seal::<HpkeRustCrypto>(&self.random, config, pk_r, info, aad, ptxt)
    }

    fn hpke_open(
        &self,
        config: HpkeConfig,
        input: &HpkeCiphertext,
        sk_r: &[u8],
        info: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        hpke::open::<HpkeRustCrypto>(config, input, sk_r, info, aad)
    }

    fn hpke_setup_sender_and_export(
        &self,
        config: HpkeConfig,
        pk_r: &[u8],
        info: &[u8],
        exporter_context: &[u8],
        exporter_length: usize,
    ) -> Result<(KemOutput, ExporterSecret), CryptoError> {
        hpke::sender_export::<HpkeRustCrypto>(&self.random, config, pk_r, info, exporter_context, exporter_length)
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
        hpke::receiver_export::<HpkeRustCrypto>(config, enc, sk_r, info, exporter_context, exporter_length)
    }

    fn derive_hpke_keypair(&self, config: HpkeConfig, ikm: &[u8]) -> Result<HpkeKeyPair, CryptoError> {
        hpke::derive_key_pair::<HpkeRustCrypto>(config, ikm)
    }
}
