//! Stores that keep records that they should delete.

use std::sync::Arc;

use regrow_engine::{Batch, Lock, Store, StoreError, Value};
use regrow_simulator::world::fault_injection::FaultInjection;

/// Kinds of records, by the numbers under which they are stored. The numbers never change
/// (engine/src/storage/key.rs).
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    KeyPackage = 3,
    Inbox = 6,
    GroupContext = 15,
    GroupState = 17,
    MessageSecrets = 18,
    EpochSecrets = 21,
    EncryptionKey = 22,
    EpochKeys = 23,
    Rejoin = 25,
}

/// The first byte of the keys under which this store hides records that it should delete. No key of
/// the engine begins with it.
const HIDDEN: u8 = 0xff;

/// True if the record under this key is of that kind.
pub fn is(key: &[u8], kind: RecordKind) -> bool {
    let rest = match key {
        [0, rest @ ..] => Some(rest),
        // A group's record: the length of its name, and its name.
        [1 | 2, a, b, c, d, rest @ ..] => rest.get(u32::from_be_bytes([*a, *b, *c, *d]) as usize..),
        _ => None,
    };
    rest.and_then(|rest| rest.first()) == Some(&(kind as u8))
}

/// The time at which a record is kept that should go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// When it is overwritten or deleted at the end of an epoch.
    EpochEnds,
    /// When it is overwritten or deleted during an epoch.
    WithinEpoch,
    Always,
}

/// Every device's store keeps old records of this kind, in addition to the right ones.
pub struct Keeps(pub RecordKind, pub When);

impl FaultInjection for Keeps {
    fn store(&self, _: &str, store: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(Hoard { store, kind: self.0, when: self.1 })
    }
}

struct Hoard {
    store: Arc<dyn Store>,
    kind: RecordKind,
    when: When,
}

impl Store for Hoard {
    fn as_lock(&self) -> Option<&dyn Lock> {
        self.store.as_lock()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Value>, StoreError> {
        self.store.get(key)
    }

    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
        self.store.keys(prefix)
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let changes: Vec<_> = batch.into_changes().collect();
        let ends_epoch = changes.iter().any(|(key, _)| is(key, RecordKind::GroupContext));
        let keeps = match self.when {
            When::EpochEnds => ends_epoch,
            When::WithinEpoch => !ends_epoch,
            When::Always => true,
        };
        let mut hidden = self.store.keys(&[HIDDEN])?.len() as u32;
        let mut batch = Batch::default();
        for (key, value) in changes {
            if keeps
                && is(&key, self.kind)
                && let Some(old) = self.store.get(&key)?
            {
                batch.put([&[HIDDEN][..], &hidden.to_be_bytes(), &key].concat(), old);
                hidden += 1;
            }
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        self.store.apply(batch)
    }
}

/// When a message is read, every device's store loses the change of the keys. The next process has
/// the old keys again.
pub struct Rereads;

impl FaultInjection for Rereads {
    fn store(&self, _: &str, store: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(Forgetful(store))
    }
}

struct Forgetful(Arc<dyn Store>);

impl Store for Forgetful {
    fn as_lock(&self) -> Option<&dyn Lock> {
        self.0.as_lock()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Value>, StoreError> {
        self.0.get(key)
    }

    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
        self.0.keys(prefix)
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let mut changes: Vec<_> = batch.into_changes().collect();
        let received = changes.iter().any(|(key, value)| is(key, RecordKind::Inbox) && value.is_some());
        if received && !changes.iter().any(|(key, _)| is(key, RecordKind::GroupContext)) {
            changes.retain(|(key, _)| !is(key, RecordKind::MessageSecrets));
        }
        let mut batch = Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        self.0.apply(batch)
    }
}
