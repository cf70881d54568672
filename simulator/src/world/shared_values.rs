//! The large values of the stores. Equal parts of them are in memory once.
//!
//! All members of a group store the same ratchet tree. Their secret trees, and the engine's records
//! of the group, differ in a few bytes and grow with the group too. Therefore a large value is cut
//! into pieces, and the stores share equal pieces. The content determines the cut positions
//! (FastCDC), so a difference changes only the pieces around it.

use std::{
    collections::HashMap,
    hash::Hasher as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use fastcdc::v2020::FastCDC;
use regrow_engine::Value;
use rustc_hash::{FxBuildHasher, FxHasher};

/// The size in bytes from which a value is cut into pieces.
const LARGE: usize = 4096;

/// The sizes of pieces in bytes. A device has a few pieces for itself in each large value. Larger
/// pieces would make these larger, and smaller pieces need longer lists.
const MIN_PIECE: usize = 256;
const AVERAGE_PIECE: usize = 1024;
const MAX_PIECE: usize = 2048;

/// The number of entries at which a table first drops the entries of freed values.
const FIRST_CLEANING: usize = 1024;

/// A part of a large value.
type Piece = Arc<Value>;

/// A stored value.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum StoredValue {
    /// A value that only one device stores.
    Small(Arc<Value>),
    /// A value whose pieces other devices may store as well. Equal values have equal pieces.
    Large(Arc<[Piece]>),
}

impl StoredValue {
    /// The value itself.
    pub(super) fn to_value(&self) -> Value {
        match self {
            Self::Small(value) => Value::clone(value),
            Self::Large(pieces) => {
                let length = pieces.iter().map(|piece| piece.len()).sum();
                let mut value = Value::new(Vec::with_capacity(length));
                pieces.iter().for_each(|piece| value.extend_from_slice(piece));
                value
            }
        }
    }

    /// The allocations of the value, each with its address and its length.
    #[cfg(test)]
    pub(super) fn allocations(&self) -> Vec<(usize, usize)> {
        let allocation = |value: &Arc<Value>| (Arc::as_ptr(value).addr(), value.len());
        match self {
            Self::Small(value) => vec![allocation(value)],
            Self::Large(pieces) => pieces.iter().map(allocation).collect(),
        }
    }
}

/// The large values that are stored now.
#[derive(Default)]
pub(super) struct SharedValues {
    /// The whole values. A device that stores a known value need not cut it.
    values: Mutex<Table<[Piece]>>,
    pieces: Mutex<Table<Value>>,
}

impl SharedValues {
    /// The stored form of a value, with the pieces that other devices store.
    pub(super) fn share(&self, value: Value) -> StoredValue {
        if value.len() < LARGE {
            return StoredValue::Small(Arc::new(value));
        }
        let hash = hash(&value);
        let known = lock(&self.values).get(hash).filter(|pieces| is_whole(pieces, &value));
        StoredValue::Large(known.unwrap_or_else(|| {
            let pieces: Arc<[_]> = cuts(&value).map(|bytes| self.piece(bytes)).collect();
            lock(&self.values).insert(hash, &pieces);
            pieces
        }))
    }

    fn piece(&self, bytes: &[u8]) -> Piece {
        let hash = hash(bytes);
        let mut pieces = lock(&self.pieces);
        pieces.get(hash).filter(|known| ***known == bytes).unwrap_or_else(|| {
            let piece = Arc::new(Value::new(bytes.to_vec()));
            pieces.insert(hash, &piece);
            piece
        })
    }
}

/// Values by their hash. The table does not keep a value in memory.
struct Table<T: ?Sized> {
    known: HashMap<u64, Weak<T>, FxBuildHasher>,
    next_cleaning: usize,
}

impl<T: ?Sized> Default for Table<T> {
    fn default() -> Self {
        Self { known: HashMap::default(), next_cleaning: FIRST_CLEANING }
    }
}

impl<T: ?Sized> Table<T> {
    fn get(&self, hash: u64) -> Option<Arc<T>> {
        self.known.get(&hash)?.upgrade()
    }

    fn insert(&mut self, hash: u64, value: &Arc<T>) {
        if self.known.len() >= self.next_cleaning {
            self.known.retain(|_, value| value.strong_count() > 0);
            self.next_cleaning = FIRST_CLEANING.max(2 * self.known.len());
        }
        self.known.insert(hash, Arc::downgrade(value));
    }
}

fn lock<T>(table: &Mutex<T>) -> MutexGuard<'_, T> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(bytes);
    hasher.finish()
}

/// The parts of a large value.
fn cuts(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    FastCDC::new(value, MIN_PIECE, AVERAGE_PIECE, MAX_PIECE).map(|cut| &value[cut.offset..cut.offset + cut.length])
}

/// True if the pieces are the parts of this value.
fn is_whole(pieces: &[Piece], value: &[u8]) -> bool {
    let rest = pieces.iter().try_fold(value, |rest, piece| rest.strip_prefix(&piece[..]));
    rest.is_some_and(<[u8]>::is_empty)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Bytes without repetitions.
    fn bytes(length: u32) -> Vec<u8> {
        (0..length.div_ceil(8)).flat_map(|n| hash(&n.to_be_bytes()).to_be_bytes()).take(length as usize).collect()
    }

    /// The bytes that these values take in memory together.
    fn held(values: &[StoredValue]) -> usize {
        values.iter().flat_map(StoredValue::allocations).collect::<BTreeMap<_, _>>().into_values().sum()
    }

    #[test]
    fn value_comes_back_whole() {
        let shared = SharedValues::default();
        for length in [0, 1, LARGE as u32 - 1, LARGE as u32, 100_000] {
            let value = bytes(length);
            assert_eq!(*shared.share(Value::new(value.clone())).to_value(), value);
        }
    }

    #[test]
    fn equal_large_values_are_in_memory_once() {
        let shared = SharedValues::default();
        let values: Vec<_> = (0..100).map(|_| shared.share(Value::new(bytes(100_000)))).collect();

        assert_eq!(held(&values), 100_000);
    }

    /// A device's secret tree has the own leaf at its start, and an empty place for each other leaf.
    #[test]
    fn values_of_devices_that_differ_in_a_few_bytes_share_the_rest() {
        let shared = SharedValues::default();
        for filler in [bytes(40_000), vec![0xc0; 40_000]] {
            let value = |device: u32| [&device.to_be_bytes()[..], &filler, &device.to_be_bytes()].concat();
            let values: Vec<_> = (0..100).map(|device| shared.share(Value::new(value(device)))).collect();

            assert!(held(&values) < 40_000 + 100 * 2 * MAX_PIECE, "held: {}", held(&values));
            assert_eq!(*values[7].to_value(), value(7));
        }
    }

    #[test]
    fn table_drops_the_entries_of_freed_values() {
        let shared = SharedValues::default();
        for number in 0..4 * FIRST_CLEANING {
            let value = [&number.to_be_bytes()[..], &[0; LARGE]].concat();
            drop(shared.share(Value::new(value)));
        }

        assert!(lock(&shared.values).known.len() <= FIRST_CLEANING);
        assert!(lock(&shared.pieces).known.len() <= FIRST_CLEANING);
    }
}
