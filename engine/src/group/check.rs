//! What RFC 9420 leaves to the application: who may be in a leaf, and which proposals are taken part in.

use std::collections::BTreeSet;

use openmls::{
    group::{MlsGroup, QueuedProposal, StagedCommit},
    prelude::{KeyPackage, LeafNode, LeafNodeIndex, Proposal, Sender},
};

use super::{data, device_at, leaf::NewLeaf, leaves_by_identity};
use crate::{
    DeviceId,
    error::{Error, Refusal},
    identity::device_of_leaf,
    key_package,
};

/// What one proposal changes.
pub(crate) enum Effect<'p> {
    Add { device: DeviceId, key_package: &'p KeyPackage },
    Remove { leaf: LeafNodeIndex },
    Update { leaf: LeafNodeIndex, new: &'p LeafNode },
    Data(&'p [u8]),
    ExternalInit,
}

/// What the proposal changes.
///
/// # Errors
/// [`Refusal::OutsideProposal`] and [`Refusal::ProposalType`] for proposals that Regrow takes no part in.
pub(crate) fn effect<'p>(queued: &'p QueuedProposal, group: &MlsGroup) -> Result<Effect<'p>, Error> {
    Ok(match (queued.proposal(), queued.sender()) {
        (_, Sender::External(_) | Sender::NewMemberProposal) => return Err(Refusal::OutsideProposal.into()),
        (Proposal::Add(add), _) => {
            Effect::Add { device: device_of_leaf(add.key_package().leaf_node())?, key_package: add.key_package() }
        }
        (Proposal::Remove(remove), _) => Effect::Remove { leaf: remove.removed() },
        (Proposal::Update(update), Sender::Member(leaf)) => {
            let device = device_of_leaf(update.leaf_node())?;
            if let Some(node) = group.public_group().leaf(*leaf) {
                succession(device_of_leaf(node)?, &device)?;
            }
            Effect::Update { leaf: *leaf, new: update.leaf_node() }
        }
        (Proposal::GroupContextExtensions(change), Sender::Member(_)) => {
            Effect::Data(data::proposed(group.extensions(), change.extensions())?)
        }
        (Proposal::ExternalInit(_), Sender::NewMemberCommit) => Effect::ExternalInit,
        (other, _) => return Err(Refusal::ProposalType(format!("{:?}", other.proposal_type())).into()),
    })
}

/// Refuses a proposal that no commit can have, together with the leaves `beside` it: every member would refuse the commit.
pub(crate) fn proposal(queued: &QueuedProposal, group: &MlsGroup, beside: &[NewLeaf<'_>]) -> Result<(), Error> {
    match effect(queued, group)? {
        Effect::Add { key_package, .. } => {
            key_package::use_until(key_package)?;
            Ok(NewLeaf::added(key_package).check(group, beside)?)
        }
        Effect::Update { leaf, new } => Ok(NewLeaf::updated(new, leaf).check(group, beside)?),
        Effect::Data(_) if !data::is_supported(group) => Err(Refusal::GroupContext.into()),
        Effect::Remove { .. } | Effect::Data(_) | Effect::ExternalInit => Ok(()),
    }
}

/// Accepts or refuses a commit that is authentic and valid (RFC 9420, 5.3.1, 7.3, 12.2, 12.4.3.2).
pub(crate) fn commit(staged: &StagedCommit, sender: &Sender, group: &MlsGroup) -> Result<(), Error> {
    let mut removed = Vec::new();
    let mut added: Vec<DeviceId> = Vec::new();
    for queued in staged.queued_proposals() {
        match effect(queued, group)? {
            Effect::Add { device, key_package } => {
                key_package::use_until(key_package)?;
                added.push(device);
            }
            Effect::Remove { leaf } => removed.push(leaf),
            Effect::Update { .. } | Effect::Data(_) | Effect::ExternalInit => {}
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

/// Refuses devices of which one is named twice: the members of a group that this device is about to join, for one.
pub(crate) fn distinct<'d>(devices: impl IntoIterator<Item = &'d DeviceId>) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    match devices.into_iter().find(|device| !seen.insert(*device)) {
        Some(device) => Err(Refusal::Duplicate(device.clone()).into()),
        None => Ok(()),
    }
}

/// Refuses an external commit that removes another device than the one that joins, or the joiner's own leaf without having
/// its signature key (RFC 9420, 12.4.3.2). A new key is vouched for by the old one, in a commit or an update of the
/// member's: an external commit is signed with nothing but the key that it brings.
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

fn succession(from: DeviceId, to: &DeviceId) -> Result<(), Error> {
    if from == *to {
        return Ok(());
    }
    Err(Refusal::Succession { from, to: to.clone() }.into())
}
