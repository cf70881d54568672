//! Sealing of a store's file and of backups. Every value is sealed under a data key. The data key
//! is sealed under the application's key or passphrase.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use openmls_traits::types::CryptoError;
use zeroize::Zeroizing;

use crate::layer::SharedCrypto;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const SALT_BYTES: usize = 16;
const TAG_BYTES: usize = 16;

/// Argon2id's cost for a new passphrase: RFC 9106's second recommendation, but with one lane (64
/// MiB, three passes).
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 1;

/// The limits of the cost that a file may demand. This engine never writes a higher cost, so a
/// higher cost is an attack on memory and time.
const MAX_MEMORY_KIB: u32 = 1024 * 1024;
const MAX_PASSES: u32 = 16;

/// The key or passphrase that opens a store's file.
pub enum StoreKey {
    /// 32 random bytes. The application stores them in the platform's key storage: a keystore or a
    /// keychain.
    Key(Zeroizing<[u8; KEY_BYTES]>),
    /// A passphrase that a person remembers. The key is derived from it with Argon2id (RFC 9106).
    /// That takes 64 MiB of memory and a little more than a tenth of a second.
    Passphrase(Zeroizing<String>),
}

impl StoreKey {
    /// Creates a store key from 32 random bytes of a keystore.
    pub fn from_bytes(key: [u8; KEY_BYTES]) -> Self {
        Self::Key(Zeroizing::new(key))
    }

    /// Creates a store key from a passphrase.
    pub fn from_passphrase(passphrase: &str) -> Self {
        Self::Passphrase(Zeroizing::new(passphrase.to_owned()))
    }

    /// Returns new parameters for sealing a data key under this key.
    fn protection(&self, crypto: &SharedCrypto) -> Result<Protection, SealError> {
        Ok(match self {
            Self::Key(_) => Protection::Key,
            Self::Passphrase(_) => Protection::Passphrase {
                salt: crypto.0.random_bytes(SALT_BYTES).map_err(SealError::Crypto)?,
                memory_kib: MEMORY_KIB,
                passes: PASSES,
                lanes: LANES,
            },
        })
    }

    /// Computes the key that seals the data key.
    fn wrapping_key(&self, protection: &Protection) -> Result<Sealer, SealError> {
        match (self, protection) {
            (Self::Key(key), Protection::Key) => Ok(Sealer(Zeroizing::new(key.to_vec()))),
            (Self::Passphrase(passphrase), Protection::Passphrase { salt, memory_kib, passes, lanes }) => {
                let absurd = || SealError::Damaged { what: "the cost of its passphrase" };
                if *memory_kib > MAX_MEMORY_KIB || *passes > MAX_PASSES {
                    return Err(absurd());
                }
                let params = Params::new(*memory_kib, *passes, *lanes, Some(KEY_BYTES)).map_err(|_| absurd())?;
                let mut key = Zeroizing::new(vec![0; KEY_BYTES]);
                Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                    .hash_password_into(passphrase.as_bytes(), salt, &mut key)
                    .map_err(|_| absurd())?;
                Ok(Sealer(key))
            }
            (_, protection) => Err(SealError::OtherProtection { protection: protection.name() }),
        }
    }
}

/// The public parameters for unsealing the data key with the [`StoreKey`]. They are authenticated
/// with the sealed key.
#[derive(Debug)]
enum Protection {
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

    fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Key => vec![0],
            Self::Passphrase { salt, memory_kib, passes, lanes } => {
                let costs = [memory_kib, passes, lanes].map(|cost| cost.to_be_bytes());
                [&[1][..], costs.as_flattened(), salt].concat()
            }
        }
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
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

/// The lengths of the results of [`Sealer::wrap`] for a passphrase: the protection, and the sealed
/// data key.
pub(crate) const PROTECTION_BYTES: usize = 1 + 3 * 4 + SALT_BYTES;
pub(crate) const SEALED_KEY_BYTES: usize = KEY_BYTES + SEAL_BYTES;

/// The number of bytes by which a [sealed](Sealer::seal) value is longer.
pub(crate) const SEAL_BYTES: usize = NONCE_BYTES + TAG_BYTES;

/// XChaCha20-Poly1305 under one key. The nonces are long enough to choose them at random, without
/// any limit. A counter would repeat its values after a file is restored to an older state, with
/// other plaintexts.
///
/// The key is in one place on the heap, which is erased when the sealer is dropped. Moving the
/// sealer leaves no copies of the key.
pub(crate) struct Sealer(Zeroizing<Vec<u8>>);

impl Sealer {
    /// Generates a new data key. The data key never changes, but the key that seals it can.
    pub(crate) fn generate(crypto: &SharedCrypto) -> Result<Self, SealError> {
        crypto.0.random_bytes(KEY_BYTES).map(|key| Self(key.into())).map_err(SealError::Crypto)
    }

    /// Seals this data key under `key`. Returns the protection parameters and the sealed data key.
    pub(crate) fn wrap(&self, key: &StoreKey, crypto: &SharedCrypto) -> Result<(Vec<u8>, Vec<u8>), SealError> {
        self.wrap_as(key, &key.protection(crypto)?, crypto)
    }

    fn wrap_as(
        &self,
        key: &StoreKey,
        protection: &Protection,
        crypto: &SharedCrypto,
    ) -> Result<(Vec<u8>, Vec<u8>), SealError> {
        let bytes = protection.to_bytes();
        let sealed = key.wrapping_key(protection)?.seal(crypto, &bytes, &self.0)?;
        Ok((bytes, sealed))
    }

    /// Like [`wrap`](Self::wrap), but at almost no cost, for tests that open hundreds of times.
    #[cfg(test)]
    pub(crate) fn wrap_cheaply(&self, passphrase: &str, crypto: &SharedCrypto) -> (Vec<u8>, Vec<u8>) {
        let cheap = Protection::Passphrase { salt: vec![3; SALT_BYTES], memory_kib: 8, passes: 1, lanes: 1 };
        self.wrap_as(&StoreKey::from_passphrase(passphrase), &cheap, crypto).unwrap()
    }

    /// Opens a data key that [`wrap`](Self::wrap) has sealed.
    pub(crate) fn unwrap(key: &StoreKey, protection: &[u8], sealed: &[u8]) -> Result<Self, SealError> {
        let parsed = Protection::from_bytes(protection).ok_or(SealError::Damaged { what: "its key parameters" })?;
        let opened = key.wrapping_key(&parsed)?.open(protection, sealed).ok_or(SealError::WrongKey)?;
        match opened.len() {
            KEY_BYTES => Ok(Self(opened)),
            _ => Err(SealError::Damaged { what: "the data key" }),
        }
    }

    /// Seals a value and returns nonce, ciphertext and tag. Only the same `bound` opens it.
    pub(crate) fn seal(&self, crypto: &SharedCrypto, bound: &[u8], value: &[u8]) -> Result<Vec<u8>, SealError> {
        let nonce = crypto.0.random_bytes(NONCE_BYTES).map_err(SealError::Crypto)?;
        let cipher = XChaCha20Poly1305::new_from_slice(&self.0).ok();
        let payload = Payload { msg: value, aad: bound };
        let sealed = cipher.and_then(|cipher| cipher.encrypt(XNonce::from_slice(&nonce), payload).ok());
        // Sealing fails only for values of hundreds of gigabytes.
        Ok([nonce, sealed.ok_or(SealError::Damaged { what: "a value too large to seal" })?].concat())
    }

    /// Opens a sealed value. Returns [`None`] if it was not sealed under this key with this
    /// `bound`.
    pub(crate) fn open(&self, bound: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let cipher = XChaCha20Poly1305::new_from_slice(&self.0).ok()?;
        let opened = cipher.decrypt(XNonce::from_slice(nonce), Payload { msg: ciphertext, aad: bound });
        opened.ok().map(Zeroizing::new)
    }
}

/// A value cannot be sealed or unsealed. The caller converts this into its own error, which names
/// the affected object.
#[derive(Debug)]
pub(crate) enum SealError {
    WrongKey,
    OtherProtection { protection: &'static str },
    Damaged { what: &'static str },
    Crypto(CryptoError),
}
