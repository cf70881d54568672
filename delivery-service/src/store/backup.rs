//! Copies a store that is in use, so that an operator can restore it after a loss of the disk.
//!
//! The copy has the store of one moment. It is checked before it gets its name, and replaces no
//! file. To restore a copy, an operator stops the server, puts the file in place, and starts the
//! server.

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

/// The reason why there is no backup.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// A file of that name exists already.
    #[error("{} exists already", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The copy is damaged, and was removed. The store itself is damaged, or the disk of the copy
    /// is.
    #[error("the copy is damaged: {finding}")]
    Damaged {
        /// The first finding of SQLite.
        finding: String,
    },
    /// The store could not be read, or the copy could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SqliteStore {
    /// Copies the store as it is now into a new file at `path`, while others read and write the
    /// store. When this returns, the copy is on the disk, and SQLite has found no damage. Only this
    /// user can read the copy, because it has the service's signing key.
    ///
    /// # Errors
    ///
    /// [`BackupError`]. Then no new file is at `path`.
    pub fn back_up(&self, path: &Path) -> Result<(), BackupError> {
        if path.try_exists().map_err(|error| file_error(path, error))? {
            return Err(BackupError::Exists { path: path.to_owned() });
        }
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".unfinished");
        let unfinished = UnfinishedFile(PathBuf::from(unfinished));
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
        // A copy of all pages in one step has the store of one moment. With a write-ahead log, a
        // reader does not keep writers waiting.
        match backup.step(-1).map_err(backend)? {
            StepResult::Done => {}
            _ => return Err(StoreError::InUse.into()),
        }
        drop(backup);
        // The copy is one file, without files beside it.
        let mode: String = copy.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0)).map_err(backend)?;
        if mode != "delete" {
            return Err(BackupError::Damaged { finding: format!("its journal mode is {mode}") });
        }
        copy.close().map_err(|(_, error)| backend(error))?;

        // Check the copy as a later restore will open it.
        let findings = SqliteStore::open_beside(path)?.integrity_check()?;
        match findings.into_iter().next() {
            Some(finding) => Err(BackupError::Damaged { finding }),
            None => Ok(()),
        }
    }
}

/// A file that is removed again, unless it is finished.
struct UnfinishedFile(PathBuf);

impl UnfinishedFile {
    fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Gives the file its name, if that is free, and makes both durable.
    fn finish(self, path: &Path) -> io::Result<()> {
        File::options().write(true).open(&self.0)?.sync_all()?;
        // Unlike a rename, this fails if the name is taken.
        fs::hard_link(&self.0, path)?;
        self.remove()?;
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
    }
}

impl Drop for UnfinishedFile {
    fn drop(&mut self) {
        // A file that cannot be removed has a name that shows that it is no backup.
        let _ = self.remove();
    }
}
