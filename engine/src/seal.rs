//! What is written for others to keep is sealed: a store's file, a backup. Every value is sealed under a data key, and the
//! data key under what the application gives.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use openmls_traits::types::CryptoError;
use zeroize::Zeroizing;

use crate::provider::SharedCrypto;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const SALT_BYTES: usize = 16;
const TAG_BYTES: usize = 16;

/// Argon2id's cost for a new passphrase: RFC 9106's second recommendation, on one lane (64 MiB, three passes).
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 1;

/// What a file may ask for. More is no passphrase of ours, but an attempt to use up the memory and the time.
const MAX_MEMORY_KIB: u32 = 1024 * 1024;
const MAX_PASSES: u32 = 16;

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

    /// The key that the data key is sealed under.
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

/// What is needed beside the [`StoreKey`] to unseal the data key. Not secret; bound to the sealed key.
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

/// The lengths of what [`Sealer::wrap`] gives for a passphrase: the protection, and the sealed data key.
pub(crate) const PROTECTION_BYTES: usize = 1 + 3 * 4 + SALT_BYTES;
pub(crate) const SEALED_KEY_BYTES: usize = KEY_BYTES + SEAL_BYTES;

/// How much longer a value is when it is [sealed](Sealer::seal).
pub(crate) const SEAL_BYTES: usize = NONCE_BYTES + TAG_BYTES;

/// XChaCha20-Poly1305 under one key. Its nonces are long enough to be random for ever, in a file that was put back as
/// well: a counter would come again there, with other values.
///
/// The key is in one place on the heap, which is erased when this is dropped; it can be moved without leaving copies.
pub(crate) struct Sealer(Zeroizing<Vec<u8>>);

impl Sealer {
    /// A new data key. It never changes; what it is sealed under can.
    pub(crate) fn generate(crypto: &SharedCrypto) -> Result<Self, SealError> {
        crypto.0.random_bytes(KEY_BYTES).map(|key| Self(key.into())).map_err(SealError::Crypto)
    }

    /// Seals this key under that one: how, and the sealed key.
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

    /// The same at next to no cost, for tests that open hundreds of times.
    #[cfg(test)]
    pub(crate) fn wrap_cheaply(&self, passphrase: &str, crypto: &SharedCrypto) -> (Vec<u8>, Vec<u8>) {
        let cheap = Protection::Passphrase { salt: vec![3; SALT_BYTES], memory_kib: 8, passes: 1, lanes: 1 };
        self.wrap_as(&StoreKey::from_passphrase(passphrase), &cheap, crypto).unwrap()
    }

    /// The key that was [wrapped](Self::wrap).
    pub(crate) fn unwrap(key: &StoreKey, protection: &[u8], sealed: &[u8]) -> Result<Self, SealError> {
        let parsed = Protection::from_bytes(protection).ok_or(SealError::Damaged { what: "how its key is sealed" })?;
        let opened = key.wrapping_key(&parsed)?.open(protection, sealed).ok_or(SealError::WrongKey)?;
        match opened.len() {
            KEY_BYTES => Ok(Self(opened)),
            _ => Err(SealError::Damaged { what: "the data key" }),
        }
    }

    /// The sealed value: nonce, ciphertext and tag. It opens with the same `bound` only.
    pub(crate) fn seal(&self, crypto: &SharedCrypto, bound: &[u8], value: &[u8]) -> Result<Vec<u8>, SealError> {
        let nonce = crypto.0.random_bytes(NONCE_BYTES).map_err(SealError::Crypto)?;
        let cipher = XChaCha20Poly1305::new_from_slice(&self.0).ok();
        let payload = Payload { msg: value, aad: bound };
        let sealed = cipher.and_then(|cipher| cipher.encrypt(XNonce::from_slice(&nonce), payload).ok());
        // It fails for values of hundreds of gigabytes.
        Ok([nonce, sealed.ok_or(SealError::Damaged { what: "a value too large to seal" })?].concat())
    }

    /// What was sealed; [`None`] if this is not what was sealed here, with this bound to it.
    pub(crate) fn open(&self, bound: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let cipher = XChaCha20Poly1305::new_from_slice(&self.0).ok()?;
        let opened = cipher.decrypt(XNonce::from_slice(nonce), Payload { msg: ciphertext, aad: bound });
        opened.ok().map(Zeroizing::new)
    }
}

/// Something cannot be sealed or unsealed. Whose error it becomes says what it was about.
#[derive(Debug)]
pub(crate) enum SealError {
    WrongKey,
    OtherProtection { protection: &'static str },
    Damaged { what: &'static str },
    Crypto(CryptoError),
}
