//! The audit of the service: the receipts of one group, and their consistency.
//!
//! Every entry has to continue the hash chain of the entry before it. All receipts of one entry
//! have to be equal: in the stream, in the response to a submission, and in the messages of other
//! members. Each violation is an [`AuditFinding`]. The audit stores two receipts that contradict
//! each other, because they convince others.
//!
//! A messenger audits its service with it. The simulator's members do the same.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::{
    Delivery, DeliveryKind,
    names::{GroupId, Sequence},
    receipt::{ChainHash, Equivocation, Receipt, StoredReceipt},
};

/// The number of receipts of each group that the audit stores for comparison.
///
/// It stores as many of the entries that this device has read last, and as many of entries that
/// this device has not read yet. At about 120 bytes each they are a few kilobytes for a group. Two
/// members that read at the same time are seldom further apart.
pub const RECEIPTS_KEPT: usize = 32;

/// The number of proofs that the audit stores for a group. One is enough.
const PROOFS_KEPT: usize = 4;

/// A finding of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditFinding {
    /// The service has signed two receipts that contradict each other.
    Equivocation(Box<Equivocation>),
    /// The entry does not continue the chain: it or an earlier entry differs from the signed one.
    Broken {
        /// The number of the entry.
        sequence: Sequence,
    },
    /// Entries are missing between these two.
    Gap {
        /// The last entry before the gap.
        after: Sequence,
        /// The first entry after the gap.
        before: Sequence,
    },
}

impl AuditFinding {
    fn equivocation(proof: Equivocation) -> Self {
        Self::Equivocation(Box::new(proof))
    }
}

/// The service's receipts of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// The receipts of the entries that this device has read last, the latest at the end.
    read: VecDeque<StoredReceipt>,
    /// Receipts of entries that this device has not read: from responses to submissions, and from
    /// members.
    told: BTreeMap<u64, StoredReceipt>,
    proofs: Vec<(StoredReceipt, StoredReceipt)>,
}

impl Audit {
    /// The receipt of the last entry that this device has read.
    pub fn latest(&self, group: &GroupId) -> Option<Receipt> {
        self.read.back().map(|signed| signed.clone().of(group))
    }

    /// The proofs of the group.
    pub fn proofs(&self, group: &GroupId) -> Vec<Equivocation> {
        let proof = |(one, other): &(StoredReceipt, StoredReceipt)| Equivocation {
            one: one.clone().of(group),
            other: other.clone().of(group),
        };
        self.proofs.iter().map(proof).collect()
    }

    /// Begins the audit of a new group with the receipt of its creation.
    pub fn begin(&mut self, group_info: &[u8], receipt: &Receipt) -> Option<AuditFinding> {
        self.remember(receipt);
        let right = ChainHash::of_creation(&receipt.group, group_info);
        (receipt.head != right).then_some(AuditFinding::Broken { sequence: receipt.sequence })
    }

    /// The sequence of the last entry that this device has read.
    pub fn last(&self) -> Option<Sequence> {
        self.read.back().map(|signed| signed.sequence)
    }

    /// Audits an entry of the stream. The caller has verified its receipt's signature.
    pub fn read(&mut self, delivery: &Delivery) -> Vec<AuditFinding> {
        let receipt = &delivery.receipt;
        let mut findings = Vec::new();
        if let Some(last) = self.read.back() {
            let (last_sequence, next) = (last.sequence, Sequence(last.sequence.0.saturating_add(1)));
            if receipt.sequence == next {
                // None for a welcome: its commit has its place in the chain, which begins anew with
                // it.
                if delivery.chained(last.head).is_some_and(|head| head != receipt.head) {
                    findings.push(AuditFinding::Broken { sequence: receipt.sequence });
                }
            } else if receipt.sequence > next && !explains_gap(delivery, next) {
                findings.push(AuditFinding::Gap { after: last_sequence, before: receipt.sequence });
            }
        }
        findings.extend(self.compare(receipt).map(AuditFinding::equivocation));
        if self.last().is_none_or(|last| last < receipt.sequence) {
            self.remember(receipt);
        }
        findings
    }

    /// Audits the end of the stream: an entry whose receipt is known has not come. The caller has
    /// read the stream to its end after it got the last receipt.
    #[must_use]
    pub fn ended(&self) -> Option<AuditFinding> {
        let (told, last) = (self.told.keys().next_back()?, self.last()?);
        Some(AuditFinding::Gap { after: last, before: Sequence(told.saturating_add(1)) })
    }

    /// Audits a receipt that did not come in the stream. The caller has verified its signature.
    pub fn compare_receipt(&mut self, receipt: &Receipt) -> Option<AuditFinding> {
        if let Some(proof) = self.compare(receipt) {
            return Some(AuditFinding::equivocation(proof));
        }
        if self.last().is_none_or(|last| last < receipt.sequence) {
            self.told.insert(receipt.sequence.0, receipt.into());
            // This device reads the nearest entries first: receipts far ahead do not push them out.
            if self.told.len() > RECEIPTS_KEPT {
                self.told.pop_last();
            }
        }
        None
    }

    /// Returns a proof if a known receipt contradicts this one. Each entry has at most one proof.
    fn compare(&mut self, receipt: &Receipt) -> Option<Equivocation> {
        let told = self.told.get(&receipt.sequence.0);
        let known = self.read.iter().chain(told).map(|signed| signed.clone().of(&receipt.group));
        let other = known.into_iter().find(|known| known.contradicts(receipt))?;
        if self.proofs.iter().any(|(one, _)| one.sequence == receipt.sequence) {
            return None;
        }
        if self.proofs.len() < PROOFS_KEPT {
            self.proofs.push(((&other).into(), receipt.into()));
        }
        Some(Equivocation { one: other, other: receipt.clone() })
    }

    fn remember(&mut self, receipt: &Receipt) {
        self.read.push_back(receipt.into());
        if self.read.len() > RECEIPTS_KEPT {
            self.read.pop_front();
        }
        self.told = self.told.split_off(&receipt.sequence.0.saturating_add(1));
    }
}

/// True if the entry itself explains why entries before it are missing.
///
/// The service deletes entries that it takes back, and a membership begins with its first entry.
fn explains_gap(delivery: &Delivery, next: Sequence) -> bool {
    match delivery.kind {
        DeliveryKind::Rollback { voided } => voided <= next,
        DeliveryKind::Welcome => true,
        DeliveryKind::Commit | DeliveryKind::Proposal | DeliveryKind::Message => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        names::{Cursor, DeviceId, Epoch, Timestamp},
        receipt::{ChainedEntry, ServiceKey},
    };

    fn group() -> GroupId {
        GroupId::new("room").unwrap()
    }

    fn device(user: &str) -> DeviceId {
        DeviceId::new(user, "phone").unwrap()
    }

    fn key() -> ServiceKey {
        ServiceKey::from_seed(&[1; 32])
    }

    /// A service that orders and signs all entries.
    struct ReceiptLog {
        head: ChainHash,
        sequence: u64,
    }

    impl ReceiptLog {
        fn new() -> Self {
            Self { head: ChainHash::of_creation(&group(), b"info"), sequence: 0 }
        }

        fn order(&mut self, kind: DeliveryKind, bytes: &[u8]) -> Delivery {
            self.sequence += 1;
            let (sequence, epoch, sender) = (Sequence(self.sequence), Epoch(0), device("alice"));
            let time = Timestamp(1);
            let entry = ChainedEntry { kind, sequence, epoch, sender: &sender, time, bytes };
            self.head = self.head.then(&group(), &entry);
            let receipt = key().sign(&group(), sequence, epoch, self.head);
            let cursor = Cursor(self.sequence);
            Delivery { cursor, group: group(), kind, receipt, sender, time, bytes: bytes.to_vec() }
        }

        fn message(&mut self, bytes: &[u8]) -> Delivery {
            self.order(DeliveryKind::Message, bytes)
        }
    }

    fn begun() -> (ReceiptLog, Audit) {
        let (log, mut audit) = (ReceiptLog::new(), Audit::default());
        assert_eq!(audit.begin(b"info", &key().sign(&group(), Sequence(0), Epoch(0), log.head)), None);
        (log, audit)
    }

    #[test]
    fn an_honest_service_is_not_accused() {
        let (mut log, mut audit) = begun();
        for number in 0..3 * RECEIPTS_KEPT {
            let delivery = log.message(&number.to_be_bytes());
            assert_eq!(audit.compare_receipt(&delivery.receipt), None);
            assert_eq!(audit.read(&delivery), []);
            assert_eq!(audit.read(&delivery), [], "read again after a crash");
            assert_eq!(audit.compare_receipt(&delivery.receipt), None);
        }
        assert_eq!((audit.read.len(), audit.told.len()), (RECEIPTS_KEPT, 0));
    }

    #[test]
    fn a_creation_of_another_group_is_found() {
        let mut audit = Audit::default();
        let receipt = key().sign(&group(), Sequence(0), Epoch(0), ChainHash::of_creation(&group(), b"other"));
        assert_eq!(audit.begin(b"info", &receipt), Some(AuditFinding::Broken { sequence: Sequence(0) }));
    }

    #[test]
    fn each_change_of_an_entry_breaks_the_chain() {
        let (mut log, audit) = begun();
        let good = log.message(b"bytes");
        assert_eq!(audit.clone().read(&good), []);
        for changed in [
            Delivery { kind: DeliveryKind::Commit, ..good.clone() },
            Delivery { sender: device("bob"), ..good.clone() },
            Delivery { time: Timestamp(2), ..good.clone() },
            Delivery { bytes: b"other".to_vec(), ..good.clone() },
        ] {
            assert_eq!(audit.clone().read(&changed), [AuditFinding::Broken { sequence: Sequence(1) }], "{changed:?}");
        }
    }

    #[test]
    fn two_orders_of_two_messages_are_an_equivocation() {
        let (mut log, mut alice) = begun();
        let (mut lie, mut bob) = begun();
        for delivery in [log.message(b"one"), log.message(b"two")] {
            assert_eq!(alice.read(&delivery), []);
        }
        for delivery in [lie.message(b"two"), lie.message(b"one")] {
            assert_eq!(bob.read(&delivery), []);
        }

        let told = bob.latest(&group()).unwrap();
        let Some(AuditFinding::Equivocation(proof)) = alice.compare_receipt(&told) else {
            panic!("the equivocation was not found")
        };

        assert!(proof.convicts(&key().public()));
        assert_eq!(alice.compare_receipt(&told), None, "reported once");
        assert_eq!(alice.proofs(&group()), [*proof], "and kept");
    }

    #[test]
    fn a_receipt_of_a_member_is_compared_with_the_entry() {
        let (mut log, mut alice) = begun();
        let (mut lie, _) = begun();
        assert_eq!(alice.compare_receipt(&lie.message(b"a lie").receipt), None);

        let findings = alice.read(&log.message(b"the truth"));

        assert!(matches!(&findings[..], [AuditFinding::Equivocation(proof)] if proof.convicts(&key().public())));
    }

    #[test]
    fn another_entry_than_the_own_submission_is_found() {
        let (mut log, mut alice) = begun();
        let (mut lie, _) = begun();
        alice.compare_receipt(&log.message(b"own").receipt);
        assert!(matches!(&alice.read(&lie.message(b"another's"))[..], [AuditFinding::Equivocation(_)]));
    }

    #[test]
    fn a_gap_is_seen_unless_the_entry_explains_it() {
        let (mut log, mut audit) = begun();
        let _lost = log.message(b"lost");
        let gap = AuditFinding::Gap { after: Sequence(0), before: Sequence(2) };
        assert_eq!(audit.clone().read(&log.message(b"next")), [gap]);

        let rollback = log.order(DeliveryKind::Rollback { voided: Sequence(1) }, b"");
        assert_eq!(audit.read(&rollback), []);
        assert_eq!(audit.read(&log.message(b"goes on")), []);
    }

    #[test]
    fn a_rollback_explains_only_its_own_gap() {
        let (mut log, mut audit) = begun();
        let _lost = [log.message(b"lost"), log.message(b"voided")];
        let rollback = log.order(DeliveryKind::Rollback { voided: Sequence(2) }, b"");
        assert!(matches!(audit.read(&rollback)[..], [AuditFinding::Gap { .. }]));
    }

    #[test]
    fn end_of_the_stream_before_a_signed_entry_is_a_gap() {
        let (mut log, mut audit) = begun();
        assert_eq!(audit.ended(), None);
        let withheld = log.message(b"withheld");
        assert_eq!(audit.compare_receipt(&withheld.receipt), None);
        assert_eq!(audit.ended(), Some(AuditFinding::Gap { after: Sequence(0), before: Sequence(2) }));
        assert_eq!(audit.read(&withheld), []);
        assert_eq!(audit.ended(), None);
    }

    #[test]
    fn receipts_far_ahead_push_out_no_near_ones() {
        let (mut log, mut alice) = begun();
        let (mut lie, _) = begun();
        alice.compare_receipt(&lie.message(b"a lie").receipt);
        for ahead in 0..1000 {
            alice.compare_receipt(&key().sign(&group(), Sequence(u64::MAX - ahead), Epoch(0), ChainHash([0; 32])));
        }
        assert!(alice.told.len() <= RECEIPTS_KEPT);
        assert!(matches!(&alice.read(&log.message(b"the truth"))[..], [AuditFinding::Equivocation(_)]));
    }

    #[test]
    fn a_stored_audit_is_loaded_as_it_was() {
        let (mut log, mut audit) = begun();
        audit.read(&log.message(b"one"));
        audit.compare_receipt(&log.message(b"two").receipt);
        let mut bytes = Vec::new();
        ciborium::into_writer(&audit, &mut bytes).expect("the audit is encoded");
        assert_eq!(ciborium::from_reader::<Audit, _>(&bytes[..]).expect("the audit is decoded"), audit);
    }
}
