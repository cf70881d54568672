//! Selects the proposals and additions for a commit of this device, and records the ones that the
//! commit leaves out.
//!
//! Any member can propose, and a commit fails as a whole when one of its parts is not valid.
//! Therefore each part is checked by itself, and a part that no commit can contain does not stop
//! the others.

use openmls::{
    group::QueuedProposal,
    prelude::{KeyPackage, LeafNodeIndex},
};

use super::{
    GroupState, check,
    leaves::leaf_of,
    left_out::{LeftOut, left_out_addition, left_out_proposal},
    new_leaf::NewLeaf,
    plan::CommitPlan,
    proposal_effect::{ProposalEffect, effect, proposal_reference},
    trust,
};
use crate::{DeviceId, Refusal, call::EngineCall, error::Error, identity::device_of_key_package};

/// The parts of a commit that can fail.
#[derive(Default)]
pub(crate) struct Selection {
    /// The additions that this device wants.
    pub(crate) add: Vec<KeyPackage>,
    /// The references of the proposals that the commit includes.
    pub(crate) proposals: Vec<Vec<u8>>,
    /// The parts that the commit leaves out.
    pub(crate) left_out: Vec<LeftOut>,
}

impl Selection {
    /// True if a commit with the plan and the selected parts would fulfill no intent. Proposals
    /// that no commit can contain are a reason for a commit, because no message can be sent while
    /// they wait.
    pub(crate) fn is_void(&self, plan: &CommitPlan) -> bool {
        let proposals = !self.proposals.is_empty() || !self.left_out.is_empty();
        self.add.is_empty()
            && plan.remove.is_empty()
            && plan.data.is_none()
            && !plan.update
            && !(plan.commit_proposals && proposals)
    }
}

impl GroupState {
    /// Selects the additions and proposals of a commit. A change that an included proposal already
    /// makes is deleted from the plan.
    pub(crate) fn select(
        &self,
        call: &EngineCall<'_>,
        own: &DeviceId,
        plan: &mut CommitPlan,
    ) -> Result<Selection, Error> {
        let mut left_out = Vec::new();
        let add = self.select_additions(call, own, plan, &mut left_out)?;
        let mut chosen = Chosen {
            leaves: add.iter().map(NewLeaf::added).collect(),
            added: add.iter().map(device_of_key_package).collect::<Result<_, _>>()?,
            data: false,
        };
        let mut proposals = Vec::new();
        for queued in self.mls.pending_proposals() {
            let reference = proposal_reference(queued)?;
            if self.member_state().unordered.values().any(|unordered| *unordered == reference) {
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

    /// Returns the additions of the plan that a commit can contain.
    fn select_additions(
        &self,
        call: &EngineCall<'_>,
        own: &DeviceId,
        plan: &mut CommitPlan,
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

    /// True if the commit includes the proposal.
    ///
    /// # Errors
    /// [`Error::Refused`] if no commit can contain the proposal.
    fn judge<'p>(
        &self,
        call: &EngineCall<'_>,
        queued: &'p QueuedProposal,
        plan: &mut CommitPlan,
        chosen: &mut Chosen<'p>,
    ) -> Result<bool, Error> {
        let own = self.mls.own_leaf_index();
        let effect = effect(queued, &self.mls)?;
        if is_for_others(&effect, own) || chosen.has(&effect) {
            return Ok(false);
        }
        // An authentication service may refuse a proposal that it accepted before.
        trust::proposal(call, queued, &self.mls)?;
        check::proposal(queued, &self.mls, &chosen.leaves)?;
        match effect {
            ProposalEffect::Add { device, key_package } => {
                if plan.remove_users.contains(device.user()) {
                    return Ok(false);
                }
                if leaf_of(&self.mls, &device).is_some() {
                    return Err(Refusal::Duplicate(device).into());
                }
                chosen.added.push(device);
                chosen.leaves.push(NewLeaf::added(key_package));
            }
            ProposalEffect::Remove { leaf } => {
                plan.commit_proposals |= plan.remove.contains(&leaf);
                plan.remove.retain(|planned| *planned != leaf);
            }
            ProposalEffect::Update { leaf, new } => chosen.leaves.push(NewLeaf::updated(new, leaf)),
            // A commit can contain only one such proposal (RFC 9420, 12.2). The data of this
            // device's own intent has priority.
            ProposalEffect::Data(data) => {
                if plan.data.as_deref().is_some_and(|wanted| wanted != data) {
                    return Ok(false);
                }
                chosen.data = true;
                plan.commit_proposals |= plan.data.take().is_some();
            }
            ProposalEffect::ExternalInit => return Ok(false),
        }
        Ok(true)
    }
}

/// The selected parts of a commit.
struct Chosen<'p> {
    leaves: Vec<NewLeaf<'p>>,
    added: Vec<DeviceId>,
    data: bool,
}

impl Chosen<'_> {
    /// True if the commit already has a proposal with this effect and cannot contain a second one.
    fn has(&self, effect: &ProposalEffect<'_>) -> bool {
        match effect {
            ProposalEffect::Add { device, .. } => self.added.contains(device),
            ProposalEffect::Data(_) => self.data,
            _ => false,
        }
    }
}

/// True if another member must commit the proposal. A committer cannot remove or update itself by
/// a proposal (RFC 9420, 12.2).
fn is_for_others(effect: &ProposalEffect<'_>, own: LeafNodeIndex) -> bool {
    matches!(effect, ProposalEffect::Remove { leaf } | ProposalEffect::Update { leaf, .. } if *leaf == own)
}
