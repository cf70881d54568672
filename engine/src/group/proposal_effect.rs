//! Reads queued proposals and staged commits: their effects, with the names of devices.

use openmls::{
    group::{MlsGroup, QueuedProposal, StagedCommit},
    prelude::{KeyPackage, LeafNode, LeafNodeIndex, Proposal, Sender},
};

use super::{data_extension, leaves::device_at};
use crate::{
    Change, DeviceId, EpochChange, Proposed, Refusal,
    error::Error,
    identity::{device_of_key_package, device_of_leaf},
    names::Epoch,
};

/// The effect of one proposal.
pub(crate) enum ProposalEffect<'p> {
    Add { device: DeviceId, key_package: &'p KeyPackage },
    Remove { leaf: LeafNodeIndex },
    Update { leaf: LeafNodeIndex, new: &'p LeafNode },
    Data(&'p [u8]),
    ExternalInit,
}

/// Returns the effect of the proposal.
///
/// # Errors
/// [`Refusal::OutsideProposal`] and [`Refusal::ProposalType`] for proposals that Regrow does not
/// support.
pub(crate) fn effect<'p>(queued: &'p QueuedProposal, group: &MlsGroup) -> Result<ProposalEffect<'p>, Error> {
    Ok(match (queued.proposal(), queued.sender()) {
        (_, Sender::External(_) | Sender::NewMemberProposal) => return Err(Refusal::OutsideProposal.into()),
        (Proposal::Add(add), _) => {
            ProposalEffect::Add { device: device_of_key_package(add.key_package())?, key_package: add.key_package() }
        }
        (Proposal::Remove(remove), _) => ProposalEffect::Remove { leaf: remove.removed() },
        (Proposal::Update(update), Sender::Member(leaf)) => {
            let device = device_of_leaf(update.leaf_node())?;
            if let Some(node) = group.public_group().leaf(*leaf) {
                succession(device_of_leaf(node)?, &device)?;
            }
            ProposalEffect::Update { leaf: *leaf, new: update.leaf_node() }
        }
        (Proposal::GroupContextExtensions(change), Sender::Member(_)) => {
            ProposalEffect::Data(data_extension::proposed(group.extensions(), change.extensions())?)
        }
        (Proposal::ExternalInit(_), Sender::NewMemberCommit) => ProposalEffect::ExternalInit,
        (other, _) => return Err(Refusal::ProposalType(format!("{:?}", other.proposal_type())).into()),
    })
}

/// Describes the change that the proposal would make, with device names.
pub(crate) fn describe(queued: &QueuedProposal, group: &MlsGroup) -> Result<Proposed, Error> {
    Ok(match effect(queued, group)? {
        ProposalEffect::Add { device, .. } => Proposed::Add(device),
        ProposalEffect::Remove { leaf } => match device_at(group, leaf)? {
            Some(device) => Proposed::Remove(device),
            None => return Err(Error::Invalid { detail: "a proposal removes a blank leaf".into() }),
        },
        ProposalEffect::Update { .. } => Proposed::Update,
        ProposalEffect::Data(data) => Proposed::Data(data.to_vec()),
        ProposalEffect::ExternalInit => return Err(Error::Invalid { detail: "an external init by reference".into() }),
    })
}

/// Returns the change of a proposal in a commit of the device `by`; [`None`] if the affected leaf
/// is blank.
pub(crate) fn change(queued: &QueuedProposal, group: &MlsGroup, by: &DeviceId) -> Result<Option<Change>, Error> {
    Ok(match effect(queued, group)? {
        ProposalEffect::Add { device, .. } => Some(Change::Added(device)),
        ProposalEffect::Remove { leaf } => device_at(group, leaf)?.map(Change::Removed),
        ProposalEffect::Update { leaf, .. } => device_at(group, leaf)?.map(Change::Updated),
        ProposalEffect::Data(data) => Some(Change::Data(data.to_vec())),
        ProposalEffect::ExternalInit => Some(Change::Added(by.clone())),
    })
}

/// Returns the changes of a commit, before it is merged.
pub(crate) fn summarize(staged: &StagedCommit, group: &MlsGroup, by: DeviceId) -> Result<EpochChange, Error> {
    let mut changes = Vec::new();
    for queued in staged.queued_proposals() {
        changes.extend(change(queued, group, &by)?);
    }
    let epoch = Epoch(group.epoch().as_u64() + 1);
    Ok(EpochChange { by, epoch, changes, no_longer_verified: Vec::new(), resume: false })
}

/// Returns the reference by which commits name a proposal (RFC 9420, 5.2).
pub(crate) fn proposal_reference(queued: &QueuedProposal) -> Result<Vec<u8>, Error> {
    rmp_serde::to_vec(queued.proposal_reference_ref())
        .map_err(|e| Error::Internal { action: "name a proposal", detail: e.to_string() })
}

/// Refuses a leaf that names another device than the leaf that it replaces.
pub(crate) fn succession(from: DeviceId, to: &DeviceId) -> Result<(), Error> {
    if from == *to {
        return Ok(());
    }
    Err(Refusal::Succession { from, to: to.clone() }.into())
}
