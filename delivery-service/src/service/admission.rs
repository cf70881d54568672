//! The calls of the service that are about who comes in, and about what a server asks on behalf of those who did.

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
    /// Makes a device of a user known by its key. With an invitation, that is checked, and used up. The same device with
    /// the same key again gets the same answer again.
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

    /// The key of a device that is known; `None` also if it has been removed.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn device_key(&self, device: &DeviceId) -> Result<Option<DeviceKey>, StoreError> {
        self.store().transaction(|tx| devices::key_of(tx, device))
    }

    /// The devices of a user that are known, in the order of their names.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn devices_of(&self, user: &UserId) -> Result<Vec<DeviceId>, StoreError> {
        self.store().transaction(|tx| devices::of_user(tx, user))
    }

    /// Removes a device: its sessions, its wake-up, its key packages and what it has yet to read are deleted, and its name
    /// is never given again. It stays on the rosters of its groups until members commit its removal. Returns the sessions that
    /// ended; `None` if there is no such device.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn remove_device(&self, device: &DeviceId) -> Result<Option<Vec<TokenHash>>, StoreError> {
        self.store().transaction(|tx| device::remove(tx, device))
    }

    /// Whether the device `by` may remove the other device of its user from the service. A device that is missing on the
    /// [list](Self::append_to_device_list) of its user may remove only itself.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn may_remove_device(&self, by: &DeviceId, removed: &DeviceId) -> Result<bool, StoreError> {
        self.store().transaction(|tx| device_list::may_remove(tx, by, removed))
    }

    /// Appends an entry to the list of devices of the user of `by`, the device that sends and has signed it. A device that
    /// the entry removes is [removed](Self::remove_device) from the service in the same transaction.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn append_to_device_list(&self, by: &DeviceId, entry: &ListEntry) -> Result<Appended, StoreError> {
        let service = self.public_key();
        self.store().transaction(|tx| device_list::append(tx, &service, self.limits(), by, entry))
    }

    /// The entries of a user's list of devices after the entry with this number, at most 100.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn device_list_entries(&self, user: &UserId, after: u64) -> Result<ListedEntries, StoreError> {
        self.store().transaction(|tx| device_list::entries_after(tx, user, after))
    }

    /// The devices of a user, or one of them, whose key packages are handed out: registered devices that are on the user's
    /// list of devices. Of a user without a list, all registered devices.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn claimable_devices(&self, user: &UserId, one: Option<&DeviceId>) -> Result<Vec<DeviceId>, StoreError> {
        self.store().transaction(|tx| device_list::claimable(tx, user, one))
    }

    /// Opens a session of a device, which has proved its key. Returns the sessions that ended because the device has too
    /// many; `None` if the device is not known.
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

    /// Ends a session. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn close_session(&self, device: &DeviceId, token: &TokenHash) -> Result<bool, StoreError> {
        self.store().transaction(|tx| session::close(tx, device, token))
    }

    /// All sessions that have not ended.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn sessions(&self, now: Timestamp) -> Result<Vec<StoredSession>, StoreError> {
        self.store().transaction(|tx| session::all(tx, now))
    }

    /// Makes an invitation, good for one device: of `user`, or else of a user who has none yet.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn invite(&self, token: &TokenHash, user: Option<&UserId>, expires: Timestamp) -> Result<(), StoreError> {
        self.store().transaction(|tx| invitation::invite(tx, token, user, expires))
    }

    /// Whether the device is on the group's roster.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn is_member(&self, group: &GroupId, device: &DeviceId) -> Result<bool, StoreError> {
        self.store().transaction(|tx| roster::is_member(tx, group, device))
    }

    /// Whether the device may know of the group: it, or another device that its user has or had, is on the roster.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn concerns(&self, group: &GroupId, device: &DeviceId) -> Result<bool, StoreError> {
        self.store().transaction(|tx| device::concerns(tx, group, device))
    }

    /// The groups whose new entries the device reads.
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

    /// One small transaction of what [`expire`](Self::expire) does, and of the same for sessions and invitations, for a
    /// caller that others wait for. Returns whether there may be more.
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
