//! A copy of a store that is in use: for the day on which the disk is gone.
//!
//! The copy is of one moment, is checked before it gets its name, and replaces nothing. Putting one back is the operator's
//! to do: stop the server, put the file in place, start it.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
};

use super::{
    sqlite::{SqliteStore, create_private},
    sqlite_error::{backend, file_error},
};
use crate::error::StoreError;

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is a file of that name.
    #[error("{} is there already", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The copy is not good, and was removed: the store itself is damaged, or the disk that it was written to is.
    #[error("the copy is damaged: {finding}")]
    Damaged {
        /// What SQLite found first.
        finding: String,
    },
    /// The store could not be read, or the copy not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SqliteStore {
    /// Copies the store as it is now into a new file at `path`, while others go on reading and writing. When this
    /// returns, the copy is on the disk, and SQLite has found it whole. Only this user can read it, for the service's
    /// signing key is in it.
    ///
    /// # Errors
    ///
    /// [`BackupError`]. Then there is no file at `path` that was not there before.
    pub fn back_up(&self, path: &Path) -> Result<(), BackupError> {
        if path.try_exists().map_err(|error| file_error(path, error))? {
            return Err(BackupError::Exists { path: path.to_owned() });
        }
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".unfinished");
        let unfinished = Unfinished(PathBuf::from(unfinished));
        unfinished.remove().map_err(|error| file_error(&unfinished.0, error))?;
        create_private(&unfinished.0).map_err(|error| file_error(&unfinished.0, error))?;
        self.copy_to(&unfinished.0)?;
        unfinished.finish(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Exists { path: path.to_owned() },
            _ => file_error(path, error).into(),
        })
    }

    fn copy_to(&self, path: &Path) -> Result<(), BackupError> {
        let mut copy = Connection::open(path).map_err(backend)?;
        let backup = Backup::new(self.connection(), &mut copy).map_err(backend)?;
        // All pages in one step are all of one moment. Readers do not keep writers waiting in a write-ahead log.
        match backup.step(-1).map_err(backend)? {
            StepResult::Done => {}
            _ => return Err(StoreError::InUse.into()),
        }
        drop(backup);
        // One file, with nothing beside it.
        let mode: String = copy.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0)).map_err(backend)?;
        if mode != "delete" {
            return Err(BackupError::Damaged { finding: format!("its journal mode is {mode}") });
        }
        copy.close().map_err(|(_, error)| backend(error))?;

        // As whoever puts it back will open it.
        let findings = SqliteStore::open_beside(path)?.integrity_check()?;
        match findings.into_iter().next() {
            Some(finding) => Err(BackupError::Damaged { finding }),
            None => Ok(()),
        }
    }
}

/// A file that goes away again, unless it is finished.
struct Unfinished(PathBuf);

impl Unfinished {
    fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Gives it its name, if nothing else has that, and makes both durable.
    fn finish(self, path: &Path) -> io::Result<()> {
        File::options().write(true).open(&self.0)?.sync_all()?;
        // Unlike renaming it, this fails if the name is taken.
        fs::hard_link(&self.0, path)?;
        self.remove()?;
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // What cannot be removed is named so that nobody takes it for a backup.
        let _ = self.remove();
    }
}
