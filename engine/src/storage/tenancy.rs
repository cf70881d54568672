//! The right to use a store: only the newest client has it.

use std::sync::atomic::{AtomicU64, Ordering};

/// The order of the clients over one store in memory, or over one open file.
///
/// Two clients over one store would encrypt two messages with one key. Therefore only the newest
/// client may use the store. Every call of an older client fails with
/// [`Error::Superseded`](crate::Error::Superseded).
#[derive(Debug, Default)]
pub struct Tenancy(AtomicU64);

/// One client's position in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tenure(u64);

impl Tenancy {
    /// Gives the store to a new client. All older clients lose it.
    pub(crate) fn take(&self) -> Tenure {
        Tenure(self.0.fetch_add(1, Ordering::AcqRel).wrapping_add(1))
    }

    /// True if no newer client has taken the store.
    pub(crate) fn is_of(&self, tenure: Tenure) -> bool {
        self.0.load(Ordering::Acquire) == tenure.0
    }
}
