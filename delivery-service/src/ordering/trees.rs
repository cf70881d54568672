//! The ratchet trees that the service hands out (RFC 9420, 12.4.3.3). A joiner needs one if the
//! group info of its external commit or welcome does not have the tree. The module changes nothing.
//! `DeliveryService` calls it.

use super::{group, log_entry::LogEntry, membership, welcome};
use crate::{
    HandshakeMode,
    error::StoreError,
    handshake::PublicGroups,
    names::{DeviceId, Epoch, GroupId},
    store::{
        Table, Transaction,
        key::{self, Key},
    },
};

/// Returns the ratchet tree of the group's present epoch, or of the epoch before, if the service
/// tracks the public group.
pub(crate) fn ratchet_tree(
    tx: &mut dyn Transaction,
    public_groups: &PublicGroups,
    id: &GroupId,
    epoch: Epoch,
) -> Result<Option<Vec<u8>>, StoreError> {
    match group::load(tx, id)? {
        Some(group) if group.mode == HandshakeMode::Assisted => public_groups.ratchet_tree(tx, id, group.epoch, epoch),
        _ => Ok(None),
    }
}

/// Returns the ratchet tree of the epoch that the device was welcomed to. `None` if the device can
/// no longer read the welcome, or if the tree was sent with the welcome's group info.
pub(crate) fn welcome_tree(
    tx: &mut dyn Transaction,
    group: &GroupId,
    device: &DeviceId,
    epoch: Epoch,
) -> Result<Option<Vec<u8>>, StoreError> {
    for membership in membership::of_device_in(tx, device, group)? {
        if membership.by_welcome
            && let Some(entry) = tx.get(Table::Log, Key::group(group).then(membership.from.0).as_bytes())?
            && key::decode::<LogEntry<'_>>(Table::Log, &entry)?.receipt.of(group).epoch == epoch
        {
            return welcome::tree(tx, group, membership.from);
        }
    }
    Ok(None)
}
