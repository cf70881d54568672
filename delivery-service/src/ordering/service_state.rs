//! What the service keeps of itself.

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

/// The key under which session tokens carry a mark of their device.
pub(crate) const MARK_KEY: &str = "mark_key";

/// The key that receipts are signed with: the store's, or `fresh` if it has none yet.
pub(crate) fn key(tx: &mut dyn Transaction, fresh: ServiceKey) -> Result<ServiceKey, StoreError> {
    secret(tx, SIGNING_KEY, fresh.seed()).map(|seed| ServiceKey::from_seed(&seed))
}

/// The secret of that name: the store's, or `fresh` if it has none yet.
pub(crate) fn secret(tx: &mut dyn Transaction, name: &'static str, fresh: &[u8; 32]) -> Result<[u8; 32], StoreError> {
    let name = Key::fixed(name);
    if let Some(secret) = tx.get(Table::Own, name.as_bytes())? {
        return secret.as_slice().try_into().map_err(|_| StoreError::Corrupt(Table::Own));
    }
    tx.put(Table::Own, name.as_bytes(), fresh)?;
    Ok(*fresh)
}

/// The time that [`note_time`] has stored last. `None` in a new store.
pub(crate) fn last_time(tx: &mut dyn Transaction) -> Result<Option<Timestamp>, StoreError> {
    match tx.get(Table::Own, Key::fixed(LAST_TIME).as_bytes())? {
        Some(bytes) => number_in(Table::Own, &bytes, 0).map(|seconds| Some(Timestamp(seconds))),
        None => Ok(None),
    }
}

/// Stores a time that is confirmed, for the next start to compare its clock with.
pub(crate) fn note_time(tx: &mut dyn Transaction, now: Timestamp) -> Result<(), StoreError> {
    tx.put(Table::Own, Key::fixed(LAST_TIME).as_bytes(), &now.0.to_be_bytes())
}

/// Bytes that no client has sent, written to see whether the disk takes them.
pub(crate) const TRIAL: &str = "trial";

/// A large message has about as much.
const TRIAL_BYTES: usize = 1024 * 1024;

/// Writes the trial record.
pub(crate) fn write_trial(tx: &mut dyn Transaction) -> Result<(), StoreError> {
    tx.put(Table::Own, Key::fixed(TRIAL).as_bytes(), &vec![0; TRIAL_BYTES])
}

/// Deletes the trial record.
pub(crate) fn delete_trial(tx: &mut dyn Transaction) -> Result<(), StoreError> {
    tx.delete(Table::Own, Key::fixed(TRIAL).as_bytes()).map(drop)
}
