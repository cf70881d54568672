//! The sizes and operations of the Signal Protocol, as libsignal encodes its messages.
//!
//! Sources: the specifications "The X3DH Key Agreement Protocol" (revision 1, 2016-11-04), "The
//! PQXDH Key Agreement Protocol" (revision 3, 2024-01-23) and "The Double Ratchet Algorithm"
//! (revision 1, 2016-11-20), and `rust/protocol/src/proto/wire.proto` of libsignal. The fields of
//! the sparse post-quantum ratchet are left out.

use crate::cost::CostCounts;

/// The version before each message, and the tag of each field.
const BYTE: u64 = 1;

/// A public key: one byte of type, and 32 bytes.
const PUBLIC_KEY: u64 = 33;

/// The MAC of a message is cut to eight bytes.
const MAC: u64 = 8;

/// An XEdDSA signature.
pub(crate) const SIGNATURE: u64 = 64;

/// A counter with its tag. Assumption: a chain has fewer than 128 messages.
const COUNTER: u64 = 2;

/// A registration identifier of 14 bits, with its tag.
const REGISTRATION_ID: u64 = 3;

/// The identifier of a prekey with its tag. Assumption: it needs all of its 24 bits.
const PREKEY_ID: u64 = 5;

/// The chain identifier of a sender key with its tag. Assumption: it needs all of its 31 bits.
const CHAIN_ID: u64 = 6;

/// The identifier of a group of sender keys, a UUID.
const DISTRIBUTION_ID: u64 = 2 * BYTE + 16;

/// A KEM ciphertext of Kyber-1024, with one byte of type.
const KEM_CIPHERTEXT: u64 = 1 + 1568;

/// A block of AES-CBC.
const BLOCK: u64 = 16;

/// The length of a public key, a seed or a secret.
const KEY: u64 = 32;

/// A field of bytes: the tag, the length and the content.
fn field(content: u64) -> u64 {
    let length = match content {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    };
    BYTE + length + content
}

/// A text of AES-CBC with the padding of PKCS #7. `padding` is the group's setting.
fn encrypted(text: u64, padding: u64) -> u64 {
    let text = if padding > 0 { text.next_multiple_of(padding) } else { text };
    (text / BLOCK + 1) * BLOCK
}

/// The sizes of messages between two members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PairMessages {
    /// The group's padding of texts; 0 is none.
    pub(crate) padding: u64,
    /// True if sessions begin with PQXDH. Otherwise they begin with X3DH.
    pub(crate) is_quantum_safe: bool,
}

impl PairMessages {
    /// A SignalMessage: the ratchet key, two counters, the ciphertext and the MAC.
    pub(crate) fn message(&self, text: u64) -> u64 {
        BYTE + field(PUBLIC_KEY) + 2 * COUNTER + field(encrypted(text, self.padding)) + MAC
    }

    /// A PreKeySignalMessage. The initiator of a session sends it until it gets an answer.
    pub(crate) fn prekey_message(&self, text: u64) -> u64 {
        let kem = if self.is_quantum_safe { PREKEY_ID + field(KEM_CIPHERTEXT) } else { 0 };
        BYTE + REGISTRATION_ID + 2 * PREKEY_ID + kem + 2 * field(PUBLIC_KEY) + field(self.message(text))
    }

    /// The operations that begin a session, besides those of the message: the signature of the
    /// prekey, a base key and a ratchet key, four agreements and one of the first chain.
    pub(crate) fn initiate(&self) -> CostCounts {
        let kem = u64::from(self.is_quantum_safe);
        CostCounts {
            key_pairs: 2,
            verifications: 1 + kem,
            kdf: 2 * HKDF,
            dh: 5,
            kem,
            random_bytes: (2 + kem) * KEY,
            ..CostCounts::default()
        }
    }

    /// The operations of the other side: four agreements, and a step of the ratchet.
    pub(crate) fn respond(&self) -> CostCounts {
        let mut counts = step();
        counts += CostCounts { kdf: HKDF, dh: 4, kem: u64::from(self.is_quantum_safe), ..CostCounts::default() };
        counts
    }
}

/// An HKDF: an extraction and an expansion.
const HKDF: u64 = 2;

/// The derivations of a message key: the two of the chain, and the HKDF.
const MESSAGE_KEY: u64 = 2 + HKDF;

/// A step of the Double Ratchet, which its receiver makes: two agreements and one key pair.
pub(crate) fn step() -> CostCounts {
    CostCounts { key_pairs: 1, kdf: 2 * HKDF, dh: 2, random_bytes: KEY, ..CostCounts::default() }
}

/// The operations of the sender of a message.
pub(crate) fn seal() -> CostCounts {
    CostCounts { kdf: MESSAGE_KEY, macs: 1, aead_seals: 1, ..CostCounts::default() }
}

/// The operations of the receiver of a message.
pub(crate) fn open() -> CostCounts {
    CostCounts { kdf: MESSAGE_KEY, macs: 1, aead_opens: 1, ..CostCounts::default() }
}

/// A SenderKeyMessage: identifiers, the iteration, the ciphertext and the signature.
pub(crate) fn sender_key_message(text: u64, padding: u64) -> u64 {
    BYTE + DISTRIBUTION_ID + CHAIN_ID + COUNTER + field(encrypted(text, padding)) + SIGNATURE
}

/// A SenderKeyDistributionMessage: identifiers, the iteration, the chain key and the signature key.
pub(crate) const DISTRIBUTION: u64 = BYTE + DISTRIBUTION_ID + CHAIN_ID + COUNTER + (2 + KEY) + (2 + PUBLIC_KEY);

/// The operations that make a sender key: a chain identifier, a chain key and a signature key.
pub(crate) fn new_sender_key() -> CostCounts {
    CostCounts { signature_keys: 1, random_bytes: 4 + 2 * KEY, ..CostCounts::default() }
}

/// The operations of the sender of a SenderKeyMessage.
pub(crate) fn seal_for_group() -> CostCounts {
    CostCounts { signatures: 1, kdf: MESSAGE_KEY, aead_seals: 1, random_bytes: SIGNATURE, ..CostCounts::default() }
}

/// The operations of a receiver of a SenderKeyMessage.
pub(crate) fn open_of_group() -> CostCounts {
    CostCounts { verifications: 1, kdf: MESSAGE_KEY, aead_opens: 1, ..CostCounts::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_protobufs() {
        let pairs = PairMessages { padding: 0, is_quantum_safe: false };
        // Version; tag, length, key; two counters; tag, length, three blocks; MAC.
        assert_eq!(pairs.message(32), 1 + 35 + 4 + (2 + 48) + 8);
        // An empty text is one block of padding.
        assert_eq!(pairs.message(0), 1 + 35 + 4 + 18 + 8);
        // 128 bytes are nine blocks, whose length needs two bytes.
        assert_eq!(PairMessages { padding: 128, ..pairs }.message(32), 1 + 35 + 4 + (3 + 144) + 8);
        assert_eq!(pairs.prekey_message(32), 1 + 3 + 5 + 5 + 35 + 35 + (2 + 98));
        let quantum = PairMessages { is_quantum_safe: true, ..pairs };
        assert_eq!(quantum.prekey_message(32), pairs.prekey_message(32) + 5 + (3 + 1569));
        assert_eq!(DISTRIBUTION, 96);
        assert_eq!(sender_key_message(32, 0), 1 + 18 + 6 + 2 + (2 + 48) + 64);
    }
}
