//! A device that is locked holds no secret in memory: by hand, or when nothing was asked of it for a while.

use super::Client;
use crate::{StoreKey, error::Error, names::Timestamp, storage::StorageError};

/// Whether the device is locked, and since when it is idle.
#[derive(Default)]
pub(super) struct LockState {
    locked: bool,
    /// When the device was last used. [`None`] if it was used since it was last told the time.
    last_use: Option<Timestamp>,
}

impl Client {
    /// Locks the device: erases from memory the groups and all that the store needs to read and write. Every call from
    /// then on fails with [`Error::Locked`] and changes nothing, until the device is [unlocked](Self::unlock). The store
    /// stays this device's, as it was.
    ///
    /// What the application was given, texts above all, is its own to erase.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use regrow_engine::{Client, DeviceId, Error, GroupId, Policy, SqliteStore, StoreKey, Timestamp, default_crypto};
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("alice.regrow");
    /// # let now = Timestamp(std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_secs());
    /// let key = StoreKey::from_passphrase("correct horse battery staple");
    /// let store = Arc::new(SqliteStore::create(&path, &key, default_crypto())?);
    /// let mut alice = Client::create(store, default_crypto(), DeviceId::new("alice", "phone")?, Policy::default())?;
    /// alice.create_group(GroupId::new("chat")?, now)?;
    ///
    /// alice.lock()?;
    ///
    /// assert!(matches!(alice.group(&GroupId::new("chat")?), Err(Error::Locked)));
    /// assert!(matches!(alice.unlock(&StoreKey::from_passphrase("a guess")), Err(Error::WrongKey)));
    /// alice.unlock(&key)?;
    /// alice.group(&GroupId::new("chat")?)?.send(b"here again")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoLock`] if the [store](crate::Store::as_lock) cannot be locked: then nothing is.
    pub fn lock(&mut self) -> Result<(), Error> {
        self.refuse_if_superseded()?;
        let store = self.store.as_lock().ok_or(Error::NoLock)?;
        self.lock.locked = true;
        self.groups.clear();
        store.lock();
        Ok(())
    }

    /// Takes the store's key, and goes on where the device was. It can be tried again and again.
    ///
    /// # Errors
    /// [`Error::WrongKey`]; [`Error::NoLock`]; [`Error::Storage`] if the store cannot be read, or is sealed under a key
    /// and a passphrase was given, or the other way round. A device that was locked stays so.
    pub fn unlock(&mut self, key: &StoreKey) -> Result<(), Error> {
        self.refuse_if_superseded()?;
        let store = self.store.as_lock().ok_or(Error::NoLock)?;
        store.unlock(key).map_err(StorageError::from)?;
        self.lock = LockState::default();
        Ok(())
    }

    /// Whether the device is locked.
    pub fn is_locked(&self) -> bool {
        self.lock.locked
    }

    /// Locks the device if it was not used for as long as the policy has it: [`lock_after`](crate::Policy::lock_after).
    /// Whether it is locked now. To be called by the application's timer, as the engine has none; it does not count as a
    /// use.
    ///
    /// A call that is told the time is a use, and so is sending, which counts from the next time that the device is told.
    /// (Asking what is [due](crate::Group::due) is none.) Such a call looks first, too: if the device was idle for too
    /// long, the call locks it and fails with [`Error::Locked`].
    ///
    /// # Errors
    /// [`Error::NoLock`]; [`Error::Time`] for a time after the year 9999, as in every call that is told the time.
    pub fn lock_if_idle(&mut self, now: Timestamp) -> Result<bool, Error> {
        if now > Timestamp::LATEST {
            return Err(Error::Time { now });
        }
        // A clock that was set back does not keep the device open until it is as late again.
        let since = self.lock.last_use.map_or(now, |last| last.min(now));
        self.lock.last_use = Some(since);
        let idle = |limit: std::num::NonZeroU64| now.0 - since.0 >= limit.get();
        if !self.is_locked() && self.policy.lock_after.is_some_and(idle) {
            self.lock()?;
        }
        Ok(self.is_locked())
    }

    /// The device is used now, if it may be.
    pub(crate) fn used(&mut self, now: Timestamp) -> Result<(), Error> {
        self.lock_if_idle(now)?;
        self.refuse_if_locked()?;
        self.lock.last_use = Some(now);
        Ok(())
    }

    /// The device is used, at a time that it is not told.
    pub(crate) fn used_untimed(&mut self) {
        self.lock.last_use = None;
    }

    /// Refuses a call while the device is locked, and for good once another client has the store.
    pub(super) fn refuse_if_locked(&self) -> Result<(), Error> {
        self.refuse_if_superseded()?;
        if self.is_locked() { Err(Error::Locked) } else { Ok(()) }
    }
}
