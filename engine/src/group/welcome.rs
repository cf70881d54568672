//! Joining a group by a welcome (RFC 9420, 12.4.3.1).

use openmls::{
    group::{ProcessedWelcome, WelcomeError},
    prelude::{JoinBuilder, RatchetTreeIn, Welcome},
};

use super::{
    GroupState, check, data,
    record::{GroupRecord, Membership},
    trust,
};
use crate::{
    DeviceId, Policy, SignaturePublicKey,
    error::Error,
    identity::device_of_credential,
    key_package::DeviceRecord,
    names::{self, GroupId, Timestamp},
    provider::Call,
    storage::{Kind, Scope, StorageError},
};

/// Joins the group that the welcome is of, in the call's transaction.
///
/// OpenMLS deletes the key package before it knows whether the welcome is any good; the transaction is what brings it
/// back if it is not.
pub(crate) fn join(
    call: &Call<'_>,
    policy: &Policy,
    welcome: Welcome,
    ratchet_tree: Option<RatchetTreeIn>,
    now: Timestamp,
) -> Result<(GroupId, GroupState), Error> {
    let processed = ProcessedWelcome::new_from_welcome(call, &policy.join_config(), welcome).map_err(rejected)?;
    let info = processed.unverified_group_info();
    let (id, epoch) = (names::group_id(info.group_id())?, names::epoch(info.epoch()));
    let needs_tree = info.extensions().ratchet_tree().is_none();
    let scope = Scope::Group(id.clone());
    call.records.enter(scope.clone());
    if let Some(GroupRecord::Member(_)) = call.records.get(&scope.key(Kind::Group), Kind::Group)? {
        return Err(Error::GroupExists { group: id });
    }
    call.records.delete_all(&scope.prefix())?;
    // Leaves that were never updated may have outlived their key package: that is no reason to stay outside.
    let mut builder = JoinBuilder::new(call, processed).skip_lifetime_validation();
    if needs_tree {
        let tree = ratchet_tree.ok_or_else(|| Error::NeedsRatchetTree { group: id.clone(), epoch })?;
        builder = builder.with_ratchet_tree(tree);
    }
    let staged = builder.build().map_err(rejected)?;
    let devices: Vec<DeviceId> =
        staged.members().map(|member| device_of_credential(&member.credential)).collect::<Result<_, _>>()?;
    check::distinct(&devices)?;
    data::of(staged.group_context().extensions())?;
    trust::members(call, staged.members(), &DeviceRecord::load(&call.records)?.device)?;
    let mls = staged.into_group(call).map_err(rejected)?;
    let mut group = GroupState::new(mls, Membership::default());
    group.set_signer()?;
    group.all_leaves_are_new(now);
    group.note_epoch();
    group.replace_former(call)?;
    // The key package may have been the last with an older signature key, which the new leaf has: it is looked for among
    // what is used once the membership is stored.
    group.outcome.sweep_signature_keys = true;
    Ok((id, group))
}

fn rejected(error: WelcomeError<StorageError>) -> Error {
    match error {
        WelcomeError::NoMatchingKeyPackage => Error::NotInvited,
        WelcomeError::StorageError(error) => error.into(),
        other => Error::Invalid { detail: format!("the welcome is not valid: {other}") },
    }
}

impl GroupState {
    /// Remembers which signature key this device's leaf has.
    pub(crate) fn set_signer(&mut self) -> Result<(), Error> {
        let leaf =
            self.mls.own_leaf_node().ok_or_else(|| Error::Invalid { detail: "the tree has no own leaf".into() })?;
        let signer = SignaturePublicKey(leaf.signature_key().as_slice().to_vec());
        self.membership_mut().signer = Some(signer);
        Ok(())
    }
}
