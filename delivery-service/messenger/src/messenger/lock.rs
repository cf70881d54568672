//! Locking, unlocking, and backups of a device.

use regrow_engine::{Error as EngineError, StoreKey};

use super::{Messenger, app_data, connect};
use crate::error::Error;

impl Messenger {
    /// Locks the device.
    ///
    /// The call erases from memory the groups, the texts, the key for the service and the session
    /// with it, and all that the store needs to read and write. Until the device is
    /// [unlocked](Self::unlock), every call fails with [`Locked`](regrow_engine::Error::Locked).
    /// After that, the application receives the events that it has not had, and the last events
    /// once more, as after a crash.
    ///
    /// # Errors
    /// [`NoLock`](regrow_engine::Error::NoLock) if the store cannot be locked: then nothing is.
    pub fn lock(&mut self) -> Result<(), Error> {
        self.machine.client.lock()?;
        self.connection = None;
        self.machine.erase();
        Ok(())
    }

    /// Unlocks the device with the store's key, and continues its work. The call can be repeated.
    ///
    /// # Errors
    /// [`WrongKey`](regrow_engine::Error::WrongKey), or the errors of [`open`](Self::open). The
    /// device stays locked.
    pub fn unlock(&mut self, key: &StoreKey) -> Result<(), Error> {
        self.machine.client.unlock(key)?;
        let opened = self.connect_again();
        if opened.is_err() {
            self.lock()?;
        }
        opened
    }

    fn connect_again(&mut self) -> Result<(), Error> {
        let account = app_data::account(&self.machine.client)?.ok_or(Error::NotRegistered)?;
        let connection = connect(&self.machine.client, &self.address, &account)?.without_retries();
        self.machine.reload()?;
        self.connection = Some(connection);
        Ok(())
    }

    /// Locks the device if it was idle for the time of the policy: see
    /// [`Client::lock_if_idle`](regrow_engine::Client::lock_if_idle). Returns true if the device is
    /// locked now.
    ///
    /// # Errors
    /// [`NoLock`](regrow_engine::Error::NoLock).
    pub fn lock_if_idle(&mut self) -> Result<bool, Error> {
        let now = self.machine.now();
        if self.machine.client.lock_if_idle(now)? && self.connection.is_some() {
            self.lock()?;
        }
        Ok(self.connection.is_none())
    }

    pub(super) fn refuse_if_locked(&mut self) -> Result<(), Error> {
        if self.lock_if_idle()? { Err(EngineError::Locked.into()) } else { Ok(()) }
    }

    /// Returns a backup of the device, without any key: see
    /// [`Client::backup`](regrow_engine::Client::backup).
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub fn backup(&self, archive: &[u8], passphrase: &str) -> Result<Vec<u8>, Error> {
        Ok(self.machine.client.backup(archive, passphrase)?)
    }

    /// Rejoins all groups, because the device's storage was put back to an older state or copied.
    ///
    /// The application calls this when it finds that out. See
    /// [`Client::storage_restored`](regrow_engine::Client::storage_restored).
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub fn storage_restored(&mut self) -> Result<(), Error> {
        self.machine.client.storage_restored()?;
        self.machine.look_at_all_groups();
        Ok(())
    }
}
