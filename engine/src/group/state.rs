//! A group in memory, and its records in the store.

use openmls::group::MlsGroup;
use tls_codec::Serialize as _;

use super::record::{Activity, GroupRecord, MemberState, RecordOf};
use crate::{
    SignaturePublicKey,
    call::EngineCall,
    error::Error,
    identity::SignatureKey,
    key_erasure,
    names::{self, Epoch, GroupId},
    signature_keys,
    storage::{RecordKind, StorageError},
};

/// A group in memory: its OpenMLS state and its engine state.
pub(crate) struct GroupState {
    pub(crate) mls: MlsGroup,
    membership: MemberState,
    activity: Activity,
    /// The changes of a call that must be written or undone when the call ends.
    pub(crate) unsaved: UnsavedChanges,
}

/// The changes of a group by a call, without OpenMLS's own writes.
#[derive(Default)]
pub(crate) struct UnsavedChanges {
    /// The membership's record has changed.
    membership: bool,
    /// The activity's record has changed.
    activity: bool,
    /// Signature keys may have lost their last use.
    pub(crate) sweep_signature_keys: bool,
    /// The first epoch in which this device is no longer a member.
    pub(crate) removed: Option<Epoch>,
    /// The state in memory may be newer than the stored state. Load the group again before the
    /// next use.
    pub(crate) reload: bool,
}

impl UnsavedChanges {
    /// Nothing to write. The group must be loaded again before its next use.
    pub(crate) fn reload() -> Self {
        Self { reload: true, ..Self::default() }
    }
}

impl GroupState {
    pub(crate) fn new(mls: MlsGroup, membership: MemberState) -> Self {
        Self { mls, membership, activity: Activity::default(), unsaved: UnsavedChanges::default() }
    }

    /// Loads the group of the transaction's scope, with the engine's records.
    pub(crate) fn load(call: &EngineCall<'_>, id: &GroupId) -> Result<Self, Error> {
        let record = call.records.get(&call.records.scope().key(RecordKind::Group), RecordKind::Group)?;
        match record {
            None => Err(Error::UnknownGroup { group: id.clone() }),
            Some(GroupRecord::Removed(epoch)) => Err(Error::Removed { group: id.clone(), epoch }),
            Some(GroupRecord::Member(membership)) => {
                let activity =
                    call.records.get(&call.records.scope().key(RecordKind::Activity), RecordKind::Activity)?;
                let group = Self::new(load_mls(call, id)?, *membership);
                Ok(Self { activity: activity.unwrap_or_default(), ..group })
            }
        }
    }

    pub(crate) fn member_state(&self) -> &MemberState {
        &self.membership
    }

    pub(crate) fn member_state_mut(&mut self) -> &mut MemberState {
        self.unsaved.membership = true;
        &mut self.membership
    }

    pub(crate) fn activity(&self) -> &Activity {
        &self.activity
    }

    pub(crate) fn activity_mut(&mut self) -> &mut Activity {
        self.unsaved.activity = true;
        &mut self.activity
    }

    /// Writes the call's changes to the engine's own records.
    pub(crate) fn finish(&mut self, call: &EngineCall<'_>) -> Result<UnsavedChanges, Error> {
        let unsaved = std::mem::take(&mut self.unsaved);
        let scope = call.records.scope();
        if let Some(epoch) = unsaved.removed {
            // Without this deletion, a thief of the device could still read the group's last
            // epoch.
            call.records.delete_all(&scope.prefix())?;
            call.records.put(scope.key(RecordKind::Group), RecordKind::Group, &GroupRecord::Removed(epoch))?;
        } else if unsaved.membership {
            call.records.put(scope.key(RecordKind::Group), RecordKind::Group, &RecordOf::Member(&self.membership))?;
        }
        if unsaved.activity && unsaved.removed.is_none() {
            let key = scope.key(RecordKind::Activity);
            match self.activity.sent {
                0 => call.records.delete(key),
                _ => call.records.put(key, RecordKind::Activity, &self.activity)?,
            }
        }
        if unsaved.sweep_signature_keys || unsaved.removed.is_some() {
            key_erasure::sweep_signature_keys(&call.records)?;
        }
        Ok(unsaved)
    }

    pub(crate) fn refuse_if_pending(&self) -> Result<(), Error> {
        match &self.membership.pending {
            Some(pending) => Err(Error::CommitPending { epoch: pending.epoch() }),
            None => Ok(()),
        }
    }

    pub(crate) fn refuse_if_rolled_back(&self) -> Result<(), Error> {
        match self.membership.storage_restored {
            true => Err(Error::Restored { group: names::group_id(self.mls.group_id())? }),
            false => Ok(()),
        }
    }

    /// Returns the key that signs this device's leaf in this group.
    pub(crate) fn signature_key(&self, call: &EngineCall<'_>) -> Result<SignatureKey, Error> {
        let leaf = self
            .mls
            .own_leaf_node()
            .ok_or_else(|| Error::Internal { action: "find the own leaf", detail: "the tree has none".into() })?;
        signature_keys::get(&call.records, leaf.signature_key().as_slice())
    }

    pub(crate) fn ratchet_tree(&self) -> Result<Vec<u8>, Error> {
        let tree = self.mls.export_ratchet_tree().tls_serialize_detached();
        tree.map_err(|e| Error::Internal { action: "encode the ratchet tree", detail: e.to_string() })
    }

    pub(crate) fn group_info(&self, call: &EngineCall<'_>) -> Result<Vec<u8>, Error> {
        self.refuse_if_pending()?;
        let internal = |detail: String| Error::Internal { action: "make a group info", detail };
        let key = self.signature_key(call)?;
        let info = self.mls.export_group_info(&call.crypto, &key.signer(&call.crypto)?, true);
        info.map_err(|e| internal(e.to_string()))?.to_bytes().map_err(|e| internal(e.to_string()))
    }

    /// Records the signature key of this device's leaf.
    pub(crate) fn set_signer(&mut self) -> Result<(), Error> {
        let leaf =
            self.mls.own_leaf_node().ok_or_else(|| Error::Invalid { detail: "the tree has no own leaf".into() })?;
        let signer = SignaturePublicKey(leaf.signature_key().as_slice().to_vec());
        self.member_state_mut().signer = Some(signer);
        Ok(())
    }
}

/// Loads OpenMLS's state of the group in the transaction's scope.
pub(crate) fn load_mls(call: &EngineCall<'_>, id: &GroupId) -> Result<MlsGroup, Error> {
    MlsGroup::load(&call.records, &names::to_mls(id))?.ok_or_else(|| {
        Error::Storage(StorageError::Damaged { record: RecordKind::Group.name(), detail: "incomplete".into() })
    })
}
