//! Times of a generated history: microseconds since its start.

use std::time::Duration;

/// The number of microseconds in a second.
const SECOND: u64 = 1_000_000;

/// A time since the start of a generated history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(u64);

impl Instant {
    /// A time that no history reaches.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    pub(crate) fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(SECOND))
    }

    /// The time after a number of seconds. It is [`NEVER`](Self::NEVER) if it is too late to count.
    pub(crate) fn after(self, seconds: f64) -> Self {
        // The conversion saturates, and is the same on every machine.
        Self(self.0.saturating_add((seconds * SECOND as f64) as u64))
    }

    pub(crate) fn after_duration(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    /// The whole seconds since the start.
    pub(crate) fn whole_seconds(self) -> u64 {
        self.0 / SECOND
    }

    /// The seconds since an earlier time.
    pub(crate) fn since(self, earlier: Self) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 / SECOND as f64
    }
}
