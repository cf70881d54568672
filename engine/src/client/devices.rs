//! Operations on all groups of a device: links a device, removes a device, and finds the groups of
//! a user or a device.

use std::{collections::BTreeMap, sync::Arc};

use openmls::prelude::KeyPackage;

use super::Client;
use crate::{
    DeviceId, IdentityClaim, IntentStatus, KeyPackageBytes, SignaturePublicKey, UserId,
    call::EngineCall,
    error::Error,
    group::{
        GroupState,
        leaves::{leaf_of, leaves_of_user},
    },
    identity::device_of_leaf,
    key_package,
    names::{GroupId, Timestamp},
    storage::{RecordScope, StorageError},
};

impl Client {
    /// Adds a new device of this device's user to all groups of this device, by its key packages.
    /// Each group needs one key package, because a key package is used once. (A last-resort key
    /// package serves all groups for which no other is left.)
    ///
    /// The result has each group in which the new device is not yet a member, with the status of
    /// its addition. When the result is empty, the device is linked. The groups are independent of
    /// each other. A group with [`Error::NoKeyPackage`] needs another key package.
    ///
    /// Call this function again after every obstacle, for example a lost race or a crash. It
    /// returns a pending commit again. It skips a key package that is already in a group's tree or
    /// among its intents. (After the new device has replaced its keys in a group, its key package
    /// is not recognized there. So pass each claimed key package only until the linking is
    /// complete.)
    ///
    /// # Errors
    /// [`Error::OtherUser`] if the device does not belong to this device's user;
    /// [`Error::OtherDevice`] if a key package belongs to another device; [`Error::Malformed`],
    /// [`Error::Invalid`] or [`Error::Refused`] if a key package is not acceptable;
    /// [`Error::Storage`]. After any of these errors nothing has changed in any group. For the
    /// errors of one group see [`Group::add`](crate::Group::add).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use regrow_engine::{
    /// #     Client, DeviceId, Error, GroupId, MemoryStore, Policy, Timestamp, IntentStatus,
    /// #     default_crypto,
    /// # };
    /// # fn device(user: &str, name: &str) -> Result<Client, Error> {
    /// #     let id = DeviceId::new(user, name).expect("short names");
    /// #     Client::create(Arc::new(MemoryStore::new()), default_crypto(), id, Policy::default())
    /// # }
    /// # let now = Timestamp(
    /// #     std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs(),
    /// # );
    /// let (mut phone, mut tablet) = (device("alice", "phone")?, device("alice", "tablet")?);
    /// phone.create_group(GroupId::new("friends")?, now)?;
    /// phone.create_group(GroupId::new("work")?, now)?;
    /// // The tablet publishes key packages, and its name is read from its screen.
    /// let key_packages = tablet.key_packages(2, now)?;
    ///
    /// for (group, intent) in phone.link_device(tablet.device(), &key_packages, now)? {
    ///     let IntentStatus::Commit(pending) = intent? else { continue };
    ///     // Submit the commit to the delivery service, which passes the welcome to the tablet.
    ///     tablet.join(pending.welcome().expect("it adds the tablet"), now)?;
    ///     phone.confirm(pending, now)?;
    /// }
    ///
    /// assert!(phone.link_device(tablet.device(), &[], now)?.is_empty());
    /// assert_eq!(tablet.groups()?.len(), 2);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn link_device(
        &mut self,
        device: &DeviceId,
        key_packages: &[KeyPackageBytes],
        now: Timestamp,
    ) -> Result<BTreeMap<GroupId, Result<IntentStatus, Error>>, Error> {
        self.used(now)?;
        let (own, policy) = (self.device.clone(), self.policy.clone());
        if device.user() != own.user() {
            return Err(Error::OtherUser { device: device.clone(), user: own.user().clone() });
        }
        let mut unused = key_package::verify_all(&self.crypto, key_packages, now)?;
        for key_package in &unused {
            let owner = device_of_leaf(key_package.leaf_node())?;
            if owner != *device {
                return Err(Error::OtherDevice { device: owner, expected: device.clone() });
            }
        }
        // Key packages that an earlier call has used are in some group's tree or among its
        // intents.
        self.in_each_group(|_, group| {
            unused.retain(|known| known.last_resort() || !group.knows_key_package(known));
            Ok(None::<()>)
        })?;
        self.in_each_group(|call, group| {
            let mut used = None;
            let intent = group.intend_addition(call, &own, &policy, device, |group| {
                used = best(&unused, group);
                used.map(|at| unused[at].clone())
            })?;
            if let Some(at) = used.filter(|at| !unused[*at].last_resort()) {
                unused.remove(at);
            }
            Ok(intent)
        })
    }

    /// Verifies another device's key package, and returns the device and the signature key in its
    /// leaf. Use it to compare the key with a key from another source. The call changes nothing.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Invalid`] or [`Error::Refused`] if the key package is not
    /// acceptable at `now`.
    pub fn examine_key_package(&self, key_package: &KeyPackageBytes, now: Timestamp) -> Result<IdentityClaim, Error> {
        let key_package = key_package::verify(&self.crypto, key_package, now)?;
        let leaf = key_package.leaf_node();
        Ok(IdentityClaim { device: device_of_leaf(leaf)?, signature_key: SignaturePublicKey::of(leaf), previous: None })
    }

    /// Removes a device from all groups that this device shares with it. The device may belong to
    /// this device's user or to another user, and may for example be lost.
    ///
    /// The result has each group in which the device is still a member, with the status of its
    /// removal. When the result is empty, the device is removed everywhere. The groups are
    /// independent of each other. If another commit is pending in a group, the intent waits until
    /// that commit is done. Call this function again after every obstacle: an existing intent is
    /// not added twice.
    ///
    /// # Errors
    /// [`Error::OwnRemoval`]; [`Error::Storage`]. After either error nothing has changed in any
    /// group. For one group, [`Error::Refused`] if the application does not
    /// [permit](crate::Authenticate::may) the removal.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use regrow_engine::{
    /// #     Client, DeviceId, Error, GroupId, MemoryStore, Policy, Timestamp, IntentStatus,
    /// #     default_crypto,
    /// # };
    /// # fn device(user: &str, name: &str) -> Result<Client, Error> {
    /// #     let id = DeviceId::new(user, name).expect("short names");
    /// #     Client::create(Arc::new(MemoryStore::new()), default_crypto(), id, Policy::default())
    /// # }
    /// # let now = Timestamp(
    /// #     std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs(),
    /// # );
    /// # let (mut laptop, mut phone) = (device("alice", "laptop")?, device("alice", "phone")?);
    /// # for group in ["friends", "work"] {
    /// #     let key_packages = phone.key_packages(1, now)?;
    /// #     let mut group = laptop.create_group(GroupId::new(group)?, now)?;
    /// #     let pending = group.add(&key_packages, now)?;
    /// #     laptop.confirm(pending, now)?;
    /// # }
    /// let lost = DeviceId::new("alice", "phone").expect("short names");
    /// assert_eq!(laptop.groups_of_device(&lost)?.len(), 2);
    ///
    /// for (group, intent) in laptop.remove_device(&lost)? {
    ///     match intent? {
    ///         // The delivery service has accepted the submitted commit.
    ///         IntentStatus::Commit(pending) => drop(laptop.confirm(pending, now)?),
    ///         IntentStatus::Kept => println!("{group} is busy: resume says when it is its turn"),
    ///     }
    /// }
    ///
    /// assert!(laptop.groups_of_device(&lost)?.is_empty());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn remove_device(
        &mut self,
        device: &DeviceId,
    ) -> Result<BTreeMap<GroupId, Result<IntentStatus, Error>>, Error> {
        self.used_untimed();
        let (own, policy) = (self.device.clone(), self.policy.clone());
        if *device == own {
            return Err(Error::OwnRemoval);
        }
        self.in_each_group(|call, group| group.intend_removal(call, &own, &policy, device))
    }

    /// Returns the groups of this device in which a device of that user is a member.
    ///
    /// # Errors
    /// [`Error::Storage`] if a group cannot be loaded.
    pub fn groups_of_user(&mut self, user: &UserId) -> Result<Vec<GroupId>, Error> {
        self.groups_where(|group| Ok(!leaves_of_user(&group.mls, user)?.is_empty()))
    }

    /// Returns the groups of this device in which that device is a member.
    ///
    /// # Errors
    /// [`Error::Storage`] if a group cannot be loaded.
    pub fn groups_of_device(&mut self, device: &DeviceId) -> Result<Vec<GroupId>, Error> {
        self.groups_where(|group| Ok(leaf_of(&group.mls, device).is_some()))
    }

    fn groups_where(&mut self, is_so: impl Fn(&GroupState) -> Result<bool, Error>) -> Result<Vec<GroupId>, Error> {
        let found = self.in_each_group(|_, group| Ok(is_so(group)?.then_some(())))?;
        found.into_iter().map(|(id, result)| result.map(|()| id)).collect()
    }

    /// Runs `act` on each group of this device. Each group succeeds or fails by itself, and all
    /// changes are written as one batch. A group for which `act` returns `None` is not in the
    /// result. If the store fails, nothing has changed in any group.
    fn in_each_group<T>(
        &mut self,
        act: impl FnMut(&EngineCall<'_>, &mut GroupState) -> Result<Option<T>, Error>,
    ) -> Result<BTreeMap<GroupId, Result<T, Error>>, Error> {
        let store = Arc::clone(&self.store);
        let (call, groups) = (self.call_over(&*store, RecordScope::Device)?, self.groups()?);
        self.in_groups(call, groups, act)
    }

    /// Runs `act` on some groups, as `in_each_group` does. The batch also has the writes that the
    /// call has already settled.
    pub(super) fn in_groups<T>(
        &mut self,
        call: EngineCall<'_>,
        groups: Vec<GroupId>,
        mut act: impl FnMut(&EngineCall<'_>, &mut GroupState) -> Result<Option<T>, Error>,
    ) -> Result<BTreeMap<GroupId, Result<T, Error>>, Error> {
        let (mut results, mut ahead) = (BTreeMap::new(), BTreeMap::new());
        for id in groups {
            call.records.enter(RecordScope::Group(id.clone()));
            let cached = self.groups.remove(&id);
            let result = self.whole(&call, |call| {
                let mut group = cached.map_or_else(|| GroupState::load(call, &id), Ok)?;
                let value = act(call, &mut group)?;
                group.finish(call)?;
                Ok((group, value))
            });
            match result {
                Ok((group, value)) => {
                    call.records.settle();
                    ahead.insert(id.clone(), group);
                    results.extend(value.map(|value| (id, Ok(value))));
                }
                Err(error @ Error::Storage(StorageError::Store(_))) => return Err(error),
                Err(error) => {
                    call.records.undo();
                    results.insert(id, Err(error));
                }
            }
        }
        let batch = call.records.into_batch();
        self.write(batch)?;
        self.groups.extend(ahead);
        Ok(results)
    }
}

/// Returns the index of the key package for the group. It chooses a last-resort key package only
/// if there is no other.
fn best(unused: &[KeyPackage], group: &GroupState) -> Option<usize> {
    let fits = (0..unused.len()).filter(|at| unused[*at].ciphersuite() == group.mls.ciphersuite());
    fits.min_by_key(|at| unused[*at].last_resort())
}
