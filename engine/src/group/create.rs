//! Creates a group with this device as its only member (RFC 9420, 11).

use openmls::prelude::MlsGroup;

use super::{
    data_extension::required,
    record::MemberState,
    state::{GroupState, load_mls},
};
use crate::{
    DeviceId, Policy,
    call::EngineCall,
    error::Error,
    key_package,
    names::{self, GroupId, Timestamp},
    signature_keys::{self, DeviceRecord},
};

/// Creates the group in the call's transaction, whose scope is the group's.
pub(crate) fn create(
    call: &EngineCall<'_>,
    device: &DeviceId,
    policy: &Policy,
    id: &GroupId,
    now: Timestamp,
) -> Result<GroupState, Error> {
    call.records.delete_all(&call.records.scope().prefix())?;
    let record = DeviceRecord::load(&call.records)?;
    let key = signature_keys::get(&call.records, record.signature_key.as_bytes())?;
    MlsGroup::builder()
        .with_group_id(names::to_mls(id))
        .ciphersuite(policy.ciphersuite)
        .with_wire_format_policy(policy.wire_format())
        .padding_size(policy.padding)
        .max_past_epochs(policy.past_epochs)
        .number_of_resumption_psks(0)
        .use_ratchet_tree_extension(true)
        .sender_ratchet_configuration(policy.ratchet())
        .with_capabilities(key_package::capabilities(&call.crypto))
        .with_group_context_extensions(required()?)
        .lifetime(policy.lifetime(now))
        .build(call, &key.signer(&call.crypto)?, key.credential(device))
        .map_err(|e| Error::Internal { action: "create a group", detail: e.to_string() })?;
    // The group is loaded again from its records. OpenMLS's new group in memory has resumption
    // PSKs, which are not stored.
    let mut group = GroupState::new(load_mls(call, id)?, MemberState::default());
    group.set_signer()?;
    group.all_leaves_are_new(now);
    group.note_epoch();
    group.replace_former(call)?;
    Ok(group)
}
