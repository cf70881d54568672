//! What has to be erased because time has passed, although nothing has come.

use std::sync::Arc;

use super::Client;
use crate::{
    KeyPackageBytes,
    error::Error,
    group::record::memberships,
    key_package,
    names::{GroupId, Timestamp},
    storage::Scope,
};

/// What was too old, and is erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// The number of key packages.
    pub key_packages: usize,
    /// The number of past epochs whose messages cannot be read any more, in all groups.
    pub epochs: usize,
}

impl Client {
    /// Erases what is too old by the [`Policy`](crate::Policy): the private keys of key packages that have expired, and
    /// the secrets of past epochs that ended longer ago than [`past_epoch_age`](crate::Policy::past_epoch_age), in all
    /// groups. Call it now and then, and when the device wakes up: past epochs are erased by what a group does as
    /// well, but a group in which nothing happens needs this.
    ///
    /// A clock that is ahead erases key packages that others may still use. Where the application knows the delivery
    /// service's time, `now` is the earlier of both.
    ///
    /// # Errors
    /// [`Error::Storage`]; [`Error::Time`].
    ///
    /// ```
    /// use std::{num::NonZeroU64, sync::Arc};
    /// use regrow_engine::{Client, DeviceId, Error, Expired, GroupId, MemoryStore, Policy, Timestamp, default_crypto};
    ///
    /// # let now = Timestamp(std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs());
    /// let policy = Policy { past_epochs: 3, past_epoch_age: NonZeroU64::new(600), ..Policy::default() };
    /// # let id = DeviceId::new("alice", "phone").expect("a short name");
    /// let mut alice = Client::create(Arc::new(MemoryStore::new()), default_crypto(), id, policy)?;
    /// let pending = alice.create_group(GroupId::new("chat")?, now)?.update()?;
    /// alice.confirm(pending, now)?; // The first epoch is over, and late messages of it can be read …
    ///
    /// let ten_minutes_later = Timestamp(now.0 + 600);
    /// assert_eq!(alice.expire(ten_minutes_later)?, Expired { key_packages: 0, epochs: 1 }); // … until now.
    /// # Ok::<(), Error>(())
    /// ```
    pub fn expire(&mut self, now: Timestamp) -> Result<Expired, Error> {
        self.lock_if_idle(now)?;
        let policy = self.policy.clone();
        let store = Arc::clone(&self.store);
        let call = self.call_over(&*store, Scope::Device)?;
        let key_packages = self.whole(&call, |call| key_package::expire(&call.records, now))?;
        call.records.settle();
        let old = self.groups_with_old_epochs(now)?;
        let erased = self.in_groups(call, old, |call, group| group.expire_epochs(call, &policy, now).map(Some))?;
        let epochs = erased.into_values().sum::<Result<usize, Error>>()?;
        Ok(Expired { key_packages, epochs })
    }

    /// Erases the private keys of these key packages of this device: the delivery service has refused them, so that
    /// nobody can use them. Key packages that are not on the device are passed over.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn discard_key_packages(&mut self, key_packages: &[KeyPackageBytes]) -> Result<(), Error> {
        self.with_device(|call, _| key_package::discard(&call.records, key_packages))
    }

    /// Read off the engine's own records: to load all groups would cost more than what there is to do.
    fn groups_with_old_epochs(&self, now: Timestamp) -> Result<Vec<GroupId>, Error> {
        let old = memberships(&self.records()?)?.into_iter().filter_map(|(scope, membership)| match scope {
            Scope::Group(id) if membership.old_epochs(&self.policy, now) > 0 || membership.has_future_epochs(now) => {
                Some(id)
            }
            _ => None,
        });
        Ok(old.collect())
    }
}
