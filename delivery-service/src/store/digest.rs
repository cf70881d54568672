//! A digest of all records of a store, which tells if two stores have the same records.

use std::ops::ControlFlow;

use sha2::{Digest as _, Sha256};

use super::{Table, Transaction, key};
use crate::error::StoreError;

/// The number, the bytes and the hash of records, in the order of their tables and keys.
#[derive(Clone)]
pub(crate) struct RecordsDigest {
    records: u64,
    bytes: u64,
    hash: Sha256,
}

impl RecordsDigest {
    /// Creates the digest of no records.
    pub(crate) fn new() -> Self {
        Self { records: 0, bytes: 0, hash: Sha256::new() }
    }

    /// Digests all records of a store.
    pub(crate) fn of(tx: &mut dyn Transaction) -> Result<Self, StoreError> {
        let mut digest = Self::new();
        for table in Table::ALL {
            tx.scan(table, &[]..&key::AFTER_ALL, &mut |key, value| {
                digest.add(table, key, value);
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(digest)
    }

    /// Adds the next record.
    pub(crate) fn add(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.records += 1;
        for part in [&table.number().to_be_bytes(), key, value] {
            let length = part.len() as u64;
            self.bytes += length;
            // With its length before it, each part begins at one place only.
            self.hash.update(length.to_be_bytes());
            self.hash.update(part);
        }
    }

    /// The number of records.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// The bytes of all keys and values.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl PartialEq for RecordsDigest {
    fn eq(&self, other: &Self) -> bool {
        self.records == other.records && self.hash.clone().finalize() == other.hash.clone().finalize()
    }
}
