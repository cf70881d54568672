//! Commits of this device. A commit is only a value until the delivery service has ordered it.
//! Then the group enters its epoch.

use openmls::prelude::{MlsMessageOut, Sender};

use super::{
    GroupState, LeftOut, PendingCommit, data_extension,
    draft::Draft,
    intent::{Intent, forget_adding},
    leaf_changes::LeafChanges,
    plan::{CommitPlan, plan},
    proposal_effect::summarize,
    selection::Selection,
    trust,
};
use crate::{
    DeviceId, EpochChange, Policy, Proposed,
    call::EngineCall,
    error::Error,
    identity::SignatureKey,
    names::{self, Timestamp},
    signature_keys,
    verification::VerifiedUser,
};

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
        let mut intents = std::mem::take(&mut self.member_state_mut().intents);
        let planned = plan(&mut intents, &self.mls);
        self.member_state_mut().intents = intents;
        let mut plan = planned?;
        let wanted = plan.add.len();
        let selection = self.select(call, device, &mut plan)?;
        // An addition that no commit can contain is reported with a commit, even if nothing else
        // remains to do.
        plan.update |= selection.add.len() < wanted;
        if selection.is_void(&plan) {
            return Ok(None);
        }
        let pending = self.stage_commit(call, device, policy, plan, selection)?;
        for LeftOut { by, change, .. } in &pending.left_out {
            if let Proposed::Add(added) = change
                && by == device
            {
                forget_adding(&mut self.member_state_mut().intents, |known| known == added)?;
            }
        }
        self.member_state_mut().pending = Some(pending.clone());
        Ok(Some(pending))
    }

    fn stage_commit(
        &mut self,
        call: &EngineCall<'_>,
        device: &DeviceId,
        policy: &Policy,
        plan: CommitPlan,
        parts: Selection,
    ) -> Result<PendingCommit, Error> {
        let internal = |detail: String| Error::Internal { action: "make a commit", detail };
        let new_key = match plan.signature_key {
            true => Some(SignatureKey::generate(&call.crypto, self.mls.ciphersuite().signature_algorithm())?),
            false => None,
        };
        if let Some(new_key) = &new_key {
            signature_keys::store(&call.records, new_key)?;
        }
        let extensions = plan.data.map(|data| data_extension::with(&self.mls, &data)).transpose()?;
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
        if let Some(key) = self.member_state().pending.as_ref().and_then(|pending| pending.new_signature_key.clone()) {
            signature_keys::set_current(&call.records, key)?;
            self.set_signer()?;
            self.member_state_mut().rotations = 0;
        }
        change.no_longer_verified = VerifiedUser::forget_changed(&call.records, claims)?;
        // The commit has fulfilled every intent except leaving.
        self.member_state_mut().intents.retain(|intent| matches!(intent, Intent::Leave));
        self.end_epoch(call, now)?;
        change.resume = !self.member_state().intents.is_empty();
        Ok(change)
    }

    /// Discards the pending commit: its secrets are erased, and its intents remain.
    pub(crate) fn discard_pending(&mut self, call: &EngineCall<'_>) -> Result<(), Error> {
        let Some(pending) = self.member_state_mut().pending.take() else { return Ok(()) };
        self.unsaved.sweep_signature_keys |= pending.new_signature_key.is_some();
        self.mls.clear_pending_commit(&call.records)?;
        self.member_state_mut().nothing_is_pending()
    }
}
