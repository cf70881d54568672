//! The finished runs of a sweep, each in a file of its own.
//!
//! A file is complete or does not exist: it is written under another name, flushed to the disk and
//! renamed. Therefore an interruption, a crash or a full disk loses no finished run.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use super::record::RunRecord;
use crate::whole_file;

/// The folder of the runs inside of the output folder.
const RUNS: &str = "runs";

/// The file that a process locks while it uses the output folder.
const LOCK: &str = "lock";

/// The output folder of a sweep. Only one process at a time has it.
#[derive(Debug)]
pub struct RunStore {
    folder: PathBuf,
    runs: PathBuf,
    /// The operating system frees the lock when the process ends, even after a crash.
    _lock: File,
}

/// The reason why an output folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process uses the folder.
    #[error("another process writes to {}; wait for its end, or name another folder with --out", .0.display())]
    Locked(PathBuf),
    /// The folder cannot be written.
    #[error("cannot write to {}: {error}; finished runs are kept", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
}

impl RunStore {
    /// Opens an output folder, and creates it if it does not exist.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let runs = folder.join(RUNS);
        let at = |path: &Path| {
            let path = path.to_owned();
            |error| StoreError::Write { path, error }
        };
        fs::create_dir_all(&runs).map_err(at(&runs))?;
        let lock_path = folder.join(LOCK);
        let lock = File::create(&lock_path).map_err(at(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked(folder.to_owned())),
            Err(TryLockError::Error(error)) => return Err(StoreError::Write { path: lock_path, error }),
        }
        let store = Self { folder: folder.to_owned(), runs, _lock: lock };
        store.remove_unfinished().map_err(at(&store.runs))?;
        Ok(store)
    }

    /// The output folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn remove_unfinished(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.runs)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == whole_file::UNFINISHED) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn path(&self, key: &str) -> PathBuf {
        self.runs.join(key).with_extension("json")
    }

    /// The result of a run, if the run is finished. A file that another program or a faulty disk
    /// changed does not count.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<RunRecord> {
        let text = fs::read(self.path(key)).ok()?;
        serde_json::from_slice(&text).ok().filter(RunRecord::is_complete)
    }

    /// Stores the result of a run. It is on the disk when the call returns.
    ///
    /// # Errors
    ///
    /// [`StoreError::Write`].
    pub fn put(&self, key: &str, record: &RunRecord) -> Result<(), StoreError> {
        let path = self.path(key);
        serde_json::to_vec(record)
            .map_err(io::Error::from)
            .and_then(|text| whole_file::write(&path, &text))
            .map_err(|error| StoreError::Write { path, error })
    }

    /// Writes an output file. The file has its old content, or all of the new one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Write`].
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), StoreError> {
        let path = self.folder.join(name);
        let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
        parent.and_then(|()| whole_file::write(&path, content)).map_err(|error| StoreError::Write { path, error })
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::{report::RunOutcome, scenario::read};

    fn record() -> RunRecord {
        let scenario = r#"{"regrow": 1, "name": "n", "members": ["a"], "steps": [{"create": {"by": "a"}}]}"#;
        RunRecord::of(&read(scenario).unwrap(), &RunOutcome::default(), 0, false, 0.1)
    }

    #[test]
    fn a_finished_run_is_read_back() {
        let folder = TempDir::new().unwrap();
        RunStore::open(folder.path()).unwrap().put("one", &record()).unwrap();
        let store = RunStore::open(folder.path()).unwrap();
        assert_eq!(store.get("one"), Some(record()));
        assert_eq!(store.get("other"), None);
    }

    #[test]
    fn a_damaged_file_is_no_finished_run() {
        let folder = TempDir::new().unwrap();
        let store = RunStore::open(folder.path()).unwrap();
        store.put("one", &record()).unwrap();
        let text = fs::read(store.path("one")).unwrap();
        fs::write(store.path("one"), &text[..text.len() / 2]).unwrap();
        assert_eq!(store.get("one"), None);
        fs::write(store.path("one"), r#"{"scenario":"n","figures":["1"],"entries":[],"seconds":1.0}"#).unwrap();
        assert_eq!(store.get("one"), None);
    }

    #[test]
    fn unfinished_files_are_removed_at_the_next_start() {
        let folder = TempDir::new().unwrap();
        drop(RunStore::open(folder.path()).unwrap());
        let unfinished = folder.path().join("runs/one.tmp");
        fs::write(&unfinished, "{").unwrap();
        let store = RunStore::open(folder.path()).unwrap();
        assert!(!unfinished.exists() && store.get("one").is_none());
    }

    #[test]
    fn only_one_process_has_the_folder() {
        let folder = TempDir::new().unwrap();
        let store = RunStore::open(folder.path()).unwrap();
        assert!(matches!(RunStore::open(folder.path()), Err(StoreError::Locked(_))));
        drop(store);
        RunStore::open(folder.path()).unwrap();
    }
}
