//! App data: values that the application stores with the engine, sealed in the same store.
//! Examples are its cursor in the delivery service's stream, the key with which it opens sessions,
//! and texts that wait to be sent.
//!
//! The engine does not interpret app data. App data belongs to the device and not to a group:
//! values about a group remain after the group, until the application deletes them.

use super::Client;
use crate::{
    error::Error,
    limits::MAX_APP_DATA_NAME_BYTES,
    storage::{RecordKind, RecordScope, Transaction, Value},
};

impl Client {
    /// Stores app data under names of the caller's choice, and deletes the names whose value is
    /// [`None`]. All changes happen, or, if the call fails, none.
    ///
    /// App data is as safe as a group's secrets: it is sealed if the store seals, erased when it
    /// is replaced or deleted, and inaccessible while the device is [locked](Self::lock).
    ///
    /// App data is in no [backup](Self::backup). The engine does not check its meaning: for
    /// example, the application itself must notice that a restored store contains an old cursor.
    ///
    /// # Errors
    /// [`Error::AppDataName`] if a name is longer than [`MAX_APP_DATA_NAME_BYTES`];
    /// [`Error::Storage`]; [`Error::Locked`].
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use regrow_engine::{Client, DeviceId, Error, MemoryStore, Policy, default_crypto};
    /// # let id = DeviceId::new("alice", "phone").expect("a short name");
    /// # let store = MemoryStore::new();
    /// # let (shared, policy) = (Arc::new(store.clone()), Policy::default());
    /// # let mut alice = Client::create(shared, default_crypto(), id, policy)?;
    /// alice.set_app_data([("cursor", Some(b"41")), ("draft/1", Some(b"hi"))])?;
    /// # drop(alice);
    /// # let (shared, policy) = (Arc::new(store.clone()), Policy::default());
    /// # let mut alice = Client::open(shared, default_crypto(), policy)?;
    /// // After a restart. Both of these changes happen, or neither does:
    /// alice.set_app_data([("cursor", Some("42")), ("draft/1", None)])?;
    ///
    /// assert_eq!(alice.app_data("cursor")?.as_deref().map(Vec::as_slice), Some(&b"42"[..]));
    /// assert!(alice.app_data_names("draft/")?.is_empty());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn set_app_data<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        values: impl IntoIterator<Item = (N, Option<V>)>,
    ) -> Result<(), Error> {
        let records = self.records()?;
        for (name, value) in values {
            let name = name.as_ref();
            if name.len() > MAX_APP_DATA_NAME_BYTES {
                return Err(Error::AppDataName { bytes: name.len() });
            }
            match value {
                Some(value) => records.put(key(name), RecordKind::AppData, value.as_ref())?,
                None => records.delete(key(name)),
            }
        }
        self.write(records.into_batch())
    }

    /// Returns the app data under that name, if there is any. Its memory is erased when it is
    /// dropped.
    ///
    /// # Errors
    /// [`Error::Storage`]; [`Error::Locked`].
    pub fn app_data(&self, name: impl AsRef<[u8]>) -> Result<Option<Value>, Error> {
        Ok(self.records()?.get(&key(name.as_ref()), RecordKind::AppData)?)
    }

    /// Returns the app data names that begin with `prefix`, in order.
    ///
    /// # Errors
    /// [`Error::Storage`]; [`Error::Locked`].
    pub fn app_data_names(&self, prefix: impl AsRef<[u8]>) -> Result<Vec<Vec<u8>>, Error> {
        let records: Transaction<'_> = self.records()?;
        let begin = RecordScope::Device.key(RecordKind::AppData).len();
        let keys = records.keys(&key(prefix.as_ref()))?;
        Ok(keys.into_iter().map(|key| key[begin..].to_vec()).collect())
    }
}

fn key(name: &[u8]) -> Vec<u8> {
    RecordScope::Device.item(RecordKind::AppData, name)
}
