//! Compares the two providers, operation by operation: `cargo bench -p regrow-crypto`.
//!
//! Each time is the smallest of many short batches, so other load of the machine hardly changes it.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use openmls_traits::{
    crypto::OpenMlsCrypto,
    types::{AeadType, HashType, HpkeAeadType, HpkeConfig, HpkeKdfType, HpkeKemType, SignatureScheme},
};
use regrow_crypto::{AwsLc, RustCrypto};

const BATCHES: usize = 2000;
const CALLS: u32 = 4;
const SHA256: HashType = HashType::Sha2_256;
const KEY: &[u8] = &[7; 32];
const TEXT: &[u8] = &[b'x'; 1000];
const NONCE: &[u8] = &[0; 12];

/// The smallest time of an operation, and its name.
type Times = Vec<(&'static str, Duration)>;

fn main() {
    // `cargo test --all-targets` runs this program too, but not to measure.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let (aws_lc, rust_crypto) = (times(&AwsLc::default()), times(&RustCrypto::default()));
    println!("| operation | AWS-LC µs | RustCrypto µs | ratio |");
    println!("| --- | ---: | ---: | ---: |");
    for ((name, ours), (_, theirs)) in aws_lc.into_iter().zip(rust_crypto) {
        let [ours, theirs] = [ours, theirs].map(|time| time.as_secs_f64() * 1e6);
        println!("| {name} | {ours:.2} | {theirs:.2} | {:.2} |", ours / theirs);
    }
}

fn smallest<T>(mut operation: impl FnMut() -> T) -> Duration {
    let batch = |_| {
        let start = Instant::now();
        for _ in 0..CALLS {
            black_box(operation());
        }
        start.elapsed() / CALLS
    };
    (0..BATCHES).map(batch).min().unwrap_or_default()
}

fn times(crypto: &impl OpenMlsCrypto) -> Times {
    let mut times = of_signatures(crypto, ["Ed25519, sign", "Ed25519, verify"], SignatureScheme::ED25519);
    let p256 = SignatureScheme::ECDSA_SECP256R1_SHA256;
    times.extend(of_signatures(crypto, ["ECDSA P-256, sign", "ECDSA P-256, verify"], p256));
    let x25519 = ["HPKE with X25519, seal", "HPKE with X25519, open", "HPKE with X25519, derive a key pair"];
    times.extend(of_hpke(crypto, x25519, HpkeKemType::DhKem25519));
    let p256 = ["HPKE with P-256, seal", "HPKE with P-256, open", "HPKE with P-256, derive a key pair"];
    times.extend(of_hpke(crypto, p256, HpkeKemType::DhKemP256));
    times.push(("SHA-256, 64 bytes", smallest(|| crypto.hash(SHA256, &TEXT[..64]))));
    times.push(("SHA-256, 1,000 bytes", smallest(|| crypto.hash(SHA256, TEXT))));
    times.push(("HMAC, 64 bytes", smallest(|| crypto.hmac(SHA256, KEY, &TEXT[..64]))));
    times.push(("HKDF-Extract", smallest(|| crypto.hkdf_extract(SHA256, KEY, KEY))));
    times.push(("HKDF-Expand", smallest(|| crypto.hkdf_expand(SHA256, KEY, &TEXT[..64], 32))));
    let encrypt = |alg, key: &'static [u8]| smallest(move || crypto.aead_encrypt(alg, key, TEXT, NONCE, KEY));
    times.push(("AES-128-GCM, 1,000 bytes", encrypt(AeadType::Aes128Gcm, &KEY[..16])));
    times.push(("ChaCha20-Poly1305, 1,000 bytes", encrypt(AeadType::ChaCha20Poly1305, KEY)));
    times
}

fn of_signatures(crypto: &impl OpenMlsCrypto, names: [&'static str; 2], scheme: SignatureScheme) -> Times {
    let (private, public) = crypto.signature_key_gen(scheme).unwrap();
    let signature = crypto.sign(scheme, TEXT, &private).unwrap();
    vec![
        (names[0], smallest(|| crypto.sign(scheme, TEXT, &private))),
        (names[1], smallest(|| crypto.verify_signature(scheme, TEXT, &public, &signature))),
    ]
}

fn of_hpke(crypto: &impl OpenMlsCrypto, names: [&'static str; 3], kem: HpkeKemType) -> Times {
    let config = || HpkeConfig(kem, HpkeKdfType::HkdfSha256, HpkeAeadType::AesGcm128);
    let pair = crypto.derive_hpke_keypair(config(), KEY).unwrap();
    let sealed = crypto.hpke_seal(config(), &pair.public, b"info", b"aad", KEY).unwrap();
    vec![
        (names[0], smallest(|| crypto.hpke_seal(config(), &pair.public, b"info", b"aad", KEY))),
        (names[1], smallest(|| crypto.hpke_open(config(), &sealed, &pair.private, b"info", b"aad"))),
        (names[2], smallest(|| crypto.derive_hpke_keypair(config(), KEY))),
    ]
}
