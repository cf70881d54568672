//! Proposals by reference (RFC 9420, 12.1): made here, carried out by somebody's next commit.
//!
//! OpenMLS queues an own proposal when it makes it. Until the delivery service has ordered it the others may never see
//! it, so it is remembered as unordered, and no commit of this device refers to it.

use openmls::{
    group::MlsGroup,
    prelude::{KeyPackage, LeafNodeIndex, LeafNodeParameters, MlsMessageOut, QueuedProposal, Sender},
};

use super::{
    GroupState,
    check::{self, Effect},
    commit::{PendingCommit, proposal_reference},
    device_at,
    intent::Intent,
    trust,
};
use crate::{
    error::Error,
    event::Proposed,
    identity::DeviceSigner,
    names::{self, Epoch, GroupId, MessageId},
    provider::Call,
};

/// A proposal to be sent. It is valid in its epoch only: if the delivery service says that the epoch is over, it is void.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a proposal does nothing until the delivery service has ordered it"]
pub struct ProposalMessage {
    group: GroupId,
    epoch: Epoch,
    bytes: Vec<u8>,
}

impl ProposalMessage {
    /// The group it is for.
    pub fn group(&self) -> &GroupId {
        &self.group
    }

    /// The epoch it was made in.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The proposal, an MLSMessage.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Something to be sent, that does what was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// A commit, to be confirmed or discarded.
    Commit(PendingCommit),
    /// A proposal.
    Proposal(ProposalMessage),
}

impl GroupState {
    pub(crate) fn propose_add(&mut self, call: &Call<'_>, added: &KeyPackage) -> Result<ProposalMessage, Error> {
        self.propose(call, |mls, signer| {
            mls.propose_add_member(call, signer, added).map(|(message, _)| message).map_err(|e| e.to_string())
        })
    }

    pub(crate) fn propose_remove(&mut self, call: &Call<'_>, leaf: LeafNodeIndex) -> Result<ProposalMessage, Error> {
        self.propose(call, |mls, signer| {
            mls.propose_remove_member(call, signer, leaf).map(|(message, _)| message).map_err(|e| e.to_string())
        })
    }

    pub(crate) fn propose_update(&mut self, call: &Call<'_>) -> Result<ProposalMessage, Error> {
        self.propose(call, |mls, signer| {
            let proposal = mls.propose_self_update(call, signer, LeafNodeParameters::default());
            proposal.map(|(message, _)| message).map_err(|e| e.to_string())
        })
    }

    pub(crate) fn propose_leaving(&mut self, call: &Call<'_>) -> Result<ProposalMessage, Error> {
        self.propose(call, |mls, signer| mls.leave_group(call, signer).map_err(|e| e.to_string()))
    }

    /// Proposes to leave if that is still wanted and not proposed in this epoch.
    pub(crate) fn propose_leaving_again(&mut self, call: &Call<'_>) -> Result<Option<ProposalMessage>, Error> {
        let wanted = self.membership().intents.iter().any(|intent| matches!(intent, Intent::Leave));
        let own = self.mls.own_leaf_index();
        let proposed = |queued: &QueuedProposal| match check::effect(queued, &self.mls) {
            Ok(Effect::Remove { leaf }) => leaf == own && *queued.sender() == Sender::Member(own),
            _ => false,
        };
        if !wanted || self.mls.pending_proposals().any(proposed) {
            return Ok(None);
        }
        self.propose_leaving(call).map(Some)
    }

    fn propose(
        &mut self,
        call: &Call<'_>,
        make: impl FnOnce(&mut MlsGroup, &DeviceSigner<'_>) -> Result<MlsMessageOut, String>,
    ) -> Result<ProposalMessage, Error> {
        let internal = |detail: String| Error::Internal { action: "make a proposal", detail };
        self.refuse_if_pending()?;
        self.refuse_if_rolled_back()?;
        let key = self.signature_key(call)?;
        let message = make(&mut self.mls, &key.signer(&call.crypto)?).map_err(internal)?;
        let bytes = message.to_bytes().map_err(|e| internal(e.to_string()))?;
        self.note_sent(call, &bytes)?;
        // OpenMLS has put it at the end of the queue.
        let queued = self.mls.pending_proposals().last().ok_or_else(|| internal("it was not queued".into()))?;
        trust::proposal(call, queued, &self.mls)?;
        let reference = proposal_reference(queued)?;
        let equal = |other: &&QueuedProposal| other.proposal_reference_ref() == queued.proposal_reference_ref();
        let known = self.mls.pending_proposals().filter(equal).count() > 1;
        self.membership_mut().propose(MessageId::of(&bytes), reference, known);
        Ok(ProposalMessage {
            group: names::group_id(self.mls.group_id())?,
            epoch: names::epoch(self.mls.epoch()),
            bytes,
        })
    }
}

/// What the proposal would change, in names.
pub(crate) fn describe(queued: &QueuedProposal, group: &MlsGroup) -> Result<Proposed, Error> {
    Ok(match check::effect(queued, group)? {
        Effect::Add { device, .. } => Proposed::Add(device),
        Effect::Remove { leaf } => match device_at(group, leaf)? {
            Some(device) => Proposed::Remove(device),
            None => return Err(Error::Invalid { detail: "a proposal removes a blank leaf".into() }),
        },
        Effect::Update { .. } => Proposed::Update,
        Effect::Data(data) => Proposed::Data(data.to_vec()),
        Effect::ExternalInit => return Err(Error::Invalid { detail: "an external init by reference".into() }),
    })
}
