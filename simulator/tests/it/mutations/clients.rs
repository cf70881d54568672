//! Clients that forget a check of the delivery service.

use regrow_simulator::world::fault_injection::{FaultInjection, MadeChecks};

/// The check that every client forgets.
#[derive(Clone, Copy)]
pub enum Forgets {
    /// The client compares no receipts.
    Receipts,
    /// The client compares no rosters.
    Rosters,
}

impl FaultInjection for Forgets {
    fn checks(&self, _: &str) -> MadeChecks {
        MadeChecks { receipts: !matches!(self, Self::Receipts), rosters: !matches!(self, Self::Rosters) }
    }
}
