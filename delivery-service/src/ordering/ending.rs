//! Ends a group: its only member deletes all records that the service has of it.

use std::ops::ControlFlow;

use super::{Abort, OrderingContext, group, log, membership, roster, tally::Tally};
use crate::{
    error::StoreError,
    handshake::PublicGroups,
    names::{Cursor, DeviceId, GroupId},
    outcome::{RejectReason, Reply},
    store::{
        Table, Transaction,
        identity::Identity,
        key::{self, Key},
    },
};

/// Tables whose keys begin with the group.
const TABLES: [Table; 8] = [
    Table::GroupInfos,
    Table::PublicGroups,
    Table::LastCommits,
    Table::Reports,
    Table::RememberedOutcomes,
    Table::Members,
    Table::Removed,
    Table::Groups,
];

/// Ends the group for its only member. A mark under its name stays.
pub(crate) fn end(
    tx: &mut dyn Transaction,
    public_groups: &PublicGroups,
    context: OrderingContext<'_>,
    id: &GroupId,
    device: &DeviceId,
) -> Result<Reply, Abort<Reply>> {
    if let Some(Identity(by)) = key::get(tx, Table::EndedGroups, &Key::group(id))? {
        return if by == *device { Ok(Reply::Done) } else { Err(RejectReason::UnknownGroup.into()) };
    }
    let mut group = group::load(tx, id)?.ok_or(RejectReason::UnknownGroup)?;
    if !roster::is_member(tx, id, device)? {
        return Err(RejectReason::NotAMember.into());
    }
    if roster::count(tx, id)? > 1 {
        return Err(RejectReason::NotAlone.into());
    }
    let ended = Tally::EndedGroups(device.user());
    let limit = context.limits.max_ended_groups_per_user;
    if ended.get(tx)? >= limit {
        return Err(RejectReason::TooManyEndedGroups { limit }.into());
    }
    ended.add(tx, 1)?;
    public_groups.forget(id);
    let after_all = log::end(tx)?.next();
    log::forget_range(tx, id, &mut group, Cursor::START..after_all)?;
    group::discount_group_infos(tx, &group)?;
    forget_readers(tx, id, device)?;
    for table in TABLES {
        key::delete_all(tx, table, &Key::group(id))?;
    }
    key::put(tx, Table::EndedGroups, &Key::group(id), &Identity(device.clone()))?;
    Ok(Reply::Done)
}

/// Returns true if a group of this name was ended.
pub(crate) fn is_ended(tx: &mut dyn Transaction, id: &GroupId) -> Result<bool, StoreError> {
    Ok(tx.get(Table::EndedGroups, Key::group(id).as_bytes())?.is_some())
}

/// Deletes the memberships of all devices that read the group, now or before.
fn forget_readers(tx: &mut dyn Transaction, id: &GroupId, device: &DeviceId) -> Result<(), StoreError> {
    let range = Key::group(id).everything_below();
    let mut memberships = Vec::new();
    tx.scan(Table::Unread, &range.start..&range.end, &mut |_, membership| {
        memberships.push(Key::from_bytes(membership.to_vec()));
        Ok(ControlFlow::Continue(()))
    })?;
    // A member that has declined reads nothing, so that the scan has not found its membership.
    memberships.extend(roster::present_membership(tx, id, device)?.map(|membership| membership.key()));
    memberships.iter().try_for_each(|key| membership::forget(tx, key))
}
