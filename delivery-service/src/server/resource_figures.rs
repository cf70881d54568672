//! The figures of the resources that can run out.

/// The figures of one moment. A figure that the system does not tell is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceFigures {
    /// Bytes on the disk of the store that this process may still use.
    pub disk_free_bytes: Option<u64>,
    /// File descriptors that are open.
    pub open_files: Option<u64>,
    /// File descriptors that the process may have.
    pub max_open_files: Option<u64>,
}
