//! The writes of one call, gathered, and the records as the call sees them.
//!
//! A call that does several things one after the other [settles](Transaction::settle) or [undoes](Transaction::undo) each,
//! and applies what is left of all of them as one batch.

use std::cell::RefCell;

use serde::{Serialize, de::DeserializeOwned};

use super::{Batch, Kind, Scope, StorageError, Store, StoreError, Value, encoding};

/// One call's view of the store: what is stored, with the call's own writes over it.
pub(crate) struct Transaction<'s> {
    store: &'s dyn Store,
    scope: RefCell<Scope>,
    /// What the parts of the call that are over have written.
    settled: RefCell<Batch>,
    /// What the present part has written: it lies over what is settled, and that over the store.
    batch: RefCell<Batch>,
    /// The first failure: OpenMLS reports some storage errors without their cause.
    failure: RefCell<Option<StorageError>>,
}

impl<'s> Transaction<'s> {
    pub(crate) fn new(store: &'s dyn Store, scope: Scope) -> Self {
        Self {
            store,
            scope: RefCell::new(scope),
            settled: RefCell::default(),
            batch: RefCell::default(),
            failure: RefCell::default(),
        }
    }

    /// From here on, what concerns a group concerns this scope. (A welcome names its group only once it is opened.)
    pub(crate) fn enter(&self, scope: Scope) {
        self.scope.replace(scope);
    }

    pub(crate) fn scope(&self) -> Scope {
        self.scope.borrow().clone()
    }

    /// What has been written so far stays, whatever becomes of the rest of the call.
    pub(crate) fn settle(&self) {
        self.settled.borrow_mut().extend(self.batch.take());
    }

    /// What has been written since the last [`settle`](Self::settle) has not happened.
    pub(crate) fn undo(&self) {
        self.batch.take();
        self.failure.take();
    }

    /// What the call has written, to be applied.
    pub(crate) fn into_batch(self) -> Batch {
        self.settle();
        self.settled.into_inner()
    }

    /// The storage failure behind an error that OpenMLS reported, if there was one.
    pub(crate) fn failure(&self) -> Option<StorageError> {
        self.failure.borrow().clone()
    }

    pub(crate) fn put<T: Serialize + ?Sized>(&self, key: Vec<u8>, kind: Kind, value: &T) -> Result<(), StorageError> {
        let record = encoding::encode(value)
            .map_err(|e| self.fail(StorageError::Encode { record: kind.name(), detail: e.to_string() }))?;
        self.batch.borrow_mut().put(key, record);
        Ok(())
    }

    pub(crate) fn get<T: DeserializeOwned>(&self, key: &[u8], kind: Kind) -> Result<Option<T>, StorageError> {
        let Some(bytes) = self.get_bytes(key)? else { return Ok(None) };
        encoding::decode(&bytes)
            .map(Some)
            .map_err(|e| self.fail(StorageError::Damaged { record: kind.name(), detail: e.to_string() }))
    }

    fn get_bytes(&self, key: &[u8]) -> Result<Option<Value>, StorageError> {
        for batch in [&self.batch, &self.settled] {
            if let Some(change) = batch.borrow().change(key) {
                return Ok(change.cloned());
            }
        }
        self.store.get(key).map_err(|e| self.fail(e.into()))
    }

    pub(crate) fn delete(&self, key: Vec<u8>) {
        self.batch.borrow_mut().delete(key);
    }

    /// The keys that begin with `prefix`, in order.
    pub(crate) fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StorageError> {
        let mut keys = self.store.keys(prefix).map_err(|e: StoreError| self.fail(e.into()))?;
        for batch in [&self.settled, &self.batch] {
            let batch = batch.borrow();
            keys.retain(|key| batch.change(key).is_none());
            keys.extend(batch.changes_from(prefix).filter(|(_, exists)| *exists).map(|(key, _)| key.clone()));
        }
        keys.sort_unstable();
        Ok(keys)
    }

    pub(crate) fn delete_all(&self, prefix: &[u8]) -> Result<(), StorageError> {
        for key in self.keys(prefix)? {
            self.delete(key);
        }
        Ok(())
    }

    /// Makes all records of one scope those of another, which loses what it had.
    pub(crate) fn rename(&self, from: &Scope, to: &Scope) -> Result<(), StorageError> {
        let (from, to) = (from.prefix(), to.prefix());
        self.delete_all(&to)?;
        for key in self.keys(&from)? {
            if let Some(value) = self.get_bytes(&key)? {
                let renamed = [&to, &key[from.len()..]].concat();
                self.batch.borrow_mut().put(renamed, value);
            }
            self.delete(key);
        }
        Ok(())
    }

    fn fail(&self, error: StorageError) -> StorageError {
        self.failure.borrow_mut().get_or_insert_with(|| error.clone());
        error
    }
}
