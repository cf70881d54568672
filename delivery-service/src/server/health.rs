//! Whether the store takes writes, and why not.
//!
//! The worker notes each failure and, while there is one, tries a write of its own with every upkeep,
//! so that the server is ready again without anybody's help when the disk is.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::StoreError;

/// A reason for which the store takes no writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Full,
    ReadOnly,
    Replaced,
    Failed,
}

impl Fault {
    /// The fault that a failure of the store shows.
    pub(crate) fn of(error: &StoreError) -> Self {
        match error {
            StoreError::DiskFull => Self::Full,
            StoreError::ReadOnly => Self::ReadOnly,
            StoreError::Replaced { .. } => Self::Replaced,
            _ => Self::Failed,
        }
    }

    /// The reason in words, for clients and operators: it names no path.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Full => "the disk of the store is full",
            Self::ReadOnly => "the disk of the store is read-only",
            Self::Replaced => "the file of the store is gone or was replaced",
            Self::Failed => "the store fails",
        }
    }
}

/// The store's present fault, if it has one. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Health(Arc<Mutex<Option<Fault>>>);

impl Health {
    /// The fault, if there is one.
    pub(crate) fn fault(&self) -> Option<Fault> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the result of a write. Returns whether it is another than before.
    pub(crate) fn note(&self, fault: Option<Fault>) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = *known != fault;
        *known = fault;
        changed
    }
}
