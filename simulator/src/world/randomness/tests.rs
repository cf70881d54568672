use std::collections::BTreeSet;
use std::thread;

use openmls_traits::types::{Ciphersuite, HpkeKeyPair};

use super::*;

const SUITES: &[Ciphersuite] = &[
    Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519,
    Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519,
    Ciphersuite::MLS_128_DHKEMP256_AES128GCM_SHA256_P256,
    #[cfg(feature = "post-quantum")]
    Ciphersuite::MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519,
];
const X25519: Ciphersuite = SUITES[0];
const INFO: &[u8] = b"info";
const AAD: &[u8] = b"aad";

fn alice(step: &str) -> SeededCrypto {
    device(7, "alice", step)
}

fn device(seed: u64, name: &str, step: &str) -> SeededCrypto {
    let crypto = SeededCrypto::new(seed, name);
    crypto.begin_step(step);
    crypto
}

fn receiver(suite: Ciphersuite) -> HpkeKeyPair {
    DefaultCrypto::default().derive_hpke_keypair(suite.hpke_config(), &[3; 32]).unwrap()
}

fn seal(crypto: &SeededCrypto, suite: Ciphersuite, ptxt: &[u8]) -> HpkeCiphertext {
    let public = receiver(suite).public;
    crypto.hpke_seal(suite.hpke_config(), &public, INFO, AAD, ptxt).unwrap()
}

fn export(crypto: &SeededCrypto, suite: Ciphersuite) -> (KemOutput, ExporterSecret) {
    let public = receiver(suite).public;
    crypto.hpke_setup_sender_and_export(suite.hpke_config(), &public, INFO, b"context", 32).unwrap()
}

/// Everything that a device can draw.
fn all_draws(crypto: &SeededCrypto) -> Vec<Vec<u8>> {
    let mut draws = vec![crypto.random_bytes(40).unwrap()];
    for &suite in SUITES {
        let (private, public) = crypto.signature_key_gen(suite.signature_algorithm()).unwrap();
        let sealed = seal(crypto, suite, b"secret");
        let (kem_output, exported) = export(crypto, suite);
        draws.extend([private, public]);
        draws.extend([sealed.kem_output.as_slice().to_vec(), sealed.ciphertext.as_slice().to_vec()]);
        draws.extend([kem_output, exported.to_vec()]);
    }
    draws
}

#[test]
fn same_seed_device_and_step_draw_the_same() {
    assert_eq!(all_draws(&alice("5.2#3")), all_draws(&alice("5.2#3")));
}

#[test]
fn other_seed_device_or_step_draws_something_else_everywhere() {
    let mut draws = Vec::new();
    for crypto in
        [alice("1"), alice("2"), device(7, "bob", "1"), device(8, "alice", "1"), SeededCrypto::new(7, "alice")]
    {
        draws.extend(all_draws(&crypto));
    }

    let distinct: BTreeSet<_> = draws.iter().collect();

    assert_eq!(distinct.len(), draws.len());
}

#[test]
fn device_and_step_do_not_run_into_each_other() {
    assert_ne!(device(7, "m1", "2").random_bytes(32), device(7, "m", "12").random_bytes(32));
}

#[test]
fn step_draws_the_same_without_the_steps_before_it() {
    let whole = alice("1");
    whole.random_bytes(100).unwrap();
    whole.begin_step("2");

    assert_eq!(all_draws(&whole), all_draws(&alice("2")));
}

#[test]
fn draws_within_a_step_are_fresh() {
    let crypto = alice("1");

    assert_ne!(crypto.random_bytes(32), crypto.random_bytes(32));
    for &suite in SUITES {
        let scheme = suite.signature_algorithm();
        assert_ne!(crypto.signature_key_gen(scheme), crypto.signature_key_gen(scheme));
        let ((first, _), (second, _)) = (export(&crypto, suite), export(&crypto, suite));
        assert_ne!(first, second);
    }
}

#[test]
fn bytes_of_a_substream_never_change() {
    // Pinned: a seed in a scenario file must mean the same to the next version of this crate and on
    // any machine. Of the key: SHA-256 over each of "regrow simulation", seed, device and step
    // behind its length (8 bytes, big-endian).
    let crypto = alice("5.2#3");

    assert_eq!(
        crypto.random_bytes(8).unwrap(),
        [201, 186, 187, 147, 170, 12, 205, 17],
        "the first bytes of the stream"
    );
    assert_eq!(
        &seal(&crypto, X25519, b"secret").kem_output.as_slice()[..8],
        [49, 13, 135, 139, 46, 40, 172, 91],
        "the first bytes of an encapsulated key"
    );
}

#[test]
fn sealing_does_not_depend_on_order() {
    let (forwards, backwards) = (alice("1"), alice("1"));
    let first = seal(&forwards, X25519, b"one");
    let second = seal(&forwards, X25519, b"two");
    backwards.random_bytes(5).unwrap();

    assert_eq!(seal(&backwards, X25519, b"two"), second);
    assert_eq!(seal(&backwards, X25519, b"one"), first);
}

#[test]
fn sealing_does_not_depend_on_the_thread() {
    let crypto = alice("1");
    let here: Vec<_> = (0..8).map(|n| seal(&crypto, X25519, &[n])).collect();

    let there: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|n| {
                scope.spawn({
                    let crypto = &crypto;
                    move || seal(crypto, X25519, &[n])
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });

    assert_eq!(there, here);
}

#[test]
fn every_input_of_a_sealing_changes_its_ephemeral_key() {
    let crypto = alice("1");
    let other = crypto.derive_hpke_keypair(X25519.hpke_config(), &[4; 32]).unwrap().public;
    let public = receiver(X25519).public;
    let inputs: [[&[u8]; 4]; 6] = [
        [&public, b"info", b"aad", b"secret"],
        [&other, b"info", b"aad", b"secret"],
        [&public, b"infoa", b"ad", b"secret"],
        [&public, b"info", b"", b"aadsecret"],
        [&public, b"info", b"aad", b"secret2"],
        [&public, b"", b"info", b"secret"],
    ];

    let ephemeral: BTreeSet<Vec<u8>> = inputs
        .iter()
        .map(|[pk, info, aad, ptxt]| {
            let sealed = crypto.hpke_seal(X25519.hpke_config(), pk, info, aad, ptxt).unwrap();
            sealed.kem_output.as_slice().to_vec()
        })
        .collect();

    assert_eq!(ephemeral.len(), inputs.len());
}

#[test]
fn system_provider_opens_the_ciphertext() {
    for &suite in SUITES {
        let sealed = seal(&alice("1"), suite, b"secret");

        let opened =
            DefaultCrypto::default().hpke_open(suite.hpke_config(), &sealed, &receiver(suite).private, INFO, AAD);

        assert_eq!(opened.as_deref(), Ok(b"secret".as_slice()));
    }
}

#[test]
fn system_provider_exports_the_same_secret_on_the_other_side() {
    for &suite in SUITES {
        let (kem_output, sent) = export(&alice("1"), suite);

        let received = DefaultCrypto::default()
            .hpke_setup_receiver_and_export(
                suite.hpke_config(),
                &kem_output,
                &receiver(suite).private,
                INFO,
                b"context",
                32,
            )
            .unwrap();

        assert_eq!(*received, *sent);
    }
}

#[test]
fn generated_keys_sign_as_those_of_the_system() {
    let (seeded, plain) = (alice("1"), DefaultCrypto::default());
    for suite in seeded.supported_ciphersuites() {
        let scheme = suite.signature_algorithm();
        let (private, public) = seeded.signature_key_gen(scheme).unwrap();
        let theirs = plain.signature_key_gen(scheme).unwrap();

        let signature = plain.sign(scheme, b"text", &private).unwrap();

        assert_eq!(plain.verify_signature(scheme, b"text", &public, &signature), Ok(()));
        assert_eq!((private.len(), public.len()), (theirs.0.len(), theirs.1.len()));
    }
}

#[test]
fn unsupported_scheme_is_refused() {
    let generated = alice("1").signature_key_gen(SignatureScheme::ED448);
    assert_eq!(generated, Err(CryptoError::UnsupportedSignatureScheme));
}

#[test]
fn bad_public_key_is_refused() {
    for &suite in SUITES {
        let sealed = alice("1").hpke_seal(suite.hpke_config(), b"short", INFO, AAD, b"secret");

        assert_eq!(sealed, Err(CryptoError::CryptoLibraryError));
    }
}

#[test]
fn poisoned_substream_refuses_to_draw_until_the_next_step() {
    let crypto = alice("1");
    thread::scope(|scope| {
        let panicked = scope.spawn(|| {
            let _held = crypto.substream.lock();
            panic!("on purpose");
        });
        assert!(panicked.join().is_err());
    });

    assert_eq!(crypto.random_bytes(1), Err(CryptoError::InsufficientRandomness));
    crypto.begin_step("2");
    assert_eq!(crypto.random_bytes(32), alice("2").random_bytes(32));
}

#[test]
fn debug_output_shows_no_randomness() {
    assert_eq!(format!("{:?}", alice("5.2#3")), r#"SeededCrypto { device: "alice", step: "5.2#3", .. }"#);
}

/// Two devices that share results.
fn sharing_devices() -> [SeededCrypto; 2] {
    let shared = Arc::<SharedResults>::default();
    ["alice", "bob"].map(|name| SeededCrypto::new(1, name).sharing(shared.clone()))
}

#[test]
fn shared_verification_lets_no_bad_signature_through() {
    let [alice, bob] = sharing_devices();
    let (private, public) = alice.signature_key_gen(SignatureScheme::ED25519).unwrap();
    let signature = alice.sign(SignatureScheme::ED25519, b"yes", &private).unwrap();

    assert!(alice.verify_signature(SignatureScheme::ED25519, b"no", &public, &signature).is_err());
    assert!(alice.verify_signature(SignatureScheme::ED25519, b"yes", &public, &signature).is_ok());
    assert!(bob.verify_signature(SignatureScheme::ED25519, b"yes", &public, &signature).is_ok());
    assert!(bob.verify_signature(SignatureScheme::ED25519, b"no", &public, &signature).is_err());
}

#[test]
fn shared_decryption_opens_nothing_with_other_inputs() {
    let [alice, bob] = sharing_devices();
    for &suite in SUITES {
        let (owner, sealed) = (receiver(suite), seal(&alice, suite, b"secret"));
        let open = |crypto: &SeededCrypto, key: &[u8], info: &[u8], aad: &[u8]| {
            crypto.hpke_open(suite.hpke_config(), &sealed, key, info, aad)
        };
        let stranger = DefaultCrypto::default().derive_hpke_keypair(suite.hpke_config(), &[4; 32]).unwrap();

        assert_eq!(open(&alice, &owner.private, INFO, AAD).unwrap(), b"secret");
        assert_eq!(open(&bob, &owner.private, INFO, AAD).unwrap(), b"secret");
        assert!(open(&bob, &stranger.private, INFO, AAD).is_err());
        assert!(open(&bob, &owner.private, b"other", AAD).is_err());
        assert!(open(&bob, &owner.private, INFO, b"other").is_err());
        // The two inputs together are the same bytes as before.
        assert!(open(&bob, &owner.private, b"infoa", b"ad").is_err());
    }
}

#[test]
fn shared_results_are_those_of_the_provider() {
    let (devices, provider) = (sharing_devices(), DefaultCrypto::default());
    for crypto in &devices {
        for &suite in SUITES {
            for input in [[3; 32], [4; 32]] {
                let shared = crypto.derive_hpke_keypair(suite.hpke_config(), &input).unwrap();
                let own = provider.derive_hpke_keypair(suite.hpke_config(), &input).unwrap();
                assert_eq!((shared.private.to_vec(), shared.public), (own.private.to_vec(), own.public));
            }
        }
        // The second time, a hash is a known hash.
        for data in [&[1; 500][..], &[1; 501], &[1; 600], &[2; 500], &[], &[1; 500], &[2; 500], &[]] {
            for algorithm in [HashType::Sha2_256, HashType::Sha2_384, HashType::Sha2_512] {
                assert_eq!(crypto.hash(algorithm, data), provider.hash(algorithm, data));
            }
        }
    }
}
