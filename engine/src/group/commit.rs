//! Commits of this device. A commit is only a value until the delivery service has ordered it.
//! Then the group enters its epoch.

use openmls::{
    group::{MlsGroup, QueuedProposal, StagedCommit},
    prelude::{MlsMessageOut, Sender},
};
use serde::{Deserialize, Serialize};

use super::{
    GroupState,
    check::{self, ProposalEffect},
    data, device_at,
    draft::Draft,
    freshness::LeafChanges,
    intent::{self, Plan},
    selection::{LeftOut, Selection},
    trust,
};
use crate::{
    DeviceId, Policy, SignaturePublicKey,
    error::Error,
    event::{Change, EpochChange, Proposed},
    identity::SignatureKey,
    key_package,
    names::{self, Epoch, GroupId, MessageId, Timestamp},
    provider::EngineCall,
    verification::VerifiedUser,
};

/// A pending commit, which has not yet changed the group (RFC 9420, 12.4). Submit it to the
/// delivery service. Then pass it to [`Client::confirm`](crate::Client::confirm) if the service
/// has accepted it, or to [`Client::discard`](crate::Client::discard) if not.
///
/// A pending commit survives a restart: see [`Group::pending`](crate::Group::pending).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "a commit changes nothing until the delivery service has ordered it and it is confirmed"]
pub struct PendingCommit {
    pub(crate) group: GroupId,
    pub(crate) epoch: Epoch,
    pub(crate) commit: Vec<u8>,
    pub(crate) welcome: Option<Vec<u8>>,
    pub(crate) group_info: Option<Vec<u8>>,
    pub(crate) changes: Vec<Change>,
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) new_signature_key: Option<SignaturePublicKey>,
    pub(crate) external: bool,
}

impl PendingCommit {
    /// Returns the group of the commit.
    pub fn group(&self) -> &GroupId {
        &self.group
    }

    /// Returns the epoch in which the commit was created. The accepted commit starts the next
    /// epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Returns the commit, an MLSMessage.
    pub fn commit(&self) -> &[u8] {
        &self.commit
    }

    /// Returns the welcome for the added devices, an MLSMessage, if the commit adds devices.
    /// Release it only after the commit is accepted.
    pub fn welcome(&self) -> Option<&[u8]> {
        self.welcome.as_deref()
    }

    /// Returns the group info of the commit's new epoch, an MLSMessage, if the policy asks for
    /// one.
    pub fn group_info(&self) -> Option<&[u8]> {
        self.group_info.as_deref()
    }

    /// Returns the devices that the commit adds.
    pub fn added(&self) -> impl Iterator<Item = &DeviceId> {
        Change::added(&self.changes)
    }

    /// Returns the devices that the commit removes. A device that rejoins is both removed and
    /// added.
    pub fn removed(&self) -> impl Iterator<Item = &DeviceId> {
        Change::removed(&self.changes)
    }

    /// Returns the changes of the commit, in the order of its proposals.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Returns the proposals and wanted additions that the commit leaves out, because no commit
    /// can contain them. Inform the person who wanted the addition. A member that repeatedly sends
    /// such proposals can be removed.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// True for an external commit, by which this device joins the group (RFC 9420, 12.4.3.2).
    pub fn is_external(&self) -> bool {
        self.external
    }

    pub(crate) fn id(&self) -> MessageId {
        MessageId::of(&self.commit)
    }
}

impl GroupState {
    /// Creates a commit for all open intents, with all proposals of the epoch; [`None`] if nothing
    /// remains to do.
    pub(crate) fn commit_intents(
        &mut self,
        call: &EngineCall<'_>,
        device: &DeviceId,
        policy: &Policy,
    ) -> Result<Option<PendingCommit>, Error> {
        self.refuse_if_pending()?;
        self.refuse_if_rolled_back()?;
        let mut intents = std::mem::take(&mut self.membership_mut().intents);
        let planned = intent::plan(&mut intents, &self.mls);
        self.membership_mut().intents = intents;
        let mut plan = planned?;
        let wanted = plan.add.len();
        let selection = self.select(call, device, &mut plan)?;
        // An addition that no commit can contain is reported with a commit, even if nothing else
        // remains to do.
        plan.update |= selection.add.len() < wanted;
        if plan.is_void(&selection) {
            return Ok(None);
        }
        let pending = self.stage_commit(call, device, policy, plan, selection)?;
        for LeftOut { by, change, .. } in &pending.left_out {
            if let Proposed::Add(added) = change
                && by == device
            {
                intent::forget_adding(&mut self.membership_mut().intents, |known| known == added)?;
            }
        }
        self.membership_mut().pending = Some(pending.clone());
        Ok(Some(pending))
    }

    fn stage_commit(
        &mut self,
        call: &EngineCall<'_>,
        device: &DeviceId,
        policy: &Policy,
        plan: Plan,
        parts: Selection,
    ) -> Result<PendingCommit, Error> {
        let internal = |detail: String| Error::Internal { action: "make a commit", detail };
        let new_key = match plan.signature_key {
            true => Some(SignatureKey::generate(&call.crypto, self.mls.ciphersuite().signature_algorithm())?),
            false => None,
        };
        if let Some(new_key) = &new_key {
            key_package::store_signature_key(&call.records, new_key)?;
        }
        let extensions = plan.data.map(|data| data::with(&self.mls, &data)).transpose()?;
        let epoch = names::epoch(self.mls.epoch());
        let group = names::group_id(self.mls.group_id())?;
        let key = self.signature_key(call)?;
        let mut draft = Draft { device, policy, key, new_key, remove: plan.remove, extensions, parts };
        let (commit, welcome, group_info) = draft.stage(&mut self.mls, call)?.into_messages();
        let staged = self.mls.pending_commit().ok_or_else(|| internal("no commit is pending".into()))?;
        trust::commit(call, staged, &Sender::Member(self.mls.own_leaf_index()), &self.mls, device)?;
        let change = summarize(staged, &self.mls, device.clone())?;
        let bytes = |message: MlsMessageOut| message.to_bytes().map_err(|e| internal(e.to_string()));
        let commit = bytes(commit)?;
        self.note_sent(call, &commit)?;
        Ok(PendingCommit {
            group,
            epoch,
            commit,
            welcome: welcome.map(bytes).transpose()?,
            group_info: group_info.map(bytes).transpose()?,
            changes: change.changes,
            left_out: draft.parts.left_out,
            new_signature_key: draft.new_key.map(|key| key.public().clone()),
            external: false,
        })
    }

    /// Merges the pending commit after it was ordered. The group enters the commit's epoch.
    pub(crate) fn confirm_pending(
        &mut self,
        call: &EngineCall<'_>,
        device: &DeviceId,
        now: Timestamp,
    ) -> Result<EpochChange, Error> {
        let staged = self.mls.pending_commit().ok_or(Error::NotPending)?;
        let mut change = summarize(staged, &self.mls, device.clone())?;
        let claims = trust::claims(staged, &Sender::Member(self.mls.own_leaf_index()), &self.mls)?;
        let leaves = LeafChanges::of(staged, &self.mls, Some(self.mls.own_leaf_index()))?;
        self.mls
            .merge_pending_commit(call)
            .map_err(|e| Error::Internal { action: "merge the pending commit", detail: e.to_string() })?;
        self.note_leaves(&leaves, now);
        if let Some(key) = self.membership().pending.as_ref().and_then(|pending| pending.new_signature_key.clone()) {
            key_package::set_device_signature_key(&call.records, key)?;
            self.set_signer()?;
            self.membership_mut().rotations = 0;
        }
        change.no_longer_verified = VerifiedUser::forget_changed(&call.records, claims)?;
        // The commit has fulfilled every intent except leaving.
        self.membership_mut().intents.retain(|intent| matches!(intent, intent::Intent::Leave));
        self.end_epoch(call, now)?;
        change.resume = !self.membership().intents.is_empty();
        Ok(change)
    }

    /// Discards the pending commit: its secrets are erased, and its intents remain.
    pub(crate) fn discard_pending(&mut self, call: &EngineCall<'_>) -> Result<(), Error> {
        let Some(pending) = self.membership_mut().pending.take() else { return Ok(()) };
        self.unsaved.sweep_signature_keys |= pending.new_signature_key.is_some();
        self.mls.clear_pending_commit(&call.records)?;
        self.membership_mut().nothing_is_pending()
    }
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

/// Returns the change of a proposal in a commit of the device `by`; [`None`] if the affected leaf
/// is blank.
pub(crate) fn change(queued: &QueuedProposal, group: &MlsGroup, by: &DeviceId) -> Result<Option<Change>, Error> {
    Ok(match check::effect(queued, group)? {
        ProposalEffect::Add { device, .. } => Some(Change::Added(device)),
        ProposalEffect::Remove { leaf } => device_at(group, leaf)?.map(Change::Removed),
        ProposalEffect::Update { leaf, .. } => device_at(group, leaf)?.map(Change::Updated),
        ProposalEffect::Data(data) => Some(Change::Data(data.to_vec())),
        ProposalEffect::ExternalInit => Some(Change::Added(by.clone())),
    })
}

/// Returns the reference by which commits name a proposal (RFC 9420, 5.2).
pub(crate) fn proposal_reference(queued: &QueuedProposal) -> Result<Vec<u8>, Error> {
    rmp_serde::to_vec(queued.proposal_reference_ref())
        .map_err(|e| Error::Internal { action: "name a proposal", detail: e.to_string() })
}
