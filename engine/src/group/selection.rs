//! The proposals and additions that a commit of this device takes along, and those that it leaves out.
//!
//! Any member can propose, and a commit fails as a whole when one of its parts is not valid. So each part is judged by
//! itself, and a part that no commit can have stops no other.

use openmls::{
    group::{MlsGroup, QueuedProposal},
    prelude::{KeyPackage, LeafNodeIndex, Sender},
};
use serde::{Deserialize, Serialize};

use super::{
    GroupState,
    check::{self, Effect},
    commit::proposal_reference,
    device_at,
    intent::{Plan, device_of},
    leaf::NewLeaf,
    leaf_of, proposal, trust,
};
use crate::{
    DeviceId,
    error::{Error, Refusal},
    event::Proposed,
    provider::Call,
};

/// A proposal, or an addition that this device wanted, that a commit leaves out because no commit can have it.
///
/// The epoch that the commit makes ends the proposal, and the addition is not wanted any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The device that proposed or wanted the change.
    pub by: DeviceId,
    /// The change that does not happen.
    pub change: Proposed,
    /// The reason for which no commit can have it.
    pub reason: Refusal,
}

/// The parts of a commit that can fail.
#[derive(Default)]
pub(crate) struct Selection {
    /// The additions that this device wants.
    pub(crate) add: Vec<KeyPackage>,
    /// The references of the proposals that the commit takes along.
    pub(crate) proposals: Vec<Vec<u8>>,
    /// The parts that the commit leaves out.
    pub(crate) left_out: Vec<LeftOut>,
}

impl GroupState {
    /// Chooses the additions and proposals of a commit. What the proposals do is struck from the plan, of which they are
    /// then a part.
    pub(crate) fn select(&self, call: &Call<'_>, own: &DeviceId, plan: &mut Plan) -> Result<Selection, Error> {
        let mut left_out = Vec::new();
        let add = self.select_additions(call, own, plan, &mut left_out)?;
        let mut chosen = Chosen {
            leaves: add.iter().map(NewLeaf::added).collect(),
            added: add.iter().map(device_of).collect::<Result<_, _>>()?,
            data: false,
        };
        let mut proposals = Vec::new();
        for queued in self.mls.pending_proposals() {
            let reference = proposal_reference(queued)?;
            if self.membership().unordered.values().any(|unordered| *unordered == reference) {
                continue;
            }
            match self.judge(call, queued, plan, &mut chosen) {
                Ok(true) => proposals.push(reference),
                Ok(false) => {}
                Err(Error::Refused(reason)) => left_out.extend(left_out_proposal(queued, &self.mls, reason)?),
                Err(error) => return Err(error),
            }
        }
        drop(chosen);
        Ok(Selection { add, proposals, left_out })
    }

    /// The additions of the plan that a commit can have.
    fn select_additions(
        &self,
        call: &Call<'_>,
        own: &DeviceId,
        plan: &mut Plan,
        left_out: &mut Vec<LeftOut>,
    ) -> Result<Vec<KeyPackage>, Error> {
        let mut chosen: Vec<KeyPackage> = Vec::with_capacity(plan.add.len());
        for key_package in plan.add.drain(..) {
            let beside: Vec<_> = chosen.iter().map(NewLeaf::added).collect();
            let checked = NewLeaf::added(&key_package).check(&self.mls, &beside).map_err(Error::from);
            match checked.and_then(|()| trust::addition(call, &key_package, &self.mls, own)) {
                Ok(()) => chosen.push(key_package),
                Err(Error::Refused(reason)) => left_out.push(left_out_addition(own, &key_package, reason)?),
                Err(error) => return Err(error),
            }
        }
        Ok(chosen)
    }

    /// Whether the commit takes the proposal along.
    ///
    /// # Errors
    /// [`Error::Refused`] if no commit can have the proposal.
    fn judge<'p>(
        &self,
        call: &Call<'_>,
        queued: &'p QueuedProposal,
        plan: &mut Plan,
        chosen: &mut Chosen<'p>,
    ) -> Result<bool, Error> {
        let own = self.mls.own_leaf_index();
        let effect = check::effect(queued, &self.mls)?;
        if is_for_others(&effect, own) || chosen.has(&effect) {
            return Ok(false);
        }
        // An authentication service may refuse a proposal that it accepted before.
        trust::proposal(call, queued, &self.mls)?;
        check::proposal(queued, &self.mls, &chosen.leaves)?;
        match effect {
            Effect::Add { device, key_package } => {
                if plan.remove_users.contains(device.user()) {
                    return Ok(false);
                }
                if leaf_of(&self.mls, &device).is_some() {
                    return Err(Refusal::Duplicate(device).into());
                }
                chosen.added.push(device);
                chosen.leaves.push(NewLeaf::added(key_package));
            }
            Effect::Remove { leaf } => {
                plan.commit_proposals |= plan.remove.contains(&leaf);
                plan.remove.retain(|planned| *planned != leaf);
            }
            Effect::Update { leaf, new } => chosen.leaves.push(NewLeaf::updated(new, leaf)),
            // RFC 9420, 12.2: one such proposal in a commit. The data that this device wants come first.
            Effect::Data(data) => {
                if plan.data.as_deref().is_some_and(|wanted| wanted != data) {
                    return Ok(false);
                }
                chosen.data = true;
                plan.commit_proposals |= plan.data.take().is_some();
            }
            Effect::ExternalInit => return Ok(false),
        }
        Ok(true)
    }
}

/// The parts that a commit has so far.
struct Chosen<'p> {
    leaves: Vec<NewLeaf<'p>>,
    added: Vec<DeviceId>,
    data: bool,
}

impl Chosen<'_> {
    /// Whether a second proposal with this effect has no place in the commit.
    fn has(&self, effect: &Effect<'_>) -> bool {
        match effect {
            Effect::Add { device, .. } => self.added.contains(device),
            Effect::Data(_) => self.data,
            _ => false,
        }
    }
}

/// Whether others have to commit the proposal: no committer removes or updates itself by one (RFC 9420, 12.2).
fn is_for_others(effect: &Effect<'_>, own: LeafNodeIndex) -> bool {
    matches!(effect, Effect::Remove { leaf } | Effect::Update { leaf, .. } if *leaf == own)
}

/// The record of an addition that a commit leaves out.
pub(crate) fn left_out_addition(own: &DeviceId, addition: &KeyPackage, reason: Refusal) -> Result<LeftOut, Error> {
    Ok(LeftOut { by: own.clone(), change: Proposed::Add(device_of(addition)?), reason })
}

/// The record of a proposal that a commit leaves out; [`None`] if its sender is no member.
pub(crate) fn left_out_proposal(
    queued: &QueuedProposal,
    group: &MlsGroup,
    reason: Refusal,
) -> Result<Option<LeftOut>, Error> {
    let Sender::Member(leaf) = queued.sender() else { return Ok(None) };
    let Some(by) = device_at(group, *leaf)? else { return Ok(None) };
    Ok(Some(LeftOut { by, change: proposal::describe(queued, group)?, reason }))
}
