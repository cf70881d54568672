//! **Dangerous**: a crypto provider whose every random byte follows from a seed.
//!
//! It is a test instrument, never for production. A person with the seed of a [`SeededCrypto`] can
//! compute all its keys, and the seed is a number in a scenario file. It is no implementation of
//! cryptography: the operations are those of `regrow-crypto`, and only the random bytes are
//! replaced. The simulator gives one to each device. So the same scenario and seed give the same transcript, byte
//! for byte.
//!
//! # Substreams
//!
//! The random bytes of a device in a step depend only on the seed, the device, the step, and the
//! earlier draws of the step. If a step is removed from a scenario, the other steps draw the same
//! bytes as before. So a smaller scenario still fails in the same way.
//!
//! Within a step there are two ways to draw:
//!
//! - *In sequence*, from one ChaCha20 stream: random bytes, signature keys, and the exported secret
//!   of an external commit (RFC 9420, 8.3). OpenMLS asks for these one after the other, and each
//!   answer is fresh.
//! - *By content*: OpenMLS seals the path secrets of a commit (RFC 9420, 7.5) on several threads,
//!   in an order that depends on the machine. Therefore the random bytes of a sealing are a hash of
//!   the substream's key and of all inputs of the sealing. The order does not matter. The same
//!   sealing twice in a step gives the same ciphertext. That includes both parts of X-Wing, whose
//!   encapsulation takes its 64 bytes from the provider.

mod known_hashes;
mod shared_results;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openmls_traits::crypto::OpenMlsCrypto as _;
use openmls_traits::types::{
    Ciphersuite, CryptoError, ExporterSecret, HashType, HpkeCiphertext, HpkeConfig, HpkeKeyPair, KemOutput,
    SignatureScheme,
};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use regrow_crypto::{DefaultCrypto, RandomSource};
use regrow_engine::{CryptoProvider, Layer};
use sha2::{Digest, Sha256};

pub use shared_results::SharedResults;

/// The key of a ChaCha20 stream.
type StreamKey = [u8; 32];

/// The domain of a substream's key.
const SUBSTREAM: &str = "regrow simulation";

/// The domain of the random bytes of an HPKE sealing.
const HPKE_SEAL: &str = "regrow simulation hpke seal";

/// **Dangerous**: one device's cryptography in a simulation, with randomness that anybody can
/// recompute.
///
/// The [module](self) states its guarantees. It is a [`Layer`] over the build's provider, which does
/// all operations that draw nothing.
pub struct SeededCrypto {
    seed: u64,
    device: String,
    substream: Mutex<Substream>,
    deterministic: DefaultCrypto<NoRandomness>,
    shared_results: Arc<SharedResults>,
}

/// The position of one device in the randomness of one step.
struct Substream {
    step: Arc<str>,
    key: StreamKey,
    stream: ChaCha20Rng,
}

impl SeededCrypto {
    /// The cryptography of `device` in the simulation that `seed` names.
    ///
    /// Before the first [`begin_step`](Self::begin_step), it draws from the substream of the step
    /// with the empty name.
    pub fn new(seed: u64, device: &str) -> Self {
        Self {
            seed,
            device: device.to_owned(),
            substream: Mutex::new(Substream::new(seed, device, "".into())),
            deterministic: DefaultCrypto::new(NoRandomness),
            shared_results: Arc::default(),
        }
    }

    /// Supports this ciphersuite, besides those of every device. A device lists all ciphersuites of
    /// its cryptography in its leaf (RFC 9420, 7.2), so only a post-quantum group changes that list.
    #[must_use]
    pub fn with_ciphersuite(self, ciphersuite: Ciphersuite) -> Self {
        match ciphersuite {
            #[cfg(feature = "post-quantum")]
            Ciphersuite::MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519 => {
                Self { deterministic: DefaultCrypto::post_quantum(NoRandomness), ..self }
            }
            _ => self,
        }
    }

    /// Shares the results of operations that draw nothing with other devices. So one device
    /// computes each result. To share changes no result.
    #[must_use]
    pub fn sharing(self, shared_results: Arc<SharedResults>) -> Self {
        Self { shared_results, ..self }
    }

    /// Starts the substream of the step with this name, from its beginning.
    ///
    /// The same name gives the same bytes again. A repetition, a retry, or a restart after a crash
    /// needs a name of its own. Otherwise the device uses a key twice.
    pub fn begin_step(&self, step: impl Into<Arc<str>>) {
        // A thread that panicked may leave a poisoned substream. The new substream replaces it.
        let mut substream = self.substream.lock().unwrap_or_else(PoisonError::into_inner);
        *substream = Substream::new(self.seed, &self.device, step.into());
        self.substream.clear_poison();
    }
}

impl Substream {
    fn new(seed: u64, device: &str, step: Arc<str>) -> Self {
        let key = derive(SUBSTREAM, &[&seed.to_be_bytes(), device.as_bytes(), step.as_bytes()]);
        Self { step, key, stream: ChaCha20Rng::from_seed(key) }
    }
}

fn lock(substream: &Mutex<Substream>) -> Result<MutexGuard<'_, Substream>, CryptoError> {
    substream.lock().map_err(|_| CryptoError::InsufficientRandomness)
}

/// The draws in sequence.
struct InSequence<'s>(&'s Mutex<Substream>);

impl RandomSource for InSequence<'_> {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), CryptoError> {
        lock(self.0)?.stream.fill_bytes(bytes);
        Ok(())
    }
}

/// The draw of one operation whose random bytes follow from a seed of its own.
struct FromSeed(StreamKey);

impl RandomSource for FromSeed {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), CryptoError> {
        ChaCha20Rng::from_seed(self.0).fill_bytes(bytes);
        Ok(())
    }
}

/// The source of the operations that draw nothing. A draw would not follow from the seed, so it
/// fails.
struct NoRandomness;

impl RandomSource for NoRandomness {
    fn fill(&self, _bytes: &mut [u8]) -> Result<(), CryptoError> {
        Err(CryptoError::InsufficientRandomness)
    }
}

/// Hashes a domain and inputs into a stream's key. The length precedes each input, so no two lists
/// give the same bytes.
fn derive(domain: &str, inputs: &[&[u8]]) -> StreamKey {
    let mut hash = Sha256::new();
    for part in std::iter::once(domain.as_bytes()).chain(inputs.iter().copied()) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Shows the device and the step, and no random bytes.
impl fmt::Debug for SeededCrypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("SeededCrypto");
        out.field("device", &self.device);
        if let Ok(substream) = self.substream.try_lock() {
            out.field("step", &substream.step);
        }
        out.finish_non_exhaustive()
    }
}

impl Layer for SeededCrypto {
    fn within(&self) -> &dyn CryptoProvider {
        &self.deterministic
    }

    fn random_bytes(&self, len: usize) -> Result<Vec<u8>, CryptoError> {
        let mut bytes = vec![0; len];
        InSequence(&self.substream).fill(&mut bytes)?;
        Ok(bytes)
    }

    fn signature_key_gen(&self, alg: SignatureScheme) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        DefaultCrypto::new(InSequence(&self.substream)).signature_key_gen(alg)
    }

    fn hpke_seal(
        &self,
        config: HpkeConfig,
        pk_r: &[u8],
        info: &[u8],
        aad: &[u8],
        ptxt: &[u8],
    ) -> Result<HpkeCiphertext, CryptoError> {
        let substream_key = lock(&self.substream)?.key;
        let inputs = [&substream_key, &shared_results::numbers(&config)[..], pk_r, info, aad, ptxt];
        let seed = derive(HPKE_SEAL, &inputs);
        DefaultCrypto::new(FromSeed(seed)).hpke_seal(config, pk_r, info, aad, ptxt)
    }

    fn hpke_setup_sender_and_export(
        &self,
        config: HpkeConfig,
        pk_r: &[u8],
        info: &[u8],
        exporter_context: &[u8],
        exporter_length: usize,
    ) -> Result<(KemOutput, ExporterSecret), CryptoError> {
        // This draw is in sequence, because no input is secret. By content, two external commits to
        // an epoch would have the same init secret. An adversary with one would seem to have broken
        // the other.
        let mut seed = StreamKey::default();
        InSequence(&self.substream).fill(&mut seed)?;
        DefaultCrypto::new(FromSeed(seed)).hpke_setup_sender_and_export(
            config,
            pk_r,
            info,
            exporter_context,
            exporter_length,
        )
    }

    // The operations from here on draw nothing. Ed25519 needs no randomness (RFC 8032), and the
    // provider's ECDSA takes its nonce from the key and the message (RFC 6979).

    fn verify_signature(
        &self,
        alg: SignatureScheme,
        data: &[u8],
        pk: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        self.shared_results
            .verified(alg, data, pk, signature, || self.deterministic.verify_signature(alg, data, pk, signature))
    }

    fn hpke_open(
        &self,
        config: HpkeConfig,
        input: &HpkeCiphertext,
        sk_r: &[u8],
        info: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let inputs = [input.kem_output.as_slice(), input.ciphertext.as_slice(), sk_r, info, aad];
        self.shared_results
            .opened(config, inputs, |config| self.deterministic.hpke_open(config, input, sk_r, info, aad))
    }

    fn derive_hpke_keypair(&self, config: HpkeConfig, ikm: &[u8]) -> Result<HpkeKeyPair, CryptoError> {
        self.shared_results.key_pair(config, ikm, |config| self.deterministic.derive_hpke_keypair(config, ikm))
    }

    fn hash(&self, hash: HashType, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        known_hashes::hash(hash, data, || self.deterministic.hash(hash, data))
    }
}

#[cfg(test)]
mod tests;
