//! The calls of the service for a server's upkeep, which no client asks for.

use super::DeliveryService;
use crate::{error::StoreError, names::Timestamp, ordering::service_state, store::Store};

impl<S: Store> DeliveryService<S> {
    /// Returns a number that stays the same until another process changes the store. See
    /// [`Store::others_version`].
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn others_version(&self) -> Result<i64, StoreError> {
        self.store().others_version()
    }

    /// Gives back a little of the space of deleted records. Returns true if there is more. See
    /// [`Store::shrink`].
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn shrink(&self) -> Result<bool, StoreError> {
        self.store().shrink()
    }

    /// Returns the key with which a server marks its session tokens: the key in the store, or
    /// `fresh` if the store has none yet.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn mark_key(&self, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        self.store().transaction(|tx| service_state::secret(tx, service_state::MARK_KEY, &fresh))
    }

    /// Returns the last wall-clock time that [`note_time`](Self::note_time) has stored. `None` in a
    /// new store.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn last_time(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store().transaction(|tx| service_state::last_time(tx))
    }

    /// Stores a wall-clock time that the caller has confirmed. The next start compares its clock
    /// with it.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn note_time(&self, now: Timestamp) -> Result<(), StoreError> {
        self.store().transaction(|tx| service_state::note_time(tx, now))
    }

    /// Checks that the store is still where it was opened, and still this process's. See
    /// [`Store::examine`].
    ///
    /// # Errors
    ///
    /// The store is not there any more, or failed.
    pub fn examine(&self) -> Result<(), StoreError> {
        self.store().examine()
    }

    /// Lets another process take the store at once. See [`Store::give_up`].
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn give_up(&self) -> Result<(), StoreError> {
        self.store().give_up()
    }

    /// Writes a record of a usual size and deletes it again, to see if the disk takes writes.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn try_write(&self) -> Result<(), StoreError> {
        self.store().transaction(|tx| service_state::write_trial(tx))?;
        self.store().transaction(|tx| service_state::delete_trial(tx))
    }
}
