//! OpenMLS's operations over the primitives of a library, with randomness from outside.

use hpke_rs_crypto::{HpkeCrypto as _, types::KemAlgorithm};
use openmls_traits::{
    crypto::OpenMlsCrypto,
    random::OpenMlsRand,
    types::{
        AeadType, Ciphersuite, CryptoError, ExporterSecret, HashType, HpkeCiphertext, HpkeConfig, HpkeKeyPair,
        KemOutput, SignatureScheme,
    },
};
use tls_codec::SecretVLBytes;
use zeroize::Zeroizing;

use crate::{
    hpke,
    primitives::{PRIVATE_KEY_BYTES, Primitives, PrivateKey},
    random::{RandomSource, SystemRandom},
};

/// The ciphersuites 1, 3 and 2 of RFC 9420, 17.1.
const CIPHERSUITES: &[Ciphersuite] = &[
    Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519,
    Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519,
    Ciphersuite::MLS_128_DHKEMP256_AES128GCM_SHA256_P256,
];

/// The same, and X-Wing under OpenMLS's private code point 0x004D.
#[cfg(feature = "post-quantum")]
const WITH_POST_QUANTUM: &[Ciphersuite] = &[
    Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519,
    Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519,
    Ciphersuite::MLS_128_DHKEMP256_AES128GCM_SHA256_P256,
    Ciphersuite::MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519,
];

/// The number of draws for a P-256 private key. One draw in 2^32 is not below the order of the
/// curve, so this many failures mean that the source is broken.
const P256_DRAWS: usize = 8;

/// OpenMLS's operations over the primitives `P`, with random bytes from `R`.
///
/// It supports the ciphersuites 1, 2 and 3 of RFC 9420, 17.1, and X-Wing if `post_quantum` has made
/// it. No input bytes make it panic.
#[derive(Debug)]
pub struct Provider<P, R = SystemRandom> {
    primitives: P,
    random: R,
    ciphersuites: &'static [Ciphersuite],
}

/// A provider with the operating system's randomness.
impl<P: Primitives> Default for Provider<P> {
    fn default() -> Self {
        Self::new(SystemRandom)
    }
}

impl<P: Primitives, R> Provider<P, R> {
    /// A provider that takes its random bytes from `random`.
    pub fn new(random: R) -> Self {
        Self { primitives: P::default(), random, ciphersuites: CIPHERSUITES }
    }

    /// A provider that also supports `MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519`.
    ///
    /// A device lists the ciphersuites of its provider in its leaf (RFC 9420, 7.2). So this provider
    /// makes the leaves of all groups two bytes longer, and it is not the default.
    #[cfg(feature = "post-quantum")]
    pub fn post_quantum(random: R) -> Self {
        Self { ciphersuites: WITH_POST_QUANTUM, ..Self::new(random) }
    }
}

impl<P: Primitives, R: RandomSource> Provider<P, R> {
    fn draw_private_key(&self) -> Result<Zeroizing<PrivateKey>, CryptoError> {
        let mut key = Zeroizing::new([0; PRIVATE_KEY_BYTES]);
        self.random.fill(&mut *key)?;
        Ok(key)
    }

    fn ed25519_key(&self) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        let private = self.draw_private_key()?;
        let public = self.primitives.ed25519_public(&private)?;
        Ok((private.to_vec(), public))
    }

    fn p256_key(&self) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        for _ in 0..P256_DRAWS {
            let private = self.draw_private_key()?;
            // Zero and numbers that are not below the order of the curve have no public key (FIPS
            // 186-5, A.2.2).
            if let Ok(public) = P::Hpke::secret_to_public(KemAlgorithm::DhKemP256, &*private) {
                return Ok((private.to_vec(), public));
            }
        }
        Err(CryptoError::InsufficientRandomness)
    }
}

fn private_key(key: &[u8]) -> Result<&PrivateKey, CryptoError> {
    key.try_into().map_err(|_| CryptoError::CryptoLibraryError)
}

impl<P: Primitives, R: RandomSource> OpenMlsRand for Provider<P, R> {
    type Error = CryptoError;

    fn random_array<const N: usize>(&self) -> Result<[u8; N], CryptoError> {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn random_vec(&self, len: usize) -> Result<Vec<u8>, CryptoError> {
        let mut bytes = vec![0; len];
        self.random.fill(&mut bytes)?;
        Ok(bytes)
    }
}

impl<P: Primitives, R: RandomSource> OpenMlsCrypto for Provider<P, R> {
    fn supports(&self, ciphersuite: Ciphersuite) -> Result<(), CryptoError> {
        if self.ciphersuites.contains(&ciphersuite) { Ok(()) } else { Err(CryptoError::UnsupportedCiphersuite) }
    }

    fn supported_ciphersuites(&self) -> Vec<Ciphersuite> {
        self.ciphersuites.into()
    }

    fn hkdf_extract(&self, hash: HashType, salt: &[u8], ikm: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        self.primitives.hkdf_extract(hash, salt, ikm)
    }

    fn hkdf_expand(
        &self,
        hash: HashType,
        prk: &[u8],
        info: &[u8],
        okm_len: usize,
    ) -> Result<SecretVLBytes, CryptoError> {
        // The limits of RFC 5869, 2.3. The primitives allocate the output before they look at it.
        if prk.len() < hash.size() || okm_len > 255 * hash.size() {
            return Err(CryptoError::HkdfOutputLengthInvalid);
        }
        self.primitives.hkdf_expand(hash, prk, info, okm_len)
    }

    fn hmac(&self, hash: HashType, key: &[u8], message: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        self.primitives.hmac(hash, key, message)
    }

    fn hash(&self, hash: HashType, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.primitives.hash(hash, data)
    }

    fn aead_encrypt(
        &self,
        alg: AeadType,
        key: &[u8],
        data: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        if key.len() != alg.key_size() || nonce.len() != alg.nonce_size() {
            return Err(CryptoError::CryptoLibraryError);
        }
        self.primitives.aead_encrypt(alg, key, data, nonce, aad)
    }

    fn aead_decrypt(
        &self,
        alg: AeadType,
        key: &[u8],
        ct_tag: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        if key.len() != alg.key_size() {
            return Err(CryptoError::CryptoLibraryError);
        }
        if nonce.len() != alg.nonce_size() {
            return Err(CryptoError::AeadDecryptionError);
        }
        self.primitives.aead_decrypt(alg, key, ct_tag, nonce, aad)
    }

    fn signature_key_gen(&self, alg: SignatureScheme) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        match alg {
            SignatureScheme::ED25519 => self.ed25519_key(),
            SignatureScheme::ECDSA_SECP256R1_SHA256 => self.p256_key(),
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
        match alg {
            SignatureScheme::ED25519 => self.primitives.ed25519_verify(data, pk, signature),
            SignatureScheme::ECDSA_SECP256R1_SHA256 => self.primitives.p256_verify(data, pk, signature),
            _ => Err(CryptoError::UnsupportedSignatureScheme),
        }
    }

    fn sign(&self, alg: SignatureScheme, data: &[u8], key: &[u8]) -> Result<Vec<u8>, CryptoError> {
        match alg {
            SignatureScheme::ED25519 => self.primitives.ed25519_sign(data, private_key(key)?),
            SignatureScheme::ECDSA_SECP256R1_SHA256 => self.primitives.p256_sign(data, private_key(key)?),
            _ => Err(CryptoError::UnsupportedSignatureScheme),
        }
    }

    fn hpke_seal(
        &self,
        config: HpkeConfig,
        pk_r: &[u8],
        info: &[u8],
        aad: &[u8],
        ptxt: &[u8],
    ) -> Result<HpkeCiphertext, CryptoError> {
        hpke::seal::<P::Hpke>(&self.random, config, pk_r, info, aad, ptxt)
    }

    fn hpke_open(
        &self,
        config: HpkeConfig,
        input: &HpkeCiphertext,
        sk_r: &[u8],
        info: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        hpke::open::<P::Hpke>(config, input, sk_r, info, aad)
    }

    fn hpke_setup_sender_and_export(
        &self,
        config: HpkeConfig,
        pk_r: &[u8],
        info: &[u8],
        exporter_context: &[u8],
        exporter_length: usize,
    ) -> Result<(KemOutput, ExporterSecret), CryptoError> {
        hpke::sender_export::<P::Hpke>(&self.random, config, pk_r, info, exporter_context, exporter_length)
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
        hpke::receiver_export::<P::Hpke>(config, enc, sk_r, info, exporter_context, exporter_length)
    }

    fn derive_hpke_keypair(&self, config: HpkeConfig, ikm: &[u8]) -> Result<HpkeKeyPair, CryptoError> {
        hpke::derive_key_pair::<P::Hpke>(config, ikm)
    }
}
