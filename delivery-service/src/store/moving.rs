//! Moves the records of an SQLite file into a PostgreSQL database.
//!
//! At each moment of a move, at most one of the two stores can be served. The database's store
//! stays unfinished until the file is marked as moved. A move that was interrupted in between goes
//! on when it is started again.

use std::{fs::File, ops::ControlFlow, path::Path};

use super::{
    Table, Transaction,
    digest::RecordsDigest,
    key,
    postgres::{TableRecord, UnfinishedStore},
    sqlite::SqliteStore,
};
use crate::{check::Finding, error::StoreError};

/// The bytes of records that one transaction of the database writes. It is large enough to hide the
/// time of a commit, and takes little memory.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// The reason why a store was not moved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MoveError {
    /// The file cannot be read or marked.
    #[error(transparent)]
    Source(#[from] StoreError),
    /// The database cannot be written or read.
    #[error("the database: {0}")]
    Target(#[source] StoreError),
    /// The database has other records than the file after the copy.
    #[error("the records in the database are not those of the file")]
    Differs,
    /// The records have the faults that the check finds. The file has them, too.
    #[error("the check has {} findings, and the first is: {}", .0.len(), .0.first().map(ToString::to_string).unwrap_or_default())]
    Damaged(Vec<Finding>),
}

/// The records that were moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MovedRecords {
    /// The number of records.
    pub records: u64,
    /// The bytes of their keys and values.
    pub bytes: u64,
}

/// A store in a file that is to be moved. No server can open the file meanwhile.
pub struct StoreToMove {
    store: SqliteStore,
    /// True if an earlier move has marked the file, and may not have finished the database's store.
    is_moved: bool,
    _locks: [File; 2],
}

impl StoreToMove {
    /// Opens the store in the file at `path`.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] if a server uses the file. Otherwise the same as
    /// [`SqliteStore::open_beside`], but never [`StoreError::Moved`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let (store, is_moved, locks) = SqliteStore::open_to_move(path)?;
        Ok(Self { store, is_moved, _locks: locks })
    }

    /// Copies all records, compares the copy, checks it, marks the file as moved, and finishes the
    /// database's store, in this order. Afterwards, no server opens the file any more.
    ///
    /// # Errors
    ///
    /// [`MoveError`]. Then the database's store is unfinished. The file is unchanged, unless only
    /// the end of the move is missing: then the file is marked, and another call goes on.
    pub fn move_into(mut self, mut target: UnfinishedStore) -> Result<MovedRecords, MoveError> {
        let moved = match self.is_moved {
            // Only a complete copy of a file leads to its mark.
            true => self.store.snapshot(|tx| compare(&RecordsDigest::of(tx)?, &mut target))?,
            false => self.store.mark_moved(|tx| {
                target.clear().map_err(MoveError::Target)?;
                let copied = copy(tx, &mut target)?;
                let moved = compare(&copied, &mut target)?;
                match target.check().map_err(MoveError::Target)? {
                    findings if findings.is_empty() => Ok(moved),
                    findings => Err(MoveError::Damaged(findings)),
                }
            })?,
        };
        target.finish().map_err(MoveError::Target)?;
        Ok(moved)
    }
}

/// Copies all records, and returns their digest.
fn copy(tx: &mut dyn Transaction, target: &mut UnfinishedStore) -> Result<RecordsDigest, MoveError> {
    let mut copied = RecordsDigest::new();
    let (mut batch, mut bytes): (Vec<TableRecord>, usize) = (Vec::new(), 0);
    let mut failed = None;
    for table in Table::ALL {
        tx.scan(table, &[]..&key::AFTER_ALL, &mut |key, value| {
            copied.add(table, key, value);
            bytes += key.len() + value.len();
            batch.push((table, key.to_vec(), value.to_vec()));
            if bytes >= BATCH_BYTES {
                failed = target.put(&batch).err();
                batch.clear();
                bytes = 0;
            }
            Ok(if failed.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        if let Some(error) = failed {
            return Err(MoveError::Target(error));
        }
    }
    target.put(&batch).map_err(MoveError::Target)?;
    Ok(copied)
}

/// Compares the records of the file with those of the database.
fn compare(file: &RecordsDigest, target: &mut UnfinishedStore) -> Result<MovedRecords, MoveError> {
    match target.digest().map_err(MoveError::Target)? == *file {
        true => Ok(MovedRecords { records: file.records(), bytes: file.bytes() }),
        false => Err(MoveError::Differs),
    }
}
