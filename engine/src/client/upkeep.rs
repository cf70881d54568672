//! Upkeep: erases expired secrets, also when no message comes.

use std::sync::Arc;

use super::Client;
use crate::{
    KeyPackageBytes,
    error::Error,
    group::record::member_states,
    key_erasure,
    names::{GroupId, Timestamp},
    storage::RecordScope,
};

/// The numbers of erased secrets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// The number of expired key packages.
    pub key_packages: usize,
    /// The number of past epochs, in all groups, whose messages can no longer be read.
    pub epochs: usize,
}

impl Client {
    /// Erases the secrets that are too old by the [`Policy`](crate::Policy), in all groups. These
    /// are the private keys of expired key packages, and the secrets of past epochs that ended
    /// longer ago than [`past_epoch_age`](crate::Policy::past_epoch_age).
    ///
    /// Call this function periodically, and when the device wakes up. Calls that receive or
    /// confirm also erase past epochs of their group, but a group without any traffic needs this
    /// call.
    ///
    /// If the device's clock is ahead, this call erases key packages that others may still use. If
    /// the application knows the delivery service's time, pass the earlier of both times as `now`.
    ///
    /// # Errors
    /// [`Error::Storage`]; [`Error::Time`].
    ///
    /// ```
    /// use std::{num::NonZeroU64, sync::Arc};
    /// use regrow_engine::{
    ///     Client, DeviceId, Error, Expired, GroupId, MemoryStore, Policy, Timestamp,
    ///     default_crypto,
    /// };
    ///
    /// # let now = Timestamp(
    /// #     std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs(),
    /// # );
    /// let age = NonZeroU64::new(600);
    /// let policy = Policy { past_epochs: 3, past_epoch_age: age, ..Policy::default() };
    /// # let id = DeviceId::new("alice", "phone").expect("a short name");
    /// let store = Arc::new(MemoryStore::new());
    /// let mut alice = Client::create(store, default_crypto(), id, policy)?;
    /// let pending = alice.create_group(GroupId::new("chat")?, now)?.update()?;
    /// alice.confirm(pending, now)?; // The first epoch is over. Its late messages can be read …
    ///
    /// let ten_minutes_later = Timestamp(now.0 + 600);
    /// // Now its messages can no longer be read.
    /// assert_eq!(alice.expire(ten_minutes_later)?, Expired { key_packages: 0, epochs: 1 });
    /// # Ok::<(), Error>(())
    /// ```
    pub fn expire(&mut self, now: Timestamp) -> Result<Expired, Error> {
        self.lock_if_idle(now)?;
        let policy = self.policy.clone();
        let store = Arc::clone(&self.store);
        let call = self.call_over(&*store, RecordScope::Device)?;
        let key_packages = self.whole(&call, |call| key_erasure::expire_key_packages(&call.records, now))?;
        call.records.settle();
        let old = self.groups_with_old_epochs(now)?;
        let erased = self.in_groups(call, old, |call, group| group.expire_epochs(call, &policy, now).map(Some))?;
        let epochs = erased.into_values().sum::<Result<usize, Error>>()?;
        Ok(Expired { key_packages, epochs })
    }

    /// Erases the private keys of these key packages of this device. Use it when the delivery
    /// service has refused the key packages, so nobody can use them. Key packages that are not on
    /// the device are ignored.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn discard_key_packages(&mut self, key_packages: &[KeyPackageBytes]) -> Result<(), Error> {
        self.with_device(|call, _| key_erasure::discard_key_packages(&call.records, key_packages))
    }

    /// Returns the groups with past epochs to erase. The function reads only the engine's own
    /// records, because loading all groups would cost more than the erasure itself.
    fn groups_with_old_epochs(&self, now: Timestamp) -> Result<Vec<GroupId>, Error> {
        let old = member_states(&self.records()?)?.into_iter().filter_map(|(scope, membership)| match scope {
            RecordScope::Group(id)
                if membership.old_epochs(&self.policy, now) > 0 || membership.has_future_epochs(now) =>
            {
                Some(id)
            }
            _ => None,
        });
        Ok(old.collect())
    }
}
