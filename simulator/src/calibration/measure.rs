//! Measures the operations of each provider of this build.

use std::{collections::BTreeMap, time::SystemTime};

use openmls_traits::types::{Ciphersuite, CryptoError};
#[cfg(feature = "aws-lc")]
use regrow_crypto::AwsLc;
#[cfg(feature = "rust-crypto")]
use regrow_crypto::RustCrypto;
use regrow_engine::{CryptoProvider, default_crypto};

use super::{Calibration, FORMAT, ProviderTimes, UnitTimes, prediction::predictions, stopwatch::seconds};
use crate::sweep::{Machine, Program, utc};

/// The sizes of the plaintexts of AEAD calls, in bytes.
pub const AEAD_SIZES: [usize; 4] = [32, 256, 4096, 65_536];

/// The ciphersuites of the engine: those of RFC 9420, 17.1, and X-Wing.
const CIPHERSUITES: &[(&str, Ciphersuite)] = &[
    ("MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519", Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519),
    ("MLS_128_DHKEMP256_AES128GCM_SHA256_P256", Ciphersuite::MLS_128_DHKEMP256_AES128GCM_SHA256_P256),
    (
        "MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519",
        Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519,
    ),
    #[cfg(feature = "post-quantum")]
    ("MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519", Ciphersuite::MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519),
];

/// The length of a path secret and of the other secrets of these ciphersuites, in bytes.
const SECRET: usize = 32;

/// The length of a usual KDFLabel, and of the texts that MACs and signatures cover, in bytes.
const LABEL: usize = 64;

/// The length of a usual leaf node or group context, in bytes.
const TEXT: usize = 256;

/// The lengths of the two texts from which the time of a hash follows, in bytes.
const HASHED: [usize; 2] = [64, 65_536];

/// A measurement is not possible.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// An operation of a provider failed.
    #[error("the provider `{provider}` failed in an operation of {ciphersuite}: {error}")]
    Provider {
        /// The name of the provider.
        provider: &'static str,
        /// The ciphersuite.
        ciphersuite: &'static str,
        /// The error of the provider.
        error: CryptoError,
    },
    /// A client failed.
    #[error("a client of the engine failed while its times were measured: {0}")]
    Client(#[from] regrow_engine::Error),
}

/// Measures all providers of this build. The first one is the provider of the devices.
///
/// # Errors
///
/// [`MeasureError`] if an operation fails.
pub fn measure(program: Program) -> Result<Calibration, MeasureError> {
    let providers = [
        #[cfg(feature = "aws-lc")]
        provider("aws-lc", &AwsLc::default())?,
        #[cfg(feature = "rust-crypto")]
        provider("rust-crypto", &RustCrypto::default())?,
    ];
    let units = providers.first().and_then(|provider| provider.ciphersuites.get(CIPHERSUITES[0].0));
    let predictions = units.map(|units| predictions(&default_crypto(), units)).transpose()?.unwrap_or_default();
    Ok(Calibration {
        regrow_calibration: FORMAT,
        program,
        machine: Machine::current(),
        measured: utc(SystemTime::now()),
        providers: providers.into(),
        predictions,
    })
}

fn provider(name: &'static str, crypto: &dyn CryptoProvider) -> Result<ProviderTimes, MeasureError> {
    let mut ciphersuites = BTreeMap::new();
    for &(suite_name, suite) in CIPHERSUITES {
        let times = ciphersuite(crypto, suite);
        let times = times.map_err(|error| MeasureError::Provider { provider: name, ciphersuite: suite_name, error })?;
        ciphersuites.insert(suite_name.to_owned(), times);
    }
    Ok(ProviderTimes { provider: name.to_owned(), ciphersuites })
}

fn ciphersuite(crypto: &dyn CryptoProvider, suite: Ciphersuite) -> Result<UnitTimes, CryptoError> {
    let (secret, text) = ([7; SECRET], [7; TEXT]);
    let mut times = UnitTimes::default();

    let pair = crypto.derive_hpke_keypair(suite.hpke_config(), &secret)?;
    // The info of a sealed path secret has the group context (RFC 9420, 7.6).
    let sealed = crypto.hpke_seal(suite.hpke_config(), &pair.public, &text, &[], &secret)?;
    times.key_pair = seconds(|| crypto.derive_hpke_keypair(suite.hpke_config(), &secret))?;
    times.hpke_seal = seconds(|| crypto.hpke_seal(suite.hpke_config(), &pair.public, &text, &[], &secret))?;
    times.hpke_open = seconds(|| crypto.hpke_open(suite.hpke_config(), &sealed, &pair.private, &text, &[]))?;
    times.hpke_export =
        seconds(|| crypto.hpke_setup_sender_and_export(suite.hpke_config(), &pair.public, &[], &[], SECRET))?;

    let scheme = suite.signature_algorithm();
    let (private, public) = crypto.signature_key_gen(scheme)?;
    let signature = crypto.sign(scheme, &text, &private)?;
    times.signature_key = seconds(|| crypto.signature_key_gen(scheme))?;
    times.signature = seconds(|| crypto.sign(scheme, &text, &private))?;
    times.verification = seconds(|| crypto.verify_signature(scheme, &text, &public, &signature))?;

    let hash = suite.hash_algorithm();
    let label = [7; LABEL];
    let extract = seconds(|| crypto.hkdf_extract(hash, &secret, &secret))?;
    let expand = seconds(|| crypto.hkdf_expand(hash, &secret, &label, SECRET))?;
    times.kdf = (extract + expand) / 2.0;
    times.mac = seconds(|| crypto.hmac(hash, &secret, &label))?;

    // The time of a hash is a line through two points.
    let [small, large] = HASHED;
    let long = vec![7; large];
    let (short_time, long_time) =
        (seconds(|| crypto.hash(hash, &long[..small]))?, seconds(|| crypto.hash(hash, &long))?);
    times.hash_byte = (long_time - short_time) / (large - small) as f64;
    times.hash_call = (short_time - times.hash_byte * small as f64).max(0.0);
    times.random_byte = seconds(|| crypto.random_bytes(SECRET))? / SECRET as f64;

    let aead = suite.aead_algorithm();
    let (key, nonce) = (&secret[..suite.aead_key_length()], &secret[..suite.aead_nonce_length()]);
    for size in AEAD_SIZES {
        let plaintext = vec![7; size];
        let ciphertext = crypto.aead_encrypt(aead, key, &plaintext, nonce, &label)?;
        times.aead_seal.insert(size, seconds(|| crypto.aead_encrypt(aead, key, &plaintext, nonce, &label))?);
        times.aead_open.insert(size, seconds(|| crypto.aead_decrypt(aead, key, &ciphertext, nonce, &label))?);
    }
    Ok(times)
}
