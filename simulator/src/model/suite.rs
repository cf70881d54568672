//! The sizes of keys, signatures and ciphertexts in each ciphersuite.

use crate::scenario::Ciphersuite;

/// The sizes of a ciphersuite, in bytes and without lengths before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SuiteSizes {
    /// An HPKE public key (RFC 9180, 7.1: `Npk`).
    pub(crate) public_key: u64,
    /// An encapsulated key (`Nenc`).
    pub(crate) encapsulated: u64,
    /// A public signature key.
    pub(crate) signature_key: u64,
    /// A signature.
    pub(crate) signature: u64,
    /// The number of ciphersuites in the capabilities of a leaf. A device in a post-quantum group
    /// has one more.
    pub(crate) capabilities: u64,
}

/// The size of a hash, a secret and a MAC: all supported ciphersuites have SHA-256.
pub(crate) const HASH: u64 = 32;

/// The size of an AEAD tag: `Nt` of all supported AEADs.
pub(crate) const TAG: u64 = 16;

impl SuiteSizes {
    /// The sizes of a ciphersuite.
    ///
    /// A signature of P-256 is a DER sequence of two numbers of 256 bits. Each needs one byte more
    /// if its highest bit is set. The model has the most frequent length, which is also the mean to
    /// within 0.01 bytes.
    pub(crate) fn of(suite: Ciphersuite) -> Self {
        let x25519 = Self { public_key: 32, encapsulated: 32, signature_key: 32, signature: 64, capabilities: 3 };
        match suite {
            Ciphersuite::X25519Aes128GcmSha256Ed25519 | Ciphersuite::X25519ChaCha20Poly1305Sha256Ed25519 => x25519,
            Ciphersuite::XWingChaCha20Poly1305Sha256Ed25519 => {
                Self { public_key: 1216, encapsulated: 1120, capabilities: 4, ..x25519 }
            }
            Ciphersuite::P256Aes128GcmSha256P256 => {
                Self { public_key: 65, encapsulated: 65, signature_key: 65, signature: 71, ..x25519 }
            }
        }
    }
}
