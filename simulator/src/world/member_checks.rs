//! The checks that a member makes of the delivery service, and its findings.
//!
//! The receipts go through the audit that a messenger has. The rosters come from the ratchet tree,
//! and the authenticators from the engine. The world's own knowledge decides nothing here.

use std::collections::BTreeMap;

use regrow_delivery_service::{Delivery, Equivocation, GroupId, Receipt, ServicePublicKey};
use regrow_protocol::audit::{Audit, AuditFinding};

use super::fault_injection::MadeChecks;
use crate::scenario::Evidence;

/// A finding that the world has not recorded yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewFinding {
    pub(super) group: GroupId,
    pub(super) what: Evidence,
    pub(super) detail: String,
}

/// A finding of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) group: GroupId,
    pub(super) what: Evidence,
    /// The number of epochs since the beginning of the latest lie.
    pub(super) after: u64,
    pub(super) detail: String,
}

/// A member's checks. They survive the process, like its store.
pub(super) struct MemberChecks {
    service: ServicePublicKey,
    made: MadeChecks,
    /// The audit of each group.
    audits: BTreeMap<GroupId, Audit>,
    /// The end of the stream that was reported as too early, in each group.
    early_ends: BTreeMap<GroupId, AuditFinding>,
    /// The epoch of each group whose roster was compared last.
    pub(super) compared_rosters: BTreeMap<GroupId, u64>,
    /// The findings that the world has not recorded yet.
    new: Vec<NewFinding>,
    pub(super) findings: Vec<Finding>,
}

impl MemberChecks {
    pub(super) fn new(service: ServicePublicKey, made: MadeChecks) -> Self {
        Self {
            service,
            made,
            audits: BTreeMap::new(),
            early_ends: BTreeMap::new(),
            compared_rosters: BTreeMap::new(),
            new: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// Takes in the receipt of the group's creation.
    pub(super) fn created(&mut self, group_info: &[u8], receipt: &Receipt) {
        if self.compares(receipt) {
            let finding = self.audit(&receipt.group).begin(group_info, receipt);
            self.note_audit(&receipt.group, finding);
        }
    }

    /// Takes in an entry of the stream.
    pub(super) fn read(&mut self, delivery: &Delivery) {
        if self.compares(&delivery.receipt) {
            let findings = self.audit(&delivery.group).read(delivery);
            self.note_audit(&delivery.group, findings);
        }
    }

    /// Takes in a receipt from an answer or from another member.
    pub(super) fn compare(&mut self, receipt: &Receipt) {
        if self.compares(receipt) {
            let finding = self.audit(&receipt.group).compare_receipt(receipt);
            self.note_audit(&receipt.group, finding);
        }
    }

    /// Takes in a proof from another member. Anybody can verify it with the service's key.
    pub(super) fn shown(&mut self, proof: &Equivocation) {
        if self.made.receipts && proof.convicts(&self.service) {
            self.note(&proof.one.group, Evidence::Equivocation, "another member has shown a proof".to_owned());
        }
    }

    /// The stream has no more entries of a group for now.
    pub(super) fn stream_ended(&mut self, group: &GroupId) {
        let ended = self.audits.get(group).filter(|_| self.made.receipts).and_then(Audit::ended);
        if ended.is_some() && self.early_ends.get(group) != ended.as_ref() {
            self.early_ends.extend(ended.clone().map(|ended| (group.clone(), ended)));
            self.note_audit(group, ended);
        }
    }

    /// The service says that the group is in a later epoch than the last entry of the stream.
    pub(super) fn epoch_is_over(&mut self, group: &GroupId, own: u64) {
        self.note(group, Evidence::Gap, format!("the service is past epoch {own}, but its stream is not"));
    }

    /// Another member has another authenticator of the same epoch.
    pub(super) fn authenticator_differs(&mut self, group: &GroupId, epoch: u64) {
        let detail = format!("another member has another authenticator of epoch {epoch}");
        self.note(group, Evidence::Equivocation, detail);
    }

    /// The service's roster is not the roster of the ratchet tree.
    pub(super) fn roster_differs(&mut self, group: &GroupId, detail: String) {
        self.note(group, Evidence::RosterLie, detail);
    }

    /// The receipt of the last entry that the member has read.
    pub(super) fn latest(&self, group: &GroupId) -> Option<Receipt> {
        self.audits.get(group)?.latest(group)
    }

    /// The proofs of the group.
    pub(super) fn proofs(&self, group: &GroupId) -> Vec<Equivocation> {
        self.audits.get(group).map(|audit| audit.proofs(group)).unwrap_or_default()
    }

    /// True if the member compares the rosters of each epoch.
    pub(super) fn compares_rosters(&self) -> bool {
        self.made.rosters
    }

    pub(super) fn take_new(&mut self) -> Vec<NewFinding> {
        std::mem::take(&mut self.new)
    }

    /// True if the member compares receipts. A receipt that the service has not signed is no
    /// receipt.
    fn compares(&mut self, receipt: &Receipt) -> bool {
        if !self.made.receipts {
            return false;
        }
        let signed = receipt.verify(&self.service).is_ok();
        if !signed {
            let detail = format!("the receipt of entry {} is not signed by the service", receipt.sequence.0);
            self.note(&receipt.group, Evidence::Equivocation, detail);
        }
        signed
    }

    fn audit(&mut self, group: &GroupId) -> &mut Audit {
        self.audits.entry(group.clone()).or_default()
    }

    fn note_audit(&mut self, group: &GroupId, findings: impl IntoIterator<Item = AuditFinding>) {
        for finding in findings {
            match finding {
                AuditFinding::Equivocation(proof) => {
                    let number = proof.one.sequence.0;
                    self.note(group, Evidence::Equivocation, format!("there are two receipts of entry {number}"));
                }
                AuditFinding::Broken { sequence } => {
                    let detail = format!("entry {} does not continue the chain", sequence.0);
                    self.note(group, Evidence::Equivocation, detail);
                }
                AuditFinding::Gap { after, before } => {
                    let detail = format!("entries are missing between {} and {}", after.0, before.0);
                    self.note(group, Evidence::Gap, detail);
                }
            }
        }
    }

    fn note(&mut self, group: &GroupId, what: Evidence, detail: String) {
        self.new.push(NewFinding { group: group.clone(), what, detail });
    }
}
