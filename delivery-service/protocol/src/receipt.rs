//! The hash chain over each group's log, and signed receipts. The service cannot deny a receipt
//! that it has signed.
//!
//! Every entry extends its group's chain. Its submitter and all its readers get a [`Receipt`]: the
//! service's signature over the group, the entry's number, the epoch and the chain's hash. A
//! service that shows two members two histories has to sign two receipts that
//! [contradict](Receipt::contradicts) each other. Two such receipts are an [`Equivocation`]. It is
//! proof for everyone who has the service's public key.

use std::fmt;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    delivery_kind::DeliveryKind,
    identity::DeviceId,
    names::{Epoch, GroupId, Sequence, Timestamp},
};

const CREATION_LABEL: &[u8] = b"Regrow chain 1 creation";
const ENTRY_LABEL: &[u8] = b"Regrow chain 1 entry";
const RECEIPT_LABEL: &[u8] = b"Regrow receipt 1";

/// The key with which a service signs its receipts (Ed25519). Anyone with this key can sign
/// histories in the service's name. The key is erased from memory when it is dropped.
#[derive(Clone)]
pub struct ServiceKey(SigningKey);

impl ServiceKey {
    /// Derives the key from 32 random bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Returns the public key that verifies receipts.
    pub fn public(&self) -> ServicePublicKey {
        ServicePublicKey(self.0.verifying_key().to_bytes())
    }

    /// Returns the random bytes from which the key was derived. They are as secret as the key.
    pub fn seed(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Signs a receipt: the entry is in the group's log, and `head` is the hash of the chain up to
    /// the entry.
    pub fn sign(&self, group: &GroupId, sequence: Sequence, epoch: Epoch, head: ChainHash) -> Receipt {
        let signature = self.0.sign(&signed(group, sequence, epoch, head)).to_bytes();
        Receipt { group: group.clone(), sequence, epoch, head, signature }
    }
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceKey({:?})", self.public())
    }
}

/// The public key of a service. It identifies the service, independent of the service's address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePublicKey(pub [u8; 32]);

impl fmt::Debug for ServicePublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServicePublicKey({self})")
    }
}

impl fmt::Display for ServicePublicKey {
    /// Writes the key in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The hash over a group's log up to an entry. It covers all entries before that one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChainHash(#[serde(with = "serde_bytes")] pub [u8; 32]);

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChainHash(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

impl ChainHash {
    /// Returns the first hash of a group's chain. It covers the group info of epoch 0.
    pub fn of_creation(group: &GroupId, group_info: &[u8]) -> Self {
        let mut hash = Hasher::new(CREATION_LABEL);
        hash.name(group.as_bytes());
        hash.bytes(&Sha256::digest(group_info));
        hash.finish()
    }

    /// Returns the hash after one more entry.
    #[must_use]
    pub fn then(self, group: &GroupId, entry: &ChainedEntry<'_>) -> Self {
        let ChainedEntry { kind, sequence, epoch, sender, time, bytes } = *entry;
        let (kind, voided) = match kind {
            // A device that joins reads a welcome in place of the commit, and cannot compute this
            // hash.
            DeliveryKind::Welcome | DeliveryKind::Commit => (0, 0),
            DeliveryKind::Proposal => (1, 0),
            DeliveryKind::Message => (2, 0),
            DeliveryKind::Rollback { voided } => (3, voided.0),
        };
        let mut hash = Hasher::new(ENTRY_LABEL);
        hash.bytes(&self.0);
        hash.name(group.as_bytes());
        for number in [kind, voided, sequence.0, epoch.0, time.0] {
            hash.number(number);
        }
        hash.name(&sender.to_identity());
        hash.bytes(&Sha256::digest(bytes));
        hash.finish()
    }
}

/// The fields of an entry that the chain covers.
#[derive(Clone, Copy, Debug)]
pub struct ChainedEntry<'a> {
    /// The kind of entry.
    pub kind: DeliveryKind,
    /// The entry's number.
    pub sequence: Sequence,
    /// The group's epoch right after the entry.
    pub epoch: Epoch,
    /// The device that submitted the entry.
    pub sender: &'a DeviceId,
    /// The time at which the service accepted the entry.
    pub time: Timestamp,
    /// The MLSMessage as it was submitted.
    pub bytes: &'a [u8],
}

/// SHA-256 over separated fields: each field has a fixed length or is preceded by its length.
struct Hasher(Sha256);

impl Hasher {
    fn new(label: &[u8]) -> Self {
        let mut hasher = Self(Sha256::new());
        hasher.name(label);
        hasher
    }

    fn name(&mut self, name: &[u8]) {
        self.number(name.len() as u64);
        self.0.update(name);
    }

    fn number(&mut self, number: u64) {
        self.0.update(number.to_be_bytes());
    }

    /// Bytes of a fixed length.
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(self) -> ChainHash {
        ChainHash(self.0.finalize().into())
    }
}

fn signed(group: &GroupId, sequence: Sequence, epoch: Epoch, head: ChainHash) -> Vec<u8> {
    let mut signed = Vec::with_capacity(128);
    for name in [RECEIPT_LABEL, group.as_bytes()] {
        signed.extend_from_slice(&(name.len() as u64).to_be_bytes());
        signed.extend_from_slice(name);
    }
    signed.extend_from_slice(&sequence.0.to_be_bytes());
    signed.extend_from_slice(&epoch.0.to_be_bytes());
    signed.extend_from_slice(&head.0);
    signed
}

/// The service's signed statement that this entry and all entries before it are in the group's log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// The group.
    pub group: GroupId,
    /// The entry's number in the group's log. 0 for the group's creation.
    pub sequence: Sequence,
    /// The group's epoch right after the entry.
    pub epoch: Epoch,
    /// The hash of the chain up to and including the entry.
    pub head: ChainHash,
    /// The service's signature over all other fields.
    pub signature: [u8; 64],
}

/// An error: the signature of a receipt is not the service's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the receipt is not signed by the service")]
pub struct ForgedReceipt;

impl Receipt {
    /// Checks that the service with this key has signed the receipt.
    ///
    /// # Errors
    /// [`ForgedReceipt`] if it has not.
    pub fn verify(&self, service: &ServicePublicKey) -> Result<(), ForgedReceipt> {
        let key = VerifyingKey::from_bytes(&service.0).map_err(|_| ForgedReceipt)?;
        let signed = signed(&self.group, self.sequence, self.epoch, self.head);
        key.verify_strict(&signed, &Signature::from_bytes(&self.signature)).map_err(|_| ForgedReceipt)
    }

    /// Returns true if an honest service cannot have signed both receipts, because they differ
    /// about the same entry.
    #[must_use]
    pub fn contradicts(&self, other: &Self) -> bool {
        self.group == other.group
            && self.sequence == other.sequence
            && (self.epoch, self.head) != (other.epoch, other.head)
    }
}

/// A receipt without its group, for a store record whose key contains the group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredReceipt {
    /// The entry's number in the group's log.
    pub sequence: Sequence,
    /// The group's epoch right after the entry.
    pub epoch: Epoch,
    /// The hash of the chain up to and including the entry.
    pub head: ChainHash,
    /// The service's signature.
    #[serde(with = "serde_bytes")]
    pub signature: [u8; 64],
}

impl From<&Receipt> for StoredReceipt {
    fn from(receipt: &Receipt) -> Self {
        let Receipt { group: _, sequence, epoch, head, signature } = *receipt;
        Self { sequence, epoch, head, signature }
    }
}

impl StoredReceipt {
    /// Returns the receipt with its group.
    pub fn of(self, group: &GroupId) -> Receipt {
        let Self { sequence, epoch, head, signature } = self;
        Receipt { group: group.clone(), sequence, epoch, head, signature }
    }
}

/// The proof that a service has shown two histories of one group: two contradicting receipts for
/// the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equivocation {
    /// One receipt.
    pub one: Receipt,
    /// A receipt that contradicts the first one.
    pub other: Receipt,
}

impl Equivocation {
    /// Returns true if the receipts prove that the service with this key has equivocated. The check
    /// needs no other data.
    #[must_use]
    pub fn convicts(&self, service: &ServicePublicKey) -> bool {
        self.one.contradicts(&self.other) && self.one.verify(service).is_ok() && self.other.verify(service).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str) -> GroupId {
        GroupId::new(name).unwrap()
    }

    fn receipt(key: &ServiceKey, sequence: u64, epoch: u64, head: u8) -> Receipt {
        key.sign(&group("room"), Sequence(sequence), Epoch(epoch), ChainHash([head; 32]))
    }

    #[test]
    fn a_receipt_is_verified_with_the_services_key_alone() {
        let (key, another) = (ServiceKey::from_seed(&[1; 32]), ServiceKey::from_seed(&[2; 32]));
        let receipt = receipt(&key, 1, 0, 7);
        assert_eq!(receipt.verify(&key.public()), Ok(()));
        assert_eq!(receipt.verify(&another.public()), Err(ForgedReceipt));
    }

    #[test]
    fn every_field_of_a_receipt_is_signed() {
        let key = ServiceKey::from_seed(&[1; 32]);
        let good = receipt(&key, 1, 0, 7);
        for forged in [
            Receipt { group: group("other"), ..good.clone() },
            Receipt { sequence: Sequence(2), ..good.clone() },
            Receipt { epoch: Epoch(1), ..good.clone() },
            Receipt { head: ChainHash([8; 32]), ..good.clone() },
        ] {
            assert_eq!(forged.verify(&key.public()), Err(ForgedReceipt), "{forged:?}");
        }
    }

    #[test]
    fn different_receipts_for_one_entry_convict_the_service() {
        let key = ServiceKey::from_seed(&[1; 32]);
        let one = receipt(&key, 1, 0, 7);
        for other in [receipt(&key, 1, 0, 8), receipt(&key, 1, 1, 7)] {
            assert!(Equivocation { one: one.clone(), other }.convicts(&key.public()));
        }
    }

    #[test]
    fn receipts_of_an_honest_service_do_not_convict_it() {
        let key = ServiceKey::from_seed(&[1; 32]);
        let one = receipt(&key, 1, 0, 7);
        for other in [one.clone(), receipt(&key, 2, 0, 8)] {
            assert!(!Equivocation { one: one.clone(), other }.convicts(&key.public()));
        }
        let forged = Receipt { head: ChainHash([8; 32]), ..one.clone() };
        assert!(!Equivocation { one, other: forged }.convicts(&key.public()));
    }

    #[test]
    fn every_field_of_an_entry_is_in_the_chain() {
        let (room, start) = (group("room"), ChainHash([0; 32]));
        let [alice, bob] = ["alice", "bob"].map(|user| DeviceId::new(user, "phone").unwrap());
        let good = ChainedEntry {
            kind: DeliveryKind::Message,
            sequence: Sequence(1),
            epoch: Epoch(0),
            sender: &alice,
            time: Timestamp(9),
            bytes: b"bytes",
        };
        let mut heads: Vec<_> = [
            good,
            ChainedEntry { kind: DeliveryKind::Commit, ..good },
            ChainedEntry { kind: DeliveryKind::Rollback { voided: Sequence(1) }, ..good },
            ChainedEntry { kind: DeliveryKind::Rollback { voided: Sequence(2) }, ..good },
            ChainedEntry { sequence: Sequence(2), ..good },
            ChainedEntry { epoch: Epoch(1), ..good },
            ChainedEntry { sender: &bob, ..good },
            ChainedEntry { time: Timestamp(8), ..good },
            ChainedEntry { bytes: b"other", ..good },
        ]
        .iter()
        .map(|entry| start.then(&room, entry))
        .collect();
        heads.push(ChainHash([1; 32]).then(&room, &good));
        heads.push(start.then(&group("other"), &good));
        let different: std::collections::BTreeSet<_> = heads.iter().collect();
        assert_eq!(different.len(), heads.len());
    }

    #[test]
    fn debug_output_does_not_show_the_key() {
        let key = ServiceKey::from_seed(&[0xAB; 32]);
        assert!(!format!("{key:?}").contains("abab"));
    }
}
