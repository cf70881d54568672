//! The end of a group: its only member deletes everything that the service keeps of it.

use std::ops::ControlFlow;

use super::{Halt, group, membership, roster};
use crate::{
    error::StoreError,
    handshake::Followed,
    names::{DeviceId, GroupId},
    outcome::{RejectReason, Reply},
    store::{
        Table, Transaction,
        identity::Identity,
        key::{self, Key},
    },
};

/// Tables whose keys begin with the group.
const TABLES: [Table; 12] = [
    Table::GroupInfos,
    Table::PublicGroups,
    Table::LastCommits,
    Table::Reports,
    Table::Log,
    Table::Welcomes,
    Table::WelcomeSecrets,
    Table::WelcomeTrees,
    Table::Answers,
    Table::Members,
    Table::Removed,
    Table::Groups,
];

/// Ends the group for its only member. What is left is a mark under its name.
pub(crate) fn end(
    tx: &mut dyn Transaction,
    followed: &Followed,
    id: &GroupId,
    device: &DeviceId,
) -> Result<Reply, Halt<Reply>> {
    if let Some(Identity(by)) = key::get(tx, Table::EndedGroups, &Key::group(id))? {
        return if by == *device { Ok(Reply::Done) } else { Err(RejectReason::UnknownGroup.into()) };
    }
    if group::load(tx, id)?.is_none() {
        return Err(RejectReason::UnknownGroup.into());
    }
    if !roster::is_member(tx, id, device)? {
        return Err(RejectReason::NotAMember.into());
    }
    if roster::count(tx, id)? > 1 {
        return Err(RejectReason::NotAlone.into());
    }
    followed.forget(id);
    forget_readers(tx, id, device)?;
    for table in TABLES {
        key::delete_all(tx, table, &Key::group(id))?;
    }
    key::put(tx, Table::EndedGroups, &Key::group(id), &Identity(device.clone()))?;
    Ok(Reply::Done)
}

/// Whether a group of this name was ended.
pub(crate) fn is_ended(tx: &mut dyn Transaction, id: &GroupId) -> Result<bool, StoreError> {
    Ok(tx.get(Table::EndedGroups, Key::group(id).as_bytes())?.is_some())
}

/// Deletes the memberships of all who read the group, or did.
fn forget_readers(tx: &mut dyn Transaction, id: &GroupId, device: &DeviceId) -> Result<(), StoreError> {
    let range = Key::group(id).everything_below();
    let mut memberships = Vec::new();
    tx.scan(Table::Unread, &range.start..&range.end, &mut |_, membership| {
        memberships.push(Key::from_bytes(membership.to_vec()));
        Ok(ControlFlow::Continue(()))
    })?;
    // A member that has declined is among those who read nothing.
    memberships.extend(membership::present(tx, id, device)?.map(|membership| membership.key()));
    memberships.iter().try_for_each(|key| membership::forget(tx, key))
}
