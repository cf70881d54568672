//! The roster of a group: its member devices, the time since which each user is a member, and the
//! devices that were removed.

use std::{collections::BTreeSet, ops::ControlFlow};

use serde::{Deserialize, Serialize};

use super::{
    OrderingContext,
    group::Group,
    membership::{Invitation, Membership},
};
use crate::{
    devices,
    error::StoreError,
    limits::Limits,
    names::{Cursor, DeviceId, GroupId, Timestamp, UserId},
    store::{
        Table, Transaction, identity,
        key::{self, Key},
    },
};

/// A device on the roster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RosterEntry {
    /// The entry that began the membership.
    pub(crate) from: Cursor,
    /// The time at which the first of the user's member devices joined. Zero for the creator of a
    /// group.
    pub(crate) since: Timestamp,
    /// The user that added that first device. `None` for a creator, and for a user that joined by
    /// an external commit.
    pub(crate) added_by: Option<UserId>,
}

/// How a device becomes a member.
#[derive(Clone, Copy)]
pub(crate) enum Arrival<'a> {
    /// The device has created the group.
    Created,
    /// The device joins by its own external commit.
    External,
    /// The device joins by a welcome. A device of this user has claimed its key package.
    Added(&'a UserId),
}

/// A member that a commit has removed, with its records from before the commit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FormerMember {
    #[serde(with = "identity")]
    pub(crate) device: DeviceId,
    member: RosterEntry,
    invitation: Option<Invitation>,
}

/// Returns the key of a member. The devices of one user are neighbours.
pub(crate) fn member_key(group: &GroupId, device: &DeviceId) -> Key {
    user_key(group, device.user()).then_device(device)
}

fn user_key(group: &GroupId, user: &UserId) -> Key {
    Key::group(group).then_user(user)
}

fn removed_key(group: &GroupId, device: &DeviceId) -> Key {
    Key::group(group).then_device(device)
}

/// Returns the device's record on the roster, if the device is a member.
pub(crate) fn member(
    tx: &mut dyn Transaction,
    group: &GroupId,
    device: &DeviceId,
) -> Result<Option<RosterEntry>, StoreError> {
    key::get(tx, Table::Members, &member_key(group, device))
}

/// Returns true if the device is on the roster now.
pub(crate) fn is_member(tx: &mut dyn Transaction, group: &GroupId, device: &DeviceId) -> Result<bool, StoreError> {
    Ok(tx.get(Table::Members, member_key(group, device).as_bytes())?.is_some())
}

/// Returns true if any device of the user is on the roster now.
pub(crate) fn has_user(tx: &mut dyn Transaction, group: &GroupId, user: &UserId) -> Result<bool, StoreError> {
    Ok(key::first(tx, Table::Members, &user_key(group, user))?.is_some())
}

/// Returns the devices on the roster, with their records.
pub(crate) fn entries(tx: &mut dyn Transaction, group: &GroupId) -> Result<Vec<(DeviceId, RosterEntry)>, StoreError> {
    below(tx, &Key::group(group))
}

fn below(tx: &mut dyn Transaction, key: &Key) -> Result<Vec<(DeviceId, RosterEntry)>, StoreError> {
    let range = key.everything_below();
    let mut members = Vec::new();
    tx.scan(Table::Members, &range.start..&range.end, &mut |key, value| {
        members.push((key::device_after(Table::Members, key, 2)?, key::decode(Table::Members, value)?));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(members)
}

/// Returns the devices on the roster.
pub(crate) fn members(tx: &mut dyn Transaction, group: &GroupId) -> Result<BTreeSet<DeviceId>, StoreError> {
    Ok(entries(tx, group)?.into_iter().map(|(device, _)| device).collect())
}

/// Returns the number of devices on the roster.
pub(crate) fn count(tx: &mut dyn Transaction, group: &GroupId) -> Result<usize, StoreError> {
    let range = Key::group(group).everything_below();
    let mut count = 0;
    tx.scan(Table::Members, &range.start..&range.end, &mut |_, _| {
        count += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(count)
}

/// Returns the record of the user's member device that joined first.
pub(crate) fn first_of_user(
    tx: &mut dyn Transaction,
    group: &GroupId,
    user: &UserId,
) -> Result<Option<RosterEntry>, StoreError> {
    let devices = below(tx, &user_key(group, user))?;
    Ok(devices.into_iter().map(|(_, member)| member).min_by_key(|member| member.since))
}

/// Begins a membership at `from`. `first` is the record of the user's first device before the
/// commit.
pub(crate) fn join(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    group: &GroupId,
    device: &DeviceId,
    from: Cursor,
    arrival: Arrival<'_>,
    first: Option<RosterEntry>,
) -> Result<(), StoreError> {
    let (since, added_by, invitation) = match arrival {
        Arrival::Created => (Timestamp(0), None, None),
        Arrival::External => (context.now, None, None),
        Arrival::Added(inviter) if inviter == device.user() => (context.now, Some(inviter.clone()), None),
        Arrival::Added(inviter) => (context.now, Some(inviter.clone()), Some(Invitation::new(context, inviter))),
    };
    let member = match first {
        Some(first) => RosterEntry { from, ..first },
        None => RosterEntry { from, since, added_by },
    };
    begin(tx, group, device, member, matches!(arrival, Arrival::Added(_)), invitation)
}

/// Begins a new membership at `from` for a device whose removal is taken back.
pub(crate) fn restore(
    tx: &mut dyn Transaction,
    group: &GroupId,
    former: FormerMember,
    from: Cursor,
) -> Result<(), StoreError> {
    let FormerMember { device, member, invitation } = former;
    begin(tx, group, &device, RosterEntry { from, ..member }, false, invitation)
}

fn begin(
    tx: &mut dyn Transaction,
    group: &GroupId,
    device: &DeviceId,
    member: RosterEntry,
    by_welcome: bool,
    invitation: Option<Invitation>,
) -> Result<(), StoreError> {
    key::put(tx, Table::Members, &member_key(group, device), &member)?;
    // A device that the service has removed reads nothing more, and no log waits for it.
    if devices::is_removed(tx, device)? {
        return Ok(());
    }
    let (group, device, from) = (group.clone(), device.clone(), member.from);
    Membership { group, device, from, until: None, by_welcome, unread: from, invitation }.save(tx)
}

/// Ends the current membership with the entry at `until`. Returns the member with its records from
/// before.
pub(crate) fn leave(
    tx: &mut dyn Transaction,
    group: &GroupId,
    device: &DeviceId,
    until: Cursor,
) -> Result<FormerMember, StoreError> {
    let member = member(tx, group, device)?.ok_or(StoreError::Corrupt(Table::Members))?;
    // A device that the service has removed has no membership.
    let present = present_membership(tx, group, device)?;
    tx.delete(Table::Members, member_key(group, device).as_bytes())?;
    let invitation = present.as_ref().and_then(|membership| membership.invitation.clone());
    if let Some(membership) = present {
        let unread = membership.unread;
        membership.change(tx, Some(until), unread)?;
    }
    Ok(FormerMember { device: device.clone(), member, invitation })
}

/// Returns true if the device, which is not a member, may join by external commit. A device that
/// others have removed may not.
pub(crate) fn may_join_by_itself(
    tx: &mut dyn Transaction,
    id: &GroupId,
    group: &Group,
    device: &DeviceId,
) -> Result<bool, StoreError> {
    Ok(!group.removed_beyond_limit && tx.get(Table::Removed, removed_key(id, device).as_bytes())?.is_none())
}

/// Remembers that others have removed the device. The caller saves the group's record. Returns
/// false if too many removed devices are remembered already.
pub(crate) fn remember_removal(
    tx: &mut dyn Transaction,
    limits: &Limits,
    id: &GroupId,
    group: &mut Group,
    device: &DeviceId,
) -> Result<bool, StoreError> {
    if group.removed >= limits.max_removed_devices_per_group {
        group.removed_beyond_limit = true;
        return Ok(false);
    }
    group.removed += 1;
    mark_removed(tx, id, device)?;
    Ok(true)
}

pub(crate) fn mark_removed(tx: &mut dyn Transaction, id: &GroupId, device: &DeviceId) -> Result<(), StoreError> {
    tx.put(Table::Removed, removed_key(id, device).as_bytes(), &[])
}

/// Returns true if the device was marked as removed.
pub(crate) fn unmark_removed(tx: &mut dyn Transaction, id: &GroupId, device: &DeviceId) -> Result<bool, StoreError> {
    tx.delete(Table::Removed, removed_key(id, device).as_bytes())
}

/// Forgets an earlier removal of the device, because a commit adds it again. The caller saves the
/// group's record. Returns true if there was such a removal.
pub(crate) fn forget_removal(
    tx: &mut dyn Transaction,
    id: &GroupId,
    group: &mut Group,
    device: &DeviceId,
) -> Result<bool, StoreError> {
    let was_removed = unmark_removed(tx, id, device)?;
    if was_removed {
        group.removed = group.removed.saturating_sub(1);
    }
    Ok(was_removed)
}

/// Returns the present membership of a device on the roster. `None` also for a device that the
/// service has removed.
pub(crate) fn present_membership(
    tx: &mut dyn Transaction,
    group: &GroupId,
    device: &DeviceId,
) -> Result<Option<Membership>, StoreError> {
    match member(tx, group, device)? {
        Some(member) => membership_of(tx, group, device, &member),
        None => Ok(None),
    }
}

/// Returns the present membership of a member device. `None` for a device that the service has
/// removed.
pub(crate) fn membership_of(
    tx: &mut dyn Transaction,
    group: &GroupId,
    device: &DeviceId,
    member: &RosterEntry,
) -> Result<Option<Membership>, StoreError> {
    key::get(tx, Table::Memberships, &Key::device(device).then_group(group).then(member.from.0))
}
