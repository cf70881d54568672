//! Cryptography that records how secrets are derived. A test can ask which secrets follow from a
//! snapshot.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex},
};

use openmls::prelude::tls_codec::SecretVLBytes;
use openmls_traits::types::{AeadType, CryptoError, ExporterSecret, HashType, HpkeCiphertext, HpkeConfig, HpkeKeyPair};
use regrow_crypto::DefaultCrypto;
use regrow_engine::{CryptoProvider, Layer, Snapshot};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

/// A tape of all derivations. Several devices share one tape.
#[derive(Clone, Default)]
pub struct Tape {
    crypto: Arc<DefaultCrypto>,
    recorded: Arc<Mutex<RecordedDerivations>>,
}

#[derive(Default)]
struct RecordedDerivations {
    /// The recorded derivations: all secrets of the first value together give the second value.
    gives: Vec<(Vec<Vec<u8>>, Vec<u8>)>,
    /// The keys that application messages and handshakes were encrypted with, in order.
    sealed: Vec<Vec<u8>>,
}

impl Tape {
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the key of the last encrypted message. (Its sender data were encrypted after it.)
    pub fn message_key(&self) -> Vec<u8> {
        let recorded = self.recorded.lock().unwrap();
        recorded.sealed[recorded.sealed.len() - 2].clone()
    }

    /// Returns true if `key` follows from the snapshot.
    pub fn gives_away(&self, snapshot: &Snapshot, key: &[u8]) -> bool {
        let recorded = self.recorded.lock().unwrap();
        let mut known: BTreeSet<Vec<u8>> =
            snapshot.records().iter().flat_map(|record| byte_strings(record.value())).collect();
        loop {
            let before = known.len();
            for (from, to) in &recorded.gives {
                // Constants are not secret, for example the zero vector in place of a PSK.
                if from.iter().all(|secret| secret.iter().all(|byte| *byte == 0) || known.contains(secret)) {
                    known.insert(to.clone());
                }
            }
            if known.len() == before {
                return known.contains(key);
            }
        }
    }

    fn gives(&self, from: &[&[u8]], to: &[u8]) {
        let from = from.iter().map(|secret| secret.to_vec()).collect();
        self.recorded.lock().unwrap().gives.push((from, to.to_vec()));
    }
}

impl Layer for Tape {
    fn within(&self) -> &dyn CryptoProvider {
        &*self.crypto
    }

    fn hkdf_extract(&self, hash: HashType, salt: &[u8], ikm: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        let out = self.within().hkdf_extract(hash, salt, ikm)?;
        self.gives(&[salt, ikm], out.as_slice());
        Ok(out)
    }

    fn hkdf_expand(&self, hash: HashType, prk: &[u8], info: &[u8], len: usize) -> Result<SecretVLBytes, CryptoError> {
        let out = self.within().hkdf_expand(hash, prk, info, len)?;
        self.gives(&[prk], out.as_slice());
        Ok(out)
    }

    fn aead_encrypt(
        &self,
        alg: AeadType,
        key: &[u8],
        data: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        self.recorded.lock().unwrap().sealed.push(key.to_vec());
        self.within().aead_encrypt(alg, key, data, nonce, aad)
    }

    fn hpke_open(
        &self,
        config: HpkeConfig,
        input: &HpkeCiphertext,
        sk_r: &[u8],
        info: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let plaintext = self.within().hpke_open(config, input, sk_r, info, aad)?;
        self.gives(&[sk_r], &plaintext);
        Ok(plaintext)
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
        let within = self.within();
        let secret =
            within.hpke_setup_receiver_and_export(config, enc, sk_r, info, exporter_context, exporter_length)?;
        self.gives(&[sk_r], &secret);
        Ok(secret)
    }

    fn derive_hpke_keypair(&self, config: HpkeConfig, ikm: &[u8]) -> Result<HpkeKeyPair, CryptoError> {
        let pair = self.within().derive_hpke_keypair(config, ikm)?;
        self.gives(&[ikm], &pair.private);
        Ok(pair)
    }
}

/// Returns all byte strings of 16 bytes or more in a record, in any encoding.
pub fn byte_strings(record: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let value: DecodedValue = rmp_serde::from_slice(record).expect("every record is MessagePack");
    value.collect(&mut found);
    found
}

/// A decoded value of a record.
enum DecodedValue {
    Byte(u8),
    Bytes(Vec<u8>),
    List(Vec<DecodedValue>),
    Other,
}

impl DecodedValue {
    fn collect(self, found: &mut Vec<Vec<u8>>) {
        match self {
            Self::Bytes(bytes) if bytes.len() >= 16 => found.push(bytes),
            Self::List(items) => {
                let bytes: Option<Vec<u8>> =
                    items.iter().map(|item| if let Self::Byte(byte) = item { Some(*byte) } else { None }).collect();
                match bytes {
                    Some(bytes) if bytes.len() >= 16 => found.push(bytes),
                    _ => items.into_iter().for_each(|item| item.collect(found)),
                }
            }
            _ => {}
        }
    }
}

impl<'de> Deserialize<'de> for DecodedValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DecodedValueVisitor)
    }
}

struct DecodedValueVisitor;

impl<'de> Visitor<'de> for DecodedValueVisitor {
    type Value = DecodedValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E>(self, _: bool) -> Result<DecodedValue, E> {
        Ok(DecodedValue::Other)
    }

    fn visit_u64<E>(self, number: u64) -> Result<DecodedValue, E> {
        Ok(u8::try_from(number).map_or(DecodedValue::Other, DecodedValue::Byte))
    }

    fn visit_i64<E>(self, _: i64) -> Result<DecodedValue, E> {
        Ok(DecodedValue::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<DecodedValue, E> {
        Ok(DecodedValue::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<DecodedValue, E> {
        Ok(DecodedValue::Other)
    }

    fn visit_unit<E>(self) -> Result<DecodedValue, E> {
        Ok(DecodedValue::Other)
    }

    fn visit_none<E>(self) -> Result<DecodedValue, E> {
        Ok(DecodedValue::Other)
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<DecodedValue, D::Error> {
        Deserialize::deserialize(inner)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<DecodedValue, D::Error> {
        Deserialize::deserialize(inner)
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<DecodedValue, E> {
        Ok(DecodedValue::Bytes(bytes.to_vec()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<DecodedValue, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(DecodedValue::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DecodedValue, A::Error> {
        let mut items = Vec::new();
        while let Some((key, value)) = map.next_entry()? {
            items.push(key);
            items.push(value);
        }
        // A map of numbers to numbers is not a byte string.
        items.push(DecodedValue::Other);
        Ok(DecodedValue::List(items))
    }
}
