//! Which device may read which entry. A membership is an interval of a group's log, from the entry
//! that added the device to the entry that removed it, both included. A device that another user
//! has added is invited until it accepts or declines.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::{
    Abort, OrderingContext, log,
    tally::{Tally, TallyCounts},
};
use crate::{
    error::StoreError,
    limits::Limits,
    names::{Cursor, DeviceId, GroupId, Timestamp, UserId},
    outcome::RejectReason,
    store::{
        Table, Transaction, identity,
        key::{self, Key},
    },
};

/// The time in seconds in which a device can accept a group that another user has added it to.
pub(crate) const INVITATION_SECONDS: u64 = 30 * 24 * 60 * 60;

/// An invitation that has not been accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Invitation {
    /// The user whose device claimed the key package of the addition.
    pub(crate) inviter: UserId,
    pub(crate) expires: Timestamp,
    /// True if the device has declined or the invitation has expired. The device then reads nothing
    /// more of the group.
    pub(crate) declined: bool,
}

impl Invitation {
    /// Returns an invitation that begins now.
    pub(crate) fn new(context: OrderingContext<'_>, inviter: &UserId) -> Self {
        Self { inviter: inviter.clone(), expires: context.now.plus(INVITATION_SECONDS), declined: false }
    }
}

/// One membership of one device in one group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Membership {
    pub(crate) group: GroupId,
    #[serde(with = "identity")]
    pub(crate) device: DeviceId,
    /// The entry that added the device. For the creator of a group, the first entry that the log
    /// will have.
    pub(crate) from: Cursor,
    /// The entry that removed the device.
    pub(crate) until: Option<Cursor>,
    /// True if the device reads the entry that added it as a welcome.
    pub(crate) by_welcome: bool,
    /// The first position that the device has not acknowledged.
    pub(crate) unread: Cursor,
    /// The invitation, unless the device has accepted the group.
    pub(crate) invitation: Option<Invitation>,
}

impl Membership {
    pub(crate) fn key(&self) -> Key {
        Key::device(&self.device).then_group(&self.group).then(self.from.0)
    }

    pub(crate) fn unread_key(&self) -> Key {
        Key::group(&self.group).then(self.unread.0).then_device(&self.device).then(self.from.0)
    }

    pub(crate) fn up_to_date_key(&self) -> Key {
        Key::group(&self.group).then_device(&self.device).then(self.from.0)
    }

    /// The key of the invitation's deadline, if the device can still accept the invitation.
    pub(crate) fn deadline_key(&self) -> Option<Key> {
        let invitation = self.invitation.as_ref().filter(|invitation| !invitation.declined)?;
        Some(Key::number(invitation.expires.0).then(self.from.0).then_device(&self.device))
    }

    /// Returns true if the device reads the group. A device that has declined does not, although it
    /// is on the roster.
    pub(crate) fn is_read(&self) -> bool {
        self.invitation.as_ref().is_none_or(|invitation| !invitation.declined)
    }

    /// Returns true if the device was removed and has read every entry that it may read.
    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| until < self.unread || !self.is_read())
    }

    /// The tally that counts the membership: the device's own groups, or the invitations of the
    /// inviting user.
    fn tally(&self) -> Option<Tally<'_>> {
        match &self.invitation {
            None => Some(Tally::Groups(&self.device)),
            Some(invitation) if invitation.declined => None,
            Some(invitation) => Some(Tally::Invitations(&invitation.inviter)),
        }
    }

    pub(crate) fn recount(&self, counts: &mut TallyCounts) {
        if let Some(tally) = self.tally() {
            tally.recount(counts, 1);
        }
    }

    pub(crate) fn save(&self, tx: &mut dyn Transaction) -> Result<(), StoreError> {
        self.write(tx)?;
        if let Some(deadline) = self.deadline_key() {
            tx.put(Table::InvitationDeadlines, deadline.as_bytes(), self.key().as_bytes())?;
        }
        self.tally().map_or(Ok(()), |tally| tally.add(tx, 1))
    }

    pub(super) fn delete(&self, tx: &mut dyn Transaction) -> Result<(), StoreError> {
        self.delete_records(tx)?;
        if let Some(deadline) = self.deadline_key() {
            tx.delete(Table::InvitationDeadlines, deadline.as_bytes())?;
        }
        self.tally().map_or(Ok(()), |tally| tally.subtract(tx, 1))
    }

    fn write(&self, tx: &mut dyn Transaction) -> Result<(), StoreError> {
        key::put(tx, Table::Memberships, &self.key(), self)?;
        match self.is_read() {
            true => {
                tx.put(Table::Unread, self.unread_key().as_bytes(), self.key().as_bytes())?;
                match log::has_entry_from(tx, &self.group, self.unread)? {
                    true => tx.put(Table::Waiting, self.key().as_bytes(), &[]),
                    false => tx.put(Table::UpToDate, self.up_to_date_key().as_bytes(), self.key().as_bytes()),
                }
            }
            false => Ok(()),
        }
    }

    fn delete_records(&self, tx: &mut dyn Transaction) -> Result<(), StoreError> {
        tx.delete(Table::Memberships, self.key().as_bytes())?;
        tx.delete(Table::Waiting, self.key().as_bytes())?;
        tx.delete(Table::UpToDate, self.up_to_date_key().as_bytes())?;
        tx.delete(Table::Unread, self.unread_key().as_bytes()).map(drop)
    }

    /// Changes the end of the membership and its first unread position. Deletes a membership that
    /// is over.
    pub(crate) fn change(
        self,
        tx: &mut dyn Transaction,
        until: Option<Cursor>,
        unread: Cursor,
    ) -> Result<(), StoreError> {
        let next = Self { until, unread, ..self.clone() };
        if next.is_over() {
            return self.delete(tx);
        }
        self.delete_records(tx)?;
        next.write(tx)
    }

    /// Changes the invitation. Deletes a membership that is over.
    pub(super) fn answer(self, tx: &mut dyn Transaction, invitation: Option<Invitation>) -> Result<(), StoreError> {
        self.delete(tx)?;
        let next = Self { invitation, ..self };
        if next.is_over() { Ok(()) } else { next.save(tx) }
    }
}

/// Returns all memberships that the device has not read to the end.
pub(crate) fn of_device(tx: &mut dyn Transaction, device: &DeviceId) -> Result<Vec<Membership>, StoreError> {
    below(tx, &Key::device(device))
}

/// Returns the memberships that may have unacknowledged entries. Memberships without new entries
/// cost nothing here.
pub(crate) fn waiting(tx: &mut dyn Transaction, device: &DeviceId) -> Result<Vec<Membership>, StoreError> {
    let range = Key::device(device).everything_below();
    let mut keys = Vec::new();
    tx.scan(Table::Waiting, &range.start..&range.end, &mut |key, _| {
        keys.push(Key::from_bytes(key.to_vec()));
        Ok(ControlFlow::Continue(()))
    })?;
    let corrupt = || StoreError::Corrupt(Table::Waiting);
    keys.iter().map(|key| key::get(tx, Table::Memberships, key)?.ok_or_else(corrupt)).collect()
}

/// Notes that the group has a new entry: a membership that was up to date may have unacknowledged
/// entries from now on.
pub(crate) fn note_entry(tx: &mut dyn Transaction, group: &GroupId) -> Result<(), StoreError> {
    let range = Key::group(group).everything_below();
    let mut up_to_date = Vec::new();
    tx.scan(Table::UpToDate, &range.start..&range.end, &mut |key, membership| {
        up_to_date.push((key.to_vec(), membership.to_vec()));
        Ok(ControlFlow::Continue(()))
    })?;
    for (key, membership) in up_to_date {
        tx.delete(Table::UpToDate, &key)?;
        tx.put(Table::Waiting, &membership, &[])?;
    }
    Ok(())
}

/// Returns the memberships in one group that the device has not read to the end.
pub(crate) fn of_device_in(
    tx: &mut dyn Transaction,
    device: &DeviceId,
    group: &GroupId,
) -> Result<Vec<Membership>, StoreError> {
    below(tx, &Key::device(device).then_group(group))
}

fn below(tx: &mut dyn Transaction, key: &Key) -> Result<Vec<Membership>, StoreError> {
    let range = key.everything_below();
    let mut memberships = Vec::new();
    tx.scan(Table::Memberships, &range.start..&range.end, &mut |_, value| {
        memberships.push(key::decode(Table::Memberships, value)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(memberships)
}

/// Checks that the device may be in one more group that counts for it.
pub(crate) fn check_group_count<T: From<RejectReason>>(
    tx: &mut dyn Transaction,
    limits: &Limits,
    device: &DeviceId,
) -> Result<(), Abort<T>> {
    let limit = limits.max_groups_per_device;
    if Tally::Groups(device).get(tx)? < limit as u64 {
        return Ok(());
    }
    Err(Abort::answer(RejectReason::TooManyGroups { limit }.into()))
}

/// Deletes the membership under that key, if there is one.
pub(crate) fn forget(tx: &mut dyn Transaction, key: &Key) -> Result<(), StoreError> {
    match key::get::<Membership>(tx, Table::Memberships, key)? {
        Some(membership) => membership.delete(tx),
        None => Ok(()),
    }
}
