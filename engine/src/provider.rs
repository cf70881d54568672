//! The cryptography and the randomness, as the caller supplies them, and the form in which OpenMLS wants them.

use std::{fmt, sync::Arc};

use openmls_rust_crypto::RustCrypto;
use openmls_traits::{
    OpenMlsProvider,
    crypto::OpenMlsCrypto,
    random::OpenMlsRand,
    types::{
        AeadType, Ciphersuite, CryptoError, ExporterSecret, HashType, HpkeCiphertext, HpkeConfig, HpkeKeyPair,
        KemOutput, SignatureScheme,
    },
};
use tls_codec::SecretVLBytes;

use crate::{Authenticate, storage::Transaction};

/// What the engine asks of its caller: the cryptography and the randomness.
///
/// `openmls_rust_crypto::RustCrypto` is the everyday choice and implements it; [`default_crypto`] makes one. Another
/// implementation can record what is computed, or draw its randomness from a seed in a simulation.
pub trait CryptoProvider: OpenMlsCrypto {
    /// `len` random bytes from a cryptographically secure source.
    ///
    /// # Errors
    /// [`CryptoError::InsufficientRandomness`] if the source fails.
    fn random_bytes(&self, len: usize) -> Result<Vec<u8>, CryptoError>;
}

impl CryptoProvider for RustCrypto {
    fn random_bytes(&self, len: usize) -> Result<Vec<u8>, CryptoError> {
        self.random_vec(len).map_err(|_| CryptoError::InsufficientRandomness)
    }
}

/// The everyday cryptography: RustCrypto's implementations, with the operating system's randomness.
///
/// It keeps nothing that its keys could be computed from again. (`RustCrypto` has a generator of its own, which gives
/// everything that it has given once more to who reads its state: a [lock](crate::Client::lock) would leave it.)
pub fn default_crypto() -> Arc<dyn CryptoProvider> {
    Arc::new(SystemCrypto(RustCrypto::default()))
}

/// RustCrypto, without its generator: the one in here never gives anything.
struct SystemCrypto(RustCrypto);

impl CryptoProvider for SystemCrypto {
    fn random_bytes(&self, len: usize) -> Result<Vec<u8>, CryptoError> {
        let mut bytes = vec![0; len];
        getrandom::fill(&mut bytes).map_err(|_| CryptoError::InsufficientRandomness)?;
        Ok(bytes)
    }
}

#[cfg(feature = "post-quantum")]
impl CryptoProvider for openmls_libcrux_crypto::CryptoProvider {
    fn random_bytes(&self, len: usize) -> Result<Vec<u8>, CryptoError> {
        self.random_vec(len).map_err(|_| CryptoError::InsufficientRandomness)
    }
}

/// Cryptography that withstands whoever records messages today and has a quantum computer one day: libcrux's
/// implementations, with X-Wing (ML-KEM-768 and X25519 together) among them. Signatures are Ed25519 still: who has such a
/// computer can forge from then on, and cannot read what was sent before.
///
/// It has a generator of its own, whose state gives what it has drawn once more: unlike [`default_crypto`], it leaves that in
/// the memory of a device that is [locked](crate::Client::lock).
///
/// It has two of the usual ciphersuites as well. A group is as its [`Policy::ciphersuite`](crate::Policy) has it:
///
/// ```
/// # use std::sync::Arc;
/// use regrow_engine::{Ciphersuite, Client, DeviceId, MemoryStore, Policy, post_quantum_crypto};
///
/// let ciphersuite = Ciphersuite::MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519;
/// let policy = Policy { ciphersuite, ..Policy::default() };
/// let device = DeviceId::new("alice", "phone")?;
/// let alice = Client::create(Arc::new(MemoryStore::new()), post_quantum_crypto()?, device, policy)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`CryptoError::InsufficientRandomness`] if the operating system gives none.
#[cfg(feature = "post-quantum")]
pub fn post_quantum_crypto() -> Result<Arc<dyn CryptoProvider>, CryptoError> {
    Ok(Arc::new(openmls_libcrux_crypto::CryptoProvider::new()?))
}

/// The caller's cryptography, in the form of a type that OpenMLS's generics can take.
///
/// Behind a pointer rather than a type parameter: OpenMLS is then compiled once, here, and [`crate::Client`] has no
/// parameters that every signature of an application would have to repeat.
#[derive(Clone)]
pub(crate) struct SharedCrypto(pub(crate) Arc<dyn CryptoProvider>);

impl OpenMlsRand for SharedCrypto {
    type Error = CryptoError;

    fn random_array<const N: usize>(&self) -> Result<[u8; N], CryptoError> {
        self.random_vec(N)?.try_into().map_err(|_| CryptoError::InsufficientRandomness)
    }

    fn random_vec(&self, len: usize) -> Result<Vec<u8>, CryptoError> {
        self.0.random_bytes(len)
    }
}

/// OpenMLS's cryptography, computed by the provider within; but for new signature keys, which `$generator` makes.
macro_rules! compute_within {
    ($provider:ty, $generator:expr) => {
        impl OpenMlsCrypto for $provider {
            fn signature_key_gen(&self, alg: SignatureScheme) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
                let generator: fn(&Self, SignatureScheme) -> Result<(Vec<u8>, Vec<u8>), CryptoError> = $generator;
                generator(self, alg)
            }

            fn supports(&self, ciphersuite: Ciphersuite) -> Result<(), CryptoError> {
                self.0.supports(ciphersuite)
            }

            fn supported_ciphersuites(&self) -> Vec<Ciphersuite> {
                self.0.supported_ciphersuites()
            }

            fn hkdf_extract(&self, hash: HashType, salt: &[u8], ikm: &[u8]) -> Result<SecretVLBytes, CryptoError> {
                self.0.hkdf_extract(hash, salt, ikm)
            }

            fn hmac(&self, hash: HashType, key: &[u8], message: &[u8]) -> Result<SecretVLBytes, CryptoError> {
                self.0.hmac(hash, key, message)
            }

            fn hkdf_expand(
                &self,
                hash: HashType,
                prk: &[u8],
                info: &[u8],
                len: usize,
            ) -> Result<SecretVLBytes, CryptoError> {
                self.0.hkdf_expand(hash, prk, info, len)
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
                ct_tag: &[u8],
                nonce: &[u8],
                aad: &[u8],
            ) -> Result<Vec<u8>, CryptoError> {
                self.0.aead_decrypt(alg, key, ct_tag, nonce, aad)
            }

            fn verify_signature(
                &self,
                alg: SignatureScheme,
                data: &[u8],
                pk: &[u8],
                signature: &[u8],
            ) -> Result<(), CryptoError> {
                self.0.verify_signature(alg, data, pk, signature)
            }

            fn sign(&self, alg: SignatureScheme, data: &[u8], key: &[u8]) -> Result<Vec<u8>, CryptoError> {
                self.0.sign(alg, data, key)
            }

            fn hpke_seal(
                &self,
                config: HpkeConfig,
                pk_r: &[u8],
                info: &[u8],
                aad: &[u8],
                ptxt: &[u8],
            ) -> Result<HpkeCiphertext, CryptoError> {
                self.0.hpke_seal(config, pk_r, info, aad, ptxt)
            }

            fn hpke_open(
                &self,
                config: HpkeConfig,
                input: &HpkeCiphertext,
                sk_r: &[u8],
                info: &[u8],
                aad: &[u8],
            ) -> Result<Vec<u8>, CryptoError> {
                self.0.hpke_open(config, input, sk_r, info, aad)
            }

            fn hpke_setup_sender_and_export(
                &self,
                config: HpkeConfig,
                pk_r: &[u8],
                info: &[u8],
                exporter_context: &[u8],
                exporter_length: usize,
            ) -> Result<(KemOutput, ExporterSecret), CryptoError> {
                self.0.hpke_setup_sender_and_export(config, pk_r, info, exporter_context, exporter_length)
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
                self.0.hpke_setup_receiver_and_export(config, enc, sk_r, info, exporter_context, exporter_length)
            }

            fn derive_hpke_keypair(&self, config: HpkeConfig, ikm: &[u8]) -> Result<HpkeKeyPair, CryptoError> {
                self.0.derive_hpke_keypair(config, ikm)
            }
        }
    };
}

compute_within!(SharedCrypto, |provider, alg| provider.0.signature_key_gen(alg));
compute_within!(SystemCrypto, |_, alg| RustCrypto::default().signature_key_gen(alg));

impl fmt::Debug for SharedCrypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedCrypto(..)")
    }
}

/// One call of the engine: what the caller supplies, and the transaction that the call's writes gather in.
pub(crate) struct Call<'s> {
    pub(crate) crypto: SharedCrypto,
    pub(crate) authority: Arc<dyn Authenticate>,
    pub(crate) records: Transaction<'s>,
}

impl<'s> OpenMlsProvider for Call<'s> {
    type CryptoProvider = SharedCrypto;
    type RandProvider = SharedCrypto;
    type StorageProvider = Transaction<'s>;

    fn storage(&self) -> &Transaction<'s> {
        &self.records
    }

    fn crypto(&self) -> &SharedCrypto {
        &self.crypto
    }

    fn rand(&self) -> &SharedCrypto {
        &self.crypto
    }
}
