//! Both providers give the test vectors of RFC 9180, appendix A, for the HPKE of RFC 9420's
//! ciphersuites 1 to 3 in base mode. `rfc9180.json` has these vectors: the setup, the first
//! encryption, and the exported values.

#![allow(missing_docs, clippy::unwrap_used)]

use openmls_traits::{
    crypto::OpenMlsCrypto,
    types::{CryptoError, HpkeAeadType, HpkeCiphertext, HpkeConfig, HpkeKdfType, HpkeKemType},
};
use regrow_crypto::RandomSource;
use serde_json::Value;

/// A source that gives the same bytes each time.
struct Fixed(Vec<u8>);

impl RandomSource for Fixed {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), CryptoError> {
        bytes.copy_from_slice(&self.0);
        Ok(())
    }
}

fn field(vector: &Value, name: &str) -> Vec<u8> {
    hex::decode(vector[name].as_str().unwrap()).unwrap()
}

fn config(vector: &Value) -> HpkeConfig {
    let kem = match vector["kem_id"].as_u64().unwrap() {
        0x10 => HpkeKemType::DhKemP256,
        0x20 => HpkeKemType::DhKem25519,
        other => unreachable!("{other}"),
    };
    let aead = match vector["aead_id"].as_u64().unwrap() {
        1 => HpkeAeadType::AesGcm128,
        3 => HpkeAeadType::ChaCha20Poly1305,
        other => unreachable!("{other}"),
    };
    HpkeConfig(kem, HpkeKdfType::HkdfSha256, aead)
}

fn check<C: OpenMlsCrypto>(with: impl Fn(Fixed) -> C) {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("rfc9180.json")).unwrap();
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        let [info, aad, plaintext, ciphertext] = ["info", "aad", "pt", "ct"].map(|name| field(&vector, name));
        let [public, private, enc] = ["pkRm", "skRm", "enc"].map(|name| field(&vector, name));
        let sender = with(Fixed(field(&vector, "ikmE")));

        let receiver = sender.derive_hpke_keypair(config(&vector), &field(&vector, "ikmR")).unwrap();
        assert_eq!((&*receiver.private, &receiver.public), (&private[..], &public));

        let sealed = sender.hpke_seal(config(&vector), &public, &info, &aad, &plaintext).unwrap();
        let expected = HpkeCiphertext { kem_output: enc.clone().into(), ciphertext: ciphertext.into() };
        assert_eq!(sealed, expected);
        assert_eq!(sender.hpke_open(config(&vector), &sealed, &private, &info, &aad).unwrap(), plaintext);

        for export in vector["exports"].as_array().unwrap() {
            let [context, expected] = ["exporter_context", "exported_value"].map(|name| field(export, name));
            let (kem_output, sent) =
                sender.hpke_setup_sender_and_export(config(&vector), &public, &info, &context, expected.len()).unwrap();
            let received = sender
                .hpke_setup_receiver_and_export(config(&vector), &enc, &private, &info, &context, expected.len())
                .unwrap();
            assert_eq!((&kem_output, &*sent, &*received), (&enc, &expected[..], &expected[..]));
        }
    }
}

#[cfg(feature = "aws-lc")]
#[test]
fn aws_lc_gives_the_vectors_of_rfc_9180() {
    check(regrow_crypto::AwsLc::new);
}

#[cfg(feature = "rust-crypto")]
#[test]
fn rust_crypto_gives_the_vectors_of_rfc_9180() {
    check(regrow_crypto::RustCrypto::new);
}
