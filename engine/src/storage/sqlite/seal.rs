//! What is in the file is sealed: every value under a data key, and the data key under what the application gives.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use zeroize::Zeroizing;

use super::DiskError;
use crate::provider::SharedCrypto;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const SALT_BYTES: usize = 16;

/// Argon2id's cost for a new passphrase: RFC 9106's second recommendation, on one lane (64 MiB, three passes).
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 1;

/// What a file may ask for. More is no passphrase of ours, but an attempt to use up the memory.
const MAX_MEMORY_KIB: u32 = 1024 * 1024;
const MAX_PASSES: u32 = 64;

/// What opens a store's file.
pub enum StoreKey {
    /// 32 random bytes that the application keeps where the platform keeps keys: a keystore, a keychain.
    Key(Zeroizing<[u8; KEY_BYTES]>),
    /// What a person remembers. The key is derived from it with Argon2id (RFC 9106), which takes 64 MiB of memory and
    /// a good tenth of a second.
    Passphrase(Zeroizing<String>),
}

impl StoreKey {
    /// A key from a keystore: 32 random bytes.
    pub fn from_bytes(key: [u8; KEY_BYTES]) -> Self {
        Self::Key(Zeroizing::new(key))
    }

    /// A passphrase.
    pub fn from_passphrase(passphrase: &str) -> Self {
        Self::Passphrase(Zeroizing::new(passphrase.to_owned()))
    }

    /// How a data key is sealed under this from now on.
    pub(super) fn protection(&self, crypto: &SharedCrypto) -> Result<Protection, DiskError> {
        Ok(match self {
            Self::Key(_) => Protection::Key,
            Self::Passphrase(_) => Protection::Passphrase {
                salt: crypto.0.random_bytes(SALT_BYTES).map_err(DiskError::Crypto)?,
                memory_kib: MEMORY_KIB,
                passes: PASSES,
                lanes: LANES,
            },
        })
    }

    /// The key that the data key is sealed under.
    fn wrapping_key(&self, protection: &Protection) -> Result<Sealer, DiskError> {
        match (self, protection) {
            (Self::Key(key), Protection::Key) => Ok(Sealer::new(key)),
            (Self::Passphrase(passphrase), Protection::Passphrase { salt, memory_kib, passes, lanes }) => {
                if *memory_kib > MAX_MEMORY_KIB || *passes > MAX_PASSES {
                    return Err(DiskError::Damaged { what: "the cost of its passphrase".into() });
                }
                let weak = |_| DiskError::Damaged { what: "the cost of its passphrase".into() };
                let params = Params::new(*memory_kib, *passes, *lanes, Some(KEY_BYTES)).map_err(weak)?;
                let mut key = Zeroizing::new([0; KEY_BYTES]);
                Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                    .hash_password_into(passphrase.as_bytes(), salt, &mut *key)
                    .map_err(weak)?;
                Ok(Sealer::new(&key))
            }
            (_, protection) => Err(DiskError::OtherProtection { protection: protection.name() }),
        }
    }
}

/// What is needed beside the [`StoreKey`] to unseal the data key. Not secret; bound to the sealed key.
#[derive(Debug)]
pub(super) enum Protection {
    Key,
    Passphrase { salt: Vec<u8>, memory_kib: u32, passes: u32, lanes: u32 },
}

impl Protection {
    fn name(&self) -> &'static str {
        match self {
            Self::Key => "a key",
            Self::Passphrase { .. } => "a passphrase",
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Key => vec![0],
            Self::Passphrase { salt, memory_kib, passes, lanes } => {
                let costs = [memory_kib, passes, lanes].map(|cost| cost.to_be_bytes());
                [&[1][..], costs.as_flattened(), salt].concat()
            }
        }
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        if *kind == 0 {
            return rest.is_empty().then_some(Self::Key);
        }
        let (memory_kib, rest) = rest.split_first_chunk()?;
        let (passes, rest) = rest.split_first_chunk()?;
        let (lanes, salt) = rest.split_first_chunk()?;
        (*kind == 1).then(|| Self::Passphrase {
            salt: salt.to_vec(),
            memory_kib: u32::from_be_bytes(*memory_kib),
            passes: u32::from_be_bytes(*passes),
            lanes: u32::from_be_bytes(*lanes),
        })
    }
}

/// The key that the store's values are sealed under. It never changes; what it is sealed under can.
pub(super) struct DataKey(Zeroizing<Vec<u8>>);

impl DataKey {
    pub(super) fn generate(crypto: &SharedCrypto) -> Result<Self, DiskError> {
        crypto.0.random_bytes(KEY_BYTES).map(|key| Self(key.into())).map_err(DiskError::Crypto)
    }

    /// Seals it under `key`: how, and the sealed key.
    pub(super) fn wrap(&self, key: &StoreKey, crypto: &SharedCrypto) -> Result<(Vec<u8>, Vec<u8>), DiskError> {
        let protection = key.protection(crypto)?;
        let bytes = protection.to_bytes();
        let sealed = key.wrapping_key(&protection)?.seal(crypto, &bytes, &self.0)?;
        Ok((bytes, sealed))
    }

    pub(super) fn unwrap(key: &StoreKey, protection: &[u8], sealed: &[u8]) -> Result<Self, DiskError> {
        let parsed = Protection::from_bytes(protection)
            .ok_or_else(|| DiskError::Damaged { what: "how its key is sealed".into() })?;
        let opened = key.wrapping_key(&parsed)?.open(protection, sealed).ok_or(DiskError::WrongKey)?;
        Ok(Self(opened))
    }

    pub(super) fn sealer(&self) -> Result<Sealer, DiskError> {
        let key = self.0.first_chunk().ok_or_else(|| DiskError::Damaged { what: "the data key".into() })?;
        Ok(Sealer::new(key))
    }
}

/// XChaCha20-Poly1305 under one key. Its nonces are long enough to be random for ever, in a file that was put back as
/// well: a counter would come again there, with other values.
pub(super) struct Sealer(XChaCha20Poly1305);

impl Sealer {
    fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self(XChaCha20Poly1305::new(key.into()))
    }

    /// The sealed value: nonce, ciphertext and tag. It opens with the same `bound` only.
    pub(super) fn seal(&self, crypto: &SharedCrypto, bound: &[u8], value: &[u8]) -> Result<Vec<u8>, DiskError> {
        let nonce = crypto.0.random_bytes(NONCE_BYTES).map_err(DiskError::Crypto)?;
        let sealed = self.0.encrypt(XNonce::from_slice(&nonce), Payload { msg: value, aad: bound });
        // It fails for values of hundreds of gigabytes.
        let sealed = sealed.map_err(|_| DiskError::Damaged { what: "a value too large to seal".into() })?;
        Ok([nonce, sealed].concat())
    }

    /// What was sealed; [`None`] if this is not what was sealed here, with this bound to it.
    pub(super) fn open(&self, bound: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let opened = self.0.decrypt(XNonce::from_slice(nonce), Payload { msg: ciphertext, aad: bound });
        opened.ok().map(Zeroizing::new)
    }
}
