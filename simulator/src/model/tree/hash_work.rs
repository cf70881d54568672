//! Hashes as a part of the work of a role.

/// A number of hashes, and of the bytes that they hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HashWork {
    pub(crate) hashes: u64,
    pub(crate) bytes: u64,
}

impl HashWork {
    pub(crate) fn of(bytes: u64) -> Self {
        Self { hashes: 1, bytes }
    }
}

impl std::ops::Add for HashWork {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { hashes: self.hashes + other.hashes, bytes: self.bytes + other.bytes }
    }
}

impl std::ops::AddAssign for HashWork {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}
