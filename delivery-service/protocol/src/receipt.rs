//! What the service cannot take back: the hash chain over each group's log, and signed receipts.
//!
//! Every entry extends its group's chain, and its submitter and all of its readers get a [`Receipt`]: the service's
//! signature over the group, the entry's number, the epoch and the chain's hash. A service that shows two members two
//! histories has to sign two receipts that [contradict](Receipt::contradicts) each other. Two such receipts are an
//! [`Equivocation`], which convinces anybody who has the service's public key.

use std::fmt;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    delivery::DeliveryKind,
    identity::DeviceId,
    names::{Epoch, GroupId, Sequence, Timestamp},
};

const CREATION_LABEL: &[u8] = b"Regrow chain 1 creation";
const ENTRY_LABEL: &[u8] = b"Regrow chain 1 entry";
const RECEIPT_LABEL: &[u8] = b"Regrow receipt 1";

/// The key that a service signs its receipts with (Ed25519). Whoever has it can sign histories in the service's name.
/// It is erased from memory when it is dropped.
#[derive(Clone)]
pub struct ServiceKey(SigningKey);

impl ServiceKey {
    /// The key that follows from 32 random bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The key that receipts are verified with.
    pub fn public(&self) -> ServicePublicKey {
        ServicePublicKey(self.0.verifying_key().to_bytes())
    }

    /// The random bytes that the key follows from. They are as secret as the key.
    pub fn seed(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Signs that the entry stands in the group's log, at the end of the chain with this hash.
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

/// A service's public key: who the service is, whatever its address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePublicKey(pub [u8; 32]);

impl fmt::Debug for ServicePublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServicePublicKey({self})")
    }
}

impl fmt::Display for ServicePublicKey {
    /// In hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The hash over a group's log up to an entry: it stands for all that came before.
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
    /// The beginning of a group's chain: the group info of its epoch 0.
    pub fn of_creation(group: &GroupId, group_info: &[u8]) -> Self {
        let mut hash = Hasher::new(CREATION_LABEL);
        hash.name(group.as_bytes());
        hash.bytes(&Sha256::digest(group_info));
        hash.finish()
    }

    /// The hash after one more entry.
    #[must_use]
    pub fn then(self, group: &GroupId, entry: &ChainedEntry<'_>) -> Self {
        let ChainedEntry { kind, sequence, epoch, sender, time, bytes } = *entry;
        let (kind, voided) = match kind {
            // A joiner reads a welcome in the place of the commit, and cannot compute this hash.
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

/// What of an entry goes into the chain.
#[derive(Clone, Copy, Debug)]
pub struct ChainedEntry<'a> {
    /// What it is.
    pub kind: DeliveryKind,
    /// Its number.
    pub sequence: Sequence,
    /// The group's epoch right after it.
    pub epoch: Epoch,
    /// Who submitted it.
    pub sender: &'a DeviceId,
    /// When it was accepted.
    pub time: Timestamp,
    /// The MLSMessage as it was submitted.
    pub bytes: &'a [u8],
}

/// SHA-256 over fields that cannot run into each other.
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

/// The service's word that this entry, and all before it, stand in the group's log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// The group.
    pub group: GroupId,
    /// The entry's number in the group's log; 0 for the group's creation.
    pub sequence: Sequence,
    /// The group's epoch right after the entry.
    pub epoch: Epoch,
    /// The hash of the chain up to and with the entry.
    pub head: ChainHash,
    /// The service's signature over all of that.
    pub signature: [u8; 64],
}

/// The signature of a receipt is not the service's.
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

    /// Whether an honest service can not have signed both: they say different things of the same entry.
    #[must_use]
    pub fn contradicts(&self, other: &Self) -> bool {
        self.group == other.group
            && self.sequence == other.sequence
            && (self.epoch, self.head) != (other.epoch, other.head)
    }
}

/// A receipt without its group, for a record that has the group in its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredReceipt {
    /// The entry's number in the group's log.
    pub sequence: Sequence,
    /// The group's epoch right after the entry.
    pub epoch: Epoch,
    /// The hash of the chain up to and with the entry.
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
    /// The receipt of an entry of that group.
    pub fn of(self, group: &GroupId) -> Receipt {
        let Self { sequence, epoch, head, signature } = self;
        Receipt { group: group.clone(), sequence, epoch, head, signature }
    }
}

/// The proof that a service has shown two histories of one group: two receipts of it that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equivocation {
    /// What it said.
    pub one: Receipt,
    /// What it said as well.
    pub other: Receipt,
}

impl Equivocation {
    /// Whether this proves that the service with that key has equivocated: for whoever is told so.
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
    fn two_heads_or_two_epochs_of_one_entry_convict() {
        let key = ServiceKey::from_seed(&[1; 32]);
        let one = receipt(&key, 1, 0, 7);
        for other in [receipt(&key, 1, 0, 8), receipt(&key, 1, 1, 7)] {
            assert!(Equivocation { one: one.clone(), other }.convicts(&key.public()));
        }
    }

    #[test]
    fn what_an_honest_service_signs_convicts_nobody() {
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
    fn the_key_is_not_shown() {
        let key = ServiceKey::from_seed(&[0xAB; 32]);
        assert!(!format!("{key:?}").contains("abab"));
    }
}
