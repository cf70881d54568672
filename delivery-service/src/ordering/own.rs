//! What the service keeps of itself.

use crate::{
    error::StoreError,
    receipt::ServiceKey,
    store::{Table, Transaction, key::Key},
};

pub(crate) const SIGNING_KEY: &str = "signing_key";

/// The key that receipts are signed with: the store's, or `fresh` if it has none yet.
pub(crate) fn key(tx: &mut dyn Transaction, fresh: ServiceKey) -> Result<ServiceKey, StoreError> {
    let name = Key::fixed(SIGNING_KEY);
    if let Some(seed) = tx.get(Table::Own, name.as_bytes())? {
        let seed = seed.as_slice().try_into().map_err(|_| StoreError::Corrupt(Table::Own))?;
        return Ok(ServiceKey::from_seed(seed));
    }
    tx.put(Table::Own, name.as_bytes(), fresh.seed())?;
    Ok(fresh)
}
