//! The thread that moves the write-ahead log into the database, while others write.
//!
//! Without it, SQLite would move the log at the end of every few transactions, and every caller
//! would wait for that too: SQLite writes a thousand pages all over the file, and synchronizes it.
//! The thread does it on a connection of its own (`docs/decisions/0039`).

use std::{
    fs::File,
    io, mem,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::{Connection, Row};

use super::sqlite_error::{backend, file_error};
use crate::error::StoreError;

/// The time for which writes are collected before they are moved. A page that is written many times
/// in this time is moved once. But while the disk synchronizes many pages, a transaction waits for
/// the disk.
const COLLECTION_TIME: Duration = Duration::from_millis(50);

/// The number of pages in the log at which the log should begin anew: 16 MB. The log often grows
/// further until that happens. It still stays smaller than the size to which its file shrinks,
/// because a file that is truncated keeps its writer waiting.
const FULL_LOG_PAGES: i64 = 4_096;

/// The maximum number of pages that can be left to a writer.
const FEW_PAGES: i64 = 256;

/// The maximum number of passes over pages that were written meanwhile. Then the rest is left to a
/// writer, however large it is.
const MAX_PASSES: usize = 4;

/// A thread that moves the pages that its owner has written. It ends when this value is dropped.
#[derive(Debug)]
pub(super) struct Checkpointer {
    shared: Arc<SharedCheckpoint>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct SharedCheckpoint {
    state: Mutex<CheckpointState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct CheckpointState {
    written: bool,
    /// True if the log is full and all but a few of its pages are moved.
    needs_writer: bool,
    end: bool,
}

impl Checkpointer {
    /// Starts the thread for the database at `path`, which is `file`. The caller keeps the file
    /// open until all connections are closed: when a process closes a file once, POSIX drops all
    /// locks that the process has on it.
    pub(super) fn start(path: &Path, file: Arc<File>) -> Result<Self, StoreError> {
        let connection = Connection::open(path).map_err(backend)?;
        connection.execute_batch("PRAGMA synchronous = FULL;").map_err(backend)?;
        let shared = Arc::new(SharedCheckpoint::default());
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new().name("checkpoints".into());
        let failed = |error: io::Error| file_error(path, error);
        let thread = thread.spawn(move || of_thread.run(&connection, &file)).map_err(failed)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Notes that the owner has written. Returns true if the writer has to [`checkpoint`] now, so
    /// that the log can begin anew. The log begins anew only when all of its pages are moved, which
    /// never happens while writes continue.
    pub(super) fn written(&self) -> bool {
        let mut state = self.shared.state();
        if !state.written {
            state.written = true;
            self.shared.changed.notify_one();
        }
        mem::take(&mut state.needs_writer)
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.shared.state().end = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // If the thread has panicked, the owner's connection continues without it.
            let _ = thread.join();
        }
    }
}

impl SharedCheckpoint {
    fn run(&self, connection: &Connection, file: &File) {
        loop {
            let state = self.changed.wait_while(self.state(), |state| !state.written && !state.end);
            let state = state.unwrap_or_else(PoisonError::into_inner);
            let collected = self.changed.wait_timeout_while(state, COLLECTION_TIME, |state| !state.end);
            let (mut state, _) = collected.unwrap_or_else(PoisonError::into_inner);
            if state.end {
                // The connection that closes the file last moves the rest.
                return;
            }
            state.written = false;
            drop(state);
            // The next pass moves the pages that this one could not move. If the disk fails, the
            // writers get an error.
            let needs_writer = move_most(connection, file).unwrap_or(false);
            self.state().needs_writer = needs_writer;
        }
    }

    fn state(&self) -> MutexGuard<'_, CheckpointState> {
        // A lock holder does nothing that can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves the pages of the log. Returns true if the log is full and the rest can be left to a
/// writer; `None` if the disk failed.
fn move_most(connection: &Connection, file: &File) -> Option<bool> {
    let mut moved_before = 0;
    for _ in 0..MAX_PASSES {
        let (pages, moved) = checkpoint(connection).ok()?;
        // SQLite synchronizes the database only with the last page of the log, which the writer
        // moves. Without this call, the writer would wait for all pages.
        file.sync_data().ok()?;
        if pages < FULL_LOG_PAGES {
            return Some(false);
        }
        if moved - moved_before <= FEW_PAGES {
            // If many pages are left, a reader still uses an older state.
            return Some(pages - moved <= FEW_PAGES);
        }
        moved_before = moved;
    }
    Some(true)
}

/// Moves the pages that can be moved while others read and write. Returns the number of pages in
/// the log, and the number of moved pages.
pub(super) fn checkpoint(connection: &Connection) -> Result<(i64, i64), StoreError> {
    let row = |row: &Row<'_>| Ok((row.get(1)?, row.get(2)?));
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], row).map_err(backend)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn writer_moves_the_rest_and_the_log_begins_anew() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file.db");
        let writer = Connection::open(&path).expect("a database");
        let schema = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (value BLOB);";
        writer.execute_batch(schema).expect("a table");
        let file = Arc::new(File::open(&path).expect("the file"));
        let checkpointer = Checkpointer::start(&path, Arc::clone(&file)).expect("a thread");

        let full = format!("INSERT INTO t VALUES (zeroblob({}))", FULL_LOG_PAGES * 4_096);
        writer.execute_batch(&full).expect("a full log");
        assert!(!checkpointer.written(), "no page is moved yet");
        let begun = Instant::now();
        while !checkpointer.written() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the writer is not asked to move the rest");
            // Writes continue.
            writer.execute_batch("INSERT INTO t VALUES (x'00')").expect("a row");
        }
        let (pages, moved) = checkpoint(&writer).expect("a checkpoint");
        assert_eq!(pages, moved, "the rest is moved");
        assert!(pages >= FULL_LOG_PAGES);
        writer.execute_batch("INSERT INTO t VALUES (x'01')").expect("a row");
        let (pages, _) = checkpoint(&writer).expect("a checkpoint");
        assert!(pages < FEW_PAGES, "the log has begun anew: {pages}");
    }
}
