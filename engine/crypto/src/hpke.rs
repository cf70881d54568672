//! HPKE (RFC 9180) in base mode: `hpke-rs` over the primitives of a provider, with randomness from
//! outside.
//!
//! # The way of the random bytes
//!
//! `hpke-rs` draws in one place: a sender draws the input key material of its ephemeral key (RFC
//! 9180, 4.1), or the random bytes of its encapsulation with X-Wing. It takes these bytes from the generator that [`Hpke::new`] made with
//! [`HpkeCrypto::prng`], a static function without arguments. So [`with_key_material`] puts the
//! bytes into a thread-local and calls `Hpke::new` on the same thread, and `prng` takes the bytes
//! out. The bytes are in a box, so a move copies only a pointer and the drop wipes them.
//!
//! `hpke-rs` makes other generators and does not draw from them. Their trait does not permit an
//! error. So a draw from such a generator gives zeros and sets a flag, and [`with_key_material`]
//! then withholds the result. If a future `hpke-rs` draws elsewhere, the call fails.

use std::{cell::Cell, convert::Infallible, fmt, marker::PhantomData};

use hpke_rs::{Hpke, HpkeError, Mode};
use hpke_rs_crypto::{
    HpkeCrypto, HpkeTestRng, TryCryptoRng, TryRng,
    error::Error,
    types::{AeadAlgorithm, KdfAlgorithm, KemAlgorithm},
};
use openmls_traits::types::{
    CryptoError, ExporterSecret, HpkeAeadType, HpkeCiphertext, HpkeConfig, HpkeKdfType, HpkeKemType, HpkeKeyPair,
    KemOutput,
};
use zeroize::{Zeroize, Zeroizing};

#[cfg(feature = "post-quantum")]
use crate::x_wing;
use crate::{info_hash, random::RandomSource};

/// The length of the input key material of an ephemeral key, for X25519 and for P-256.
const KEY_MATERIAL_BYTES: usize = 32;

type KeyMaterial = Zeroizing<Box<[u8]>>;

thread_local! {
    /// The key material on its way from [`with_key_material`] to [`External::prng`].
    static KEY_MATERIAL: Cell<Option<KeyMaterial>> = const { Cell::new(None) };
    /// True after a draw on this thread from a generator that had no key material.
    static DREW_WITHOUT: Cell<bool> = const { Cell::new(false) };
}

/// Encrypts one plaintext to `pk_r` (RFC 9180, 6.1).
pub(crate) fn seal<C: HpkeCrypto + 'static>(
    random: &impl RandomSource,
    config: HpkeConfig,
    pk_r: &[u8],
    info: &[u8],
    aad: &[u8],
    ptxt: &[u8],
) -> Result<HpkeCiphertext, CryptoError> {
    let mode = mode(config).ok_or(CryptoError::CryptoLibraryError)?;
    let (kem_output, ciphertext) = with_key_material::<C, _>(Some(draw(random, mode.0)?), mode, |hpke| {
        hpke.seal(&pk_r.into(), info, aad, ptxt, None, None, None).map_err(input_error)
    })?;
    Ok(HpkeCiphertext { kem_output: kem_output.into(), ciphertext: ciphertext.into() })
}

/// Decrypts one ciphertext (RFC 9180, 6.1).
pub(crate) fn open<C: HpkeCrypto + 'static>(
    config: HpkeConfig,
    input: &HpkeCiphertext,
    sk_r: &[u8],
    info: &[u8],
    aad: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    let (kem_output, ciphertext) = (input.kem_output.as_slice(), input.ciphertext.as_slice());
    let mode = mode(config).ok_or(CryptoError::HpkeDecryptionError)?;
    with_key_material::<C, _>(None, mode, |hpke| {
        hpke.open(kem_output, &sk_r.into(), info, aad, ciphertext, None, None, None)
            .map_err(|_| CryptoError::HpkeDecryptionError)
    })
}

/// Exports a secret that the holder of `pk_r` can compute too (RFC 9180, 6.2).
pub(crate) fn sender_export<C: HpkeCrypto + 'static>(
    random: &impl RandomSource,
    config: HpkeConfig,
    pk_r: &[u8],
    info: &[u8],
    exporter_context: &[u8],
    exporter_length: usize,
) -> Result<(KemOutput, ExporterSecret), CryptoError> {
    let mode = mode(config).ok_or(CryptoError::SenderSetupError)?;
    with_key_material::<C, _>(Some(draw(random, mode.0)?), mode, |hpke| {
        let (kem_output, context) =
            hpke.setup_sender(&pk_r.into(), info, None, None, None).map_err(|_| CryptoError::SenderSetupError)?;
        let secret = context.export(exporter_context, exporter_length).map_err(|_| CryptoError::ExporterError)?;
        Ok((kem_output, secret.into()))
    })
}

/// Computes the secret that a sender exported (RFC 9180, 6.2).
pub(crate) fn receiver_export<C: HpkeCrypto + 'static>(
    config: HpkeConfig,
    enc: &[u8],
    sk_r: &[u8],
    info: &[u8],
    exporter_context: &[u8],
    exporter_length: usize,
) -> Result<ExporterSecret, CryptoError> {
    let mode = mode(config).ok_or(CryptoError::ReceiverSetupError)?;
    with_key_material::<C, _>(None, mode, |hpke| {
        let context = hpke
            .setup_receiver(enc, &sk_r.into(), info, None, None, None)
            .map_err(|_| CryptoError::ReceiverSetupError)?;
        let secret = context.export(exporter_context, exporter_length).map_err(|_| CryptoError::ExporterError)?;
        Ok(secret.into())
    })
}

/// Derives a key pair from input key material (RFC 9180, 7.1.3).
pub(crate) fn derive_key_pair<C: HpkeCrypto + 'static>(
    config: HpkeConfig,
    ikm: &[u8],
) -> Result<HpkeKeyPair, CryptoError> {
    let mode = mode(config).ok_or(CryptoError::CryptoLibraryError)?;
    let pair = with_key_material::<C, _>(None, mode, |hpke| hpke.derive_key_pair(ikm).map_err(input_error))?;
    let (private, public) = pair.into_keys();
    Ok(HpkeKeyPair { private: private.as_slice().into(), public: public.as_slice().into() })
}

fn input_error(error: HpkeError) -> CryptoError {
    match error {
        HpkeError::InvalidInput => CryptoError::InvalidLength,
        _ => CryptoError::CryptoLibraryError,
    }
}

/// Draws the key material of a sender.
fn draw(random: &impl RandomSource, kem: KemAlgorithm) -> Result<KeyMaterial, CryptoError> {
    let length = match kem {
        #[cfg(feature = "post-quantum")]
        KemAlgorithm::XWingDraft06 => x_wing::RANDOM_BYTES,
        _ => KEY_MATERIAL_BYTES,
    };
    let mut bytes = KeyMaterial::new(vec![0; length].into());
    random.fill(&mut bytes)?;
    Ok(bytes)
}

/// Runs `operation`, and returns its result only if all its random bytes are the key material. An
/// operation without key material may not draw.
fn with_key_material<C: HpkeCrypto + 'static, T>(
    bytes: Option<KeyMaterial>,
    (kem, kdf, aead): (KemAlgorithm, KdfAlgorithm, AeadAlgorithm),
    operation: impl FnOnce(&mut Hpke<External<C>>) -> Result<T, CryptoError>,
) -> Result<T, CryptoError> {
    DREW_WITHOUT.set(false);
    KEY_MATERIAL.set(bytes);
    let mut hpke = Hpke::new(Mode::Base, kem, kdf, aead);
    // Key material that is still there would go to the next generator on this thread, which is not
    // `hpke`'s.
    if KEY_MATERIAL.take().is_some() {
        return Err(CryptoError::InsufficientRandomness);
    }
    let outcome = operation(&mut hpke);
    if DREW_WITHOUT.take() {
        return Err(CryptoError::InsufficientRandomness);
    }
    outcome
}

/// Returns the algorithms of `hpke-rs`, for the KEMs of the ciphersuites that the providers support.
fn mode(HpkeConfig(kem, kdf, aead): HpkeConfig) -> Option<(KemAlgorithm, KdfAlgorithm, AeadAlgorithm)> {
    let kem = match kem {
        HpkeKemType::DhKemP256 => KemAlgorithm::DhKemP256,
        HpkeKemType::DhKem25519 => KemAlgorithm::DhKem25519,
        #[cfg(feature = "post-quantum")]
        HpkeKemType::XWingKemDraft6 => KemAlgorithm::XWingDraft06,
        _ => return None,
    };
    let kdf = match kdf {
        HpkeKdfType::HkdfSha256 => KdfAlgorithm::HkdfSha256,
        HpkeKdfType::HkdfSha384 => KdfAlgorithm::HkdfSha384,
        HpkeKdfType::HkdfSha512 => KdfAlgorithm::HkdfSha512,
    };
    let aead = match aead {
        HpkeAeadType::AesGcm128 => AeadAlgorithm::Aes128Gcm,
        HpkeAeadType::AesGcm256 => AeadAlgorithm::Aes256Gcm,
        HpkeAeadType::ChaCha20Poly1305 => AeadAlgorithm::ChaCha20Poly1305,
        HpkeAeadType::Export => AeadAlgorithm::HpkeExport,
    };
    Some((kem, kdf, aead))
}

/// The generator of one HPKE operation. It gives its key material once.
// The primitives of AWS-LC name it in a public trait.
#[cfg_attr(not(feature = "aws-lc"), allow(unreachable_pub))]
pub struct Draws(Option<KeyMaterial>);

impl Draws {
    /// A generator whose draws withhold the result.
    #[cfg(feature = "aws-lc")]
    pub(crate) fn without_key_material() -> Self {
        Self(None)
    }
}

impl TryRng for Draws {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        DREW_WITHOUT.set(true);
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        DREW_WITHOUT.set(true);
        Ok(0)
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        match self.0.take() {
            Some(bytes) if dst.len() == bytes.len() => dst.copy_from_slice(&bytes),
            _ => {
                dst.fill(0);
                DREW_WITHOUT.set(true);
            }
        }
        Ok(())
    }
}

impl TryCryptoRng for Draws {}

/// With its feature `hpke-test-prng`, `hpke-rs` draws through this trait, and gets the same bytes.
impl HpkeTestRng for Draws {
    type Error = Infallible;

    fn try_fill_test_bytes(&mut self, dest: &mut [u8]) -> Result<(), Infallible> {
        self.try_fill_bytes(dest)
    }

    /// Does nothing, because the generator gets its bytes once, at the start.
    fn seed(&mut self, _seed: &[u8]) {}
}

impl Zeroize for Draws {
    fn zeroize(&mut self) {
        self.0 = None;
    }
}

/// The primitives `C` with a generator whose bytes come from outside.
struct External<C>(PhantomData<fn() -> C>);

/// Shows the name only, because the type has no state.
impl<C> fmt::Debug for External<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("External")
    }
}

impl<C: HpkeCrypto + 'static> HpkeCrypto for External<C> {
    type HpkePrng = Draws;

    fn prng() -> Draws {
        Draws(KEY_MATERIAL.take())
    }

    // `hpke-rs` derives the ephemeral keys of DH-based KEMs from bytes that it drew itself. Only
    // X-Wing draws in an operation of this trait.

    fn kem_key_gen(_alg: KemAlgorithm, _prng: &mut Draws) -> Result<(Vec<u8>, Vec<u8>), Error> {
        Err(Error::UnsupportedKemOperation)
    }

    fn kem_encaps(alg: KemAlgorithm, pk_r: &[u8], prng: &mut Draws) -> Result<(Vec<u8>, Vec<u8>), Error> {
        match alg {
            #[cfg(feature = "post-quantum")]
            KemAlgorithm::XWingDraft06 => {
                let mut random = Zeroizing::new([0; x_wing::RANDOM_BYTES]);
                // A generator without key material sets the flag, and the result is withheld.
                let Ok(()) = prng.try_fill_bytes(&mut *random);
                x_wing::encapsulate::<C>(pk_r, &random)
            }
            _ => {
                let _ = (pk_r, prng);
                Err(Error::UnsupportedKemOperation)
            }
        }
    }

    // The operations from here on draw nothing.

    fn name() -> String {
        C::name()
    }

    fn supports_kdf(alg: KdfAlgorithm) -> Result<(), Error> {
        C::supports_kdf(alg)
    }

    fn supports_kem(alg: KemAlgorithm) -> Result<(), Error> {
        C::supports_kem(alg)
    }

    fn supports_aead(alg: AeadAlgorithm) -> Result<(), Error> {
        C::supports_aead(alg)
    }

    fn kdf_extract(alg: KdfAlgorithm, salt: &[u8], ikm: &[u8]) -> Result<Vec<u8>, Error> {
        info_hash::extract(alg, salt, ikm, C::kdf_extract)
    }

    fn kdf_expand(alg: KdfAlgorithm, prk: &[u8], info: &[u8], output_size: usize) -> Result<Vec<u8>, Error> {
        C::kdf_expand(alg, prk, info, output_size)
    }

    fn dh(alg: KemAlgorithm, pk: &[u8], sk: &[u8]) -> Result<Vec<u8>, Error> {
        C::dh(alg, pk, sk)
    }

    fn secret_to_public(alg: KemAlgorithm, sk: &[u8]) -> Result<Vec<u8>, Error> {
        C::secret_to_public(alg, sk)
    }

    fn kem_key_gen_derand(alg: KemAlgorithm, seed: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Error> {
        match alg {
            #[cfg(feature = "post-quantum")]
            KemAlgorithm::XWingDraft06 => x_wing::key_pair::<C>(seed),
            _ => C::kem_key_gen_derand(alg, seed),
        }
    }

    fn kem_decaps(alg: KemAlgorithm, ct: &[u8], sk_r: &[u8]) -> Result<Vec<u8>, Error> {
        match alg {
            #[cfg(feature = "post-quantum")]
            KemAlgorithm::XWingDraft06 => x_wing::decapsulate::<C>(ct, sk_r),
            _ => C::kem_decaps(alg, ct, sk_r),
        }
    }

    fn dh_validate_sk(alg: KemAlgorithm, sk: &[u8]) -> Result<Vec<u8>, Error> {
        C::dh_validate_sk(alg, sk)
    }

    fn aead_seal(alg: AeadAlgorithm, key: &[u8], nonce: &[u8], aad: &[u8], msg: &[u8]) -> Result<Vec<u8>, Error> {
        C::aead_seal(alg, key, nonce, aad, msg)
    }

    fn aead_open(alg: AeadAlgorithm, key: &[u8], nonce: &[u8], aad: &[u8], msg: &[u8]) -> Result<Vec<u8>, Error> {
        C::aead_open(alg, key, nonce, aad, msg)
    }
}

#[cfg(test)]
#[cfg(feature = "aws-lc")]
mod tests {
    use super::*;
    use crate::aws_lc::AwsLcHpke;

    const X25519: HpkeConfig = HpkeConfig(HpkeKemType::DhKem25519, HpkeKdfType::HkdfSha256, HpkeAeadType::AesGcm128);

    fn key_material() -> KeyMaterial {
        Zeroizing::new([1; 32].into())
    }

    fn with<T>(
        operation: impl FnOnce(&mut Hpke<External<AwsLcHpke>>) -> Result<T, CryptoError>,
    ) -> Result<T, CryptoError> {
        with_key_material(Some(key_material()), mode(X25519).unwrap(), operation)
    }

    #[test]
    fn draws_without_key_material_withhold_the_result() {
        let outcome = with(|_| {
            let mut generator = External::<AwsLcHpke>::prng();
            generator.try_fill_bytes(&mut [0; 32]).map_err(|_| CryptoError::CryptoLibraryError)
        });

        assert_eq!(outcome, Err(CryptoError::InsufficientRandomness));
    }

    #[test]
    fn operations_without_key_material_may_not_draw() {
        let outcome = with_key_material::<AwsLcHpke, _>(None, mode(X25519).unwrap(), |hpke| {
            hpke.seal(&[9; 32].as_slice().into(), b"", b"", b"", None, None, None).map_err(input_error)
        });

        assert_eq!(outcome, Err(CryptoError::InsufficientRandomness));
    }

    #[test]
    fn second_draw_withholds_the_result() {
        let mut generator = Draws(Some(key_material()));
        let outcome = with(|_| {
            let _ = generator.try_fill_bytes(&mut [0; 32]);
            let _ = generator.try_fill_bytes(&mut [0; 32]);
            Ok(())
        });

        assert_eq!(outcome, Err(CryptoError::InsufficientRandomness));
    }

    #[test]
    fn generator_that_is_never_drawn_from_needs_no_key_material() {
        let outcome = with(|hpke| {
            drop(hpke.clone());
            Ok(())
        });

        assert_eq!(outcome, Ok(()));
    }

    #[test]
    fn key_material_does_not_outlive_its_operation() {
        let _ = with(|_| Ok(()));

        assert!(External::<AwsLcHpke>::prng().0.is_none());
    }
}
