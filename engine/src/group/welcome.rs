//! Joining a group by a welcome (RFC 9420, 12.4.3.1).

use openmls::{
    group::{ProcessedWelcome, WelcomeError},
    prelude::{JoinBuilder, RatchetTreeIn, StagedWelcome, Welcome},
};

use super::{
    GroupState, check, data_extension,
    record::{GroupRecord, MemberState},
    trust,
};
use crate::{
    DeviceId, Policy,
    call::EngineCall,
    error::Error,
    identity::device_of_credential,
    layer::SharedCrypto,
    names::{self, GroupId, Timestamp},
    signature_keys::DeviceRecord,
    storage::{RecordKind, RecordScope, StorageError},
    verified_together::verified_together,
};

/// Joins the group of the welcome, in the call's transaction.
///
/// OpenMLS deletes the key package before it knows whether the welcome is valid. If the welcome is
/// not valid, the transaction restores the key package.
pub(crate) fn join(
    call: &EngineCall<'_>,
    policy: &Policy,
    welcome: Welcome,
    ratchet_tree: Option<RatchetTreeIn>,
    now: Timestamp,
) -> Result<(GroupId, GroupState), Error> {
    let processed = ProcessedWelcome::new_from_welcome(call, &policy.join_config(), welcome).map_err(rejected)?;
    let info = processed.unverified_group_info();
    let (id, epoch) = (names::group_id(info.group_id())?, names::epoch(info.epoch()));
    let needs_tree = info.extensions().ratchet_tree().is_none();
    let scope = RecordScope::Group(id.clone());
    call.records.enter(scope.clone());
    if let Some(GroupRecord::Member(_)) = call.records.get(&scope.key(RecordKind::Group), RecordKind::Group)? {
        return Err(Error::GroupExists { group: id });
    }
    call.records.delete_all(&scope.prefix())?;
    let tree = match ratchet_tree {
        _ if !needs_tree => None,
        Some(tree) => Some(tree),
        None => return Err(Error::NeedsRatchetTree { group: id, epoch }),
    };
    let staged = stage(call, processed, tree)?;
    let devices: Vec<DeviceId> =
        staged.members().map(|member| device_of_credential(&member.credential)).collect::<Result<_, _>>()?;
    check::distinct(&devices)?;
    data_extension::of(staged.group_context().extensions())?;
    trust::members(call, staged.members(), &DeviceRecord::load(&call.records)?.device)?;
    let mls = staged.into_group(call).map_err(rejected)?;
    let mut group = GroupState::new(mls, MemberState::default());
    group.set_signer()?;
    group.all_leaves_are_new(now);
    group.note_epoch();
    group.replace_former(call)?;
    // The key package may have been the last one with an older signature key, which the new leaf
    // also uses. Therefore the sweep happens after the membership is stored, which counts as a use
    // of the key.
    group.unsaved.sweep_signature_keys = true;
    Ok((id, group))
}

/// Verifies the group info and the tree, and returns the group. Nothing is stored yet.
fn stage(
    call: &EngineCall<'_>,
    welcome: ProcessedWelcome,
    ratchet_tree: Option<RatchetTreeIn>,
) -> Result<StagedWelcome, Error> {
    let build = |crypto: &SharedCrypto| {
        let call = call.with_crypto(crypto);
        // The key package of a leaf that was never updated may have expired. That must not prevent
        // joining.
        let mut builder = JoinBuilder::new(&call, welcome).skip_lifetime_validation();
        if let Some(tree) = ratchet_tree {
            builder = builder.with_ratchet_tree(tree);
        }
        builder.build().map_err(rejected)
    };
    let invalid = || Error::Invalid {
        detail: "the welcome is not valid: the signature of its group info, or of a leaf, is wrong".to_owned(),
    };
    verified_together(&call.crypto, build, invalid)
}

fn rejected(error: WelcomeError<StorageError>) -> Error {
    match error {
        WelcomeError::NoMatchingKeyPackage => Error::NotInvited,
        WelcomeError::StorageError(error) => error.into(),
        other => Error::Invalid { detail: format!("the welcome is not valid: {other}") },
    }
}
