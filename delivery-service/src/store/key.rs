//! Encodes keys, and reads and writes records.
//!
//! In a key, the length of a name precedes the name, so that no name is the prefix of another.
//! Numbers are big-endian, so that the order of the bytes is the order of the numbers.

use std::ops::{ControlFlow, Range};

use serde::{Serialize, de::DeserializeOwned};

use super::{Table, Transaction};
use crate::{
    error::StoreError,
    names::{DeviceId, Epoch, GroupId, UserId},
};

/// A key after every other key. Each other key begins with the length of a name, a number or a
/// short fixed name, or is a hash, which is shorter.
pub(crate) const AFTER_ALL: [u8; 64] = [u8::MAX; 64];

/// A key under construction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(Vec<u8>);

impl Key {
    /// The number of bytes of the length that precedes a name.
    pub(crate) const NAME_PREFIX: usize = size_of::<u64>();

    pub(crate) fn group(group: &GroupId) -> Self {
        Self(Vec::with_capacity(64)).name(group.as_bytes())
    }

    /// Returns a key for the records of a group for two epochs: the present one and the one before.
    /// Every second epoch has the same key.
    pub(crate) fn epoch_of(group: &GroupId, epoch: Epoch) -> Self {
        Self::group(group).then(epoch.0 % 2)
    }

    pub(crate) fn device(device: &DeviceId) -> Self {
        Self(Vec::with_capacity(64)).then_device(device)
    }

    pub(crate) fn user(user: &UserId) -> Self {
        Self(Vec::with_capacity(64)).name(user.as_str().as_bytes())
    }

    /// Returns a key that begins with another name, as bytes.
    pub(crate) fn named(name: &[u8]) -> Self {
        Self(Vec::with_capacity(64)).name(name)
    }

    /// Returns a key that begins with a number.
    pub(crate) fn number(number: u64) -> Self {
        Self(Vec::with_capacity(16)).then(number)
    }

    /// Returns a key that is the reference of a key package, which is a hash.
    pub(crate) fn reference(reference: &[u8]) -> Self {
        Self(reference.to_vec())
    }

    /// Returns a key that is a fixed name.
    pub(crate) fn fixed(name: &'static str) -> Self {
        Self(name.as_bytes().to_vec())
    }

    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn then(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(crate) fn then_device(self, device: &DeviceId) -> Self {
        self.name(&device.to_identity())
    }

    pub(crate) fn then_group(self, group: &GroupId) -> Self {
        self.name(group.as_bytes())
    }

    pub(crate) fn then_user(self, user: &UserId) -> Self {
        self.name(user.as_str().as_bytes())
    }

    /// Adds bytes that end the key. They need no length.
    pub(crate) fn then_last(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the range of all keys that begin with this one.
    pub(crate) fn everything_below(&self) -> Range<Vec<u8>> {
        let mut end = self.0.clone();
        // Names begin with a length whose first byte is zero, so that there is always a byte to
        // increase.
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                break;
            }
        }
        self.0.clone()..end
    }

    fn name(mut self, name: &[u8]) -> Self {
        self.0.extend_from_slice(&(name.len() as u64).to_be_bytes());
        self.0.extend_from_slice(name);
        self
    }
}

/// Reads the number in `key` after the first `skip` bytes.
pub(crate) fn number_in(table: Table, key: &[u8], skip: usize) -> Result<u64, StoreError> {
    key.get(skip..skip + 8)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u64::from_be_bytes)
        .ok_or(StoreError::Corrupt(table))
}

/// Reads the device that ends `key`, after this number of other names.
pub(crate) fn device_after(table: Table, key: &[u8], names: usize) -> Result<DeviceId, StoreError> {
    let corrupt = || StoreError::Corrupt(table);
    let mut rest = key;
    for _ in 0..names {
        let length = usize::try_from(number_in(table, rest, 0)?).map_err(|_| corrupt())?;
        rest = rest.get(Key::NAME_PREFIX..).and_then(|rest| rest.get(length..)).ok_or_else(corrupt)?;
    }
    let name = rest.get(Key::NAME_PREFIX..).ok_or_else(corrupt)?;
    DeviceId::from_identity(name).map_err(|_| corrupt())
}

/// Encodes a record as MessagePack. It is compact and self-describing, which OpenMLS's own records
/// need.
pub(crate) fn encode<T: Serialize>(table: Table, record: &T) -> Result<Vec<u8>, StoreError> {
    rmp_serde::to_vec(record).map_err(|_| StoreError::Corrupt(table))
}

pub(crate) fn decode<'a, T: serde::Deserialize<'a>>(table: Table, bytes: &'a [u8]) -> Result<T, StoreError> {
    rmp_serde::from_slice(bytes).map_err(|_| StoreError::Corrupt(table))
}

pub(crate) fn get<T: DeserializeOwned>(
    tx: &mut dyn Transaction,
    table: Table,
    key: &Key,
) -> Result<Option<T>, StoreError> {
    tx.get(table, key.as_bytes())?.map(|bytes| decode(table, &bytes)).transpose()
}

pub(crate) fn put<T: Serialize>(
    tx: &mut dyn Transaction,
    table: Table,
    key: &Key,
    record: &T,
) -> Result<(), StoreError> {
    tx.put(table, key.as_bytes(), &encode(table, record)?)
}

/// Returns the first key that begins with `prefix`.
pub(crate) fn first(tx: &mut dyn Transaction, table: Table, prefix: &Key) -> Result<Option<Vec<u8>>, StoreError> {
    let range = prefix.everything_below();
    let mut first = None;
    tx.scan(table, &range.start..&range.end, &mut |key, _| {
        first = Some(key.to_vec());
        Ok(ControlFlow::Break(()))
    })?;
    Ok(first)
}

/// Deletes all records whose key begins with `prefix`.
pub(crate) fn delete_all(tx: &mut dyn Transaction, table: Table, prefix: &Key) -> Result<(), StoreError> {
    let range = prefix.everything_below();
    let mut keys = Vec::new();
    tx.scan(table, &range.start..&range.end, &mut |key, _| {
        keys.push(key.to_vec());
        Ok(ControlFlow::Continue(()))
    })?;
    for key in keys {
        tx.delete(table, &key)?;
    }
    Ok(())
}

/// Returns the next number of a counter: 1, 2, …, each number once.
pub(crate) fn count_up(tx: &mut dyn Transaction, counter: &'static str) -> Result<u64, StoreError> {
    let next = last_count(tx, counter)?.checked_add(1).ok_or(StoreError::Corrupt(Table::Counters))?;
    tx.put(Table::Counters, Key::fixed(counter).as_bytes(), &next.to_be_bytes())?;
    Ok(next)
}

/// Returns the last number that a counter gave out, or 0 before the first.
pub(crate) fn last_count(tx: &mut dyn Transaction, counter: &'static str) -> Result<u64, StoreError> {
    match tx.get(Table::Counters, Key::fixed(counter).as_bytes())? {
        Some(bytes) => number_in(Table::Counters, &bytes, 0),
        None => Ok(0),
    }
}
