//! What the layer above keeps beside the groups, sealed in the same store: where it is in the delivery service's stream,
//! the key that it opens sessions with, texts that wait to be sent.
//!
//! The engine does not look inside. It is the device's and not a group's: what concerns a group outlives it, until the layer
//! above drops it.

use super::Client;
use crate::{
    error::Error,
    storage::{Kind, Scope, Transaction, Value},
};

/// The longest name of a kept value, in bytes: a group's identifier of usual length and much beside it. Names are in
/// memory as long as the store is open.
pub const MAX_KEPT_NAME_BYTES: usize = 1024;

impl Client {
    /// Keeps values under names of the caller's choice, and drops those that are [`None`]: all of them or, if it fails, none.
    /// They are as safe as a group's secrets: sealed where the store seals, erased when they are replaced or dropped, and
    /// out of reach while the device is [locked](Self::lock).
    ///
    /// They are in no [backup](Self::backup), and the engine says nothing about what they mean: a cursor that is put
    /// back is the caller's to notice.
    ///
    /// # Errors
    /// [`Error::KeptName`] if a name is longer than [`MAX_KEPT_NAME_BYTES`]; [`Error::Storage`]; [`Error::Locked`].
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use regrow_engine::{Client, DeviceId, Error, MemoryStore, Policy, default_crypto};
    /// # let id = DeviceId::new("alice", "phone").expect("a short name");
    /// # let store = MemoryStore::new();
    /// # let mut alice = Client::create(Arc::new(store.clone()), default_crypto(), id, Policy::default())?;
    /// alice.keep([("cursor", Some(b"41")), ("draft/1", Some(b"hi"))])?;
    /// # drop(alice);
    /// # let mut alice = Client::open(Arc::new(store.clone()), default_crypto(), Policy::default())?;
    /// // … and after a restart, both of these happen or neither does:
    /// alice.keep([("cursor", Some("42")), ("draft/1", None)])?;
    ///
    /// assert_eq!(alice.kept("cursor")?.as_deref().map(Vec::as_slice), Some(&b"42"[..]));
    /// assert!(alice.kept_names("draft/")?.is_empty());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn keep<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        values: impl IntoIterator<Item = (N, Option<V>)>,
    ) -> Result<(), Error> {
        let records = self.records()?;
        for (name, value) in values {
            let name = name.as_ref();
            if name.len() > MAX_KEPT_NAME_BYTES {
                return Err(Error::KeptName { bytes: name.len() });
            }
            match value {
                Some(value) => records.put(key(name), Kind::Kept, value.as_ref())?,
                None => records.delete(key(name)),
            }
        }
        self.write(records.into_batch())
    }

    /// What is kept under that name, if anything is. It is erased from memory when it is dropped.
    ///
    /// # Errors
    /// [`Error::Storage`]; [`Error::Locked`].
    pub fn kept(&self, name: impl AsRef<[u8]>) -> Result<Option<Value>, Error> {
        Ok(self.records()?.get(&key(name.as_ref()), Kind::Kept)?)
    }

    /// The names that begin with `prefix` of all that is kept, in order.
    ///
    /// # Errors
    /// [`Error::Storage`]; [`Error::Locked`].
    pub fn kept_names(&self, prefix: impl AsRef<[u8]>) -> Result<Vec<Vec<u8>>, Error> {
        let records: Transaction<'_> = self.records()?;
        let begin = Scope::Device.key(Kind::Kept).len();
        let keys = records.keys(&key(prefix.as_ref()))?;
        Ok(keys.into_iter().map(|key| key[begin..].to_vec()).collect())
    }
}

fn key(name: &[u8]) -> Vec<u8> {
    Scope::Device.item(Kind::Kept, name)
}
