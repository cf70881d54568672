//! Who is a member, and since and until when. A membership is an interval of the log: from the entry that added the
//! device to the entry that removed it, both included.

use std::{collections::BTreeSet, ops::ControlFlow};

use serde::{Deserialize, Serialize};

use super::{
    Halt,
    group::{self, Group},
    log,
};
use crate::{
    admission,
    error::StoreError,
    limits::Limits,
    names::{Cursor, DeviceId, GroupId},
    outcome::RejectReason,
    store::{
        Table, Transaction, identity,
        key::{self, Key, number_in},
    },
};

/// One membership of one device in one group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Membership {
    pub(crate) group: GroupId,
    #[serde(with = "identity")]
    pub(crate) device: DeviceId,
    /// The entry that added the device. For a group's creator, the first entry that there will be.
    pub(crate) from: Cursor,
    /// The entry that removed it.
    pub(crate) until: Option<Cursor>,
    /// Whether the device reads the entry that added it as a welcome.
    pub(crate) by_welcome: bool,
    /// The first position that the device has not acknowledged.
    pub(crate) unread: Cursor,
}

impl Membership {
    pub(crate) fn key(&self) -> Key {
        Key::device(&self.device).then_group(&self.group).then(self.from.0)
    }

    pub(crate) fn unread_key(&self) -> Key {
        Key::group(&self.group).then(self.unread.0).then_device(&self.device).then(self.from.0)
    }

    /// Whether the device was removed, and has read all that it may.
    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| until < self.unread)
    }

    fn save(&self, tx: &mut dyn Transaction) -> Result<(), StoreError> {
        key::put(tx, Table::Memberships, &self.key(), self)?;
        tx.put(Table::Unread, self.unread_key().as_bytes(), self.key().as_bytes())
    }

    fn delete(&self, tx: &mut dyn Transaction) -> Result<(), StoreError> {
        tx.delete(Table::Memberships, self.key().as_bytes())?;
        tx.delete(Table::Unread, self.unread_key().as_bytes()).map(drop)
    }

    /// Changes when the membership ends and what is unread, and forgets a membership that is over.
    fn change(mut self, tx: &mut dyn Transaction, until: Option<Cursor>, unread: Cursor) -> Result<(), StoreError> {
        self.delete(tx)?;
        self.until = until;
        self.unread = unread;
        if self.is_over() { Ok(()) } else { self.save(tx) }
    }
}

fn member_key(group: &GroupId, device: &DeviceId) -> Key {
    Key::group(group).then_device(device)
}

/// Whether the device is on the roster now.
pub(crate) fn is_member(tx: &mut dyn Transaction, group: &GroupId, device: &DeviceId) -> Result<bool, StoreError> {
    Ok(tx.get(Table::Members, member_key(group, device).as_bytes())?.is_some())
}

/// The devices on the roster now.
pub(crate) fn members(tx: &mut dyn Transaction, group: &GroupId) -> Result<BTreeSet<DeviceId>, StoreError> {
    let range = Key::group(group).everything_below();
    let name_at = range.start.len() + Key::NAME_PREFIX;
    let mut members = BTreeSet::new();
    tx.scan(Table::Members, &range.start..&range.end, &mut |key, _| {
        let name = key.get(name_at..).ok_or(StoreError::Corrupt(Table::Members))?;
        members.insert(DeviceId::from_identity(name).map_err(|_| StoreError::Corrupt(Table::Members))?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(members)
}

/// How many devices are on the roster now.
pub(crate) fn count(tx: &mut dyn Transaction, group: &GroupId) -> Result<usize, StoreError> {
    let range = Key::group(group).everything_below();
    let mut count = 0;
    tx.scan(Table::Members, &range.start..&range.end, &mut |_, _| {
        count += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(count)
}

/// Begins a membership at `from`.
pub(crate) fn join(
    tx: &mut dyn Transaction,
    group: &GroupId,
    device: &DeviceId,
    from: Cursor,
    by_welcome: bool,
) -> Result<(), StoreError> {
    tx.put(Table::Members, member_key(group, device).as_bytes(), &from.0.to_be_bytes())?;
    // A device that the service has removed reads nothing any more, and no log waits for it.
    if admission::device::is_removed(tx, device)? {
        return Ok(());
    }
    let (group, device) = (group.clone(), device.clone());
    Membership { group, device, from, until: None, by_welcome, unread: from }.save(tx)
}

/// Ends the current membership with the entry at `until`.
pub(crate) fn leave(
    tx: &mut dyn Transaction,
    group: &GroupId,
    device: &DeviceId,
    until: Cursor,
) -> Result<(), StoreError> {
    let corrupt = || StoreError::Corrupt(Table::Members);
    let key = member_key(group, device);
    let from = tx.get(Table::Members, key.as_bytes())?.ok_or_else(corrupt)?;
    let from = number_in(Table::Members, &from, 0)?;
    tx.delete(Table::Members, key.as_bytes())?;
    let key = Key::device(device).then_group(group).then(from);
    // A device that the service does not know any more has none.
    if let Some(membership) = key::get::<Membership>(tx, Table::Memberships, &key)? {
        let unread = membership.unread;
        membership.change(tx, Some(until), unread)?;
    }
    Ok(())
}

/// Whether the device, which is no member, may join by a commit of its own. One that was removed by others may not.
pub(crate) fn may_join_by_itself(
    tx: &mut dyn Transaction,
    id: &GroupId,
    group: &Group,
    device: &DeviceId,
) -> Result<bool, StoreError> {
    Ok(!group.removed_beyond_limit && tx.get(Table::Removed, member_key(id, device).as_bytes())?.is_none())
}

/// Remembers that others have removed the device. The group's record is the caller's to save. Returns whether it is
/// remembered.
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
    tx.put(Table::Removed, member_key(id, device).as_bytes(), &[])
}

/// Returns whether it was marked.
pub(crate) fn unmark_removed(tx: &mut dyn Transaction, id: &GroupId, device: &DeviceId) -> Result<bool, StoreError> {
    tx.delete(Table::Removed, member_key(id, device).as_bytes())
}

/// The device has been added again, if it was ever removed. The group's record is the caller's to save. Returns whether
/// it was.
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

/// All memberships of a device that it has not read to the end.
pub(crate) fn memberships(tx: &mut dyn Transaction, device: &DeviceId) -> Result<Vec<Membership>, StoreError> {
    memberships_below(tx, &Key::device(device))
}

/// Those of them that are in one group.
pub(crate) fn memberships_in(
    tx: &mut dyn Transaction,
    device: &DeviceId,
    group: &GroupId,
) -> Result<Vec<Membership>, StoreError> {
    memberships_below(tx, &Key::device(device).then_group(group))
}

fn memberships_below(tx: &mut dyn Transaction, key: &Key) -> Result<Vec<Membership>, StoreError> {
    let range = key.everything_below();
    let mut memberships = Vec::new();
    tx.scan(Table::Memberships, &range.start..&range.end, &mut |_, value| {
        memberships.push(key::decode(Table::Memberships, value)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(memberships)
}

/// Checks that the device may be in one group more.
pub(crate) fn check_group_count(tx: &mut dyn Transaction, limits: &Limits, device: &DeviceId) -> Result<(), Halt> {
    let (range, limit) = (Key::device(device).everything_below(), limits.max_groups_per_device);
    let mut groups = 0;
    tx.scan(Table::Memberships, &range.start..&range.end, &mut |_, _| {
        groups += 1;
        Ok(if groups < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    if groups < limit { Ok(()) } else { Err(RejectReason::TooManyGroups { limit }.into()) }
}

/// Marks everything up to `up_to` as read by the device, and deletes what nobody has yet to read. Returns how many
/// entries went.
pub(crate) fn acknowledge(tx: &mut dyn Transaction, device: &DeviceId, up_to: Cursor) -> Result<u64, StoreError> {
    // Nobody can have read what is not there yet.
    let unread = up_to.min(log::end(tx)?).next();
    let mut deleted = 0;
    for membership in memberships(tx, device)? {
        if membership.unread >= unread {
            continue;
        }
        let (id, until) = (membership.group.clone(), membership.until);
        membership.change(tx, until, unread)?;
        deleted += trim(tx, &id)?;
    }
    Ok(deleted)
}

/// Ends what the device has yet to read, so that no log waits for it. It stays on the rosters until members commit its
/// removal.
pub(crate) fn forget_reader(tx: &mut dyn Transaction, device: &DeviceId) -> Result<(), StoreError> {
    for membership in memberships(tx, device)? {
        membership.delete(tx)?;
        trim(tx, &membership.group)?;
    }
    Ok(())
}

/// Deletes the entries before the first one that somebody has yet to read.
fn trim(tx: &mut dyn Transaction, id: &GroupId) -> Result<u64, StoreError> {
    let prefix = Key::group(id);
    let end = match key::first(tx, Table::Unread, &prefix)? {
        Some(key) => Cursor(number_in(Table::Unread, &key, prefix.as_bytes().len())?),
        None => log::end(tx)?.next(),
    };
    if log::oldest(tx, id)?.is_none_or(|oldest| oldest >= end) {
        return Ok(0);
    }
    let mut group = group::load(tx, id)?.ok_or(StoreError::Corrupt(Table::Groups))?;
    let deleted = log::forget_range(tx, id, &mut group, Cursor::START..end)?;
    group::save(tx, id, &group)?;
    Ok(deleted)
}

/// After entries were deleted unread: nobody has yet to read what is gone, and a past membership of which nothing is
/// left is forgotten.
pub(crate) fn skip_what_is_gone(tx: &mut dyn Transaction, id: &GroupId) -> Result<(), StoreError> {
    let oldest = match log::oldest(tx, id)? {
        Some(oldest) => oldest,
        None => log::end(tx)?.next(),
    };
    let prefix = Key::group(id);
    let mut behind = Vec::new();
    tx.scan(Table::Unread, prefix.as_bytes()..prefix.clone().then(oldest.0).as_bytes(), &mut |_, membership| {
        behind.push(Key::from_bytes(membership.to_vec()));
        Ok(ControlFlow::Continue(()))
    })?;
    for key in behind {
        let membership: Membership =
            key::get(tx, Table::Memberships, &key)?.ok_or(StoreError::Corrupt(Table::Unread))?;
        let until = membership.until;
        membership.change(tx, until, oldest)?;
    }
    Ok(())
}
