//! **Dangerous**: a crypto provider whose every random byte follows from a seed.
//!
//! A test instrument, never for production: whoever knows the seed of a [`SeededCrypto`] knows every key that
//! it made, and a seed is a number in a scenario file. It is not a source of randomness and not an
//! implementation of cryptography: all of that is RustCrypto's, and only where the random bytes come from is
//! different. The simulator gives one to each device that it plays, so that the same scenario and seed give
//! the same transcript, byte for byte.
//!
//! # Substreams
//!
//! What a device draws in a step depends on the seed, the device, the step and what it drew earlier in that
//! step, and on nothing else. A step that is taken out of a scenario leaves what the other steps draw as it
//! was, so that a failing scenario can be made small and go on failing.
//!
//! Within a step there are two ways to draw:
//!
//! - *In sequence*, from one ChaCha20 stream: random bytes, signature keys, and the exported secret of an
//!   external commit (RFC 9420, 8.3). OpenMLS asks for these one after the other, and each answer is fresh.
//! - *By content*: OpenMLS seals the path secrets of a commit (RFC 9420, 7.5) on several threads at once, so
//!   that which of them asks first is up to the machine. What a sealing draws is therefore a hash of the
//!   substream's key and of all that is sealed, to whom, and under what. The order does not count; the same
//!   sealing twice in a step gives the same ciphertext.

mod hpke;
mod verification_cache;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openmls_rust_crypto::RustCrypto;
use openmls_traits::crypto::OpenMlsCrypto as _;
use openmls_traits::types::{CryptoError, ExporterSecret, HpkeCiphertext, HpkeConfig, KemOutput, SignatureScheme};
use p256::ecdsa::SigningKey as P256SigningKey;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use regrow_engine::{CryptoProvider, Layer};
use sha2::{Digest, Sha256};

pub use verification_cache::VerificationCache;

/// 32 bytes from which a ChaCha20 stream starts.
type StreamKey = [u8; 32];

/// The domain of a substream's key.
const SUBSTREAM: &str = "regrow simulation";

/// The domain of what one HPKE sealing draws.
const HPKE_SEAL: &str = "regrow simulation hpke seal";

/// How often a P-256 private key is drawn before giving up. One draw in 2^32 is not below the order of the
/// curve, so that failing this often means that the stream is broken.
const P256_DRAWS: usize = 8;

/// **Dangerous**: one device's cryptography in a simulation, with randomness that anybody can compute again.
///
/// See the [module](self) for what it promises. All operations that draw nothing are [`RustCrypto`]'s own: it is a
/// [`Layer`] over it.
pub struct SeededCrypto {
    seed: u64,
    device: String,
    substream: Mutex<Substream>,
    deterministic: RustCrypto,
    verification_cache: Arc<VerificationCache>,
}

/// Where one device is in the randomness of one step.
struct Substream {
    step: String,
    key: StreamKey,
    stream: ChaCha20Rng,
}

impl SeededCrypto {
    /// The cryptography of `device` in the simulation that `seed` names.
    ///
    /// Until the first [`begin_step`](Self::begin_step) it draws from the substream of the step with the
    /// empty name.
    pub fn new(seed: u64, device: &str) -> Self {
        Self {
            seed,
            device: device.to_owned(),
            substream: Mutex::new(Substream::new(seed, device, "")),
            deterministic: RustCrypto::default(),
            verification_cache: Arc::default(),
        }
    }

    /// Shares with others which signatures were found valid, so that each is verified once. It changes no result.
    #[must_use]
    pub fn sharing(self, verification_cache: Arc<VerificationCache>) -> Self {
        Self { verification_cache, ..self }
    }

    /// Starts the substream of the step with this name, from its beginning.
    ///
    /// A name that was used before gives the same bytes again. A step that does a thing several times (a
    /// repetition, a retry, a restart after a crash) needs a name for each, or the device uses keys twice
    /// that it should use once.
    pub fn begin_step(&self, step: &str) {
        // A poisoned substream was left half-way by a thread that panicked. It is not read here but replaced
        // as a whole, which heals it.
        let mut substream = self.substream.lock().unwrap_or_else(PoisonError::into_inner);
        *substream = Substream::new(self.seed, &self.device, step);
        self.substream.clear_poison();
    }

    fn substream(&self) -> Result<MutexGuard<'_, Substream>, CryptoError> {
        self.substream.lock().map_err(|_| CryptoError::InsufficientRandomness)
    }

    fn draw<const N: usize>(&self) -> Result<[u8; N], CryptoError> {
        let mut bytes = [0; N];
        self.substream()?.stream.fill_bytes(&mut bytes);
        Ok(bytes)
    }

    fn ed25519_key(&self) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        let private = ed25519_dalek::SigningKey::from_bytes(&self.draw()?);
        let public = private.verifying_key().to_bytes();
        Ok((private.to_bytes().into(), public.into()))
    }

    fn p256_key(&self) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        for _ in 0..P256_DRAWS {
            // Rejects zero and what is not below the order of the curve (FIPS 186-5, A.2.2).
            if let Ok(private) = P256SigningKey::from_bytes(&self.draw::<32>()?.into()) {
                let public = private.verifying_key().to_encoded_point(false);
                return Ok((private.to_bytes().to_vec(), public.as_bytes().to_vec()));
            }
        }
        Err(CryptoError::InsufficientRandomness)
    }
}

impl Substream {
    fn new(seed: u64, device: &str, step: &str) -> Self {
        let key = derive(SUBSTREAM, &[&seed.to_be_bytes(), device.as_bytes(), step.as_bytes()]);
        Self { step: step.to_owned(), key, stream: ChaCha20Rng::from_seed(key) }
    }
}

/// Hashes a domain and inputs into a stream's key. Each is preceded by its length, so that no two lists give
/// the same bytes.
fn derive(domain: &str, inputs: &[&[u8]]) -> StreamKey {
    let mut hash = Sha256::new();
    for part in std::iter::once(domain.as_bytes()).chain(inputs.iter().copied()) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Shows which randomness this is, which is no secret in a simulation's report, and not the randomness
/// itself.
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
        self.substream()?.stream.fill_bytes(&mut bytes);
        Ok(bytes)
    }

    fn signature_key_gen(&self, alg: SignatureScheme) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        // The schemes of the ciphersuites that `supports` accepts.
        match alg {
            SignatureScheme::ED25519 => self.ed25519_key(),
            SignatureScheme::ECDSA_SECP256R1_SHA256 => self.p256_key(),
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
        let substream_key = self.substream()?.key;
        let suite = [config.0 as u16, config.1 as u16, config.2 as u16].map(u16::to_be_bytes);
        let inputs = [&substream_key, suite.as_flattened(), pk_r, info, aad, ptxt];
        let seed = derive(HPKE_SEAL, &inputs);
        hpke::seal(seed, config, pk_r, info, aad, ptxt)
    }

    fn hpke_setup_sender_and_export(
        &self,
        config: HpkeConfig,
        pk_r: &[u8],
        info: &[u8],
        exporter_context: &[u8],
        exporter_length: usize,
    ) -> Result<(KemOutput, ExporterSecret), CryptoError> {
        // In sequence, not by content: nothing secret goes in, so that by content a second external commit to
        // an epoch would start from the first one's init secret, and an adversary who learned one would seem
        // to have broken the other.
        hpke::export(self.draw()?, config, pk_r, info, exporter_context, exporter_length)
    }

    // From here on nothing is drawn. Nor does any of the operations below: Ed25519 draws nothing (RFC 8032), and
    // RustCrypto's ECDSA takes its nonce from the key and the message (RFC 6979).

    fn verify_signature(
        &self,
        alg: SignatureScheme,
        data: &[u8],
        pk: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        self.verification_cache
            .check(alg, data, pk, signature, || self.deterministic.verify_signature(alg, data, pk, signature))
    }
}

#[cfg(test)]
mod tests;
