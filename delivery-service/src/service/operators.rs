//! The calls of the service for operators: users and invitations to register.

use super::DeliveryService;
use crate::{
    admission::{InvitationId, KnownUser, OpenInvitation, RemovedUser, UserRecords, device, invitation, user},
    error::StoreError,
    names::{Timestamp, UserId},
    store::Store,
};

impl<S: Store> DeliveryService<S> {
    /// Lists the users that have or had a device.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn users(&self) -> Result<Vec<KnownUser>, StoreError> {
        self.store().transaction(device::users)
    }

    /// Removes a user: all devices, as [`remove_device`](Self::remove_device) does, and the user's
    /// invitations and blocks. The names of the devices stay taken, so that no other device is ever
    /// taken for the user's. Returns `None` if the user has no device.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn remove_user(&self, user: &UserId) -> Result<Option<RemovedUser>, StoreError> {
        self.store().transaction(|tx| user::remove(tx, user))
    }

    /// Collects the records that the store has under a user's name. Returns `None` for a user
    /// without any.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn records_of_user(&self, user: &UserId, now: Timestamp) -> Result<Option<UserRecords>, StoreError> {
        self.store().transaction(|tx| user::records(tx, user, now))
    }

    /// Lists the invitations that are valid at `now`, in the order of their expiry.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn invitations(&self, now: Timestamp) -> Result<Vec<OpenInvitation>, StoreError> {
        self.store().transaction(|tx| invitation::all(tx, now))
    }

    /// Revokes an invitation. Returns true if there was one of this name.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn revoke_invitation(&self, id: InvitationId) -> Result<bool, StoreError> {
        self.store().transaction(|tx| invitation::revoke(tx, id))
    }
}
