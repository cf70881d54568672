//! Lanes: each concern of a device fails, waits and goes on by itself.
//!
//! A working lane has no state. A failed lane has a delay, measured with the monotonic clock:
//! exponential back-off, or longer if the service requests it with `Retry-After` (RFC 9110,
//! 10.2.3). Delays are not stored; a new process tries each lane once and gets the same answer.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use regrow_engine::GroupId;

use super::{event::Event, scope::FailureScope};
use crate::{
    error::{ConnectionError, Error},
    retry::Retry,
};

/// The longest delay that a lane imposes on itself.
const LONGEST_DELAY: Duration = Duration::from_secs(10 * 60);

/// The longest delay that the service can request.
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 60 * 60);

/// The number of failures in a row after which the application is told of a lost connection. If the
/// service cannot be reached at all, the call that reads says so.
const UNREACHABLE_TOLD: u32 = 3;

/// The lanes that have failed and have not worked since.
#[derive(Default)]
pub(super) struct Lanes {
    delays: BTreeMap<FailureScope, Delay>,
    /// The number of the present pass. A lane fails at most once in a pass.
    pass: u64,
    /// The end of the time in which the service takes no request of this device, and its refusal.
    hold: Option<(Duration, ConnectionError)>,
}

struct Delay {
    failures: u32,
    until: Duration,
    pass: u64,
    told: bool,
}

impl Lanes {
    /// Begins a new pass over the lanes.
    pub(super) fn begin_pass(&mut self) {
        self.pass = self.pass.wrapping_add(1);
    }

    /// True if the lane may go on now.
    pub(super) fn is_ready(&self, scope: &FailureScope, now: Duration) -> bool {
        self.delays.get(scope).is_none_or(|delay| delay.pass != self.pass && delay.until <= now)
    }

    /// Forgets the lane's failures, because it works.
    pub(super) fn works(&mut self, scope: &FailureScope) {
        self.delays.remove(scope);
    }

    /// Forgets the lanes of a group that this device has dropped.
    pub(super) fn forget_group(&mut self, id: &GroupId) {
        self.delays.retain(
            |scope, _| !matches!(scope, FailureScope::Group(group) | FailureScope::Intent { group, .. } if group == id),
        );
    }

    /// Delays a lane that has failed. Returns the event for the application, unless it has had it.
    pub(super) fn fails(&mut self, scope: FailureScope, error: Error, retry: &Retry, now: Duration) -> Option<Event> {
        let delay = self.delays.entry(scope.clone()).or_insert(Delay { failures: 0, until: now, pass: 0, told: false });
        let again = retry.backoff(delay.failures, LONGEST_DELAY).max(asked(&error));
        delay.failures = delay.failures.saturating_add(1);
        (delay.until, delay.pass) = (now.saturating_add(again), self.pass);
        let unreachable = matches!(error, Error::Connection(ConnectionError::Unreachable { .. }));
        if delay.told || (unreachable && delay.failures < UNREACHABLE_TOLD) {
            return None;
        }
        delay.told = true;
        Some(Event::Delayed { scope, cause: Arc::new(error), again })
    }

    /// Holds all lanes, because the service takes no request of this device for a while.
    pub(super) fn hold(&mut self, error: ConnectionError, retry: &Retry, now: Duration) {
        let wait = asked_by(&error).saturating_add(retry.backoff(0, LONGEST_DELAY));
        self.hold = Some((now.saturating_add(wait), error));
    }

    /// The time for which the service takes no request of this device, and its refusal.
    pub(super) fn held(&self, now: Duration) -> Option<(Duration, &ConnectionError)> {
        let (until, error) = self.hold.as_ref()?;
        until.checked_sub(now).filter(|wait| !wait.is_zero()).map(|wait| (wait, error))
    }

    /// The time until the first lane goes on. [`None`] if no lane waits.
    pub(super) fn next(&self, now: Duration) -> Option<Duration> {
        // A lane whose delay has passed and that has not failed again has nothing to do.
        let waits = self.delays.values().filter(|delay| delay.until > now || delay.pass == self.pass);
        waits.map(|delay| delay.until.saturating_sub(now)).min()
    }
}

fn asked(error: &Error) -> Duration {
    if let Error::Connection(error) = error { asked_by(error) } else { Duration::ZERO }
}

fn asked_by(error: &ConnectionError) -> Duration {
    match error {
        ConnectionError::Problem(problem) => Duration::from_secs(problem.retry_after.unwrap_or(0)).min(LONGEST_ASKED),
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Code, Problem};

    fn busy(seconds: u64) -> Error {
        Problem { retry_after: Some(seconds), ..Problem::new(Code::Unavailable) }.into()
    }

    fn retry() -> Retry {
        Retry { jitter: Arc::new(|| 1.0), ..Retry::default() }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn only_the_failed_lane_waits_as_the_service_asks() {
        let mut lanes = Lanes::default();
        lanes.begin_pass();
        let told = lanes.fails(FailureScope::KeyPackages, busy(60), &retry(), seconds(5));
        assert!(
            matches!(told, Some(Event::Delayed { scope: FailureScope::KeyPackages, again, .. }) if again == seconds(60))
        );
        assert!(
            lanes.fails(FailureScope::KeyPackages, busy(60), &retry(), seconds(5)).is_none(),
            "the event appears once"
        );

        lanes.begin_pass();
        assert!(lanes.is_ready(&FailureScope::Device, seconds(5)));
        assert!(!lanes.is_ready(&FailureScope::KeyPackages, seconds(64)));
        assert!(lanes.is_ready(&FailureScope::KeyPackages, seconds(65)));
        assert_eq!(lanes.next(seconds(5)), Some(seconds(60)));
    }

    #[test]
    fn delays_double_up_to_the_longest() {
        let mut lanes = Lanes::default();
        let mut waits = Vec::new();
        for _ in 0..20 {
            lanes.fails(FailureScope::Device, busy(0), &retry(), Duration::ZERO);
            waits.push(lanes.next(Duration::ZERO).unwrap());
        }
        assert_eq!(waits[..3], [250, 500, 1000].map(Duration::from_millis));
        assert_eq!(waits.last(), Some(&LONGEST_DELAY));
        lanes.works(&FailureScope::Device);
        assert_eq!(lanes.next(Duration::ZERO), None);
    }

    #[test]
    fn a_lane_fails_once_in_a_pass() {
        let mut lanes = Lanes::default();
        lanes.begin_pass();
        let at_once = Retry { first: Duration::ZERO, ..retry() };
        lanes.fails(FailureScope::Device, busy(0), &at_once, Duration::ZERO);
        assert!(!lanes.is_ready(&FailureScope::Device, Duration::ZERO));
        lanes.begin_pass();
        assert!(lanes.is_ready(&FailureScope::Device, Duration::ZERO));
    }
}
