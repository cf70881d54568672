//! The state that a thief steals.

use std::fmt;

use regrow_engine::Snapshot;
use zeroize::Zeroizing;

use super::evidence::StolenBytes;

/// The state that a thief has of a device, in addition to all traffic.
#[derive(Debug)]
pub enum StolenState {
    /// The whole device: its storage and its memory.
    Device(Snapshot),
    /// The files of the device's storage without their key: the database, and the files beside it.
    Disk(Vec<StolenFile>),
    /// The records of a device that the thief has restored from an opened backup, on a machine of its
    /// own. This device is in no group.
    Backup(Snapshot),
}

impl StolenState {
    /// All stolen bytes, for a search for secrets.
    #[must_use]
    pub fn stolen_bytes(&self) -> Vec<StolenBytes> {
        match self {
            Self::Device(snapshot) | Self::Backup(snapshot) => StolenBytes::all_of(snapshot),
            Self::Disk(files) => {
                files.iter().map(|file| StolenBytes { name: file.name.clone(), bytes: file.bytes.clone() }).collect()
            }
        }
    }
}

/// One file with its raw bytes.
pub struct StolenFile {
    /// The name of the file, without its folder.
    pub name: String,
    /// The content of the file.
    pub bytes: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for StolenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StolenFile {{ name: {:?}, bytes: {} }}", self.name, self.bytes.len())
    }
}
