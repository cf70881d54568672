//! Checks that RFC 9420 leaves to the application: valid devices in leaves, and supported
//! proposals.

use std::collections::BTreeSet;

use openmls::{
    group::{MlsGroup, QueuedProposal, StagedCommit},
    prelude::{LeafNode, LeafNodeIndex, Sender},
};

use super::{
    data_extension,
    leaves::{device_at, leaves_by_identity},
    new_leaf::NewLeaf,
    proposal_effect::{ProposalEffect, effect, succession},
};
use crate::{DeviceId, Refusal, error::Error, identity::device_of_leaf, key_package};

/// Refuses a proposal that no commit can contain together with the leaves `beside` it. Every
/// member would refuse such a commit.
pub(crate) fn proposal(queued: &QueuedProposal, group: &MlsGroup, beside: &[NewLeaf<'_>]) -> Result<(), Error> {
    match effect(queued, group)? {
        ProposalEffect::Add { key_package, .. } => {
            key_package::use_until(key_package)?;
            Ok(NewLeaf::added(key_package).check(group, beside)?)
        }
        ProposalEffect::Update { leaf, new } => Ok(NewLeaf::updated(new, leaf).check(group, beside)?),
        ProposalEffect::Data(_) if !data_extension::is_supported(group) => Err(Refusal::GroupContext.into()),
        ProposalEffect::Remove { .. } | ProposalEffect::Data(_) | ProposalEffect::ExternalInit => Ok(()),
    }
}

/// Accepts or refuses a commit that is authentic and valid (RFC 9420, 5.3.1, 7.3, 12.2, 12.4.3.2).
pub(crate) fn commit(staged: &StagedCommit, sender: &Sender, group: &MlsGroup) -> Result<(), Error> {
    let mut removed = Vec::new();
    let mut added: Vec<DeviceId> = Vec::new();
    for queued in staged.queued_proposals() {
        match effect(queued, group)? {
            ProposalEffect::Add { device, key_package } => {
                key_package::use_until(key_package)?;
                added.push(device);
            }
            ProposalEffect::Remove { leaf } => removed.push(leaf),
            ProposalEffect::Update { .. } | ProposalEffect::Data(_) | ProposalEffect::ExternalInit => {}
        }
    }
    if let Some(leaf) = staged.update_path_leaf_node() {
        let device = device_of_leaf(leaf)?;
        match sender {
            Sender::Member(committer) => {
                if let Some(before) = device_at(group, *committer)? {
                    succession(before, &device)?;
                }
            }
            _ => {
                for replaced in &removed {
                    external_replacement(group, *replaced, &device, leaf)?;
                }
                added.push(device);
            }
        }
    }
    if added.is_empty() {
        return Ok(());
    }
    let mut present = leaves_by_identity(group);
    present.retain(|_, leaf| !removed.contains(leaf));
    match added.iter().find(|device| present.contains_key(device.to_identity().as_slice())) {
        Some(device) => Err(Refusal::Duplicate(device.clone()).into()),
        None => distinct(&added),
    }
}

/// Refuses a list that contains a device twice.
pub(crate) fn distinct<'d>(devices: impl IntoIterator<Item = &'d DeviceId>) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    match devices.into_iter().find(|device| !seen.insert(*device)) {
        Some(device) => Err(Refusal::Duplicate(device.clone()).into()),
        None => Ok(()),
    }
}

/// Refuses an external commit that removes another device than the joining device. Also refuses
/// one that removes the joining device's own leaf without having its signature key (RFC 9420,
/// 12.4.3.2).
///
/// In a member's commit or update, the old key signs the new key. An external commit is signed
/// only with the key that it brings.
fn external_replacement(
    group: &MlsGroup,
    replaced: LeafNodeIndex,
    joiner: &DeviceId,
    new: &LeafNode,
) -> Result<(), Error> {
    let Some(old) = group.public_group().leaf(replaced) else { return Ok(()) };
    let removed = device_of_leaf(old)?;
    if removed != *joiner {
        return Err(Refusal::ForeignRemoval { joiner: joiner.clone(), removed }.into());
    }
    if old.signature_key() != new.signature_key() {
        return Err(Refusal::SignatureKeyChanged { device: removed }.into());
    }
    Ok(())
}
