//! Evidence against the service: of one group, what the service has signed, and whether it holds together.
//!
//! Every entry that is read has to continue the chain of the one before it, and what was said of an entry to this device,
//! in answer to a submission, and to other members, who carry it in their messages, has to be the same. What is not makes a
//! [`Finding`]; two receipts that contradict each other are kept, for they convince others.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::{
    Delivery, DeliveryKind,
    names::{GroupId, Sequence},
    receipt::{ChainHash, Equivocation, Receipt, StoredReceipt},
};

/// How many receipts of each group are kept to be compared, of the entries that were read last; and as many of entries that
/// others have told of and that were not read yet. At about 120 bytes each they are a few kilobytes for a group, and two
/// members who read at the same time are seldom further apart.
pub const RECEIPTS_KEPT: usize = 32;

/// How many proofs are kept of a group. One convicts.
const PROOFS_KEPT: usize = 4;

/// What an entry or a receipt has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Two receipts that an honest service cannot have signed both.
    Equivocation(Box<Equivocation>),
    /// The entry does not continue the chain: it, or one before it, is not what the service has signed.
    Broken { sequence: Sequence },
    /// Entries are missing.
    Gap { after: Sequence, before: Sequence },
}

impl Finding {
    fn equivocation(proof: Equivocation) -> Self {
        Self::Equivocation(Box::new(proof))
    }
}

/// What the service has signed of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Audit {
    /// Of the entries that were read last, the latest at the end.
    read: VecDeque<StoredReceipt>,
    /// Of entries that were not read yet, or not by this device: answers to submissions, and what members were told.
    told: BTreeMap<u64, StoredReceipt>,
    proofs: Vec<(StoredReceipt, StoredReceipt)>,
}

impl Audit {
    /// The receipt of the last entry that was read.
    pub(super) fn latest(&self, group: &GroupId) -> Option<Receipt> {
        self.read.back().map(|signed| signed.clone().of(group))
    }

    /// The proofs that were found.
    pub(super) fn proofs(&self, group: &GroupId) -> Vec<Equivocation> {
        let proof = |(one, other): &(StoredReceipt, StoredReceipt)| Equivocation {
            one: one.clone().of(group),
            other: other.clone().of(group),
        };
        self.proofs.iter().map(proof).collect()
    }

    /// The group was created, and this is the receipt of that.
    pub(super) fn begin(&mut self, group_info: &[u8], receipt: &Receipt) -> Option<Finding> {
        self.remember(receipt);
        let right = ChainHash::of_creation(&receipt.group, group_info);
        (receipt.head != right).then_some(Finding::Broken { sequence: receipt.sequence })
    }

    /// The number of the last entry that was read.
    pub(super) fn last(&self) -> Option<Sequence> {
        self.read.back().map(|signed| signed.sequence)
    }

    /// An entry is read. Its receipt's signature was verified.
    pub(super) fn read(&mut self, delivery: &Delivery) -> Vec<Finding> {
        let receipt = &delivery.receipt;
        let mut findings = Vec::new();
        if let Some(last) = self.read.back() {
            let (last_sequence, next) = (last.sequence, Sequence(last.sequence.0.saturating_add(1)));
            if receipt.sequence == next {
                // None for a welcome, whose place in the chain a commit has: the chain begins anew with it.
                if delivery.chained(last.head).is_some_and(|head| head != receipt.head) {
                    findings.push(Finding::Broken { sequence: receipt.sequence });
                }
            } else if receipt.sequence > next && !explains_gap(delivery, next) {
                findings.push(Finding::Gap { after: last_sequence, before: receipt.sequence });
            }
        }
        findings.extend(self.compare(receipt).map(Finding::equivocation));
        if self.last().is_none_or(|last| last < receipt.sequence) {
            self.remember(receipt);
        }
        findings
    }

    /// This device has heard of an entry otherwise than by reading it. The receipt's signature was verified.
    pub(super) fn hear(&mut self, receipt: &Receipt) -> Option<Finding> {
        if let Some(proof) = self.compare(receipt) {
            return Some(Finding::equivocation(proof));
        }
        if self.last().is_none_or(|last| last < receipt.sequence) {
            self.told.insert(receipt.sequence.0, receipt.into());
            // The nearest are read first: who is told of entries far ahead forgets nothing of these by it.
            if self.told.len() > RECEIPTS_KEPT {
                self.told.pop_last();
            }
        }
        None
    }

    /// Whether something that is known contradicts the receipt. A proof is reported once for an entry.
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

/// Whether the entry says itself why those before it are not there: what is taken back is deleted; and a membership begins
/// with its first entry, whatever was before.
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

    /// A service that orders whatever it is told.
    struct Log {
        head: ChainHash,
        sequence: u64,
    }

    impl Log {
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

    fn begun() -> (Log, Audit) {
        let (log, mut audit) = (Log::new(), Audit::default());
        assert_eq!(audit.begin(b"info", &key().sign(&group(), Sequence(0), Epoch(0), log.head)), None);
        (log, audit)
    }

    #[test]
    fn an_honest_service_is_not_accused() {
        let (mut log, mut audit) = begun();
        for number in 0..3 * RECEIPTS_KEPT {
            let delivery = log.message(&number.to_be_bytes());
            assert_eq!(audit.hear(&delivery.receipt), None);
            assert_eq!(audit.read(&delivery), []);
            assert_eq!(audit.read(&delivery), [], "read again after a crash");
            assert_eq!(audit.hear(&delivery.receipt), None);
        }
        assert_eq!((audit.read.len(), audit.told.len()), (RECEIPTS_KEPT, 0));
    }

    #[test]
    fn a_creation_that_is_not_what_was_made_is_found() {
        let mut audit = Audit::default();
        let receipt = key().sign(&group(), Sequence(0), Epoch(0), ChainHash::of_creation(&group(), b"other"));
        assert_eq!(audit.begin(b"info", &receipt), Some(Finding::Broken { sequence: Sequence(0) }));
    }

    #[test]
    fn whatever_of_an_entry_is_changed_breaks_the_chain() {
        let (mut log, audit) = begun();
        let good = log.message(b"bytes");
        assert_eq!(audit.clone().read(&good), []);
        for changed in [
            Delivery { kind: DeliveryKind::Commit, ..good.clone() },
            Delivery { sender: device("bob"), ..good.clone() },
            Delivery { time: Timestamp(2), ..good.clone() },
            Delivery { bytes: b"other".to_vec(), ..good.clone() },
        ] {
            assert_eq!(audit.clone().read(&changed), [Finding::Broken { sequence: Sequence(1) }], "{changed:?}");
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
        let Some(Finding::Equivocation(proof)) = alice.hear(&told) else { panic!("it was not found") };

        assert!(proof.convicts(&key().public()));
        assert_eq!(alice.hear(&told), None, "reported once");
        assert_eq!(alice.proofs(&group()), [*proof], "and kept");
    }

    #[test]
    fn what_a_member_was_told_first_is_compared_when_it_is_read() {
        let (mut log, mut alice) = begun();
        let (mut lie, _) = begun();
        assert_eq!(alice.hear(&lie.message(b"a lie").receipt), None);

        let findings = alice.read(&log.message(b"the truth"));

        assert!(matches!(&findings[..], [Finding::Equivocation(proof)] if proof.convicts(&key().public())));
    }

    #[test]
    fn an_own_submission_that_is_read_back_otherwise_is_found() {
        let (mut log, mut alice) = begun();
        let (mut lie, _) = begun();
        alice.hear(&log.message(b"own").receipt);
        assert!(matches!(&alice.read(&lie.message(b"another's"))[..], [Finding::Equivocation(_)]));
    }

    #[test]
    fn a_gap_is_seen_unless_the_entry_explains_it() {
        let (mut log, mut audit) = begun();
        let _lost = log.message(b"lost");
        let gap = Finding::Gap { after: Sequence(0), before: Sequence(2) };
        assert_eq!(audit.clone().read(&log.message(b"next")), [gap]);

        let rollback = log.order(DeliveryKind::Rollback { voided: Sequence(1) }, b"");
        assert_eq!(audit.read(&rollback), []);
        assert_eq!(audit.read(&log.message(b"goes on")), []);
    }

    #[test]
    fn a_rollback_of_less_than_what_is_missing_leaves_a_gap() {
        let (mut log, mut audit) = begun();
        let _lost = [log.message(b"lost"), log.message(b"voided")];
        let rollback = log.order(DeliveryKind::Rollback { voided: Sequence(2) }, b"");
        assert!(matches!(audit.read(&rollback)[..], [Finding::Gap { .. }]));
    }

    #[test]
    fn receipts_far_ahead_crowd_out_no_near_ones() {
        let (mut log, mut alice) = begun();
        let (mut lie, _) = begun();
        alice.hear(&lie.message(b"a lie").receipt);
        for ahead in 0..1000 {
            alice.hear(&key().sign(&group(), Sequence(u64::MAX - ahead), Epoch(0), ChainHash([0; 32])));
        }
        assert!(alice.told.len() <= RECEIPTS_KEPT);
        assert!(matches!(&alice.read(&log.message(b"the truth"))[..], [Finding::Equivocation(_)]));
    }

    #[test]
    fn what_is_kept_is_read_back() {
        let (mut log, mut audit) = begun();
        audit.read(&log.message(b"one"));
        audit.hear(&log.message(b"two").receipt);
        let mut bytes = Vec::new();
        ciborium::into_writer(&audit, &mut bytes).expect("it can be written");
        assert_eq!(ciborium::from_reader::<Audit, _>(&bytes[..]).expect("it can be read"), audit);
    }
}
