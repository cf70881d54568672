//! The changes of a transaction, in memory, over the records that they change.
//!
//! A [`Batch`](super::Batch) holds the changes of its parts here, and the PostgreSQL store those of
//! a whole transaction. So a store writes each record once, and a change can be undone without its
//! help.

use std::{
    collections::BTreeMap,
    mem,
    ops::{Bound, ControlFlow, Range},
};

use super::{Table, Transaction, Visitor};
use crate::error::StoreError;

/// The records below the changes.
pub(super) trait Records {
    /// Returns the value under `key`, if there is one.
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits records like [`Transaction::scan`].
    fn scan(&mut self, table: Table, range: Range<&[u8]>, visit: &mut Visitor<'_>) -> Result<(), StoreError>;
}

impl Records for dyn Transaction + '_ {
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Transaction::get(self, table, key)
    }

    fn scan(&mut self, table: Table, range: Range<&[u8]>, visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        Transaction::scan(self, table, range, visit)
    }
}

/// The changed records of a table, in the order of their keys. A deleted record is `None`.
type ChangedRecords = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Changed records, and the changes that can still be undone.
#[derive(Default)]
pub(super) struct Changes {
    records: BTreeMap<Table, ChangedRecords>,
    /// The bytes of all changes, also of those that later ones have replaced.
    bytes: usize,
    /// The changes since the last [`keep`](Self::keep), in order.
    part: Vec<PartChange>,
}

/// A change that can be undone.
struct PartChange {
    table: Table,
    key: Vec<u8>,
    /// The record as an earlier change left it. `None` if there was no such change.
    before: Option<Option<Vec<u8>>>,
}

impl Changes {
    /// True if there is no change.
    #[cfg(feature = "server")]
    pub(super) fn is_empty(&self) -> bool {
        self.records.values().all(BTreeMap::is_empty)
    }

    /// Returns the bytes of all changes, also of those that later ones have replaced.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns each changed record once. A deleted record has no value.
    #[cfg(feature = "server")]
    pub(super) fn iter(&self) -> impl Iterator<Item = (Table, &[u8], Option<&[u8]>)> {
        self.records
            .iter()
            .flat_map(|(table, records)| records.iter().map(|(key, value)| (*table, key.as_slice(), value.as_deref())))
    }

    /// Writes the changes. Forgets each change when it is written.
    pub(super) fn write(&mut self, whole: &mut dyn Transaction) -> Result<(), StoreError> {
        self.bytes = 0;
        while let Some(mut records) = self.records.first_entry() {
            let table = *records.key();
            while let Some(change) = records.get_mut().first_entry() {
                match change.get() {
                    Some(value) => whole.put(table, change.key(), value)?,
                    None => whole.delete(table, change.key()).map(drop)?,
                }
                change.remove();
            }
            records.remove();
        }
        Ok(())
    }

    /// Keeps the changes so far: [`undo`](Self::undo) does not undo them any more.
    pub(super) fn keep(&mut self) {
        self.part.clear();
    }

    /// Undoes the changes since the last [`keep`](Self::keep).
    pub(super) fn undo(&mut self) {
        for PartChange { table, key, before } in mem::take(&mut self.part).into_iter().rev() {
            let records = self.records.entry(table).or_default();
            match before {
                Some(value) => records.insert(key, value),
                None => records.remove(&key),
            };
        }
    }

    fn get(&self, table: Table, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        self.records.get(&table)?.get(key)
    }

    fn set(&mut self, table: Table, key: &[u8], value: Option<Vec<u8>>) {
        self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        let before = self.records.entry(table).or_default().insert(key.to_vec(), value);
        self.part.push(PartChange { table, key: key.to_vec(), before });
    }
}

/// Records as they are with the changes.
pub(super) struct Changed<'b, R: ?Sized> {
    pub(super) records: &'b mut R,
    pub(super) changes: &'b mut Changes,
}

impl<R: Records + ?Sized> Transaction for Changed<'_, R> {
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.changes.get(table, key) {
            Some(value) => Ok(value.clone()),
            None => self.records.get(table, key),
        }
    }

    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.changes.set(table, key, Some(value.to_vec()));
        Ok(())
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        let is_there = match self.changes.get(table, key) {
            Some(value) => value.is_some(),
            None => self.records.get(table, key)?.is_some(),
        };
        if is_there {
            self.changes.set(table, key, None);
        }
        Ok(is_there)
    }

    fn scan(&mut self, table: Table, range: Range<&[u8]>, visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        let (true, Some(records)) = (range.start <= range.end, self.changes.records.get(&table)) else {
            return self.records.scan(table, range, visit);
        };
        let bounds = (Bound::Included(range.start), Bound::Excluded(range.end));
        let mut changed = records.range::<[u8], _>(bounds).peekable();
        let mut has_ended = false;
        self.records.scan(table, range, &mut |key, value| {
            let mut visited = ControlFlow::Continue(());
            while visited.is_continue()
                && let Some((key, value)) = changed.next_if(|(changed, _)| changed.as_slice() < key)
            {
                visited = visit_changed(key, value.as_deref(), visit)?;
            }
            if visited.is_continue() {
                visited = match changed.next_if(|(changed, _)| changed.as_slice() == key) {
                    Some((key, value)) => visit_changed(key, value.as_deref(), visit)?,
                    None => visit(key, value)?,
                };
            }
            has_ended = visited.is_break();
            Ok(visited)
        })?;
        while !has_ended && let Some((key, value)) = changed.next() {
            has_ended = visit_changed(key, value.as_deref(), visit)?.is_break();
        }
        Ok(())
    }
}

/// Visits a changed record, unless it is deleted.
fn visit_changed(key: &[u8], value: Option<&[u8]>, visit: &mut Visitor<'_>) -> Result<ControlFlow<()>, StoreError> {
    value.map_or(Ok(ControlFlow::Continue(())), |value| visit(key, value))
}
