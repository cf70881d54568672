//! The records of the database that its owner has in memory.
//!
//! The cache knows ranges of keys: it has every record in them, so that it also knows which records
//! do not exist. A read of another range fetches the records from the database. The owner changes
//! the cache when a transaction is durable. It forgets everything when another process has written.
//!
//! There are two generations of ranges. When the young generation is full, it replaces the old one.
//! A range that is read again becomes young again, so that the ranges in use stay.

use std::{
    collections::BTreeMap,
    mem,
    ops::{
        Bound::{Excluded, Included, Unbounded},
        ControlFlow, Range,
    },
};

use super::super::{Table, Visitor, changes::Records};
use crate::error::StoreError;

/// The number of records in the first page of a range. Most ranges have fewer, and many readers
/// want only the first record.
const FIRST_PAGE: usize = 16;

/// The maximum number of records in a page.
const LARGEST_PAGE: usize = 1024;

/// The bytes that a page should have at most. Pages of large records have fewer records.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// The memory of a record or a range beside its bytes: the nodes and the headers of the maps.
const ENTRY_BYTES: usize = 96;

/// Keys and their values, in the order of the keys.
pub(super) type Page = Vec<(Vec<u8>, Vec<u8>)>;

/// The records below the cache.
pub(super) trait Pages {
    /// Returns the first `limit` records of a range, in the order of their keys.
    fn page(&mut self, table: Table, range: Range<&[u8]>, limit: usize) -> Result<Page, StoreError>;
}

/// Known ranges of records.
#[derive(Debug)]
pub(super) struct Cache {
    young: Generation,
    old: Generation,
    /// The bytes at which a generation is full.
    capacity: usize,
}

/// The ranges that became known, or were used, in one period.
#[derive(Debug, Default)]
struct Generation {
    tables: BTreeMap<Table, KnownTable>,
    bytes: usize,
}

/// The known ranges of a table.
#[derive(Debug, Default)]
struct KnownTable {
    /// The end of each range by its start. Ranges do not overlap.
    ranges: BTreeMap<Vec<u8>, Vec<u8>>,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Cache {
    /// Creates a cache that takes about `bytes`.
    pub(super) fn new(bytes: usize) -> Self {
        Self { young: Generation::default(), old: Generation::default(), capacity: bytes / 2 }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.capacity * 2);
    }

    /// Notes a change that is durable.
    pub(super) fn change(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) {
        if self.old.known_until(table, key).is_some() {
            self.old.set(table, key, value);
        }
        if self.young.known_until(table, key).is_some() {
            self.young.set(table, key, value);
        } else {
            let record = value.map(|value| (key.to_vec(), value.to_vec()));
            self.learn(table, key.to_vec()..after(key), record.into_iter().collect());
        }
    }

    /// Makes the records from `from` on known, and returns the end of the known range, which is
    /// `end` at most. If the cache has to fetch a page, the page has `limit` records at most.
    fn know(
        &mut self,
        pages: &mut dyn Pages,
        table: Table,
        from: &[u8],
        end: &[u8],
        limit: &mut usize,
    ) -> Result<Vec<u8>, StoreError> {
        if let Some(until) = self.young.known_until(table, from) {
            return Ok(until.min(end).to_vec());
        }
        let (until, records) = match self.old.known_until(table, from) {
            Some(until) => self.old.page(table, from..until.min(end), *limit),
            None => {
                let until = self.next_known(table, from).map_or(end, |next| next.min(end));
                (until, pages.page(table, from..until, *limit)?)
            }
        };
        // After a full page there may be more records.
        let until = match records.last() {
            Some((last, _)) if records.len() >= *limit => after(last),
            _ => until.to_vec(),
        };
        let bytes: usize = records.iter().map(|(key, value)| key.len() + value.len()).sum();
        let mean = bytes / records.len().max(1);
        *limit = limit.saturating_mul(4).min(PAGE_BYTES / mean.max(1)).clamp(1, LARGEST_PAGE);
        self.learn(table, from.to_vec()..until.clone(), records);
        Ok(until)
    }

    /// Returns the start of the next known range after `from`.
    fn next_known(&self, table: Table, from: &[u8]) -> Option<&[u8]> {
        match (self.young.next_known(table, from), self.old.next_known(table, from)) {
            (Some(young), Some(old)) => Some(young.min(old)),
            (one, other) => one.or(other),
        }
    }

    /// Adds a range with all of its records to the young generation.
    fn learn(&mut self, table: Table, range: Range<Vec<u8>>, records: Page) {
        if self.young.bytes > self.capacity {
            self.old = mem::take(&mut self.young);
        }
        self.young.learn(table, range, records);
    }
}

impl Generation {
    /// Returns the end of the range that has `key`.
    fn known_until(&self, table: Table, key: &[u8]) -> Option<&[u8]> {
        let ranges = &self.tables.get(&table)?.ranges;
        let (_, end) = ranges.range::<[u8], _>((Unbounded, Included(key))).next_back()?;
        (key < end.as_slice()).then_some(end)
    }

    fn next_known(&self, table: Table, from: &[u8]) -> Option<&[u8]> {
        let ranges = &self.tables.get(&table)?.ranges;
        ranges.range::<[u8], _>((Included(from), Unbounded)).next().map(|(start, _)| start.as_slice())
    }

    /// Returns the first `limit` records of a known range, and the range's end.
    fn page<'k>(&self, table: Table, range: Range<&'k [u8]>, limit: usize) -> (&'k [u8], Page) {
        let records = self.records(table, range.clone()).take(limit);
        (range.end, records.map(|(key, value)| (key.to_vec(), value.to_vec())).collect())
    }

    fn records(&self, table: Table, range: Range<&[u8]>) -> impl Iterator<Item = (&[u8], &[u8])> {
        let table = self.tables.get(&table).filter(|_| range.start < range.end);
        let records = table.map(|table| table.records.range::<[u8], _>((Included(range.start), Excluded(range.end))));
        records.into_iter().flatten().map(|(key, value)| (key.as_slice(), value.as_slice()))
    }

    fn learn(&mut self, table: Table, range: Range<Vec<u8>>, records: Page) {
        for (key, value) in records {
            self.insert(table, key, value);
        }
        let ranges = &mut self.tables.entry(table).or_default().ranges;
        let Range { mut start, mut end } = range;
        // The new range absorbs the ranges that it touches.
        while let Some((other, other_end)) = ranges.range::<[u8], _>((Unbounded, Included(end.as_slice()))).next_back()
            && *other_end >= start
        {
            let (other, other_end) = (other.clone(), other_end.clone());
            self.bytes = self.bytes.saturating_sub(other.len() + other_end.len() + ENTRY_BYTES);
            ranges.remove(&other);
            start = start.min(other);
            end = end.max(other_end);
        }
        self.bytes += start.len() + end.len() + ENTRY_BYTES;
        ranges.insert(start, end);
    }

    fn set(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) {
        match value {
            Some(value) => self.insert(table, key.to_vec(), value.to_vec()),
            None => {
                let removed = self.tables.get_mut(&table).and_then(|table| table.records.remove(key));
                self.forget_bytes(key, removed.as_deref());
            }
        }
    }

    fn insert(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.bytes += key.len() + value.len() + ENTRY_BYTES;
        let length = key.len();
        let replaced = self.tables.entry(table).or_default().records.insert(key, value);
        if let Some(replaced) = replaced {
            self.bytes = self.bytes.saturating_sub(length + replaced.len() + ENTRY_BYTES);
        }
    }

    fn forget_bytes(&mut self, key: &[u8], value: Option<&[u8]>) {
        let bytes = value.map_or(0, |value| key.len() + value.len() + ENTRY_BYTES);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// Returns the first key after `key`.
fn after(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

/// The records of a database, through the cache.
pub(super) struct CachedRecords<'c> {
    pub(super) cache: &'c mut Cache,
    pub(super) pages: &'c mut dyn Pages,
}

impl Records for CachedRecords<'_> {
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.cache.know(self.pages, table, key, &after(key), &mut 1)?;
        let record = self.cache.young.tables.get(&table).and_then(|table| table.records.get(key));
        Ok(record.cloned())
    }

    fn scan(&mut self, table: Table, range: Range<&[u8]>, visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        let (mut from, mut limit) = (range.start.to_vec(), FIRST_PAGE);
        while from.as_slice() < range.end {
            let until = self.cache.know(self.pages, table, &from, range.end, &mut limit)?;
            for (key, value) in self.cache.young.records(table, &from..&until) {
                if visit(key, value)? == ControlFlow::Break(()) {
                    return Ok(());
                }
            }
            from = until;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// The records of a table in memory, and the number of pages that were read.
    #[derive(Default)]
    struct MemoryPages {
        records: BTreeMap<Vec<u8>, Vec<u8>>,
        read: usize,
    }

    impl Pages for MemoryPages {
        fn page(&mut self, _: Table, range: Range<&[u8]>, limit: usize) -> Result<Page, StoreError> {
            self.read += 1;
            let bounds = (Included(range.start), Excluded(range.end));
            let records = self.records.range::<[u8], _>(bounds).take(limit);
            Ok(records.map(|(key, value)| (key.clone(), value.clone())).collect())
        }
    }

    fn get(cache: &mut Cache, pages: &mut MemoryPages, key: u8) -> Option<Vec<u8>> {
        CachedRecords { cache, pages }.get(Table::Log, &[key]).unwrap()
    }

    fn scan(cache: &mut Cache, pages: &mut MemoryPages, range: Range<u8>, most: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found = Vec::new();
        let mut records = CachedRecords { cache, pages };
        let visit = &mut |key: &[u8], value: &[u8]| {
            found.push((key.to_vec(), value.to_vec()));
            Ok(if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        };
        records.scan(Table::Log, &[range.start]..&[range.end], visit).unwrap();
        found
    }

    #[derive(Clone, Debug)]
    enum Step {
        Get(u8),
        Scan(u8, u8, usize),
        Change(u8, Option<u8>),
        Clear,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => any::<u8>().prop_map(Step::Get),
            4 => (any::<u8>(), any::<u8>(), 1..300_usize).prop_map(|(start, end, most)| Step::Scan(start, end, most)),
            8 => (any::<u8>(), any::<Option<u8>>()).prop_map(|(key, value)| Step::Change(key, value)),
            1 => Just(Step::Clear),
        ]
    }

    proptest! {
        #[test]
        fn the_cache_has_the_records_of_the_database(steps in vec(step(), 1..200), bytes in 0..20_000_usize) {
            let (mut cache, mut pages) = (Cache::new(bytes), MemoryPages::default());
            for step in steps {
                match step {
                    Step::Get(key) => {
                        let expected = pages.records.get([key].as_slice()).cloned();
                        prop_assert_eq!(get(&mut cache, &mut pages, key), expected);
                    }
                    Step::Scan(start, end, most) => {
                        let expected: Vec<_> = pages
                            .records
                            .iter()
                            .filter(|(key, _)| (start..end).contains(&key[0]))
                            .take(most)
                            .map(|(key, value)| (key.clone(), value.clone()))
                            .collect();
                        prop_assert_eq!(scan(&mut cache, &mut pages, start..end, most), expected);
                    }
                    Step::Change(key, value) => {
                        match value {
                            Some(value) => pages.records.insert(vec![key], vec![value]),
                            None => pages.records.remove([key].as_slice()),
                        };
                        cache.change(Table::Log, &[key], value.as_ref().map(std::slice::from_ref));
                    }
                    Step::Clear => cache.clear(),
                }
            }
        }
    }

    #[test]
    fn a_known_range_is_not_read_again() {
        let (mut cache, mut pages) = (Cache::new(1_000_000), MemoryPages::default());
        pages.records = (0..100).map(|key| (vec![key], vec![key])).collect();
        assert_eq!(scan(&mut cache, &mut pages, 0..100, usize::MAX).len(), 100);
        let read = pages.read;
        assert_eq!(get(&mut cache, &mut pages, 50), Some(vec![50]));
        assert_eq!(scan(&mut cache, &mut pages, 20..70, usize::MAX).len(), 50);
        assert_eq!(get(&mut cache, &mut pages, 200), None);
        assert_eq!(get(&mut cache, &mut pages, 200), None);
        assert_eq!(pages.read, read + 1, "only the record that does not exist was read");
        assert_eq!(scan(&mut cache, &mut pages, 0..101, usize::MAX).len(), 100);
        assert_eq!(pages.read, read + 2, "only the range after the known one was read");
    }

    #[test]
    fn the_memory_of_a_cache_is_limited() {
        let (mut cache, mut pages) = (Cache::new(100_000), MemoryPages::default());
        for round in 0..20 {
            for key in 0..=u8::MAX {
                cache.change(Table::Log, &[key, round], Some(&[0; 1_000]));
            }
            assert!(cache.young.bytes + cache.old.bytes < 110_000, "round {round}");
        }
        cache.clear();
        assert_eq!(get(&mut cache, &mut pages, 0), None);
    }
}
