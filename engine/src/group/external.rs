//! Joins a group by external commit (RFC 9420, 12.4.3.2): as a new member, or again after the
//! group's state was lost.
//!
//! OpenMLS merges an external commit as soon as it is made. But the delivery service may still
//! refuse the commit, and a device that rejoins may still have its old group. Therefore the
//! records of the new group have a scope of their own until the commit's outcome is known.
//!
//! When the service has ordered the commit, the new records replace all records of the old group,
//! which are deleted. When the service has refused it, the new records are deleted. So an external
//! commit is a [`PendingCommit`] like any other: the device can confirm it, discard it, and find
//! it again after a crash.

use std::fmt::Display;

use openmls::{
    group::{ExternalCommitBuilderError, PastEpochDeletion},
    messages::group_info::VerifiableGroupInfo,
    prelude::{Capabilities, CommitMessageBundle, LeafNodeParameters, MlsGroup, RatchetTreeIn},
};
use openmls_traits::OpenMlsProvider as _;

use super::{
    GroupState, PendingCommit, check, data_extension,
    intent::Intent,
    plan::plan,
    record::{GroupRecord, MemberState},
    trust,
};
use crate::{
    Change, DeviceId, EpochChange, Policy, Refusal,
    call::{CallWithCrypto, EngineCall},
    error::Error,
    identity::{SignatureKey, device_of_credential},
    key_package,
    names::{self, GroupId, Timestamp},
    signature_keys::{self, DeviceRecord},
    storage::{RecordKind, RecordScope, StorageError},
    verification::VerifiedUser,
    verified_together::verified_together,
};

/// Creates the external commit, and stores the resulting group in the joining scope.
pub(crate) fn join(
    call: &EngineCall<'_>,
    device: &DeviceId,
    policy: &Policy,
    group_info: VerifiableGroupInfo,
    ratchet_tree: Option<RatchetTreeIn>,
) -> Result<PendingCommit, Error> {
    let id = names::group_id(group_info.group_id())?;
    let epoch = names::epoch(group_info.epoch());
    let scope = RecordScope::Joining(id.clone());
    call.records.enter(scope.clone());
    call.records.delete_all(&scope.prefix())?;

    let ratchet_tree = match group_info.extensions().ratchet_tree() {
        Some(extension) => extension.ratchet_tree().clone(),
        None => ratchet_tree.ok_or(Error::NeedsRatchetTree { group: id.clone(), epoch })?,
    };
    let (key, rejoins) = signature_key(call, device, &ratchet_tree)?;
    let (mls, bundle) = verified_together(
        &call.crypto,
        |crypto| build(&call.with_crypto(crypto), device, policy, &key, group_info, ratchet_tree),
        || invalid("the signature of the group info, or of a leaf, is wrong"),
    )?;
    let devices: Vec<DeviceId> =
        mls.members().map(|member| device_of_credential(&member.credential)).collect::<Result<_, _>>()?;
    check::distinct(&devices)?;
    data_extension::of(mls.extensions())?;
    trust::members(call, mls.members(), device)?;

    let mut changes = vec![Change::Added(device.clone())];
    if rejoins {
        changes.push(Change::Removed(device.clone()));
    }
    for change in &changes {
        trust::permit(call, &id, device, change)?;
    }
    let internal = |detail: String| Error::Internal { action: "encode an external commit", detail };
    let (commit, _, group_info) = bundle.into_messages();
    let pending = PendingCommit {
        group: id,
        epoch,
        commit: commit.to_bytes().map_err(|e| internal(e.to_string()))?,
        welcome: None,
        group_info: group_info.map(|info| info.to_bytes().map_err(|e| internal(e.to_string()))).transpose()?,
        changes,
        left_out: Vec::new(),
        new_signature_key: None,
        external: true,
    };
    let mut group = GroupState::new(mls, MemberState { pending: Some(pending.clone()), ..MemberState::default() });
    group.set_signer()?;
    group.finish(call)?;
    Ok(pending)
}

fn invalid(detail: impl Display) -> Error {
    Error::Invalid { detail: format!("the group cannot be joined: {detail}") }
}

/// Creates the external commit and the group after it.
fn build(
    call: &CallWithCrypto<'_, '_>,
    device: &DeviceId,
    policy: &Policy,
    key: &SignatureKey,
    group_info: VerifiableGroupInfo,
    ratchet_tree: RatchetTreeIn,
) -> Result<(MlsGroup, CommitMessageBundle), Error> {
    let builder = MlsGroup::external_commit_builder()
        .with_config(policy.join_config())
        .with_ratchet_tree(ratchet_tree)
        // As for a welcome, the key package of a leaf may have expired.
        .skip_lifetime_validation()
        .build_group(call, group_info, key.credential(device))
        .map_err(|error| match error {
            ExternalCommitBuilderError::StorageError(error) => Error::from(error),
            other => invalid(other),
        })?;
    let capabilities: Capabilities = key_package::capabilities(call.crypto());
    let (mut mls, bundle) = builder
        .leaf_node_parameters(LeafNodeParameters::builder().with_capabilities(capabilities).build())
        .load_psks(call.storage())
        .map_err(invalid)?
        .use_ratchet_tree_extension(policy.sends_ratchet_tree())
        .create_group_info(policy.publish_group_info)
        .build(call.rand(), call.crypto(), &key.signer(call.crypto())?, |_| true)
        .map_err(invalid)?
        .finalize(call)
        .map_err(invalid)?;

    // OpenMLS stores placeholders as the secrets of the epoch before this device joined. Delete
    // them.
    mls.delete_past_epoch_secrets(call, PastEpochDeletion::delete_all()).map_err(invalid)?;
    Ok((mls, bundle))
}

/// Returns the signature key for joining, and true if the group has a leaf of this device. It is
/// the key of that leaf, or the device's current key if there is no such leaf.
fn signature_key(
    call: &EngineCall<'_>,
    device: &DeviceId,
    tree: &RatchetTreeIn,
) -> Result<(SignatureKey, bool), Error> {
    let identity = device.to_identity();
    let leaf = tree.leaves().find(|leaf| leaf.credential().serialized_content() == identity);
    match leaf {
        // OpenMLS removes the leaf with the joiner's signature key. Without that key the old leaf
        // would stay.
        Some(leaf) => {
            let key = signature_keys::find(&call.records, leaf.signature_key().as_slice())?;
            Ok((key.ok_or_else(|| Refusal::Duplicate(device.clone()))?, true))
        }
        None => {
            let record = DeviceRecord::load(&call.records)?;
            Ok((signature_keys::get(&call.records, record.signature_key.as_bytes())?, false))
        }
    }
}

/// Confirms an external commit that was ordered: its group replaces the existing group.
pub(crate) fn confirm(
    call: &EngineCall<'_>,
    id: &GroupId,
    device: &DeviceId,
    now: Timestamp,
) -> Result<(GroupState, EpochChange), Error> {
    let scope = RecordScope::Group(id.clone());
    let intents = match call.records.get(&scope.key(RecordKind::Group), RecordKind::Group)? {
        Some(GroupRecord::Member(replaced)) => replaced.all_intents().cloned().collect(),
        _ => Vec::new(),
    };
    call.records.rename(&RecordScope::Joining(id.clone()), &scope)?;
    call.records.enter(scope);
    // The group is loaded again from its records. OpenMLS's group in memory has resumption PSKs,
    // which are not stored.
    let mut group = GroupState::load(call, id)?;
    let pending = group.member_state_mut().pending.take().ok_or(Error::NotPending)?;
    group.all_leaves_are_new(now);
    group.note_epoch();
    group.resume_intents(intents)?;
    group.replace_former(call)?;
    // The replaced group may have been the last user of its leaf's key.
    group.unsaved.sweep_signature_keys = true;
    // These claims cover all changes since this device was last in the group.
    let claims = trust::members_claims(group.mls.members(), device)?;
    let change = EpochChange {
        by: device.clone(),
        epoch: names::epoch(group.mls.epoch()),
        changes: pending.changes,
        no_longer_verified: VerifiedUser::forget_changed(&call.records, claims)?,
        resume: !group.member_state().intents.is_empty(),
    };
    Ok((group, change))
}

impl GroupState {
    /// Takes over the open intents of the replaced group. Intents to update keys or to commit
    /// proposals are dropped, because the external commit has given this device new keys and ended
    /// all proposals.
    fn resume_intents(&mut self, mut intents: Vec<Intent>) -> Result<(), Error> {
        intents.retain(|intent| !matches!(intent, Intent::Update { signature_key: false } | Intent::CommitProposals));
        plan(&mut intents, &self.mls)?;
        self.member_state_mut().intents = intents;
        Ok(())
    }
}

/// Returns the external commit that waits for the delivery service's answer, if there is one.
pub(crate) fn pending(call: &EngineCall<'_>, id: &GroupId) -> Result<Option<PendingCommit>, StorageError> {
    let record = call.records.get(&RecordScope::Joining(id.clone()).key(RecordKind::Group), RecordKind::Group)?;
    Ok(match record {
        Some(GroupRecord::Member(membership)) => membership.pending,
        _ => None,
    })
}
