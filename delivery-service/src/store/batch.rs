//! A store within a transaction, so that many calls become durable together.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::{
    Store, Transaction,
    changes::{Changed, Changes},
};
use crate::error::StoreError;

/// The bytes of changed records that a batch may hold before it writes them. The bound is as large
/// as the bound of the requests in one batch.
const HELD_BYTES: usize = 4 * 1024 * 1024;

/// A store whose transactions are parts of one transaction of another store. Each part happens as a
/// whole or not at all, and becomes durable with the other store's transaction.
///
/// The batch holds the changed records in memory until its end, or until they take too much
/// memory. So the other store writes a record once that many parts change, and it needs no
/// way to undo a part.
pub struct Batch<'a> {
    whole: &'a mut dyn Transaction,
    changes: Changes,
    held_bytes: usize,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(whole: &'a mut dyn Transaction) -> Self {
        Self { whole, changes: Changes::default(), held_bytes: HELD_BYTES }
    }

    /// Writes all changes to the other store.
    pub(crate) fn write(mut self) -> Result<(), StoreError> {
        self.changes.write(self.whole)
    }
}

impl Store for Batch<'_> {
    fn transaction<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let Self { whole, changes, held_bytes } = self;
        // A panic undoes its own part and no other. A caller that catches the panic finds the batch
        // as it was before the part.
        let result =
            catch_unwind(AssertUnwindSafe(|| work(&mut Changed { records: &mut **whole, changes: &mut *changes })));
        match &result {
            Ok(Ok(_)) => changes.keep(),
            _ => changes.undo(),
        }
        if changes.bytes() > *held_bytes {
            // An error is not lost: `write` tries the rest again at the end, and fails then.
            let _ = changes.write(&mut **whole);
        }
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::ops::ControlFlow;

    use proptest::{collection::vec, prelude::*};

    use super::{
        super::{SqliteStore, Table},
        *,
    };

    const TABLES: [Table; 2] = [Table::Groups, Table::Log];

    /// One call of a transaction. Keys and values are single bytes.
    #[derive(Clone, Debug)]
    enum Call {
        Put(Table, u8, u8),
        Delete(Table, u8),
        Get(Table, u8),
        /// Visits this number of records at most.
        Scan(Table, u8, u8, usize),
    }

    /// The end of a part.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum PartEnd {
        Kept,
        Refused,
        Panicked,
    }

    fn call() -> impl Strategy<Value = Call> {
        let table = prop::sample::select(TABLES.to_vec());
        let key = 0..8_u8;
        prop_oneof![
            (table.clone(), key.clone(), any::<u8>()).prop_map(|(table, key, value)| Call::Put(table, key, value)),
            (table.clone(), key.clone()).prop_map(|(table, key)| Call::Delete(table, key)),
            (table.clone(), key.clone()).prop_map(|(table, key)| Call::Get(table, key)),
            (table, key.clone(), key, 1..9_usize)
                .prop_map(|(table, start, end, most)| Call::Scan(table, start, end, most)),
        ]
    }

    fn part() -> impl Strategy<Value = (Vec<Call>, PartEnd)> {
        let end = prop_oneof![3 => Just(PartEnd::Kept), 1 => Just(PartEnd::Refused), 1 => Just(PartEnd::Panicked)];
        (vec(call(), 0..8), end)
    }

    /// Makes the calls, and returns everything that they see.
    fn make(tx: &mut dyn Transaction, calls: &[Call]) -> Result<Vec<String>, StoreError> {
        let mut seen = Vec::new();
        for call in calls {
            seen.push(match *call {
                Call::Put(table, key, value) => format!("{:?}", tx.put(table, &[key], &[value])?),
                Call::Delete(table, key) => format!("{:?}", tx.delete(table, &[key])?),
                Call::Get(table, key) => format!("{:?}", tx.get(table, &[key])?),
                Call::Scan(table, start, end, most) => {
                    let mut found = Vec::new();
                    tx.scan(table, &[start]..&[end], &mut |key, value| {
                        found.push((key.to_vec(), value.to_vec()));
                        Ok(if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
                    })?;
                    format!("{found:?}")
                }
            });
        }
        Ok(seen)
    }

    /// Makes the calls in a transaction of their own, which ends as given.
    fn run(store: &mut impl Store, calls: &[Call], end: PartEnd) -> Vec<String> {
        let mut seen = Vec::new();
        let result = catch_unwind(AssertUnwindSafe(|| {
            store.transaction(|tx| {
                seen = make(tx, calls)?;
                match end {
                    PartEnd::Kept => Ok(()),
                    PartEnd::Refused => Err(StoreError::InUse),
                    PartEnd::Panicked => resume_unwind(Box::new("in the middle of a part")),
                }
            })
        }));
        let as_expected = match end {
            PartEnd::Kept => matches!(result, Ok(Ok(()))),
            PartEnd::Refused => matches!(result, Ok(Err(StoreError::InUse))),
            PartEnd::Panicked => result.is_err(),
        };
        assert!(as_expected, "a part that is {end:?} ends differently");
        seen
    }

    fn records(store: &mut SqliteStore) -> Vec<String> {
        let scans = TABLES.map(|table| Call::Scan(table, 0, u8::MAX, usize::MAX));
        store.transaction(|tx| make(tx, &scans)).unwrap()
    }

    proptest! {
        #[test]
        fn parts_of_a_batch_behave_like_transactions(
            parts in vec(part(), 1..12),
            in_batch in 1..12_usize,
            held_bytes in 0..40_usize,
        ) {
            let (mut one_by_one, mut batched) = (SqliteStore::in_memory().unwrap(), SqliteStore::in_memory().unwrap());
            for parts in parts.chunks(in_batch) {
                let expected: Vec<_> = parts.iter().map(|(calls, end)| run(&mut one_by_one, calls, *end)).collect();
                let seen: Vec<_> = batched
                    .transaction(|tx| {
                        let mut batch = Batch { held_bytes, ..Batch::new(tx) };
                        let seen = parts.iter().map(|(calls, end)| run(&mut batch, calls, *end)).collect();
                        batch.write().map(|()| seen)
                    })
                    .unwrap();
                prop_assert_eq!(seen, expected);
                prop_assert_eq!(records(&mut batched), records(&mut one_by_one));
            }
        }
    }
}
