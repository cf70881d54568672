//! Virtual time: the clock of the service, and the clocks of the devices. Only a `wait` step and a
//! network with latencies advance it.

use std::time::Duration;

use regrow_engine::Timestamp;

use crate::scenario::{ClockChange, ClockOffset};

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

/// The milliseconds in a second.
const SECOND: u64 = 1000;

/// The rate of a right clock, in millionths.
const RIGHT: u64 = 1_000_000;

/// The virtual clock of the service. It is right by definition.
pub(super) struct VirtualClock {
    /// The milliseconds since the scenario began.
    ms: u64,
}

impl VirtualClock {
    pub(super) fn start() -> Self {
        Self { ms: 0 }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp(START.0.saturating_add(self.elapsed()))
    }

    /// The seconds since the scenario began.
    pub(super) fn elapsed(&self) -> u64 {
        self.ms / SECOND
    }

    /// The milliseconds since the scenario began.
    pub(super) fn ms(&self) -> u64 {
        self.ms
    }

    pub(super) fn advance(&mut self, time: Duration) {
        self.ms = self.ms.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    }
}

/// The clock of a device, as far as it differs from the service's clock.
#[derive(Clone, Copy)]
pub(super) struct DeviceClock {
    /// The time of the last change, in milliseconds of the service's clock.
    changed: u64,
    /// The difference to the service's clock at the last change, in milliseconds.
    ahead: i128,
    /// The speed in millionths.
    rate: u64,
    /// True if the clock has ever been wrong.
    was_wrong: bool,
}

impl DeviceClock {
    pub(super) fn right() -> Self {
        Self { changed: 0, ahead: 0, rate: RIGHT, was_wrong: false }
    }

    /// The difference to the service's clock, in milliseconds.
    fn ahead(&self, ms: u64) -> i128 {
        let passed = i128::from(ms.saturating_sub(self.changed));
        self.ahead + passed * (i128::from(self.rate) - i128::from(RIGHT)) / i128::from(RIGHT)
    }

    /// The time of this clock, at this time of the service's clock.
    pub(super) fn now(&self, service: &VirtualClock) -> Timestamp {
        let own = i128::from(START.0) * i128::from(SECOND) + i128::from(service.ms()) + self.ahead(service.ms());
        Timestamp(u64::try_from(own.max(0) / i128::from(SECOND)).unwrap_or(u64::MAX))
    }

    pub(super) fn change(&mut self, change: &ClockChange, service: &VirtualClock) {
        self.ahead = match change.offset {
            Some(ClockOffset { behind, by }) => {
                let by = i128::try_from(by.as_millis()).unwrap_or(i128::MAX);
                if behind { -by } else { by }
            }
            None => self.ahead(service.ms()),
        };
        self.changed = service.ms();
        self.rate = change.rate.map_or(self.rate, |rate| rate.millionths());
        self.was_wrong |= self.ahead != 0 || self.rate != RIGHT;
    }

    /// True if the clock is wrong now, or has been wrong before.
    pub(super) fn was_wrong(&self) -> bool {
        self.was_wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::churn::Decimal;

    const DAY: u64 = 24 * 60 * 60;

    fn after(clock: &DeviceClock, service: &VirtualClock) -> i128 {
        i128::from(clock.now(service).0) - i128::from(service.now().0)
    }

    #[test]
    fn offset_and_rate_add_up() {
        let (mut service, mut clock) = (VirtualClock::start(), DeviceClock::right());
        assert_eq!(after(&clock, &service), 0);
        let behind = ClockOffset { behind: true, by: Duration::from_secs(DAY) };
        clock.change(&ClockChange { offset: Some(behind), rate: Decimal::parse("1.5") }, &service);
        assert_eq!(after(&clock, &service), -i128::from(DAY));
        service.advance(Duration::from_secs(4 * DAY));
        assert_eq!(after(&clock, &service), i128::from(DAY));
        clock.change(&ClockChange { offset: None, rate: Some(Decimal::whole(0)) }, &service);
        service.advance(Duration::from_secs(DAY));
        assert_eq!(after(&clock, &service), 0, "a clock that stands still is overtaken");
        assert!(clock.was_wrong());
    }

    #[test]
    fn milliseconds_become_seconds() {
        let mut service = VirtualClock::start();
        service.advance(Duration::from_millis(1999));
        assert_eq!((service.elapsed(), service.ms(), service.now()), (1, 1999, Timestamp(START.0 + 1)));
    }
}
