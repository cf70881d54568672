//! The collected writes of one call, and the call's view of the records.
//!
//! A call may consist of several parts. It [settles](Transaction::settle) or
//! [undoes](Transaction::undo) each part, and applies the settled parts as one batch.

use std::cell::RefCell;

use serde::{Serialize, de::DeserializeOwned};

use super::{Batch, RecordKind, RecordScope, StorageError, Store, StoreError, Value, encoding};

/// One call's view of the store: the stored records, overlaid with the call's own writes.
pub(crate) struct Transaction<'s> {
    store: &'s dyn Store,
    scope: RefCell<RecordScope>,
    /// The writes of the finished parts of the call.
    settled: RefCell<Batch>,
    /// The writes of the current part. They overlay the settled writes, which overlay the store.
    batch: RefCell<Batch>,
    /// The first storage failure, because OpenMLS reports some storage errors without their cause.
    failure: RefCell<Option<StorageError>>,
}

impl<'s> Transaction<'s> {
    pub(crate) fn new(store: &'s dyn Store, scope: RecordScope) -> Self {
        Self {
            store,
            scope: RefCell::new(scope),
            settled: RefCell::default(),
            batch: RefCell::default(),
            failure: RefCell::default(),
        }
    }

    /// Changes the scope: all later operations on a group's records use the new scope. (A welcome
    /// names its group only after it is opened.)
    pub(crate) fn enter(&self, scope: RecordScope) {
        self.scope.replace(scope);
    }

    pub(crate) fn scope(&self) -> RecordScope {
        self.scope.borrow().clone()
    }

    /// Keeps the writes so far, even if the rest of the call fails.
    pub(crate) fn settle(&self) {
        self.settled.borrow_mut().extend(self.batch.take());
    }

    /// Discards the writes since the last [`settle`](Self::settle).
    pub(crate) fn undo(&self) {
        self.batch.take();
        self.failure.take();
    }

    /// Returns all writes of the call as one batch.
    pub(crate) fn into_batch(self) -> Batch {
        self.settle();
        self.settled.into_inner()
    }

    /// Returns the storage failure that caused an error of OpenMLS, if there was one.
    pub(crate) fn failure(&self) -> Option<StorageError> {
        self.failure.borrow().clone()
    }

    pub(crate) fn put<T: Serialize + ?Sized>(
        &self,
        key: Vec<u8>,
        kind: RecordKind,
        value: &T,
    ) -> Result<(), StorageError> {
        let record = encoding::encode(value)
            .map_err(|e| self.fail(StorageError::Encode { record: kind.name(), detail: e.to_string() }))?;
        self.batch.borrow_mut().put(key, record);
        Ok(())
    }

    pub(crate) fn get<T: DeserializeOwned>(&self, key: &[u8], kind: RecordKind) -> Result<Option<T>, StorageError> {
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

    /// Returns the keys that begin with `prefix`, in order.
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

    /// Returns the scopes of all groups, including groups that the device is joining.
    pub(crate) fn group_scopes(&self) -> Result<Vec<RecordScope>, StorageError> {
        let mut scopes: Vec<RecordScope> = Vec::new();
        for tag in RecordScope::GROUP_TAGS {
            for key in self.keys(&[tag])? {
                let scope = RecordScope::parse(&key).map(|(scope, _)| scope);
                scopes.extend(scope.filter(|scope| scopes.last() != Some(scope)));
            }
        }
        Ok(scopes)
    }

    pub(crate) fn delete_all(&self, prefix: &[u8]) -> Result<(), StorageError> {
        for key in self.keys(prefix)? {
            self.delete(key);
        }
        Ok(())
    }

    /// Moves all records of one scope to another scope. The other scope's own records are deleted
    /// first.
    pub(crate) fn rename(&self, from: &RecordScope, to: &RecordScope) -> Result<(), StorageError> {
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
