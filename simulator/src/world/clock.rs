//! Virtual time. Only a `wait` step advances it.

use std::time::Duration;

use regrow_engine::Timestamp;

/// The start of every scenario: 2100-01-01T00:00:00Z, in seconds since the Unix epoch.
///
/// The engine has no clock: its caller tells it the time. But OpenMLS compares the lifetimes of key
/// packages with the clock of the machine, and accepts no other time. The same seed must give the
/// same bytes on any day and on any machine.
///
/// Here the lifetimes begin in 1970 and end after the virtual time, so OpenMLS finds them valid on
/// any real day before 2100. The engine and the delivery service compare the end of a key package's
/// use with the virtual time. So a scenario simulates the expiry of key packages exactly, but not
/// the beginning of their lifetimes.
const START: Timestamp = Timestamp(4_102_444_800);

/// The tolerance for clocks that are behind, which lets the lifetimes of key packages begin in
/// 1970.
pub(super) const CLOCK_SKEW: u64 = u64::MAX / 2;

/// The virtual clock of devices and service.
pub(super) struct VirtualClock {
    now: Timestamp,
}

impl VirtualClock {
    pub(super) fn start() -> Self {
        Self { now: START }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// The seconds since the scenario began.
    pub(super) fn elapsed(&self) -> u64 {
        self.now.0 - START.0
    }

    pub(super) fn advance(&mut self, time: Duration) {
        self.now = Timestamp(self.now.0.saturating_add(time.as_secs()));
    }
}
