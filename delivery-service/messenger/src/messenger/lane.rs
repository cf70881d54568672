//! Lanes: each concern of a device fails, waits and goes on by itself.
//!
//! A lane that works has no state. One that has failed has a delay, measured with the monotonic clock: exponential
//! back-off, or longer if the service asks for it with `Retry-After` (RFC 9110, 10.2.3). Delays are not stored; a new
//! process tries each lane once and hears the same.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use regrow_engine::{GroupId, UserId};

use super::{Event, Intent};
use crate::{
    api::Code,
    error::{ConnectionError, Error},
    retry::Retry,
};

/// The longest delay that a lane imposes on itself.
const LONGEST_DELAY: Duration = Duration::from_secs(10 * 60);

/// The longest delay that the service can ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 60 * 60);

/// After how many failures in a row a lost connection is told. The application hears of a service that cannot be reached
/// at all from the call that reads.
const UNREACHABLE_TOLD: u32 = 3;

/// The concern that a failure delays. Everything else goes on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Scope {
    /// Acknowledgements at the service, and the erasure of old secrets.
    Device,
    /// The device's key packages at the service.
    KeyPackages,
    /// The list of a user's devices: reading it, and for this device's user, changing it.
    DeviceList(UserId),
    /// Everything that is submitted to one group.
    Group(GroupId),
    /// One intent of the application, while it needs key packages of others.
    Intent {
        /// The group.
        group: GroupId,
        /// The intent. [`Messenger::withdraw`](super::Messenger::withdraw) gives it up.
        intent: Intent,
    },
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device => f.write_str("the device's upkeep"),
            Self::KeyPackages => f.write_str("the device's key packages"),
            Self::DeviceList(user) => write!(f, "the list of the devices of {user}"),
            Self::Group(group) => write!(f, "the group {group}"),
            Self::Intent { group, intent } => write!(f, "{intent} in the group {group}"),
        }
    }
}

/// The lanes that have failed and not worked since.
#[derive(Default)]
pub(super) struct Lanes {
    delays: BTreeMap<Scope, Delay>,
    /// The number of the present pass. A lane fails at most once in a pass.
    pass: u64,
    /// Until when the service takes no request of this device, and its word for it.
    hold: Option<(Duration, ConnectionError)>,
}

struct Delay {
    failures: u32,
    until: Duration,
    pass: u64,
    told: bool,
}

impl Lanes {
    /// A new pass over the lanes begins.
    pub(super) fn begin_pass(&mut self) {
        self.pass = self.pass.wrapping_add(1);
    }

    /// Whether the lane may go on now.
    pub(super) fn is_ready(&self, scope: &Scope, now: Duration) -> bool {
        self.delays.get(scope).is_none_or(|delay| delay.pass != self.pass && delay.until <= now)
    }

    /// The lane works.
    pub(super) fn works(&mut self, scope: &Scope) {
        self.delays.remove(scope);
    }

    /// Forgets the lanes of a group that is gone.
    pub(super) fn forget_group(&mut self, id: &GroupId) {
        self.delays
            .retain(|scope, _| !matches!(scope, Scope::Group(group) | Scope::Intent { group, .. } if group == id));
    }

    /// The lane has failed. Returns the event to tell, if the application has not heard of it.
    pub(super) fn fails(&mut self, scope: Scope, error: Error, retry: &Retry, now: Duration) -> Option<Event> {
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

    /// The service takes no request of this device for a while.
    pub(super) fn hold(&mut self, error: ConnectionError, retry: &Retry, now: Duration) {
        let wait = asked_by(&error).saturating_add(retry.backoff(0, LONGEST_DELAY));
        self.hold = Some((now.saturating_add(wait), error));
    }

    /// For how long the service takes no request of this device, and its word for it.
    pub(super) fn held(&self, now: Duration) -> Option<(Duration, &ConnectionError)> {
        let (until, error) = self.hold.as_ref()?;
        until.checked_sub(now).filter(|wait| !wait.is_zero()).map(|wait| (wait, error))
    }

    /// The time until the first lane goes on. [`None`] if no lane waits.
    pub(super) fn next(&self, now: Duration) -> Option<Duration> {
        // A lane whose time has come, and that has not failed again, has nothing to do.
        let waits = self.delays.values().filter(|delay| delay.until > now || delay.pass == self.pass);
        waits.map(|delay| delay.until.saturating_sub(now)).min()
    }
}

/// Whether the service has refused a request because there were too many.
pub(super) fn is_too_many(error: &ConnectionError) -> bool {
    error.code() == Some(Code::TooManyRequests)
}

/// Whether the service refuses a claim because this device has claimed key packages of one device too often. It delays
/// only the intent that needs the claim.
pub(super) fn is_too_many_claims(error: &ConnectionError) -> bool {
    error.code() == Some(Code::ClaimedTooOften)
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
    use crate::api::Problem;

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
    fn a_lane_waits_as_long_as_the_service_asks_and_no_other_lane_does() {
        let mut lanes = Lanes::default();
        lanes.begin_pass();
        let told = lanes.fails(Scope::KeyPackages, busy(60), &retry(), seconds(5));
        assert!(matches!(told, Some(Event::Delayed { scope: Scope::KeyPackages, again, .. }) if again == seconds(60)));
        assert!(lanes.fails(Scope::KeyPackages, busy(60), &retry(), seconds(5)).is_none(), "it is told once");

        lanes.begin_pass();
        assert!(lanes.is_ready(&Scope::Device, seconds(5)));
        assert!(!lanes.is_ready(&Scope::KeyPackages, seconds(64)));
        assert!(lanes.is_ready(&Scope::KeyPackages, seconds(65)));
        assert_eq!(lanes.next(seconds(5)), Some(seconds(60)));
    }

    #[test]
    fn each_delay_is_twice_the_last_up_to_the_longest() {
        let mut lanes = Lanes::default();
        let mut waits = Vec::new();
        for _ in 0..20 {
            lanes.fails(Scope::Device, busy(0), &retry(), Duration::ZERO);
            waits.push(lanes.next(Duration::ZERO).unwrap());
        }
        assert_eq!(waits[..3], [250, 500, 1000].map(Duration::from_millis));
        assert_eq!(waits.last(), Some(&LONGEST_DELAY));
        lanes.works(&Scope::Device);
        assert_eq!(lanes.next(Duration::ZERO), None);
    }

    #[test]
    fn a_lane_fails_once_in_a_pass() {
        let mut lanes = Lanes::default();
        lanes.begin_pass();
        let at_once = Retry { first: Duration::ZERO, ..retry() };
        lanes.fails(Scope::Device, busy(0), &at_once, Duration::ZERO);
        assert!(!lanes.is_ready(&Scope::Device, Duration::ZERO));
        lanes.begin_pass();
        assert!(lanes.is_ready(&Scope::Device, Duration::ZERO));
    }
}
