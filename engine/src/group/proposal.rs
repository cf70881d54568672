//! Proposals by reference (RFC 9420, 12.1): this device creates them, and a member's next commit
//! carries them out.
//!
//! OpenMLS queues an own proposal at its creation. Until the delivery service has ordered the
//! proposal, the other members may never see it. Therefore the engine records it as unordered, and
//! no commit of this device refers to it.

use openmls::{
    group::MlsGroup,
    prelude::{KeyPackage, LeafNodeIndex, LeafNodeParameters, MlsMessageOut, QueuedProposal, Sender},
};

use super::{
    GroupState, PendingCommit,
    intent::Intent,
    proposal_effect::{ProposalEffect, effect, proposal_reference},
    trust,
};
use crate::{
    call::EngineCall,
    error::Error,
    identity::DeviceSigner,
    names::{self, Epoch, GroupId, MessageId},
};

/// A proposal to send. It is valid only in its epoch: if the delivery service answers that the
/// epoch is over, the proposal has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a proposal does nothing until the delivery service has ordered it"]
pub struct ProposalMessage {
    group: GroupId,
    epoch: Epoch,
    bytes: Vec<u8>,
}

impl ProposalMessage {
    /// Returns the group of the proposal.
    pub fn group(&self) -> &GroupId {
        &self.group
    }

    /// Returns the epoch of the proposal.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Returns the proposal, an MLSMessage.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A message to send that carries out open intents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// A commit. Confirm or discard it after the delivery service's answer.
    Commit(PendingCommit),
    /// A proposal.
    Proposal(ProposalMessage),
}

impl GroupState {
    pub(crate) fn propose_add(&mut self, call: &EngineCall<'_>, added: &KeyPackage) -> Result<ProposalMessage, Error> {
        self.propose(call, |mls, signer| {
            mls.propose_add_member(call, signer, added).map(|(message, _)| message).map_err(|e| e.to_string())
        })
    }

    pub(crate) fn propose_remove(
        &mut self,
        call: &EngineCall<'_>,
        leaf: LeafNodeIndex,
    ) -> Result<ProposalMessage, Error> {
        self.propose(call, |mls, signer| {
            mls.propose_remove_member(call, signer, leaf).map(|(message, _)| message).map_err(|e| e.to_string())
        })
    }

    pub(crate) fn propose_update(&mut self, call: &EngineCall<'_>) -> Result<ProposalMessage, Error> {
        self.propose(call, |mls, signer| {
            let proposal = mls.propose_self_update(call, signer, LeafNodeParameters::default());
            proposal.map(|(message, _)| message).map_err(|e| e.to_string())
        })
    }

    pub(crate) fn propose_leaving(&mut self, call: &EngineCall<'_>) -> Result<ProposalMessage, Error> {
        self.propose(call, |mls, signer| mls.leave_group(call, signer).map_err(|e| e.to_string()))
    }

    /// Proposes to leave if that intent is still open and has no proposal in this epoch.
    pub(crate) fn propose_leaving_again(&mut self, call: &EngineCall<'_>) -> Result<Option<ProposalMessage>, Error> {
        let wanted = self.member_state().intents.iter().any(|intent| matches!(intent, Intent::Leave));
        let own = self.mls.own_leaf_index();
        let proposed = |queued: &QueuedProposal| match effect(queued, &self.mls) {
            Ok(ProposalEffect::Remove { leaf }) => leaf == own && *queued.sender() == Sender::Member(own),
            _ => false,
        };
        if !wanted || self.mls.pending_proposals().any(proposed) {
            return Ok(None);
        }
        self.propose_leaving(call).map(Some)
    }

    fn propose(
        &mut self,
        call: &EngineCall<'_>,
        make: impl FnOnce(&mut MlsGroup, &DeviceSigner<'_>) -> Result<MlsMessageOut, String>,
    ) -> Result<ProposalMessage, Error> {
        let internal = |detail: String| Error::Internal { action: "make a proposal", detail };
        self.refuse_if_pending()?;
        self.refuse_if_rolled_back()?;
        let key = self.signature_key(call)?;
        let message = make(&mut self.mls, &key.signer(&call.crypto)?).map_err(internal)?;
        let bytes = message.to_bytes().map_err(|e| internal(e.to_string()))?;
        self.note_sent(call, &bytes)?;
        // OpenMLS has put the proposal at the end of the queue.
        let queued = self.mls.pending_proposals().last().ok_or_else(|| internal("it was not queued".into()))?;
        trust::proposal(call, queued, &self.mls)?;
        let reference = proposal_reference(queued)?;
        let equal = |other: &&QueuedProposal| other.proposal_reference_ref() == queued.proposal_reference_ref();
        let known = self.mls.pending_proposals().filter(equal).count() > 1;
        self.member_state_mut().propose(MessageId::of(&bytes), reference, known);
        Ok(ProposalMessage {
            group: names::group_id(self.mls.group_id())?,
            epoch: names::epoch(self.mls.epoch()),
            bytes,
        })
    }
}
