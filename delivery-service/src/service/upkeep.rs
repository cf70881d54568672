//! What a server does now and then on behalf of nobody.

use super::DeliveryService;
use crate::{error::StoreError, store::Store};

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
}
