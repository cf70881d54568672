//! The calls of the service for admission: devices, device lists, sessions and invitations to
//! register. The calls that a server makes for admitted devices are here as well.

use super::DeliveryService;
use crate::{
    admission::{
        Appended, DeviceKey, ListedEntries, Registration, StoredSession, TokenHash, device, device_list,
        expiry as admission_expiry, invitation, session,
    },
    device_list::ListEntry,
    devices,
    error::StoreError,
    names::{DeviceId, GroupId, Timestamp, UserId},
    ordering::{
        expiry::{self, Expired},
        membership, roster,
    },
    store::Store,
};

impl<S: Store> DeliveryService<S> {
    /// Registers a device of a user with its key. An invitation is checked, and used up. The same
    /// device with the same key gets the same answer again.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn register_device(
        &self,
        device: &DeviceId,
        key: DeviceKey,
        invitation: Option<&TokenHash>,
        now: Timestamp,
    ) -> Result<Registration, StoreError> {
        self.store().transaction(|tx| device::register(tx, self.limits(), device, key, invitation, now))
    }

    /// Returns the key of a registered device. `None` if the device is unknown or was removed.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn device_key(&self, device: &DeviceId) -> Result<Option<DeviceKey>, StoreError> {
        self.store().transaction(|tx| devices::key_of(tx, device))
    }

    /// Returns the registered devices of a user, ordered by the length of the name and then by the
    /// name.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn devices_of(&self, user: &UserId) -> Result<Vec<DeviceId>, StoreError> {
        self.store().transaction(|tx| devices::of_user(tx, user))
    }

    /// Removes a device. Deletes its sessions, its wake-up address, its key packages and its
    /// memberships, and never gives its name again. The device stays on the rosters of its groups
    /// until members commit its removal. Returns the sessions that ended; `None` if there is no
    /// such device.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn remove_device(&self, device: &DeviceId) -> Result<Option<Vec<TokenHash>>, StoreError> {
        self.store().transaction(|tx| device::remove(tx, device))
    }

    /// Returns true if the device `by` may remove the other device of its user from the service. A
    /// device that is not on the [list](Self::append_to_device_list) of its user may remove only
    /// itself.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn may_remove_device(&self, by: &DeviceId, removed: &DeviceId) -> Result<bool, StoreError> {
        self.store().transaction(|tx| device_list::may_remove(tx, by, removed))
    }

    /// Appends an entry to the device list of the user of `by`, the device that sends and has
    /// signed the entry. A device that the entry removes is [removed](Self::remove_device) from the
    /// service in the same transaction.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn append_to_device_list(&self, by: &DeviceId, entry: &ListEntry) -> Result<Appended, StoreError> {
        let service = self.public_key();
        self.store().transaction(|tx| device_list::append(tx, &service, self.limits(), by, entry))
    }

    /// Returns the entries of a user's device list after the entry with this number, at most 100.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn device_list_entries(&self, user: &UserId, after: u64) -> Result<ListedEntries, StoreError> {
        self.store().transaction(|tx| device_list::entries_after(tx, user, after))
    }

    /// Returns the devices of a user, or one of them, whose key packages the service hands out:
    /// registered devices that are on the user's device list. If the user has no list, all
    /// registered devices.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn claimable_devices(&self, user: &UserId, one: Option<&DeviceId>) -> Result<Vec<DeviceId>, StoreError> {
        self.store().transaction(|tx| device_list::claimable(tx, user, one))
    }

    /// Opens a session of a device, which has proved its key. Returns the sessions that ended
    /// because the device has too many; `None` if the device is not registered.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn open_session(
        &self,
        device: &DeviceId,
        token: &TokenHash,
        expires: Timestamp,
    ) -> Result<Option<Vec<TokenHash>>, StoreError> {
        self.store().transaction(|tx| session::open(tx, device, token, expires))
    }

    /// Ends a session. Returns true if there was one.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn close_session(&self, device: &DeviceId, token: &TokenHash) -> Result<bool, StoreError> {
        self.store().transaction(|tx| session::close(tx, device, token))
    }

    /// Returns all sessions that have not ended.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn sessions(&self, now: Timestamp) -> Result<Vec<StoredSession>, StoreError> {
        self.store().transaction(|tx| session::all(tx, now))
    }

    /// Stores an invitation for one device of `user`, or for the first device of a new user.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn invite(&self, token: &TokenHash, user: Option<&UserId>, expires: Timestamp) -> Result<(), StoreError> {
        self.store().transaction(|tx| invitation::invite(tx, token, user, expires))
    }

    /// Returns true if the device is on the group's roster.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn is_member(&self, group: &GroupId, device: &DeviceId) -> Result<bool, StoreError> {
        self.store().transaction(|tx| roster::is_member(tx, group, device))
    }

    /// Returns true if the device may know of the group: the device, or another device that its
    /// user has or had, is on the roster.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn concerns(&self, group: &GroupId, device: &DeviceId) -> Result<bool, StoreError> {
        self.store().transaction(|tx| device::concerns(tx, group, device))
    }

    /// Returns the groups whose new entries the device reads.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn groups_of(&self, device: &DeviceId) -> Result<Vec<GroupId>, StoreError> {
        self.store().transaction(|tx| {
            let memberships = membership::of_device(tx, device)?;
            let read = memberships.into_iter().filter(|one| one.until.is_none() && one.is_read());
            Ok(read.map(|one| one.group).collect())
        })
    }

    /// Runs one small transaction of [`expire`](Self::expire), and deletes expired sessions and
    /// invitations to register. It is for a caller that others wait for. Returns true if there may
    /// be more.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn expire_some(&self, now: Timestamp, expired: &mut Expired) -> Result<bool, StoreError> {
        self.store().transaction(|tx| {
            let more_entries = expiry::expire_batch(tx, now, expired)?;
            let more_tokens = admission_expiry::expire_batch(tx, now)?;
            Ok(more_entries || more_tokens)
        })
    }
}
