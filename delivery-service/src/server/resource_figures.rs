//! The figures of the resources that can run out.

/// The figures at one moment. A figure that the system does not report is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceFigures {
    /// The bytes on the store's disk that this process may still use.
    pub disk_free_bytes: Option<u64>,
    /// The open file descriptors.
    pub open_files: Option<u64>,
    /// The most file descriptors that the process may have.
    pub max_open_files: Option<u64>,
}
