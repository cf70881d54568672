//! Whose a store is: one client's at a time, and the latest one's.

use std::sync::atomic::{AtomicU64, Ordering};

/// The succession of the clients over one store in memory, or over one open file.
///
/// Two clients over one store would encrypt two messages with one key. So the client that was made last has the store,
/// and every call of an earlier one fails with [`Error::Superseded`](crate::Error::Superseded).
#[derive(Debug, Default)]
pub struct Tenancy(AtomicU64);

/// One client's place in the succession.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tenure(u64);

impl Tenancy {
    /// A new client has the store from here on.
    pub(crate) fn take(&self) -> Tenure {
        Tenure(self.0.fetch_add(1, Ordering::AcqRel).wrapping_add(1))
    }

    /// Whether no later client has taken the store.
    pub(crate) fn is_of(&self, tenure: Tenure) -> bool {
        self.0.load(Ordering::Acquire) == tenure.0
    }
}
