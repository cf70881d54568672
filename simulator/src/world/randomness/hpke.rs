//! **Dangerous**: HPKE (RFC 9180) whose ephemeral keys follow from a seed.
//!
//! It uses `hpke-rs` with the operations of `hpke-rs-rust-crypto`, like `openmls_rust_crypto`, and
//! replaces only the random bytes. It is no implementation of HPKE, and it decides nothing about
//! seeds. The only caller, [`super::SeededCrypto`], decides about them.
//!
//! # The way of the seed
//!
//! [`Hpke::new`] calls [`HpkeCrypto::prng`], a static function without arguments. So [`with_seed`]
//! puts the seed into a thread-local and calls `Hpke::new` on the same thread, and `prng` takes the
//! seed out. `hpke-rs` draws in one place on the sender's side: once in `kem::encaps`, from the
//! generator that `new` made. It also makes generators from which it does not draw, because
//! `setup_sender` clones the `Hpke` for its key schedule.
//!
//! # Generators without a seed
//!
//! These generators have no seed and cannot report an error, because their trait does not permit
//! it. They never ask the operating system, because then two runs would differ silently. A draw
//! from such a generator gives zeros and sets a flag, and [`with_seed`] then withholds the result.
//! So if a future `hpke-rs` draws elsewhere, the call fails.

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;

use hpke_rs::{Hpke, HpkeError, Mode};
use hpke_rs_crypto::error::Error;
use hpke_rs_crypto::types::{AeadAlgorithm, KdfAlgorithm, KemAlgorithm};
use hpke_rs_crypto::{HpkeCrypto, HpkeTestRng, TryCryptoRng, TryRng};
use hpke_rs_rust_crypto::HpkeRustCrypto;
use openmls_traits::types::{
    CryptoError, ExporterSecret, HpkeAeadType, HpkeCiphertext, HpkeConfig, HpkeKdfType, HpkeKemType, KemOutput,
};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use zeroize::Zeroize;

use super::StreamKey;

thread_local! {
    /// The seed on its way from [`with_seed`] to [`SeededHpke::prng`].
    static SEED: Cell<Option<StreamKey>> = const { Cell::new(None) };
    /// True after a draw from a generator without a seed on this thread.
    static DREW_WITHOUT_SEED: Cell<bool> = const { Cell::new(false) };
}

/// Single-shot encryption to `pk_r` (RFC 9180, 6.1), in base mode.
pub(super) fn seal(
    seed: StreamKey,
    config: HpkeConfig,
    pk_r: &[u8],
    info: &[u8],
    aad: &[u8],
    ptxt: &[u8],
) -> Result<HpkeCiphertext, CryptoError> {
    let (kem_output, ciphertext) = with_seed(seed, config, |hpke| {
        hpke.seal(&pk_r.into(), info, aad, ptxt, None, None, None).map_err(|error| match error {
            HpkeError::InvalidInput => CryptoError::InvalidLength,
            _ => CryptoError::CryptoLibraryError,
        })
    })?;
    Ok(HpkeCiphertext { kem_output: kem_output.into(), ciphertext: ciphertext.into() })
}

/// Single-shot export of a secret shared with the holder of `pk_r` (RFC 9180, 6.2), in base mode.
pub(super) fn export(
    seed: StreamKey,
    config: HpkeConfig,
    pk_r: &[u8],
    info: &[u8],
    exporter_context: &[u8],
    exporter_length: usize,
) -> Result<(KemOutput, ExporterSecret), CryptoError> {
    with_seed(seed, config, |hpke| {
        let (kem_output, context) =
            hpke.setup_sender(&pk_r.into(), info, None, None, None).map_err(|_| CryptoError::SenderSetupError)?;
        let secret = context.export(exporter_context, exporter_length).map_err(|_| CryptoError::ExporterError)?;
        Ok((kem_output, secret.into()))
    })
}

/// Runs `operation`, and returns its result only if all its random bytes follow from the seed.
fn with_seed<T>(
    seed: StreamKey,
    config: HpkeConfig,
    operation: impl FnOnce(&mut Hpke<SeededHpke>) -> Result<T, CryptoError>,
) -> Result<T, CryptoError> {
    DREW_WITHOUT_SEED.set(false);
    let mode = (kem(config.0), kdf(config.1), aead(config.2));
    SEED.set(Some(seed));
    let mut hpke = Hpke::new(Mode::Base, mode.0, mode.1, mode.2);
    // A seed that is still there would go to the next generator on this thread, which is not
    // `hpke`'s.
    if SEED.take().is_some() {
        return Err(CryptoError::InsufficientRandomness);
    }
    let outcome = operation(&mut hpke);
    if DREW_WITHOUT_SEED.take() {
        return Err(CryptoError::InsufficientRandomness);
    }
    outcome
}

fn kem(kem: HpkeKemType) -> KemAlgorithm {
    match kem {
        HpkeKemType::DhKemP256 => KemAlgorithm::DhKemP256,
        HpkeKemType::DhKemP384 => KemAlgorithm::DhKemP384,
        HpkeKemType::DhKemP521 => KemAlgorithm::DhKemP521,
        HpkeKemType::DhKem25519 => KemAlgorithm::DhKem25519,
        HpkeKemType::DhKem448 => KemAlgorithm::DhKem448,
    }
}

fn kdf(kdf: HpkeKdfType) -> KdfAlgorithm {
    match kdf {
        HpkeKdfType::HkdfSha256 => KdfAlgorithm::HkdfSha256,
        HpkeKdfType::HkdfSha384 => KdfAlgorithm::HkdfSha384,
        HpkeKdfType::HkdfSha512 => KdfAlgorithm::HkdfSha512,
    }
}

fn aead(aead: HpkeAeadType) -> AeadAlgorithm {
    match aead {
        HpkeAeadType::AesGcm128 => AeadAlgorithm::Aes128Gcm,
        HpkeAeadType::AesGcm256 => AeadAlgorithm::Aes256Gcm,
        HpkeAeadType::ChaCha20Poly1305 => AeadAlgorithm::ChaCha20Poly1305,
        HpkeAeadType::Export => AeadAlgorithm::HpkeExport,
    }
}

/// The generator of one HPKE operation. Without a seed it gives zeros, and [`with_seed`] withholds
/// the result.
struct SeededRng(Option<ChaCha20Rng>);

impl TryRng for SeededRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        match &mut self.0 {
            Some(stream) => stream.fill_bytes(dst),
            None => {
                dst.fill(0);
                DREW_WITHOUT_SEED.set(true);
            }
        }
        Ok(())
    }
}

impl TryCryptoRng for SeededRng {}

/// With its feature `hpke-test-prng`, `hpke-rs` draws through this trait, and gets the same bytes.
impl HpkeTestRng for SeededRng {
    type Error = Infallible;

    fn try_fill_test_bytes(&mut self, dest: &mut [u8]) -> Result<(), Infallible> {
        self.try_fill_bytes(dest)
    }

    /// Does nothing, because the generator gets its seed once, at the start.
    fn seed(&mut self, _seed: &[u8]) {}
}

impl Zeroize for SeededRng {
    fn zeroize(&mut self) {
        self.0 = None;
    }
}

/// [`HpkeRustCrypto`] with another generator.
struct SeededHpke;

/// Shows the name only, because the type has no state.
impl fmt::Debug for SeededHpke {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeededHpke")
    }
}

impl HpkeCrypto for SeededHpke {
    type HpkePrng = SeededRng;

    fn prng() -> SeededRng {
        SeededRng(SEED.take().map(ChaCha20Rng::from_seed))
    }

    // Key generation and encapsulation inside the provider draw from the provider's own generator,
    // which takes no seed. RFC 9420's ciphersuites use DH-based KEMs only, which need neither.
    // `hpke-rs` derives their ephemeral keys from bytes that it drew itself.

    fn kem_key_gen(_alg: KemAlgorithm, _prng: &mut SeededRng) -> Result<(Vec<u8>, Vec<u8>), Error> {
        Err(Error::UnsupportedKemOperation)
    }

    fn kem_encaps(_alg: KemAlgorithm, _pk_r: &[u8], _prng: &mut SeededRng) -> Result<(Vec<u8>, Vec<u8>), Error> {
        Err(Error::UnsupportedKemOperation)
    }

    // The operations from here on draw nothing.

    fn name() -> String {
        "RustCrypto, from a seed".to_owned()
    }

    fn supports_kdf(alg: KdfAlgorithm) -> Result<(), Error> {
        HpkeRustCrypto::supports_kdf(alg)
    }

    fn supports_kem(alg: KemAlgorithm) -> Result<(), Error> {
        HpkeRustCrypto::supports_kem(alg)
    }

    fn supports_aead(alg: AeadAlgorithm) -> Result<(), Error> {
        HpkeRustCrypto::supports_aead(alg)
    }

    fn kdf_extract(alg: KdfAlgorithm, salt: &[u8], ikm: &[u8]) -> Result<Vec<u8>, Error> {
        HpkeRustCrypto::kdf_extract(alg, salt, ikm)
    }

    fn kdf_expand(alg: KdfAlgorithm, prk: &[u8], info: &[u8], output_size: usize) -> Result<Vec<u8>, Error> {
        HpkeRustCrypto::kdf_expand(alg, prk, info, output_size)
    }

    fn dh(alg: KemAlgorithm, pk: &[u8], sk: &[u8]) -> Result<Vec<u8>, Error> {
        HpkeRustCrypto::dh(alg, pk, sk)
    }

    fn secret_to_public(alg: KemAlgorithm, sk: &[u8]) -> Result<Vec<u8>, Error> {
        HpkeRustCrypto::secret_to_public(alg, sk)
    }

    fn kem_key_gen_derand(alg: KemAlgorithm, seed: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Error> {
        HpkeRustCrypto::kem_key_gen_derand(alg, seed)
    }

    fn kem_decaps(alg: KemAlgorithm, ct: &[u8], sk_r: &[u8]) -> Result<Vec<u8>, Error> {
        HpkeRustCrypto::kem_decaps(alg, ct, sk_r)
    }

    fn dh_validate_sk(alg: KemAlgorithm, sk: &[u8]) -> Result<Vec<u8>, Error> {
        HpkeRustCrypto::dh_validate_sk(alg, sk)
    }

    fn aead_seal(alg: AeadAlgorithm, key: &[u8], nonce: &[u8], aad: &[u8], msg: &[u8]) -> Result<Vec<u8>, Error> {
        HpkeRustCrypto::aead_seal(alg, key, nonce, aad, msg)
    }

    fn aead_open(alg: AeadAlgorithm, key: &[u8], nonce: &[u8], aad: &[u8], msg: &[u8]) -> Result<Vec<u8>, Error> {
        HpkeRustCrypto::aead_open(alg, key, nonce, aad, msg)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X25519: HpkeConfig = HpkeConfig(HpkeKemType::DhKem25519, HpkeKdfType::HkdfSha256, HpkeAeadType::AesGcm128);

    #[test]
    fn draws_without_seed_withhold_the_result() {
        let outcome = with_seed([1; 32], X25519, |_| {
            SeededHpke::prng().try_fill_bytes(&mut [0; 32]).map_err(|_| CryptoError::CryptoLibraryError)
        });

        assert_eq!(outcome, Err(CryptoError::InsufficientRandomness));
    }

    #[test]
    fn generator_that_is_never_drawn_from_needs_no_seed() {
        let outcome = with_seed([1; 32], X25519, |hpke| {
            drop(hpke.clone());
            Ok(())
        });

        assert_eq!(outcome, Ok(()));
    }

    #[test]
    fn seed_does_not_outlive_its_operation() {
        let _ = with_seed([1; 32], X25519, |_| Ok(()));

        assert!(SeededHpke::prng().0.is_none());
    }
}
