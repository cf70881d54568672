//! The audit of the service: receipts, findings, and proofs.

use regrow_engine::GroupId;

use super::state::Machine;
use crate::{
    Delivery, DeliveryKind, api,
    audit::AuditFinding,
    error::Error,
    messenger::{app_data::Changes, event::Event},
    names::Sequence,
    receipt::{Equivocation, Receipt},
};

impl Machine {
    /// Takes in a receipt that did not come with an entry. Its signature was verified.
    pub(super) fn compare_receipt(&mut self, id: &GroupId, receipt: &Receipt) {
        let finding = self.group(id).facts_mut().audit.compare_receipt(receipt);
        self.report_findings(id, finding);
    }

    /// Compares the entry with all that the service has signed of the group before.
    pub(super) fn audit(&mut self, id: &GroupId, delivery: &Delivery) {
        let group = self.group(id);
        let rejoins = group.rejoins().is_some();
        let mut findings = group.facts_mut().audit.read(delivery);
        // A device that rejoins has reported the gap. A fetched rollback explains the missing void
        // entries.
        findings.retain(|finding| match finding {
            AuditFinding::Gap { after, .. } => {
                !rejoins && self.rollbacks(id).all(|(voided, _)| voided.0 > after.0.saturating_add(1))
            }
            AuditFinding::Equivocation(_) | AuditFinding::Broken { .. } => true,
        });
        self.report_findings(id, findings);
    }

    /// The fetched rollbacks of a group: each with the first entry that it voids.
    pub(super) fn rollbacks(&self, id: &GroupId) -> impl Iterator<Item = (Sequence, &Delivery)> {
        self.fetched.iter().filter(move |delivery| delivery.group == *id).filter_map(|delivery| match delivery.kind {
            DeliveryKind::Rollback { voided } => Some((voided, delivery)),
            _ => None,
        })
    }

    /// Reports findings of the audit. After a lie of the service, this device sends nothing in the
    /// group.
    pub(super) fn report_findings(&mut self, id: &GroupId, findings: impl IntoIterator<Item = AuditFinding>) {
        for finding in findings {
            let group = id.clone();
            let facts = self.groups.entry(group.clone()).or_default().facts_mut();
            facts.suspended |= !matches!(finding, AuditFinding::Gap { .. });
            facts.has_gap |= matches!(finding, AuditFinding::Gap { .. });
            self.events.push_back(match finding {
                AuditFinding::Equivocation(proof) => Event::Equivocation { group, proof: *proof },
                AuditFinding::Broken { sequence } => Event::BrokenChain { group, sequence },
                AuditFinding::Gap { after, before } => Event::Gap { group, after, before },
            });
        }
    }

    /// Returns the receipt, if the service has signed it.
    pub(super) fn verified(&self, id: &GroupId, receipt: &api::Receipt) -> Result<Receipt, Error> {
        let forged = || Error::ForgedReceipt { group: id.clone(), sequence: Sequence(receipt.sequence) };
        let receipt = receipt.of(id).ok_or_else(forged)?;
        receipt.verify(&self.service).map_err(|_| forged())?;
        Ok(receipt)
    }

    /// Takes in the receipt of an accepted submission, and returns it.
    pub(super) fn accept_receipt(&mut self, id: &GroupId, receipt: &api::Receipt) -> Result<Receipt, Error> {
        let receipt = self.verified(id, receipt)?;
        self.compare_receipt(id, &receipt);
        Ok(receipt)
    }

    /// Takes in a receipt from another member. Returns the new proof, if the receipt contradicts
    /// this device's receipts.
    pub(in crate::messenger) fn compare(&mut self, receipt: &Receipt) -> Result<Option<Equivocation>, Error> {
        let group = receipt.group.clone();
        let forged = || Error::ForgedReceipt { group: group.clone(), sequence: receipt.sequence };
        receipt.verify(&self.service).map_err(|_| forged())?;
        let before = self.equivocations(&group);
        self.compare_receipt(&group, receipt);
        self.save(&[&group], Changes::default())?;
        Ok(self.equivocations(&group).into_iter().find(|proof| !before.contains(proof)))
    }

    /// The proofs that the service has shown two histories of the group.
    pub(in crate::messenger) fn equivocations(&self, id: &GroupId) -> Vec<Equivocation> {
        self.groups.get(id).map(|group| group.facts().audit.proofs(id)).unwrap_or_default()
    }
}
