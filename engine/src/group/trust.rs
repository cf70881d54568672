//! Asks the application's [`Authenticate`](crate::Authenticate). Each function is called after a
//! message is known to be authentic and before the message changes anything. A refusal ends the
//! call.

use openmls::{
    group::{Member, MlsGroup, QueuedProposal, StagedCommit},
    prelude::{KeyPackage, LeafNode, LeafNodeIndex, Proposal, Sender},
};

use super::{
    leaves::{device_at, leaf_of},
    proposal_effect::change,
};
use crate::{
    Change, DeviceId, IdentityClaim, Refusal, SignaturePublicKey,
    call::EngineCall,
    error::Error,
    identity::{device_of_credential, device_of_leaf},
    names::{self, GroupId},
};

/// Accepts or refuses a proposal of another member or of this device.
pub(crate) fn proposal(call: &EngineCall<'_>, queued: &QueuedProposal, group: &MlsGroup) -> Result<(), Error> {
    if let Some(claim) = proposed(queued, group)? {
        authenticate(call, &claim)?;
    }
    let Sender::Member(leaf) = queued.sender() else { return Ok(()) };
    let Some(by) = device_at(group, *leaf)? else { return Ok(()) };
    match change(queued, group, &by)? {
        Some(change) => permit(call, &names::group_id(group.group_id())?, &by, &change),
        None => Ok(()),
    }
}

/// Accepts or refuses an addition that this device wants.
pub(crate) fn addition(
    call: &EngineCall<'_>,
    added: &KeyPackage,
    group: &MlsGroup,
    by: &DeviceId,
) -> Result<(), Error> {
    let claim = claim(added.leaf_node(), group)?;
    authenticate(call, &claim)?;
    permit(call, &names::group_id(group.group_id())?, by, &Change::Added(claim.device))
}

/// Accepts or refuses a commit of another member or of this device. Returns the claims of the
/// commit's new leaves.
pub(crate) fn commit(
    call: &EngineCall<'_>,
    staged: &StagedCommit,
    sender: &Sender,
    group: &MlsGroup,
    by: &DeviceId,
) -> Result<Vec<IdentityClaim>, Error> {
    let claims = claims(staged, sender, group)?;
    claims.iter().try_for_each(|claim| authenticate(call, claim))?;
    let id = names::group_id(group.group_id())?;
    for queued in staged.queued_proposals() {
        let proposer = match queued.sender() {
            Sender::Member(leaf) => device_at(group, *leaf)?,
            _ => None,
        };
        if let Some(change) = change(queued, group, by)? {
            permit(call, &id, proposer.as_ref().unwrap_or(by), &change)?;
        }
    }
    Ok(claims)
}

/// Accepts or refuses the members of a group that this device is about to join.
pub(crate) fn members(
    call: &EngineCall<'_>,
    members: impl Iterator<Item = Member>,
    own: &DeviceId,
) -> Result<(), Error> {
    members_claims(members, own)?.iter().try_for_each(|claim| authenticate(call, claim))
}

/// Checks that the application permits this change by the device.
pub(crate) fn permit(call: &EngineCall<'_>, group: &GroupId, by: &DeviceId, change: &Change) -> Result<(), Error> {
    call.authority
        .may(group, by, change)
        .map_err(|reason| Refusal::Forbidden { by: by.clone(), change: Box::new(change.clone()), reason }.into())
}

/// Returns the claims of all members of a group except this device.
pub(crate) fn members_claims(
    members: impl Iterator<Item = Member>,
    own: &DeviceId,
) -> Result<Vec<IdentityClaim>, Error> {
    let mut claims = Vec::new();
    for member in members {
        let device = device_of_credential(&member.credential)?;
        if device != *own {
            claims.push(IdentityClaim {
                device,
                signature_key: SignaturePublicKey(member.signature_key),
                previous: None,
            });
        }
    }
    Ok(claims)
}

/// Returns the claims of the leaves in a commit that are new or have a new signature key, except
/// this device's own leaf.
pub(crate) fn claims(staged: &StagedCommit, sender: &Sender, group: &MlsGroup) -> Result<Vec<IdentityClaim>, Error> {
    let mut claims = Vec::new();
    for queued in staged.queued_proposals() {
        claims.extend(proposed(queued, group)?);
    }
    if let Some(leaf) = staged.update_path_leaf_node() {
        match sender {
            Sender::Member(committer) => claims.extend(changed(leaf, *committer, group)?),
            _ => claims.push(claim(leaf, group)?),
        }
    }
    Ok(claims)
}

fn proposed(queued: &QueuedProposal, group: &MlsGroup) -> Result<Option<IdentityClaim>, Error> {
    match (queued.proposal(), queued.sender()) {
        (Proposal::Add(add), _) => claim(add.key_package().leaf_node(), group).map(Some),
        (Proposal::Update(update), Sender::Member(leaf)) => changed(update.leaf_node(), *leaf, group),
        _ => Ok(None),
    }
}

/// Returns the claim of a leaf that replaces an existing leaf, if the signature key or the device
/// is new.
fn changed(leaf: &LeafNode, place: LeafNodeIndex, group: &MlsGroup) -> Result<Option<IdentityClaim>, Error> {
    if place == group.own_leaf_index() {
        return Ok(None);
    }
    Ok(Some(claim(leaf, group)?).filter(|claim| claim.previous.as_ref() != Some(&claim.signature_key)))
}

fn claim(leaf: &LeafNode, group: &MlsGroup) -> Result<IdentityClaim, Error> {
    let device = device_of_leaf(leaf)?;
    let before = leaf_of(group, &device).and_then(|place| group.public_group().leaf(place));
    Ok(IdentityClaim {
        device,
        signature_key: SignaturePublicKey::of(leaf),
        previous: before.map(SignaturePublicKey::of),
    })
}

fn authenticate(call: &EngineCall<'_>, claim: &IdentityClaim) -> Result<(), Error> {
    call.authority
        .authenticate(claim)
        .map_err(|reason| Refusal::Unauthenticated { device: claim.device.clone(), reason }.into())
}
