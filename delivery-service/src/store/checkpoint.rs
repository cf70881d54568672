//! The thread that moves what is in the write-ahead log into the database, beside those who write.
//!
//! SQLite would do it at the end of every few transactions, and all who wait for the store would wait for that too: it
//! writes a thousand pages all over the file, and synchronizes it. Here it is done on a connection of its own
//! (`docs/decisions/0039`).

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

/// How long what is written is collected before it is moved. A page that is written many times in between is moved once; but while
/// the disk synchronizes many pages, a transaction waits for the disk.
const COLLECTED: Duration = Duration::from_millis(50);

/// Pages in the log when it is to begin anew: 16 MB. It is often larger by what is written until then, and still smaller than what
/// its file is shrunk to: a file that is cut off keeps its writer waiting.
const FULL: i64 = 4_096;

/// So few pages can be left to a writer.
const FEW: i64 = 256;

/// How often what was written meanwhile is moved as well, before the rest is left to a writer however much it is.
const PASSES: usize = 4;

/// A thread that moves what its owner says it has written. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Checkpointer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    todo: Mutex<Todo>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Todo {
    written: bool,
    /// The log is full, and all but a few of its pages are moved.
    almost: bool,
    end: bool,
}

impl Checkpointer {
    /// Starts the thread for the database at `path`, which is `file`. Whoever calls keeps the file open until all
    /// connections are closed: POSIX lets go of all locks that a process has on a file when it closes it once.
    pub(super) fn start(path: &Path, file: Arc<File>) -> Result<Self, StoreError> {
        let connection = Connection::open(path).map_err(backend)?;
        connection.execute_batch("PRAGMA synchronous = FULL;").map_err(backend)?;
        let shared = Arc::new(Shared::default());
        let its = Arc::clone(&shared);
        let thread = thread::Builder::new().name("checkpoints".into());
        let failed = |error: io::Error| file_error(path, error);
        let thread = thread.spawn(move || its.follow(&connection, &file)).map_err(failed)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Says that something was written. Returns whether the writer has to [`checkpoint`] now, for the log to begin anew: that
    /// is when all of it is moved, which never is while somebody writes.
    pub(super) fn written(&self) -> bool {
        let mut todo = self.shared.todo();
        if !todo.written {
            todo.written = true;
            self.shared.changed.notify_one();
        }
        mem::take(&mut todo.almost)
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.shared.todo().end = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // If it has panicked, the owner's connection goes on without it.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn follow(&self, connection: &Connection, file: &File) {
        loop {
            let todo = self.changed.wait_while(self.todo(), |todo| !todo.written && !todo.end);
            let todo = todo.unwrap_or_else(PoisonError::into_inner);
            let collected = self.changed.wait_timeout_while(todo, COLLECTED, |todo| !todo.end);
            let (mut todo, _) = collected.unwrap_or_else(PoisonError::into_inner);
            if todo.end {
                // Whoever closes the file last moves the rest.
                return;
            }
            todo.written = false;
            drop(todo);
            // What it cannot move now it moves the next time; if the disk fails, those who write are told so.
            let almost = move_most(connection, file).unwrap_or(false);
            self.todo().almost = almost;
        }
    }

    fn todo(&self) -> MutexGuard<'_, Todo> {
        // Nothing that can panic is done with it.
        self.todo.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves what there is. Returns whether the log is full and the rest can be left to a writer; `None` if the disk failed.
fn move_most(connection: &Connection, file: &File) -> Option<bool> {
    let mut moved_before = 0;
    for _ in 0..PASSES {
        let (pages, moved) = checkpoint(connection).ok()?;
        // SQLite does this only with the last page of the log, which here is the writer's: it would wait for all of them.
        file.sync_data().ok()?;
        if pages < FULL {
            return Some(false);
        }
        if moved - moved_before <= FEW {
            // If many are left, somebody reads what is older.
            return Some(pages - moved <= FEW);
        }
        moved_before = moved;
    }
    Some(true)
}

/// Moves what can be moved while others read and write. Returns how many pages the log has, and how many of them are moved.
pub(super) fn checkpoint(connection: &Connection) -> Result<(i64, i64), StoreError> {
    let row = |row: &Row<'_>| Ok((row.get(1)?, row.get(2)?));
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], row).map_err(backend)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_writer_is_asked_for_the_rest_and_the_log_begins_anew() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file.db");
        let writer = Connection::open(&path).expect("a database");
        let schema = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (value BLOB);";
        writer.execute_batch(schema).expect("a table");
        let file = Arc::new(File::open(&path).expect("the file"));
        let checkpointer = Checkpointer::start(&path, Arc::clone(&file)).expect("a thread");

        let full = format!("INSERT INTO t VALUES (zeroblob({}))", FULL * 4_096);
        writer.execute_batch(&full).expect("a full log");
        assert!(!checkpointer.written(), "nothing is moved yet");
        let begun = Instant::now();
        while !checkpointer.written() {
            assert!(begun.elapsed() < Duration::from_secs(60), "nobody is asked");
            // Somebody goes on writing.
            writer.execute_batch("INSERT INTO t VALUES (x'00')").expect("a row");
        }
        let (pages, moved) = checkpoint(&writer).expect("a checkpoint");
        assert_eq!(pages, moved, "the rest is moved");
        assert!(pages >= FULL);
        writer.execute_batch("INSERT INTO t VALUES (x'01')").expect("a row");
        let (pages, _) = checkpoint(&writer).expect("a checkpoint");
        assert!(pages < FEW, "the log has begun anew: {pages}");
    }
}
