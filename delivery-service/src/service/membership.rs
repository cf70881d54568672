//! The calls by which a device accepts or declines a group, and by which a user blocks other users.

use super::{DeliveryService, settle};
use crate::{
    admission::device,
    error::StoreError,
    names::{DeviceId, GroupId, Timestamp, UserId},
    ordering::{Abort, block, group, invitation, roster},
    outcome::{RejectReason, Reply},
    store::Store,
};

impl<S: Store> DeliveryService<S> {
    /// Accepts a group that another user has added the device to. Every accepted submission of the
    /// device to the group accepts it as well. An accepted group counts for the device's own limit;
    /// an invitation counts for the limit of the inviting user.
    ///
    /// [`RejectReason::NotInvited`] if the device has declined, or if the invitation has expired
    /// after 30 days. [`RejectReason::TooManyGroups`] if the device is in as many groups as it may
    /// be.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn accept_invitation(&self, group: &GroupId, device: &DeviceId, now: Timestamp) -> Result<Reply, StoreError> {
        settle(self.store().transaction(|tx| {
            if !roster::is_member(tx, group, device)? {
                return Err(RejectReason::NotAMember.into());
            }
            let membership = roster::present_membership(tx, group, device)?;
            match invitation::accept(tx, self.call(now), membership)? {
                true => Ok(Reply::Done),
                false => Err(RejectReason::NotInvited.into()),
            }
        }))
    }

    /// Declines a group that another user has added the device to. The device reads nothing more of
    /// the group, and no log waits for it. It stays on the roster until members commit its removal.
    /// The device can propose its removal only after it has declined, because an earlier submission
    /// accepts the group.
    ///
    /// [`RejectReason::NotInvited`] if the device has accepted the group: then it leaves by a
    /// proposal.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn decline_invitation(&self, group: &GroupId, device: &DeviceId, now: Timestamp) -> Result<Reply, StoreError> {
        self.ordered(|tx| {
            invitation::decline(tx, self.call(now), group, device)?;
            Ok::<_, Abort<Reply>>(Reply::Done)
        })
    }

    /// Returns true if the device reads new entries of the group: it is on the roster, and has not
    /// declined.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn reads(&self, group: &GroupId, device: &DeviceId) -> Result<bool, StoreError> {
        let present = self.store().transaction(|tx| roster::present_membership(tx, group, device))?;
        Ok(present.is_some_and(|membership| membership.is_read()))
    }

    /// Returns true if the group could accept a submission of the device. The group exists, and the
    /// device may know of it or may join it by an external commit.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn may_submit(&self, id: &GroupId, device: &DeviceId) -> Result<bool, StoreError> {
        self.store().transaction(|tx| match group::load(tx, id)? {
            Some(group) => Ok(device::concerns(tx, id, device)? || roster::may_join_by_itself(tx, id, &group, device)?),
            None => Ok(false),
        })
    }

    /// Blocks a user. Devices of the blocked user can neither claim key packages of `user`'s
    /// devices nor add these devices to groups. Groups that both are in stay as they are.
    /// [`RejectReason::TooManyBlocks`] if the list is full.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn block_user(&self, user: &UserId, blocked: &UserId) -> Result<Reply, StoreError> {
        settle(self.store().transaction(|tx| block::add(tx, user, blocked)))
    }

    /// Unblocks a user. Returns true if the user was blocked.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn unblock_user(&self, user: &UserId, blocked: &UserId) -> Result<bool, StoreError> {
        self.store().transaction(|tx| block::remove(tx, user, blocked))
    }

    /// Returns the users that a user has blocked.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn blocked_users(&self, user: &UserId) -> Result<Vec<UserId>, StoreError> {
        self.store().transaction(|tx| block::list(tx, user))
    }
}
