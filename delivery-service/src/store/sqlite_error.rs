//! The store errors of SQLite and of its files.

use std::{io, path::Path};

use rusqlite::ErrorCode;

use crate::error::StoreError;

pub(super) fn backend(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse,
        Some(ErrorCode::DiskFull) => StoreError::DiskFull,
        Some(ErrorCode::ReadOnly) => StoreError::ReadOnly,
        _ => StoreError::Backend(Box::new(error)),
    }
}

pub(super) fn file_error(path: &Path, error: io::Error) -> StoreError {
    StoreError::File { path: path.to_owned(), error }
}
