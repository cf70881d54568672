//! The two providers give the same bytes and the same errors for the same input and randomness.

#![cfg(all(feature = "aws-lc", feature = "rust-crypto"))]
#![allow(missing_docs, clippy::unwrap_used)]

use openmls_traits::{
    crypto::OpenMlsCrypto,
    random::OpenMlsRand as _,
    types::{
        AeadType, Ciphersuite, CryptoError, ExporterSecret, HashType, HpkeAeadType, HpkeCiphertext, HpkeConfig,
        HpkeKdfType, HpkeKemType, HpkeKeyPair, KemOutput, SignatureScheme,
    },
};
use proptest::{collection::vec, prelude::*, sample::select};
use regrow_crypto::{AwsLc, RandomSource, RustCrypto};

const SCHEMES: [SignatureScheme; 2] = [SignatureScheme::ED25519, SignatureScheme::ECDSA_SECP256R1_SHA256];
const HASHES: [HashType; 3] = [HashType::Sha2_256, HashType::Sha2_384, HashType::Sha2_512];
const AEADS: [AeadType; 3] = [AeadType::Aes128Gcm, AeadType::Aes256Gcm, AeadType::ChaCha20Poly1305];

/// A source that repeats the same 32 bytes.
#[derive(Clone, Copy, Debug)]
struct Repeating([u8; 32]);

impl RandomSource for Repeating {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), CryptoError> {
        for (byte, repeated) in bytes.iter_mut().zip(self.0.iter().cycle()) {
            *byte = *repeated;
        }
        Ok(())
    }
}

/// A source that fails.
struct Broken;

impl RandomSource for Broken {
    fn fill(&self, _bytes: &mut [u8]) -> Result<(), CryptoError> {
        Err(CryptoError::InsufficientRandomness)
    }
}

fn both(random: [u8; 32]) -> (AwsLc<Repeating>, RustCrypto<Repeating>) {
    (AwsLc::new(Repeating(random)), RustCrypto::new(Repeating(random)))
}

fn config() -> impl Strategy<Value = fn() -> HpkeConfig> {
    let x25519_aes: fn() -> HpkeConfig =
        || HpkeConfig(HpkeKemType::DhKem25519, HpkeKdfType::HkdfSha256, HpkeAeadType::AesGcm128);
    let x25519_chacha: fn() -> HpkeConfig =
        || HpkeConfig(HpkeKemType::DhKem25519, HpkeKdfType::HkdfSha512, HpkeAeadType::ChaCha20Poly1305);
    let p256: fn() -> HpkeConfig =
        || HpkeConfig(HpkeKemType::DhKemP256, HpkeKdfType::HkdfSha256, HpkeAeadType::AesGcm256);
    let export_only: fn() -> HpkeConfig =
        || HpkeConfig(HpkeKemType::DhKem25519, HpkeKdfType::HkdfSha256, HpkeAeadType::Export);
    let unsupported: fn() -> HpkeConfig =
        || HpkeConfig(HpkeKemType::DhKem448, HpkeKdfType::HkdfSha384, HpkeAeadType::AesGcm128);
    #[cfg(feature = "post-quantum")]
    let x_wing: fn() -> HpkeConfig =
        || HpkeConfig(HpkeKemType::XWingKemDraft6, HpkeKdfType::HkdfSha256, HpkeAeadType::ChaCha20Poly1305);
    select(vec![
        x25519_aes,
        x25519_chacha,
        p256,
        export_only,
        unsupported,
        #[cfg(feature = "post-quantum")]
        x_wing,
    ])
}

fn key_pair(pair: Result<HpkeKeyPair, CryptoError>) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
    pair.map(|pair| (pair.public, pair.private.to_vec()))
}

fn sent(exported: Result<(KemOutput, ExporterSecret), CryptoError>) -> Result<(KemOutput, Vec<u8>), CryptoError> {
    exported.map(|(output, secret)| (output, secret.to_vec()))
}

fn received(exported: Result<ExporterSecret, CryptoError>) -> Result<Vec<u8>, CryptoError> {
    exported.map(|secret| secret.to_vec())
}

/// Bytes of any length that the operations see: none, the right length, and other lengths.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..80), vec(any::<u8>(), 32), vec(any::<u8>(), 16)]
}

/// Replaces one byte, cuts the end off, or leaves the bytes as they are.
fn damaged(mut bytes: Vec<u8>, (place, flipped, cut): (prop::sample::Index, u8, usize)) -> Vec<u8> {
    bytes.truncate(bytes.len().saturating_sub(cut));
    if !bytes.is_empty() {
        let place = place.index(bytes.len());
        bytes[place] ^= flipped;
    }
    bytes
}

fn damage() -> impl Strategy<Value = (prop::sample::Index, u8, usize)> {
    (any::<prop::sample::Index>(), prop_oneof![Just(0), any::<u8>()], prop_oneof![9 => Just(0_usize), 1 => 1_usize..70])
}

/// Coordinates of Curve25519 with a special meaning: small order, not canonical, and the base point
/// with its unused bit set (RFC 7748, 5 and 6.1).
fn special_points() -> Vec<[u8; 32]> {
    let prime = |low: u8| {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (low, 0x7f);
        bytes
    };
    let small = |low: u8| {
        let mut bytes = [0; 32];
        bytes[0] = low;
        bytes
    };
    let order_8 = |text: &str| hex::decode(text).unwrap().try_into().unwrap();
    let mut base = small(9);
    base[31] = 0x80;
    vec![
        small(0),
        small(1),
        small(9),
        base,
        order_8("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        order_8("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
        prime(0xec),
        prime(0xed),
        prime(0xee),
        prime(0xf0),
        [0xff; 32],
    ]
}

/// All encodings of points of Ed25519 whose order divides eight, canonical or not, and the
/// encodings of small numbers (RFC 8032, 5.1.3).
fn special_ed25519_keys() -> Vec<[u8; 32]> {
    let order_8 = [
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    ];
    let mut keys: Vec<[u8; 32]> =
        order_8.map(|text| hex::decode(text).unwrap().try_into().unwrap()).into_iter().collect();
    keys.extend(special_points());
    let signed: Vec<_> = keys
        .iter()
        .map(|key| {
            let mut key = *key;
            key[31] ^= 0x80;
            key
        })
        .collect();
    keys.extend(signed);
    keys
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hashes_and_derivations_are_equal(
        hash in select(&HASHES[..]), key in bytes(), data in vec(any::<u8>(), 0..600), length in prop_oneof![0_usize..200, Just(8160), Just(8161), Just(20_000)]
    ) {
        let (aws_lc, rust_crypto) = both([1; 32]);
        prop_assert_eq!(aws_lc.hash(hash, &data), rust_crypto.hash(hash, &data));
        prop_assert_eq!(aws_lc.hmac(hash, &key, &data), rust_crypto.hmac(hash, &key, &data));
        prop_assert_eq!(aws_lc.hkdf_extract(hash, &key, &data), rust_crypto.hkdf_extract(hash, &key, &data));
        prop_assert_eq!(
            aws_lc.hkdf_expand(hash, &key, &data, length),
            rust_crypto.hkdf_expand(hash, &key, &data, length)
        );
    }

    #[test]
    fn encryption_is_equal(
        alg in select(&AEADS[..]), key in bytes(), nonce in prop_oneof![9 => vec(any::<u8>(), 12), 1 => vec(any::<u8>(), 0..20)],
        aad in vec(any::<u8>(), 0..100), data in vec(any::<u8>(), 0..600), damage in damage()
    ) {
        let (aws_lc, rust_crypto) = both([1; 32]);
        let sealed = aws_lc.aead_encrypt(alg, &key, &data, &nonce, &aad);
        prop_assert_eq!(&sealed, &rust_crypto.aead_encrypt(alg, &key, &data, &nonce, &aad));
        let received = damaged(sealed.unwrap_or(data), damage);
        prop_assert_eq!(
            aws_lc.aead_decrypt(alg, &key, &received, &nonce, &aad),
            rust_crypto.aead_decrypt(alg, &key, &received, &nonce, &aad)
        );
    }

    #[test]
    fn signatures_are_equal(
        scheme in select(&SCHEMES[..]), random in any::<[u8; 32]>(), data in vec(any::<u8>(), 0..300),
        of_key in damage(), of_signature in damage(), compressed in any::<bool>()
    ) {
        let (aws_lc, rust_crypto) = both(random);
        let pair = aws_lc.signature_key_gen(scheme);
        prop_assert_eq!(&pair, &rust_crypto.signature_key_gen(scheme));
        // Zero is no private key of P-256.
        let Ok((private, public)) = pair else { return Ok(()) };
        let signature = aws_lc.sign(scheme, &data, &private);
        prop_assert_eq!(&signature, &rust_crypto.sign(scheme, &data, &private));
        let mut public = damaged(public, of_key);
        if compressed && public.len() == 65 {
            public = [&[2 | (public[64] & 1)][..], &public[1..33]].concat();
        }
        let signature = damaged(signature.unwrap(), of_signature);
        prop_assert_eq!(
            aws_lc.verify_signature(scheme, &data, &public, &signature),
            rust_crypto.verify_signature(scheme, &data, &public, &signature)
        );
    }

    #[test]
    fn hpke_is_equal(
        config in config(), random in any::<[u8; 32]>(), ikm in bytes(), info in vec(any::<u8>(), 0..100),
        aad in vec(any::<u8>(), 0..100), data in vec(any::<u8>(), 0..100), length in prop_oneof![0_usize..100, Just(70_000)],
        of_public in damage(), of_private in damage(), of_output in damage(), of_ciphertext in damage()
    ) {
        let (aws_lc, rust_crypto) = both(random);
        let pair = key_pair(aws_lc.derive_hpke_keypair(config(), &ikm));
        prop_assert_eq!(&pair, &key_pair(rust_crypto.derive_hpke_keypair(config(), &ikm)));
        let (public, private) = pair.unwrap_or_else(|_| (ikm.clone(), ikm.clone()));
        let (public, private) = (damaged(public, of_public), damaged(private, of_private));

        let sealed = aws_lc.hpke_seal(config(), &public, &info, &aad, &data);
        prop_assert_eq!(&sealed, &rust_crypto.hpke_seal(config(), &public, &info, &aad, &data));
        let sealed = sealed.unwrap_or(HpkeCiphertext { kem_output: public.clone().into(), ciphertext: data.into() });
        let delivered = HpkeCiphertext {
            kem_output: damaged(sealed.kem_output.as_slice().to_vec(), of_output).into(),
            ciphertext: damaged(sealed.ciphertext.as_slice().to_vec(), of_ciphertext).into(),
        };
        prop_assert_eq!(
            aws_lc.hpke_open(config(), &delivered, &private, &info, &aad),
            rust_crypto.hpke_open(config(), &delivered, &private, &info, &aad)
        );

        prop_assert_eq!(
            sent(aws_lc.hpke_setup_sender_and_export(config(), &public, &info, &aad, length)),
            sent(rust_crypto.hpke_setup_sender_and_export(config(), &public, &info, &aad, length))
        );
        let output = delivered.kem_output.as_slice();
        prop_assert_eq!(
            received(aws_lc.hpke_setup_receiver_and_export(config(), output, &private, &info, &aad, length)),
            received(rust_crypto.hpke_setup_receiver_and_export(config(), output, &private, &info, &aad, length))
        );
    }

    #[test]
    fn special_points_of_curve25519_are_equal(point in select(special_points()), private in any::<[u8; 32]>()) {
        let config = || HpkeConfig(HpkeKemType::DhKem25519, HpkeKdfType::HkdfSha256, HpkeAeadType::AesGcm128);
        let (aws_lc, rust_crypto) = both(private);
        prop_assert_eq!(
            aws_lc.hpke_seal(config(), &point, b"", b"", b"text"),
            rust_crypto.hpke_seal(config(), &point, b"", b"", b"text")
        );
        prop_assert_eq!(
            received(aws_lc.hpke_setup_receiver_and_export(config(), &point, &private, b"", b"", 32)),
            received(rust_crypto.hpke_setup_receiver_and_export(config(), &point, &private, b"", b"", 32))
        );
    }
}

/// A signature of zeros under a key of small order is valid for many texts by the rule without
/// strictness. Such a key signs for everybody.
#[test]
fn keys_of_small_order_verify_nothing() {
    let (aws_lc, rust_crypto) = both([1; 32]);
    for key in special_ed25519_keys() {
        for first_half in special_ed25519_keys() {
            let signature = [first_half, [0; 32]].concat();
            for data in [&b"one"[..], b"two", b"three", b"four"] {
                let outcome = aws_lc.verify_signature(SignatureScheme::ED25519, data, &key, &signature);
                assert!(outcome.is_err(), "{}", hex::encode(key));
                assert_eq!(outcome, rust_crypto.verify_signature(SignatureScheme::ED25519, data, &key, &signature));
            }
        }
    }
}

#[test]
fn private_keys_outside_the_order_of_p256_are_refused() {
    let (aws_lc, rust_crypto) = both([0xff; 32]);
    let config = || HpkeConfig(HpkeKemType::DhKemP256, HpkeKdfType::HkdfSha256, HpkeAeadType::AesGcm128);
    let scheme = SignatureScheme::ECDSA_SECP256R1_SHA256;
    assert_eq!(aws_lc.signature_key_gen(scheme), Err(CryptoError::InsufficientRandomness));
    assert_eq!(rust_crypto.signature_key_gen(scheme), Err(CryptoError::InsufficientRandomness));
    let public = aws_lc.derive_hpke_keypair(config(), &[1; 32]).unwrap().public;
    for private in [[0; 32], [0xff; 32]] {
        assert!(aws_lc.sign(scheme, b"", &private).is_err());
        assert_eq!(aws_lc.sign(scheme, b"", &private), rust_crypto.sign(scheme, b"", &private));
        let refused = Err(CryptoError::ReceiverSetupError);
        let outcome = aws_lc.hpke_setup_receiver_and_export(config(), &public, &private, b"", b"", 32);
        assert_eq!(received(outcome), refused);
        let outcome = rust_crypto.hpke_setup_receiver_and_export(config(), &public, &private, b"", b"", 32);
        assert_eq!(received(outcome), refused);
    }
}

#[test]
fn failure_of_the_source_withholds_every_result() {
    let config = || HpkeConfig(HpkeKemType::DhKem25519, HpkeKdfType::HkdfSha256, HpkeAeadType::AesGcm128);
    let failure = CryptoError::InsufficientRandomness;
    fn outcomes(crypto: &impl OpenMlsCrypto, config: &dyn Fn() -> HpkeConfig) -> Vec<CryptoError> {
        let public = crypto.derive_hpke_keypair(config(), &[1; 32]).unwrap().public;
        let mut errors: Vec<_> =
            SCHEMES.into_iter().map(|scheme| crypto.signature_key_gen(scheme).unwrap_err()).collect();
        errors.push(crypto.hpke_seal(config(), &public, b"", b"", b"").unwrap_err());
        errors.push(crypto.hpke_setup_sender_and_export(config(), &public, b"", b"", 32).unwrap_err());
        errors
    }
    assert_eq!(outcomes(&AwsLc::new(Broken), &config), [failure; 4]);
    assert_eq!(outcomes(&RustCrypto::new(Broken), &config), [failure; 4]);
    assert_eq!(AwsLc::new(Broken).random_vec(5), Err(failure));
    assert_eq!(RustCrypto::new(Broken).random_array::<5>(), Err(failure));
}

#[test]
fn wrong_lengths_are_errors_and_no_panics() {
    fn check(crypto: &impl OpenMlsCrypto) {
        let failed = Err(CryptoError::CryptoLibraryError);
        assert_eq!(crypto.aead_encrypt(AeadType::Aes128Gcm, &[0; 16], b"", &[0; 11], b""), failed);
        assert_eq!(
            crypto.aead_decrypt(AeadType::Aes128Gcm, &[0; 16], &[0; 16], &[0; 13], b""),
            Err(CryptoError::AeadDecryptionError)
        );
        for key in [&[1; 31][..], &[1; 33], &[1; 64], b""] {
            for scheme in SCHEMES {
                assert_eq!(crypto.sign(scheme, b"", key), failed);
            }
        }
        let absurd = crypto.hkdf_expand(HashType::Sha2_256, &[0; 32], b"", usize::MAX / 2);
        assert!(absurd.is_err());
    }
    check(&AwsLc::default());
    check(&RustCrypto::default());
}

/// Forms of SEC 1, 2.3.3 that RFC 9420 does not use, and points that are not on the curve. Some are
/// accepted, for the sake of members with other software, but always by both.
#[test]
fn odd_encodings_of_p256_keys_are_equal() {
    let config = || HpkeConfig(HpkeKemType::DhKemP256, HpkeKdfType::HkdfSha256, HpkeAeadType::AesGcm128);
    let scheme = SignatureScheme::ECDSA_SECP256R1_SHA256;
    let (aws_lc, rust_crypto) = both([5; 32]);
    let (private, public) = aws_lc.signature_key_gen(scheme).unwrap();
    let signature = aws_lc.sign(scheme, b"text", &private).unwrap();
    let with = |first: u8, rest: &[u8]| [&[first][..], rest].concat();
    let (x, both_coordinates) = (&public[1..33], &public[1..]);
    let mut keys = vec![Vec::new(), vec![0], vec![0; 65], x.to_vec(), both_coordinates.to_vec()];
    keys.extend([2, 3, 5].map(|first| with(first, x)));
    keys.extend([2, 3, 4, 5, 6, 7].map(|first| with(first, both_coordinates)));
    keys.extend([2, 3, 5].map(|first| with(first, &[0xff; 32])));
    keys.extend([with(4, &[0xff; 64]), with(4, &[0; 64]), with(4, &[1; 64]), with(4, x)]);
    for key in keys {
        let verified = aws_lc.verify_signature(scheme, b"text", &key, &signature);
        assert_eq!(verified, rust_crypto.verify_signature(scheme, b"text", &key, &signature), "{}", hex::encode(&key));
        let sealed = aws_lc.hpke_seal(config(), &key, b"", b"", b"text");
        assert_eq!(sealed, rust_crypto.hpke_seal(config(), &key, b"", b"", b"text"), "{}", hex::encode(&key));
        let exported = aws_lc.hpke_setup_receiver_and_export(config(), &key, &private, b"", b"", 32);
        let theirs = rust_crypto.hpke_setup_receiver_and_export(config(), &key, &private, b"", b"", 32);
        assert_eq!(received(exported), received(theirs), "{}", hex::encode(&key));
    }
    for length in [0, 1, 23, 24, 31, 32, 33] {
        let private = vec![1; length];
        let exported = aws_lc.hpke_setup_receiver_and_export(config(), &public, &private, b"", b"", 32);
        let theirs = rust_crypto.hpke_setup_receiver_and_export(config(), &public, &private, b"", b"", 32);
        assert_eq!(received(exported), received(theirs), "{length} bytes");
    }
}

#[test]
fn both_support_the_same_ciphersuites() {
    let (aws_lc, rust_crypto) = both([1; 32]);
    assert_eq!(aws_lc.supported_ciphersuites(), rust_crypto.supported_ciphersuites());
    for ciphersuite in 1..=7 {
        let ciphersuite = Ciphersuite::try_from(ciphersuite).unwrap();
        assert_eq!(aws_lc.supports(ciphersuite), rust_crypto.supports(ciphersuite));
    }
    fn refuses(crypto: &impl OpenMlsCrypto, scheme: SignatureScheme) {
        let unsupported = CryptoError::UnsupportedSignatureScheme;
        assert_eq!(crypto.signature_key_gen(scheme), Err(unsupported));
        assert_eq!(crypto.sign(scheme, b"", &[1; 48]), Err(unsupported));
        assert_eq!(crypto.verify_signature(scheme, b"", &[4; 97], &[1; 96]), Err(unsupported));
    }
    for scheme in
        [SignatureScheme::ECDSA_SECP384R1_SHA384, SignatureScheme::ECDSA_SECP521R1_SHA512, SignatureScheme::ED448]
    {
        refuses(&aws_lc, scheme);
        refuses(&rust_crypto, scheme);
    }
}
