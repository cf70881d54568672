//! The checks that a member makes of the delivery service, and its findings.
//!
//! The receipts go through the audit that a messenger has. The rosters come from the ratchet tree,
//! and the authenticators from the engine. The world's own knowledge decides nothing here.

use regrow_delivery_service::{Delivery, Equivocation, GroupId, Receipt, ServicePublicKey};
use regrow_protocol::audit::{Audit, AuditFinding};

use super::fault_injection::MadeChecks;
use crate::scenario::Evidence;

/// A finding that the world has not recorded yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewFinding {
    pub(super) what: Evidence,
    pub(super) detail: String,
}

/// A finding of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) what: Evidence,
    /// The number of epochs since the beginning of the latest lie.
    pub(super) after: u64,
    pub(super) detail: String,
}

/// A member's checks. They survive the process, like its store.
pub(super) struct MemberChecks {
    service: ServicePublicKey,
    made: MadeChecks,
    audit: Audit,
    /// The end of the stream that was reported as too early.
    early_end: Option<AuditFinding>,
    /// The epoch whose roster was compared last.
    pub(super) compared_roster: Option<u64>,
    /// The findings that the world has not recorded yet.
    new: Vec<NewFinding>,
    pub(super) findings: Vec<Finding>,
}

impl MemberChecks {
    pub(super) fn new(service: ServicePublicKey, made: MadeChecks) -> Self {
        Self {
            service,
            made,
            audit: Audit::default(),
            early_end: None,
            compared_roster: None,
            new: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// Takes in the receipt of the group's creation.
    pub(super) fn created(&mut self, group_info: &[u8], receipt: &Receipt) {
        if self.compares(receipt) {
            let finding = self.audit.begin(group_info, receipt);
            self.note_audit(finding);
        }
    }

    /// Takes in an entry of the stream.
    pub(super) fn read(&mut self, delivery: &Delivery) {
        if self.compares(&delivery.receipt) {
            let findings = self.audit.read(delivery);
            self.note_audit(findings);
        }
    }

    /// Takes in a receipt from an answer or from another member.
    pub(super) fn compare(&mut self, receipt: &Receipt) {
        if self.compares(receipt) {
            let finding = self.audit.compare_receipt(receipt);
            self.note_audit(finding);
        }
    }

    /// Takes in a proof from another member. Anybody can verify it with the service's key.
    pub(super) fn shown(&mut self, proof: &Equivocation) {
        if self.made.receipts && proof.convicts(&self.service) {
            self.note(Evidence::Equivocation, "another member has shown a proof".to_owned());
        }
    }

    /// The stream has no more entries for now.
    pub(super) fn stream_ended(&mut self) {
        if !self.made.receipts {
            return;
        }
        let ended = self.audit.ended();
        if ended.is_some() && self.early_end != ended {
            self.early_end = ended.clone();
            self.note_audit(ended);
        }
    }

    /// The service says that the group is in a later epoch than the last entry of the stream.
    pub(super) fn epoch_is_over(&mut self, own: u64) {
        self.note(Evidence::Gap, format!("the service is past epoch {own}, but its stream is not"));
    }

    /// Another member has another authenticator of the same epoch.
    pub(super) fn authenticator_differs(&mut self, epoch: u64) {
        self.note(Evidence::Equivocation, format!("another member has another authenticator of epoch {epoch}"));
    }

    /// The service's roster is not the roster of the ratchet tree.
    pub(super) fn roster_differs(&mut self, detail: String) {
        self.note(Evidence::RosterLie, detail);
    }

    /// The receipt of the last entry that the member has read.
    pub(super) fn latest(&self, group: &GroupId) -> Option<Receipt> {
        self.audit.latest(group)
    }

    /// The proofs of the group.
    pub(super) fn proofs(&self, group: &GroupId) -> Vec<Equivocation> {
        self.audit.proofs(group)
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
            let number = receipt.sequence.0;
            self.note(Evidence::Equivocation, format!("the receipt of entry {number} is not signed by the service"));
        }
        signed
    }

    fn note_audit(&mut self, findings: impl IntoIterator<Item = AuditFinding>) {
        for finding in findings {
            match finding {
                AuditFinding::Equivocation(proof) => {
                    let number = proof.one.sequence.0;
                    self.note(Evidence::Equivocation, format!("there are two receipts of entry {number}"));
                }
                AuditFinding::Broken { sequence } => {
                    let detail = format!("entry {} does not continue the chain", sequence.0);
                    self.note(Evidence::Equivocation, detail);
                }
                AuditFinding::Gap { after, before } => {
                    let detail = format!("entries are missing between {} and {}", after.0, before.0);
                    self.note(Evidence::Gap, detail);
                }
            }
        }
    }

    fn note(&mut self, what: Evidence, detail: String) {
        self.new.push(NewFinding { what, detail });
    }
}
