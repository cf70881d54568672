//! Devices that treat early entries in a wrong way.

use regrow_simulator::world::fault_injection::{EarlyEntry, FaultInjection};

/// Every device treats an entry in this way if an earlier handshake is missing.
pub struct Inbox(pub EarlyEntry);

impl FaultInjection for Inbox {
    fn early_entry(&self) -> EarlyEntry {
        self.0
    }
}
