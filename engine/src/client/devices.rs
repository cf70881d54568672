//! One device in all groups at once: linked or removed; and which groups somebody is in.

use std::{collections::BTreeMap, sync::Arc};

use openmls::prelude::KeyPackage;

use super::Client;
use crate::{
    Claim, DeviceId, KeyPackageBytes, SignaturePublicKey, UserId, Wish,
    error::Error,
    group::{GroupState, leaf_of, leaves_of_user},
    identity::device_of_leaf,
    key_package,
    names::{GroupId, Timestamp},
    provider::Call,
    storage::{Scope, StorageError},
};

impl Client {
    /// Brings a new device of this device's user into the groups that this device is in, by its key packages: one for
    /// each group, as each is used once. (A last-resort key package serves all that the others do not.)
    ///
    /// The answer has the groups in which the device is not a member yet, and for each how far it is: when the answer is
    /// empty, the device is linked. Each group counts by itself; one that has [`Error::NoKeyPackage`] wants another key
    /// package. Call it again whenever something was in the way, a lost race or a crash: a commit that waits is given
    /// again, and a key package that is in a group's tree or among its wishes is passed over. (Once the new device has
    /// replaced its keys there, it is not known again: give each key package that was claimed no longer than it takes.)
    ///
    /// # Errors
    /// [`Error::OtherUser`] if the device is not one of this device's user; [`Error::OtherDevice`] if a key package is
    /// not the device's; [`Error::Malformed`], [`Error::Invalid`] or [`Error::Refused`] if one is no good;
    /// [`Error::Storage`]. Nothing has happened then, in any group. For one group, as [`Group::add`](crate::Group::add).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use regrow_engine::{Client, DeviceId, Error, GroupId, MemoryStore, Policy, Timestamp, Wish, default_crypto};
    /// # fn device(user: &str, name: &str) -> Result<Client, Error> {
    /// #     let id = DeviceId::new(user, name).expect("short names");
    /// #     Client::create(Arc::new(MemoryStore::new()), default_crypto(), id, Policy::default())
    /// # }
    /// # let now = Timestamp(std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs());
    /// let (mut phone, mut tablet) = (device("alice", "phone")?, device("alice", "tablet")?);
    /// phone.create_group(GroupId::new("friends")?, now)?;
    /// phone.create_group(GroupId::new("work")?, now)?;
    /// // The tablet publishes key packages, and its name is read from its screen.
    /// let key_packages = tablet.key_packages(2, now)?;
    ///
    /// for (group, wish) in phone.link_device(tablet.device(), &key_packages, now)? {
    ///     let Wish::Commit(pending) = wish? else { continue };
    ///     // … to the delivery service, which accepts it, and hands its welcome to the tablet:
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
    ) -> Result<BTreeMap<GroupId, Result<Wish, Error>>, Error> {
        self.used(now)?;
        let (own, policy) = (self.device.clone(), self.policy.clone());
        if device.user() != own.user() {
            return Err(Error::OtherUser { device: device.clone(), user: own.user().clone() });
        }
        let mut unused = Vec::with_capacity(key_packages.len());
        for bytes in key_packages {
            let key_package = key_package::verify(&self.crypto, bytes, now)?;
            let owner = device_of_leaf(key_package.leaf_node())?;
            if owner != *device {
                return Err(Error::OtherDevice { device: owner, expected: device.clone() });
            }
            unused.push(key_package);
        }
        // What an earlier call has used is in some group's tree, or among its wishes.
        self.in_each_group(|_, group| {
            unused.retain(|known| known.last_resort() || !group.knows_key_package(known));
            Ok(None::<()>)
        })?;
        self.in_each_group(|call, group| {
            let mut used = None;
            let wish = group.wish_addition(call, &own, &policy, device, |group| {
                used = best(&unused, group);
                used.map(|at| unused[at].clone())
            })?;
            if let Some(at) = used.filter(|at| !unused[*at].last_resort()) {
                unused.remove(at);
            }
            Ok(wish)
        })
    }

    /// Verifies another device's key package, and returns the device and the signature key in its leaf: for a caller that
    /// knows the device's key from elsewhere. It changes nothing.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Invalid`] or [`Error::Refused`] if the key package is no good at `now`.
    pub fn examine_key_package(&self, key_package: &KeyPackageBytes, now: Timestamp) -> Result<Claim, Error> {
        let key_package = key_package::verify(&self.crypto, key_package, now)?;
        let leaf = key_package.leaf_node();
        Ok(Claim { device: device_of_leaf(leaf)?, signature_key: SignaturePublicKey::of(leaf), previous: None })
    }

    /// Removes a device from all groups that this device shares with it: one that was lost, its own user's or another's.
    ///
    /// The answer has the groups in which the device is still a member, and for each how far its removal is: when the
    /// answer is empty, it is removed everywhere. Each group counts by itself, and where another commit waits the wish is
    /// kept behind it. Call it again whenever something was in the way: what is wanted already is not wanted twice.
    ///
    /// # Errors
    /// [`Error::OwnRemoval`]; [`Error::Storage`]. Nothing has happened then, in any group. For one group,
    /// [`Error::Refused`] if the application does not [permit](crate::Authenticate::may) it.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use regrow_engine::{Client, DeviceId, Error, GroupId, MemoryStore, Policy, Timestamp, Wish, default_crypto};
    /// # fn device(user: &str, name: &str) -> Result<Client, Error> {
    /// #     let id = DeviceId::new(user, name).expect("short names");
    /// #     Client::create(Arc::new(MemoryStore::new()), default_crypto(), id, Policy::default())
    /// # }
    /// # let now = Timestamp(std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs());
    /// # let (mut laptop, mut phone) = (device("alice", "laptop")?, device("alice", "phone")?);
    /// # for group in ["friends", "work"] {
    /// #     let key_packages = phone.key_packages(1, now)?;
    /// #     let pending = laptop.create_group(GroupId::new(group)?, now)?.add(&key_packages, now)?;
    /// #     laptop.confirm(pending, now)?;
    /// # }
    /// let lost = DeviceId::new("alice", "phone").expect("short names");
    /// assert_eq!(laptop.groups_of_device(&lost)?.len(), 2);
    ///
    /// for (group, wish) in laptop.remove_device(&lost)? {
    ///     match wish? {
    ///         // … to the delivery service, which accepts it:
    ///         Wish::Commit(pending) => drop(laptop.confirm(pending, now)?),
    ///         Wish::Kept => println!("{group} is busy: resume says when it is its turn"),
    ///     }
    /// }
    ///
    /// assert!(laptop.groups_of_device(&lost)?.is_empty());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn remove_device(&mut self, device: &DeviceId) -> Result<BTreeMap<GroupId, Result<Wish, Error>>, Error> {
        self.used_untimed();
        let (own, policy) = (self.device.clone(), self.policy.clone());
        if *device == own {
            return Err(Error::OwnRemoval);
        }
        self.in_each_group(|call, group| group.wish_removal(call, &own, &policy, device))
    }

    /// The groups of this device in which a device of that user is a member.
    ///
    /// # Errors
    /// [`Error::Storage`] if a group cannot be loaded.
    pub fn groups_of_user(&mut self, user: &UserId) -> Result<Vec<GroupId>, Error> {
        self.groups_where(|group| Ok(!leaves_of_user(&group.mls, user)?.is_empty()))
    }

    /// The groups of this device in which that device is a member.
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

    /// Acts on each group of this device. Each counts or fails by itself, and what has happened is written as one batch;
    /// groups with nothing to say are left out of the answer. If the store fails, nothing has happened in any.
    fn in_each_group<T>(
        &mut self,
        act: impl FnMut(&Call<'_>, &mut GroupState) -> Result<Option<T>, Error>,
    ) -> Result<BTreeMap<GroupId, Result<T, Error>>, Error> {
        let store = Arc::clone(&self.store);
        let (call, groups) = (self.call_over(&*store, Scope::Device)?, self.groups()?);
        self.in_groups(call, groups, act)
    }

    /// The same for some groups, together with what the call has written and settled before.
    pub(super) fn in_groups<T>(
        &mut self,
        call: Call<'_>,
        groups: Vec<GroupId>,
        mut act: impl FnMut(&Call<'_>, &mut GroupState) -> Result<Option<T>, Error>,
    ) -> Result<BTreeMap<GroupId, Result<T, Error>>, Error> {
        let (mut results, mut ahead) = (BTreeMap::new(), BTreeMap::new());
        for id in groups {
            call.records.enter(Scope::Group(id.clone()));
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

/// Which key package to add the device to the group with: a last-resort one only where there is no other.
fn best(unused: &[KeyPackage], group: &GroupState) -> Option<usize> {
    let fits = (0..unused.len()).filter(|at| unused[*at].ciphersuite() == group.mls.ciphersuite());
    fits.min_by_key(|at| unused[*at].last_resort())
}
