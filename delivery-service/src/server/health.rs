//! The health of the store: can it take writes, and if not, why?
//!
//! The worker notes each failure. While a fault exists, the worker tries a write with every upkeep.
//! So the server becomes ready again by itself as soon as the disk takes writes.

use std::sync::Arc;

use tokio::sync::watch;

use crate::error::StoreError;

/// The reason why the store takes no writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreFault {
    Full,
    ReadOnly,
    Replaced,
    Away,
    TakenOver,
    WentBack,
    Failed,
}

impl StoreFault {
    /// Returns the fault that a failure of the store shows.
    pub(crate) fn of(error: &StoreError) -> Self {
        match error {
            StoreError::DiskFull => Self::Full,
            StoreError::ReadOnly => Self::ReadOnly,
            StoreError::Replaced { .. } => Self::Replaced,
            StoreError::Away(_) => Self::Away,
            // A commit stays undetermined only if another server has taken the store meanwhile.
            StoreError::TakenOver | StoreError::Undetermined => Self::TakenOver,
            StoreError::WentBack => Self::WentBack,
            _ => Self::Failed,
        }
    }

    /// True if the fault lasts until the server starts again.
    pub(crate) fn lasts(self) -> bool {
        matches!(self, Self::TakenOver | Self::WentBack)
    }

    /// The reason in words, for clients and operators. It names no path.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Full => "the disk of the store is full",
            Self::ReadOnly => "the disk of the store is read-only",
            Self::Replaced => "the file of the store is gone or was replaced",
            Self::Away => "the database cannot be used now",
            Self::TakenOver => "another server has taken the store",
            Self::WentBack => "the database has lost transactions",
            Self::Failed => "the store fails",
        }
    }
}

/// The present fault of the store, if there is one. Clones share it.
#[derive(Clone)]
pub(crate) struct Health(Arc<watch::Sender<Option<StoreFault>>>);

impl Default for Health {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl Health {
    /// The present fault, if there is one.
    pub(crate) fn fault(&self) -> Option<StoreFault> {
        *self.0.borrow()
    }

    /// Notes the result of a write. Returns true if the fault has changed.
    pub(crate) fn note(&self, fault: Option<StoreFault>) -> bool {
        self.0.send_if_modified(|known| {
            let changed = *known != fault;
            *known = fault;
            changed
        })
    }

    /// Waits for a fault that lasts until the server starts again, and returns it.
    pub(crate) async fn lasting_fault(&self) -> StoreFault {
        let mut faults = self.0.subscribe();
        loop {
            let fault = *faults.borrow_and_update();
            match fault {
                Some(fault) if fault.lasts() => return fault,
                // The sender lives as long as this call.
                _ => drop(faults.changed().await),
            }
        }
    }
}
