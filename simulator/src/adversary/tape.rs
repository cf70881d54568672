//! The tape: every crypto call of a device, with its inputs and outputs.
//!
//! A [`Taped`] provider is a layer over the device's cryptography that changes no result. Its
//! [`CallLog`] always counts the calls, and keeps the calls themselves only if the scenario has a
//! theft. The tape knows nothing of MLS. The [graph](super::graph) takes the calls, and decides
//! which secrets follow.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use openmls_traits::types::{
    AeadType, CryptoError, ExporterSecret, HashType, HpkeCiphertext, HpkeConfig, HpkeKeyPair, KemOutput,
    SignatureScheme,
};
use regrow_engine::{CryptoProvider, Layer};
use tls_codec::SecretVLBytes;

use crate::cost::{CostCounts, Costs, Operation};

/// Inputs and outputs of calls. They are secrets of a simulation, and follow from the seed in its
/// file.
pub(crate) type Bytes = Vec<u8>;

/// A crypto call in which a secret follows from other secrets.
#[derive(Clone)]
pub(crate) enum CryptoCall {
    /// Random bytes were drawn.
    Random { out: Bytes },
    /// HKDF-Extract (RFC 5869).
    Extract { salt: Bytes, ikm: Bytes, out: Bytes },
    /// HKDF-Expand, with the KDFLabel of RFC 9420, 8, as its info.
    Expand { prk: Bytes, info: Vec<u8>, out: Bytes },
    /// HMAC: a confirmation or membership tag (RFC 9420, 6.1 and 6.2).
    Mac { key: Bytes, tag: Bytes },
    /// An HPKE key pair was derived.
    KeyPair { ikm: Bytes, private: Bytes, public: Vec<u8> },
    /// A signature key pair was made.
    SignatureKey { private: Bytes },
    /// HPKE encryption to the owner of a private key.
    Sealed { public: Vec<u8>, info: Vec<u8>, plaintext: Bytes, ciphertext: Vec<u8> },
    /// HPKE decryption.
    Opened { private: Bytes, info: Vec<u8>, plaintext: Bytes, ciphertext: Vec<u8> },
    /// A secret that is shared with the owner of a private key (RFC 9180, 6.2).
    ExportedTo { public: Vec<u8>, encapsulated: Vec<u8>, out: Bytes },
    /// The same secret, computed by that owner.
    ExportedFrom { private: Bytes, encapsulated: Vec<u8>, out: Bytes },
    /// AEAD encryption, or decryption that succeeded.
    Aead(Aead),
}

/// An AEAD ciphertext, with the values that open it.
#[derive(Clone)]
pub(crate) struct Aead {
    pub(crate) algorithm: AeadType,
    pub(crate) key: Bytes,
    pub(crate) nonce: Vec<u8>,
    pub(crate) aad: Vec<u8>,
    pub(crate) plaintext: Bytes,
    pub(crate) ciphertext: Vec<u8>,
}

/// A call, and the operation of its device.
pub(crate) struct RecordedCall {
    pub(crate) operation: Operation,
    pub(crate) call: CryptoCall,
}

/// The calls of one device's cryptography.
pub struct CallLog {
    /// The device's name.
    device: Arc<str>,
    entries: Mutex<LogState>,
}

struct LogState {
    operation: Operation,
    /// The costs of the present operation. They are kept apart because OpenMLS makes thousands of
    /// hashes in one operation.
    present: CostCounts,
    /// The costs of the operations before it.
    costs: Costs,
    /// The calls that were recorded and not taken yet; [`None`] if the log only counts.
    calls: Option<Vec<RecordedCall>>,
}

/// A state of the log to which it can return.
pub(crate) struct Mark {
    operation: Operation,
    present: CostCounts,
    costs: Costs,
    calls: usize,
}

impl CallLog {
    /// An empty log of the device with this name. It keeps calls, or only counts them.
    #[must_use]
    pub fn new(device: &str, keep_calls: bool) -> Arc<Self> {
        let calls = keep_calls.then(Vec::new);
        let (operation, present) = Default::default();
        let entries = Mutex::new(LogState { operation, present, costs: Costs::new(), calls });
        Arc::new(Self { device: device.into(), entries })
    }

    pub(crate) fn device(&self) -> &Arc<str> {
        &self.device
    }

    /// Begins an operation of the device, in a new call of the engine.
    pub fn begin(&self, operation: Operation) {
        let mut entries = self.entries();
        entries.settle();
        entries.operation = operation;
        entries.present.calls = 1;
    }

    /// The present operation turned out to be another one.
    pub(crate) fn relabel(&self, operation: Operation) {
        self.entries().operation = operation;
    }

    /// The costs of the present operation so far.
    #[must_use]
    pub fn present(&self) -> CostCounts {
        self.entries().present
    }

    /// The costs of each operation so far.
    #[must_use]
    pub fn costs(&self) -> Costs {
        let mut entries = self.entries();
        entries.settle();
        entries.costs.clone()
    }

    /// Takes the calls that were recorded since the last time.
    pub(crate) fn take(&self) -> Vec<RecordedCall> {
        self.entries().calls.as_mut().map(mem::take).unwrap_or_default()
    }

    /// Returns a mark. All later records can be undone.
    pub(crate) fn mark(&self) -> Mark {
        let entries = self.entries();
        Mark {
            operation: entries.operation,
            present: entries.present,
            costs: entries.costs.clone(),
            calls: entries.calls.as_ref().map_or(0, Vec::len),
        }
    }

    /// Undoes all records since the mark, because the device will do these operations again.
    pub(crate) fn go_back(&self, to: &Mark) {
        let mut entries = self.entries();
        (entries.operation, entries.present) = (to.operation, to.present);
        entries.costs.clone_from(&to.costs);
        if let Some(calls) = &mut entries.calls {
            calls.truncate(to.calls);
        }
    }

    fn entries(&self) -> MutexGuard<'_, LogState> {
        // If a thread panicked while it had the log, the log lacks at most one entry.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call, and keeps it if the log keeps calls.
    fn note(&self, count: impl FnOnce(&mut CostCounts), call: impl FnOnce() -> CryptoCall) {
        let mut entries = self.entries();
        let operation = entries.operation;
        count(&mut entries.present);
        if let Some(calls) = &mut entries.calls {
            calls.push(RecordedCall { operation, call: call() });
        }
    }

    fn count(&self, count: impl FnOnce(&mut CostCounts)) {
        count(&mut self.entries().present);
    }
}

impl LogState {
    /// Adds the costs of the present operation to the costs before it.
    fn settle(&mut self) {
        let present = std::mem::take(&mut self.present);
        if present != CostCounts::default() {
            *self.costs.entry(self.operation).or_default() += present;
        }
    }
}

/// A device's cryptography with a tape.
pub struct Taped {
    within: Arc<dyn CryptoProvider>,
    log: Arc<CallLog>,
}

impl Taped {
    /// Records the calls of `within` in that log.
    #[must_use]
    pub fn new(within: Arc<dyn CryptoProvider>, log: Arc<CallLog>) -> Self {
        Self { within, log }
    }
}

impl Layer for Taped {
    fn within(&self) -> &dyn CryptoProvider {
        &*self.within
    }

    fn random_bytes(&self, len: usize) -> Result<Vec<u8>, CryptoError> {
        let out = self.within.random_bytes(len)?;
        self.log.note(|counts| counts.random_bytes += len as u64, || CryptoCall::Random { out: out.to_vec() });
        Ok(out)
    }

    fn hkdf_extract(&self, hash: HashType, salt: &[u8], ikm: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        let out = self.within.hkdf_extract(hash, salt, ikm)?;
        let call = || CryptoCall::Extract { salt: salt.to_vec(), ikm: ikm.to_vec(), out: out.as_slice().to_vec() };
        self.log.note(|counts| counts.kdf += 1, call);
        Ok(out)
    }

    fn hkdf_expand(&self, hash: HashType, prk: &[u8], info: &[u8], len: usize) -> Result<SecretVLBytes, CryptoError> {
        let out = self.within.hkdf_expand(hash, prk, info, len)?;
        let call = || CryptoCall::Expand { prk: prk.to_vec(), info: info.to_vec(), out: out.as_slice().to_vec() };
        self.log.note(|counts| counts.kdf += 1, call);
        Ok(out)
    }

    fn hmac(&self, hash: HashType, key: &[u8], message: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        let tag = self.within.hmac(hash, key, message)?;
        let call = || CryptoCall::Mac { key: key.to_vec(), tag: tag.as_slice().to_vec() };
        self.log.note(|counts| counts.macs += 1, call);
        Ok(tag)
    }

    fn hash(&self, hash: HashType, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.log.count(|counts| {
            counts.hashes += 1;
            counts.hashed_bytes += data.len() as u64;
        });
        self.within.hash(hash, data)
    }

    fn aead_encrypt(
        &self,
        algorithm: AeadType,
        key: &[u8],
        data: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let ciphertext = self.within.aead_encrypt(algorithm, key, data, nonce, aad)?;
        let call = || aead(algorithm, key, nonce, aad, data, &ciphertext);
        self.log.note(|counts| counts.aead_seals += 1, call);
        Ok(ciphertext)
    }

    fn aead_decrypt(
        &self,
        algorithm: AeadType,
        key: &[u8],
        ct_tag: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let opened = self.within.aead_decrypt(algorithm, key, ct_tag, nonce, aad);
        match &opened {
            Ok(data) => {
                let call = || aead(algorithm, key, nonce, aad, data, ct_tag);
                self.log.note(|counts| counts.aead_opens += 1, call);
            }
            Err(_) => self.log.count(|counts| counts.aead_opens += 1),
        }
        opened
    }

    fn signature_key_gen(&self, alg: SignatureScheme) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        let pair = self.within.signature_key_gen(alg)?;
        self.log.note(|counts| counts.signature_keys += 1, || CryptoCall::SignatureKey { private: pair.0.to_vec() });
        Ok(pair)
    }

    fn verify_signature(
        &self,
        alg: SignatureScheme,
        data: &[u8],
        pk: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        self.log.count(|counts| counts.verifications += 1);
        self.within.verify_signature(alg, data, pk, signature)
    }

    fn sign(&self, alg: SignatureScheme, data: &[u8], key: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.log.count(|counts| counts.signatures += 1);
        self.within.sign(alg, data, key)
    }

    fn hpke_seal(
        &self,
        config: HpkeConfig,
        pk_r: &[u8],
        info: &[u8],
        aad: &[u8],
        ptxt: &[u8],
    ) -> Result<HpkeCiphertext, CryptoError> {
        let sealed = self.within.hpke_seal(config, pk_r, info, aad, ptxt)?;
        let call = || CryptoCall::Sealed {
            public: pk_r.to_vec(),
            info: info.to_vec(),
            plaintext: ptxt.to_vec(),
            ciphertext: sealed.ciphertext.as_slice().to_vec(),
        };
        self.log.note(|counts| counts.hpke_seals += 1, call);
        Ok(sealed)
    }

    fn hpke_open(
        &self,
        config: HpkeConfig,
        input: &HpkeCiphertext,
        sk_r: &[u8],
        info: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let opened = self.within.hpke_open(config, input, sk_r, info, aad);
        match &opened {
            Ok(plaintext) => {
                let call = || CryptoCall::Opened {
                    private: sk_r.to_vec(),
                    info: info.to_vec(),
                    plaintext: plaintext.to_vec(),
                    ciphertext: input.ciphertext.as_slice().to_vec(),
                };
                self.log.note(|counts| counts.hpke_opens += 1, call);
            }
            Err(_) => self.log.count(|counts| counts.hpke_opens += 1),
        }
        opened
    }

    fn hpke_setup_sender_and_export(
        &self,
        config: HpkeConfig,
        pk_r: &[u8],
        info: &[u8],
        exporter_context: &[u8],
        exporter_length: usize,
    ) -> Result<(KemOutput, ExporterSecret), CryptoError> {
        let exported =
            self.within.hpke_setup_sender_and_export(config, pk_r, info, exporter_context, exporter_length)?;
        let (encapsulated, out) = &exported;
        let call =
            || CryptoCall::ExportedTo { public: pk_r.to_vec(), encapsulated: encapsulated.clone(), out: out.to_vec() };
        self.log.note(|counts| counts.hpke_exports += 1, call);
        Ok(exported)
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
        let out =
            self.within.hpke_setup_receiver_and_export(config, enc, sk_r, info, exporter_context, exporter_length)?;
        let call =
            || CryptoCall::ExportedFrom { private: sk_r.to_vec(), encapsulated: enc.to_vec(), out: out.to_vec() };
        self.log.note(|counts| counts.hpke_exports += 1, call);
        Ok(out)
    }

    fn derive_hpke_keypair(&self, config: HpkeConfig, ikm: &[u8]) -> Result<HpkeKeyPair, CryptoError> {
        let pair = self.within.derive_hpke_keypair(config, ikm)?;
        let call =
            || CryptoCall::KeyPair { ikm: ikm.to_vec(), private: pair.private.to_vec(), public: pair.public.clone() };
        self.log.note(|counts| counts.key_pairs += 1, call);
        Ok(pair)
    }
}

fn aead(algorithm: AeadType, key: &[u8], nonce: &[u8], aad: &[u8], plaintext: &[u8], ciphertext: &[u8]) -> CryptoCall {
    CryptoCall::Aead(Aead {
        algorithm,
        key: key.to_vec(),
        nonce: nonce.to_vec(),
        aad: aad.to_vec(),
        plaintext: plaintext.to_vec(),
        ciphertext: ciphertext.to_vec(),
    })
}
