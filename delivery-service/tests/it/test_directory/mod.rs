//! A temporary directory of one test, which is deleted at the end of the test.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

/// A temporary directory. It is deleted when this value is dropped.
pub struct TestDirectory {
    directory: tempfile::TempDir,
}

impl TestDirectory {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    /// The path of a file in the directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// The path of the store that a server in this directory uses by default.
    pub fn store_path(&self) -> PathBuf {
        self.file("regrow-ds.db")
    }
}
