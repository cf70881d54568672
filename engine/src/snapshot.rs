//! Snapshots: everything that a device stores at one moment. They are for support, and to measure
//! the information that a thief gets.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value as Json;

use crate::{
    DeviceId, MemoryStore,
    storage::{RecordKind, RecordScope, Store, StoreError, Value},
};

/// Everything that a device stores at one moment. Between two calls a client has no state in
/// memory that is not stored, so a snapshot is complete.
///
/// A snapshot is as secret as the device: with it an attacker can read the device's messages and
/// send in its name. Its memory is erased when it is dropped. Never run a device from a snapshot
/// while the original device is in use: both would use the same keys for different messages.
pub struct Snapshot {
    device: DeviceId,
    records: Vec<Record>,
}

/// One stored record.
pub struct Record {
    key: Vec<u8>,
    value: Value,
}

impl Snapshot {
    pub(crate) fn take(device: DeviceId, store: &dyn Store) -> Result<Self, StoreError> {
        let mut records = Vec::new();
        for key in store.keys(&[])? {
            if let Some(value) = store.get(&key)? {
                records.push(Record { key, value });
            }
        }
        Ok(Self { device, records })
    }

    /// Returns the device of the snapshot.
    pub fn device(&self) -> &DeviceId {
        &self.device
    }

    /// Returns the stored records, in the order of their keys.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Creates a store with these records. A separate client can be [opened](crate::Client::open)
    /// over it.
    pub fn to_store(&self) -> MemoryStore {
        MemoryStore::with_records(self.records.iter().map(|record| (record.key.clone(), record.value.clone())))
    }
}

impl Record {
    /// Returns a readable name of the record, with its owner and its kind: `group chat: message
    /// secrets`.
    pub fn name(&self) -> String {
        let Some((scope, rest)) = RecordScope::parse(&self.key) else { return "unknown".into() };
        let kind = rest.first().and_then(|number| RecordKind::from_number(*number)).map_or("unknown", RecordKind::name);
        match scope {
            RecordScope::Device => format!("device: {kind}"),
            RecordScope::Group(group) => format!("group {group}: {kind}"),
            RecordScope::Joining(group) => format!("group {group}, being joined: {kind}"),
        }
    }

    /// Returns the stored bytes, which are MessagePack.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// Decodes the bytes as a tree of numbers, texts, lists and maps. Byte strings become lists of
    /// numbers. Maps with keys other than texts become lists of pairs. Returns [`None`] if the
    /// bytes are damaged.
    pub fn decode(&self) -> Option<Json> {
        rmp_serde::from_slice(&self.value).ok().map(|Readable(value)| value)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot {{ device: {}, records: {} }}", self.device, self.records.len())
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record {{ name: {:?}, value: {} bytes }}", self.name(), self.value.len())
    }
}

/// Any MessagePack value, represented as JSON.
struct Readable(Json);

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadableVisitor).map(Self)
    }
}

struct ReadableVisitor;

impl<'de> Visitor<'de> for ReadableVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_bytes<E: de::Error>(self, value: &[u8]) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(Readable(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut pairs = Vec::new();
        while let Some((Readable(key), Readable(value))) = entries.next_entry()? {
            pairs.push((key, value));
        }
        Ok(match pairs.iter().all(|(key, _)| key.is_string()) {
            true => {
                pairs.into_iter().map(|(key, value)| (key.as_str().unwrap_or_default().to_owned(), value)).collect()
            }
            false => pairs.into_iter().map(|(key, value)| Json::from(vec![key, value])).collect(),
        })
    }
}
