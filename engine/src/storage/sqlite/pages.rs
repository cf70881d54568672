//! Splits large values into pages, so that a change writes only the new pages.
//!
//! The content determines the cut positions (FastCDC), so a change moves only the cuts near it.
//! For example, a commit that changes ten nodes in a ratchet tree of two thousand nodes changes
//! about a dozen pages. The list of a value's pages is itself a value and is split in the same
//! way. This repeats until the rest is small enough for the record itself. Therefore the smallest
//! change to a value of any size costs one page on each of a few levels.
//!
//! A page never changes. The page list has its number and its hash. The hash proves that the page
//! is the one that was written, so pages cannot be exchanged, restored or omitted.

use std::collections::HashMap;

use fastcdc::v2020::FastCDC;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::DiskError;

/// The maximum size of a value that is stored in the record itself.
const INLINE: usize = 2048;

/// The sizes of pages in bytes. The largest page, when sealed, still fits with its header into one
/// page of SQLite.
const MIN_PAGE: usize = 512;
const AVERAGE_PAGE: usize = 2048;
const MAX_PAGE: usize = 3968;

/// A limit that no value reaches: each level has at most a tenth of the size of the level below.
const MAX_LEVELS: u8 = 16;

/// The storage of pages.
pub(super) trait PageStore {
    fn read(&self, id: i64) -> Result<Zeroizing<Vec<u8>>, DiskError>;
    fn write(&mut self, page: &[u8]) -> Result<i64, DiskError>;
    fn delete(&mut self, id: i64) -> Result<(), DiskError>;
}

/// An entry of a page list: one page's number and hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct PageEntry {
    id: i64,
    hash: [u8; 32],
}

impl PageEntry {
    const BYTES: usize = 8 + 32;

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.id.to_be_bytes());
        bytes[8..].copy_from_slice(&self.hash);
        bytes
    }

    fn list(bytes: &[u8]) -> Result<Vec<Self>, DiskError> {
        let entry = |bytes: &[u8]| {
            let (id, hash) = bytes.split_first_chunk()?;
            Some(Self { id: i64::from_be_bytes(*id), hash: hash.try_into().ok()? })
        };
        bytes.chunks(Self::BYTES).map(entry).collect::<Option<_>>().ok_or_else(damaged)
    }
}

/// Splits `value` into pages and returns the new body of the record.
///
/// `before` is the old body of the record, if there was one. The function writes the pages that
/// `before` does not have, and deletes the pages that only `before` has.
pub(super) fn write(
    store: &mut impl PageStore,
    before: Option<&[u8]>,
    value: &[u8],
) -> Result<Zeroizing<Vec<u8>>, DiskError> {
    let mut before = match before {
        Some(body) => levels(store, body)?,
        None => Vec::new(),
    };
    let mut rest = Zeroizing::new(value.to_vec());
    let mut level = 0_u8;
    while rest.len() > INLINE {
        let mut known: HashMap<[u8; 32], Vec<i64>> = HashMap::new();
        if let Some(entries) = before.get_mut(usize::from(level)) {
            for entry in entries.drain(..) {
                known.entry(entry.hash).or_default().push(entry.id);
            }
        }
        let mut list = Zeroizing::new(Vec::with_capacity(rest.len() / MIN_PAGE * PageEntry::BYTES + PageEntry::BYTES));
        for cut in FastCDC::new(&rest, MIN_PAGE, AVERAGE_PAGE, MAX_PAGE) {
            let page = &rest[cut.offset..cut.offset + cut.length];
            let hash = Sha256::digest(page).into();
            let id = match known.get_mut(&hash).and_then(Vec::pop) {
                Some(id) => id,
                None => store.write(page)?,
            };
            list.extend_from_slice(&PageEntry { id, hash }.to_bytes());
        }
        for id in known.into_values().flatten() {
            store.delete(id)?;
        }
        rest = list;
        level += 1;
    }
    for entry in before.into_iter().flatten() {
        store.delete(entry.id)?;
    }
    let mut body = Zeroizing::new(Vec::with_capacity(1 + rest.len()));
    body.push(level);
    body.extend_from_slice(&rest);
    Ok(body)
}

/// Reads the value of the record with this body.
pub(super) fn read(store: &impl PageStore, body: &[u8]) -> Result<Zeroizing<Vec<u8>>, DiskError> {
    let (level, rest) = split(body)?;
    let mut rest = Zeroizing::new(rest.to_vec());
    for _ in 0..level {
        rest = join(store, &PageEntry::list(&rest)?)?;
    }
    Ok(rest)
}

/// Deletes the pages of the record with this body.
pub(super) fn delete(store: &mut impl PageStore, body: &[u8]) -> Result<(), DiskError> {
    levels(store, body)?.into_iter().flatten().try_for_each(|entry| store.delete(entry.id))
}

/// Returns the page lists of all levels, beginning with the list of the value's own pages. (The
/// value's own pages are not read.)
fn levels(store: &impl PageStore, body: &[u8]) -> Result<Vec<Vec<PageEntry>>, DiskError> {
    let (level, rest) = split(body)?;
    let mut lists = Vec::new();
    if level > 0 {
        lists.push(PageEntry::list(rest)?);
    }
    for _ in 1..level {
        let Some(list) = lists.last() else { break };
        let below = PageEntry::list(&join(store, list)?)?;
        lists.push(below);
    }
    lists.reverse();
    Ok(lists)
}

fn split(body: &[u8]) -> Result<(u8, &[u8]), DiskError> {
    let (&level, rest) = body.split_first().ok_or_else(damaged)?;
    if level > MAX_LEVELS {
        return Err(damaged());
    }
    Ok((level, rest))
}

fn join(store: &impl PageStore, list: &[PageEntry]) -> Result<Zeroizing<Vec<u8>>, DiskError> {
    // The buffer has its final capacity from the start, because a buffer that grows leaves copies
    // behind.
    let mut joined = Zeroizing::new(Vec::with_capacity(list.len() * MAX_PAGE));
    for entry in list {
        let page = store.read(entry.id)?;
        if page.len() > MAX_PAGE || Sha256::digest(&*page)[..] != entry.hash {
            return Err(damaged());
        }
        joined.extend_from_slice(&page);
    }
    Ok(joined)
}

fn damaged() -> DiskError {
    DiskError::Damaged { what: "a list of pages".into() }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, collections::BTreeMap};

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Memory {
        pages: BTreeMap<i64, Vec<u8>>,
        next: i64,
        written: usize,
        read: RefCell<usize>,
    }

    impl PageStore for Memory {
        fn read(&self, id: i64) -> Result<Zeroizing<Vec<u8>>, DiskError> {
            *self.read.borrow_mut() += 1;
            self.pages.get(&id).cloned().map(Zeroizing::new).ok_or_else(damaged)
        }

        fn write(&mut self, page: &[u8]) -> Result<i64, DiskError> {
            self.next += 1;
            self.written += page.len();
            self.pages.insert(self.next, page.to_vec());
            Ok(self.next)
        }

        fn delete(&mut self, id: i64) -> Result<(), DiskError> {
            self.pages.remove(&id).map(|_| ()).ok_or_else(damaged)
        }
    }

    /// Returns bytes that look random, like keys.
    fn noise(seed: u64, len: usize) -> Vec<u8> {
        let block = |number: u64| Sha256::digest([seed.to_be_bytes(), number.to_be_bytes()].concat());
        (0..).flat_map(block).take(len).collect()
    }

    #[test]
    fn a_small_change_of_a_large_value_writes_little_whatever_its_size() {
        for size in [30_000, 300_000, 3_000_000] {
            let mut store = Memory::default();
            let mut value = noise(1, size);
            let body = write(&mut store, None, &value).unwrap();
            assert_eq!(*read(&store, &body).unwrap(), value);
            let (written, pages) = (store.written, store.pages.len());

            // Inserts in the middle of the value, so everything after it moves.
            value.splice(size / 2..size / 2, noise(2, 33));
            let body = write(&mut store, Some(&body), &value).unwrap();

            assert_eq!(*read(&store, &body).unwrap(), value);
            assert!(store.written - written < 6 * MAX_PAGE, "{size}: {}", store.written - written);
            assert!(store.pages.len() < pages + 6);
            delete(&mut store, &body).unwrap();
            assert!(store.pages.is_empty());
        }
    }

    #[test]
    fn a_page_that_is_not_the_one_that_was_written_is_damage() {
        let mut store = Memory::default();
        let body = write(&mut store, None, &noise(1, 300_000)).unwrap();
        let ids: Vec<i64> = store.pages.keys().copied().collect();
        for id in ids {
            let page = store.pages[&id].clone();
            store.pages.insert(id, noise(9, page.len()));
            assert!(read(&store, &body).is_err(), "page {id}");
            store.pages.insert(id, page);
        }
        assert!(read(&store, &body).is_ok());
        assert!(read(&store, &[]).is_err());
        assert!(read(&store, &[MAX_LEVELS + 1, 0]).is_err());
        assert!(read(&store, &[1, 0]).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_no_page_is_left_over(sizes in prop::collection::vec((0_u64..4, 0_usize..40_000), 1..6)) {
            let mut store = Memory::default();
            let mut body: Option<Zeroizing<Vec<u8>>> = None;
            for (seed, size) in sizes {
                // Seed 0 gives the same content repeated, which has equal pages.
                let value = if seed == 0 { vec![0; size] } else { noise(seed, size) };
                let written = write(&mut store, body.as_deref().map(Vec::as_slice), &value).unwrap();
                prop_assert_eq!(&*read(&store, &written).unwrap(), &value);
                let listed: usize = levels(&store, &written).unwrap().iter().map(Vec::len).sum();
                prop_assert_eq!(listed, store.pages.len());
                body = Some(written);
            }
        }
    }
}
