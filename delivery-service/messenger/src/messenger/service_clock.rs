//! The service's time, from the `Date` fields of its responses (RFC 9110, 6.6.1).
//!
//! The service is not trusted with time. Its time dates key packages and commits while the device's
//! own clock disagrees, so that a wrong clock does no harm. The messenger judges members inactive
//! only while both clocks agree.

use std::time::Duration;

use regrow_engine::Timestamp;

use super::event::Event;

/// The largest difference between two clocks that agree, in seconds.
///
/// Network delays and drift fit in; Kerberos recommends the same bound (RFC 4120, 8.2).
pub const MAX_CLOCK_SKEW: u64 = 5 * 60;

/// The last known time of the service.
#[derive(Default)]
pub(super) struct ServiceClock {
    /// The time in the last response, and the monotonic clock's time when it arrived.
    last: Option<(Timestamp, Duration)>,
    /// True if the clocks disagreed at the last comparison.
    disagrees: bool,
}

impl ServiceClock {
    /// The service's time now.
    pub(super) fn now(&self, monotonic: Duration) -> Option<Timestamp> {
        self.last.map(|(time, at)| time.plus(monotonic.saturating_sub(at).as_secs()))
    }

    /// The time for the engine: by the own clock while it agrees with the service's, else the
    /// service's.
    pub(super) fn agreed(&self, own: Timestamp, monotonic: Duration) -> Timestamp {
        match self.now(monotonic) {
            Some(service) if !agree(own, service) => service,
            _ => own,
        }
    }

    /// True if both clocks are known and agree.
    pub(super) fn is_confirmed(&self, own: Timestamp, monotonic: Duration) -> bool {
        self.now(monotonic).is_some_and(|service| agree(own, service))
    }

    /// Takes in the time of a response. Returns an event if the clocks have begun to disagree.
    pub(super) fn observe(&mut self, service: Timestamp, own: Timestamp, monotonic: Duration) -> Option<Event> {
        self.last = Some((service, monotonic));
        let before = std::mem::replace(&mut self.disagrees, !agree(own, service));
        (self.disagrees && !before).then_some(Event::ClockSkew { own, service })
    }
}

fn agree(own: Timestamp, service: Timestamp) -> bool {
    own.0.abs_diff(service.0) <= MAX_CLOCK_SKEW
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> (Timestamp, Duration) {
        (Timestamp(1_000_000 + seconds), Duration::from_secs(seconds))
    }

    #[test]
    fn a_wall_clock_that_jumps_does_not_move_the_time() {
        let mut clock = ServiceClock::default();
        let (service, monotonic) = at(0);
        assert!(clock.observe(service, service, monotonic).is_none());

        let (right, later) = at(60);
        for wrong in [right.plus(100 * 24 * 3600), Timestamp(0)] {
            assert_eq!(clock.agreed(wrong, later), right);
            assert!(!clock.is_confirmed(wrong, later));
        }
        assert_eq!(clock.agreed(right.plus(10), later), right.plus(10));
        assert!(clock.is_confirmed(right.plus(10), later));
    }

    #[test]
    fn a_skew_appears_once_until_the_clocks_agree_again() {
        let mut clock = ServiceClock::default();
        let (service, monotonic) = at(0);
        let wrong = service.plus(MAX_CLOCK_SKEW + 1);
        let told: Vec<_> = [wrong, wrong, service, service.plus(MAX_CLOCK_SKEW), wrong]
            .map(|own| clock.observe(service, own, monotonic).is_some())
            .into();
        assert_eq!(told, [true, false, false, false, true]);
    }

    #[test]
    fn without_a_response_the_own_clock_counts_unconfirmed() {
        let clock = ServiceClock::default();
        let (own, monotonic) = at(0);
        assert_eq!(clock.agreed(own, monotonic), own);
        assert!(!clock.is_confirmed(own, monotonic));
    }
}
