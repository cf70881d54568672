//! A thief that runs no device of a group: it has a storage that it cannot open, or only a backup.

use std::collections::BTreeSet;

use super::{replay::Adversary, traffic::Traffic};

/// A thief that runs no device of a group.
pub(super) struct WithoutDevice {
    nothing: BTreeSet<usize>,
}

impl WithoutDevice {
    pub(super) fn new() -> Self {
        Self { nothing: BTreeSet::new() }
    }
}

impl Adversary for WithoutDevice {
    fn observe(&mut self, _: &[Traffic]) -> Vec<Traffic> {
        Vec::new()
    }

    fn readable(&self) -> &BTreeSet<usize> {
        &self.nothing
    }
}
