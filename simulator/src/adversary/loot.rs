//! What was stolen.

use std::fmt;

use regrow_engine::Snapshot;
use zeroize::Zeroizing;

use super::Place;

/// What a thief has of a device, besides all the traffic.
#[derive(Debug)]
pub enum Loot {
    /// Everything: what is stored, and what is in memory.
    Device(Snapshot),
    /// The files of its storage, without their key: the database, and whatever lay beside it.
    Disk(Vec<StolenFile>),
}

impl Loot {
    /// All the bytes, for who looks for secrets in them.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        match self {
            Self::Device(snapshot) => Place::all_of(snapshot),
            Self::Disk(files) => {
                files.iter().map(|file| Place { name: file.name.clone(), bytes: file.bytes.clone() }).collect()
            }
        }
    }
}

/// One file, as its raw bytes.
pub struct StolenFile {
    /// Its name, without the folder that it was in.
    pub name: String,
    /// What was in it.
    pub bytes: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for StolenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StolenFile {{ name: {:?}, bytes: {} }}", self.name, self.bytes.len())
    }
}
