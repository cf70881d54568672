//! Locking of a device: a locked device has no secret in memory. The application locks it, or the
//! engine does after an idle time.

use super::{Client, lock_state::LockState};
use crate::{StoreKey, error::Error, names::Timestamp, storage::StorageError};

impl Client {
    /// Locks the device: erases from memory the groups, and the keys and names that the store
    /// needs. From then on every call fails with [`Error::Locked`] and changes nothing, until the
    /// device is [unlocked](Self::unlock). The store still belongs to this device.
    ///
    /// The application must erase its own copies of texts and other data that the engine has
    /// returned.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use regrow_engine::{
    /// #     Client, DeviceId, Error, GroupId, Policy, SqliteStore, StoreKey, Timestamp,
    /// #     default_crypto,
    /// # };
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("alice.regrow");
    /// # let now = Timestamp(std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_secs());
    /// let key = StoreKey::from_passphrase("correct horse battery staple");
    /// let store = Arc::new(SqliteStore::create(&path, &key, default_crypto())?);
    /// let device = DeviceId::new("alice", "phone")?;
    /// let mut alice = Client::create(store, default_crypto(), device, Policy::default())?;
    /// alice.create_group(GroupId::new("chat")?, now)?;
    ///
    /// alice.lock()?;
    ///
    /// assert!(matches!(alice.group(&GroupId::new("chat")?), Err(Error::Locked)));
    /// let wrong = StoreKey::from_passphrase("a guess");
    /// assert!(matches!(alice.unlock(&wrong), Err(Error::WrongKey)));
    /// alice.unlock(&key)?;
    /// alice.group(&GroupId::new("chat")?)?.send(b"here again")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoLock`] if the [store](crate::Store::as_lock) has no lock. Then nothing is
    /// locked.
    pub fn lock(&mut self) -> Result<(), Error> {
        self.refuse_if_superseded()?;
        let store = self.store.as_lock().ok_or(Error::NoLock)?;
        self.lock.locked = true;
        self.groups.clear();
        store.lock();
        Ok(())
    }

    /// Unlocks the device with the store's key. The device continues in the state that it had. The
    /// call can be repeated any number of times.
    ///
    /// # Errors
    /// [`Error::WrongKey`]; [`Error::NoLock`]; [`Error::Storage`] if the store cannot be read, or
    /// if it is sealed under a key and the caller gave a passphrase, or the reverse. After an
    /// error a locked device stays locked.
    pub fn unlock(&mut self, key: &StoreKey) -> Result<(), Error> {
        self.refuse_if_superseded()?;
        let store = self.store.as_lock().ok_or(Error::NoLock)?;
        store.unlock(key).map_err(StorageError::from)?;
        self.lock = LockState::default();
        Ok(())
    }

    /// True if the device is locked.
    pub fn is_locked(&self) -> bool {
        self.lock.locked
    }

    /// Locks the device if it was idle for the policy's time
    /// [`lock_after`](crate::Policy::lock_after). Returns true if the device is locked now. The
    /// application's timer should call this function, because the engine has no timer. The call
    /// itself does not count as a use.
    ///
    /// Every call with a `now` argument is a use. Such a call first checks the idle time: if the
    /// device was idle for too long, the call locks it and fails with [`Error::Locked`]. Sending
    /// is also a use, and the idle time then starts at the next call with a `now` argument. (A
    /// question to [`due`](crate::Group::due) is not a use.)
    ///
    /// # Errors
    /// [`Error::NoLock`]; [`Error::Time`] for a time after the year 9999, as in every call with a
    /// `now` argument.
    pub fn lock_if_idle(&mut self, now: Timestamp) -> Result<bool, Error> {
        if now > Timestamp::LATEST {
            return Err(Error::Time { now });
        }
        // If the clock was set back, the idle time starts at the earlier time. Otherwise the
        // device would stay unlocked until the clock reaches the old time again.
        let since = self.lock.last_use.map_or(now, |last| last.min(now));
        self.lock.last_use = Some(since);
        let idle = |limit: std::num::NonZeroU64| now.0 - since.0 >= limit.get();
        if !self.is_locked() && self.policy.lock_after.is_some_and(idle) {
            self.lock()?;
        }
        Ok(self.is_locked())
    }

    /// Notes a use at the time `now`, or fails if the device is locked.
    pub(crate) fn used(&mut self, now: Timestamp) -> Result<(), Error> {
        self.lock_if_idle(now)?;
        self.refuse_if_locked()?;
        self.lock.last_use = Some(now);
        Ok(())
    }

    /// Notes a use at an unknown time.
    pub(crate) fn used_untimed(&mut self) {
        self.lock.last_use = None;
    }

    /// Refuses a call while the device is locked. Once another client has the store, refuses every
    /// call for ever.
    pub(super) fn refuse_if_locked(&self) -> Result<(), Error> {
        self.refuse_if_superseded()?;
        if self.is_locked() { Err(Error::Locked) } else { Ok(()) }
    }
}
