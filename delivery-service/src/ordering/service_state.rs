//! The service's own records: its signing key, the key for marks in session tokens, and the last
//! confirmed time. The records are about no group and no device. The service reads them when it
//! opens a store, and the server's upkeep calls the other functions.

use crate::{
    error::StoreError,
    names::Timestamp,
    receipt::ServiceKey,
    store::{
        Table, Transaction,
        key::{Key, number_in},
    },
};

pub(crate) const SIGNING_KEY: &str = "signing_key";

/// The last wall-clock time that a server has confirmed.
pub(crate) const LAST_TIME: &str = "last_time";

/// The name of the key that marks session tokens with their device.
pub(crate) const MARK_KEY: &str = "mark_key";

/// Returns the key that signs receipts: the key in the store, or `fresh` if the store has none yet.
pub(crate) fn key(tx: &mut dyn Transaction, fresh: ServiceKey) -> Result<ServiceKey, StoreError> {
    secret(tx, SIGNING_KEY, fresh.seed()).map(|seed| ServiceKey::from_seed(&seed))
}

/// Returns the secret of that name: the secret in the store, or `fresh` if the store has none yet.
pub(crate) fn secret(tx: &mut dyn Transaction, name: &'static str, fresh: &[u8; 32]) -> Result<[u8; 32], StoreError> {
    let name = Key::fixed(name);
    if let Some(secret) = tx.get(Table::ServiceState, name.as_bytes())? {
        return secret.as_slice().try_into().map_err(|_| StoreError::Corrupt(Table::ServiceState));
    }
    tx.put(Table::ServiceState, name.as_bytes(), fresh)?;
    Ok(*fresh)
}

/// Returns the time that [`note_time`] has stored last. `None` in a new store.
pub(crate) fn last_time(tx: &mut dyn Transaction) -> Result<Option<Timestamp>, StoreError> {
    match tx.get(Table::ServiceState, Key::fixed(LAST_TIME).as_bytes())? {
        Some(bytes) => number_in(Table::ServiceState, &bytes, 0).map(|seconds| Some(Timestamp(seconds))),
        None => Ok(None),
    }
}

/// Stores a confirmed time. The next start compares its clock with it.
pub(crate) fn note_time(tx: &mut dyn Transaction, now: Timestamp) -> Result<(), StoreError> {
    tx.put(Table::ServiceState, Key::fixed(LAST_TIME).as_bytes(), &now.0.to_be_bytes())
}

/// The name of the trial record. Its bytes come from no client; a server writes them to see if the
/// disk takes writes.
pub(crate) const TRIAL: &str = "trial";

/// The size of the trial record. A large message has about as many bytes.
const TRIAL_BYTES: usize = 1024 * 1024;

/// Writes the trial record.
pub(crate) fn write_trial(tx: &mut dyn Transaction) -> Result<(), StoreError> {
    tx.put(Table::ServiceState, Key::fixed(TRIAL).as_bytes(), &vec![0; TRIAL_BYTES])
}

/// Deletes the trial record.
pub(crate) fn delete_trial(tx: &mut dyn Transaction) -> Result<(), StoreError> {
    tx.delete(Table::ServiceState, Key::fixed(TRIAL).as_bytes()).map(drop)
}
