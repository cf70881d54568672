//! The lock state of a device in memory.

use crate::names::Timestamp;

/// The lock state of a device, and its last use.
#[derive(Default)]
pub(super) struct LockState {
    pub(super) locked: bool,
    /// The time of the device's last use. [`None`] if the device was used after the last call with
    /// a time.
    pub(super) last_use: Option<Timestamp>,
}
