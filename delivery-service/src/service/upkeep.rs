//! What a server does now and then on behalf of nobody.

use super::DeliveryService;
use crate::{error::StoreError, names::Timestamp, ordering::service_state, store::Store};

impl<S: Store> DeliveryService<S> {
    /// A number that stays the same until somebody else changes the store. See [`Store::others_version`].
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn others_version(&self) -> Result<i64, StoreError> {
        self.store().others_version()
    }

    /// Gives back a little of the room that deleted records took. Returns whether there is more. See [`Store::shrink`].
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn shrink(&self) -> Result<bool, StoreError> {
        self.store().shrink()
    }

    /// The key under which a server marks its session tokens: the store's, or `fresh` if it has none yet.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn mark_key(&self, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        self.store().transaction(|tx| service_state::secret(tx, service_state::MARK_KEY, &fresh))
    }

    /// The last wall-clock time that [`note_time`](Self::note_time) stored. `None` in a new store.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn last_time(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store().transaction(|tx| service_state::last_time(tx))
    }

    /// Stores a wall-clock time that the caller has confirmed, for the next start to compare its clock with.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn note_time(&self, now: Timestamp) -> Result<(), StoreError> {
        self.store().transaction(|tx| service_state::note_time(tx, now))
    }

    /// Looks whether the store is still where it was opened. See [`Store::examine`].
    ///
    /// # Errors
    ///
    /// The store is not there any more.
    pub fn examine(&self) -> Result<(), StoreError> {
        self.store().examine()
    }

    /// Writes something and deletes it again: whether the disk takes writes, and of a usual size.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn try_write(&self) -> Result<(), StoreError> {
        self.store().transaction(|tx| service_state::write_trial(tx))?;
        self.store().transaction(|tx| service_state::delete_trial(tx))
    }
}
