//! Repeated attempts: exponential back-off with jitter (RFC 9110, 10.2.3 for `Retry-After`).

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use super::error::ConnectionError;
use crate::api::Code;

/// A wait that has begun.
pub type Pause = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The number of attempts of a call, and the waits between them.
///
/// Every call can be repeated: the service answers the same bytes with the same response.
#[derive(Clone)]
pub struct Retry {
    /// The number of attempts in all. Default 4.
    pub attempts: u32,
    /// The longest wait before the second attempt. It doubles before each further one. Default 250
    /// ms.
    pub first: Duration,
    /// The longest wait before any attempt. Default 10 s.
    pub longest: Duration,
    /// The longest wait that the service may request with `Retry-After`. If it requests more, the
    /// call fails. Default 60 s.
    pub longest_asked: Duration,
    /// The part of a wait that a call waits, from 0 to 1. Random by default, so that devices which
    /// lost their connections at the same moment do not come back at the same moment.
    pub jitter: Arc<dyn Fn() -> f64 + Send + Sync>,
    /// Waits. The default is Tokio's timer; a caller with a clock of its own can move that clock
    /// instead.
    pub pause: Arc<dyn Fn(Duration) -> Pause + Send + Sync>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 4,
            first: Duration::from_millis(250),
            longest: Duration::from_secs(10),
            longest_asked: Duration::from_secs(60),
            jitter: Arc::new(|| f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX)),
            pause: Arc::new(|wait| Box::pin(tokio::time::sleep(wait))),
        }
    }
}

impl Retry {
    /// One attempt, and no repetition.
    pub fn never() -> Self {
        Self { attempts: 1, ..Self::default() }
    }

    /// The wait after that error of that attempt. The first attempt is 0. [`None`] after the last
    /// one.
    pub(crate) fn after(&self, attempt: u32, error: &ConnectionError) -> Option<Duration> {
        if attempt.saturating_add(1) >= self.attempts {
            return None;
        }
        match error {
            ConnectionError::Unreachable { .. } => Some(self.backoff(attempt, self.longest)),
            ConnectionError::Problem(problem) => {
                let waits = match problem.code {
                    Code::TooManyRequests | Code::ClaimedTooOften | Code::Unavailable | Code::Timeout => true,
                    // A limit on stored records does not end by waiting, unless the service says
                    // when.
                    Code::LimitReached => problem.retry_after.is_some(),
                    _ => false,
                };
                let asked = Duration::from_secs(problem.retry_after.unwrap_or(0));
                (waits && asked <= self.longest_asked).then(|| asked + self.backoff(attempt, self.longest))
            }
            _ => None,
        }
    }

    /// Waits.
    pub(crate) fn pause(&self, wait: Duration) -> Pause {
        (self.pause)(wait)
    }

    /// The wait after that number of failures: exponential up to `longest`, with jitter.
    pub(crate) fn backoff(&self, attempt: u32, longest: Duration) -> Duration {
        let whole = self.first.saturating_mul(2_u32.saturating_pow(attempt)).min(longest);
        whole.mul_f64((self.jitter)().clamp(0.0, 1.0))
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempts, first, longest, longest_asked, .. } = self;
        f.debug_struct("Retry")
            .field("attempts", attempts)
            .field("first", first)
            .field("longest", longest)
            .field("longest_asked", longest_asked)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Problem;

    fn retry() -> Retry {
        Retry { jitter: Arc::new(|| 1.0), ..Retry::default() }
    }

    fn unreachable() -> ConnectionError {
        ConnectionError::Unreachable { detail: String::new() }
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let retry = Retry { attempts: 100, ..retry() };
        let waits: Vec<_> = (0..8).filter_map(|attempt| retry.after(attempt, &unreachable())).collect();
        assert_eq!(
            waits.iter().map(Duration::as_millis).collect::<Vec<_>>(),
            [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]
        );
        assert_eq!(retry.after(98, &unreachable()), Some(Duration::from_secs(10)), "without an overflow");
    }

    #[test]
    fn the_last_attempt_is_the_last() {
        assert!(retry().after(2, &unreachable()).is_some());
        assert!(retry().after(3, &unreachable()).is_none());
        assert!(Retry::never().after(0, &unreachable()).is_none());
    }

    #[test]
    fn a_requested_wait_has_a_limit() {
        let problem = |code, retry_after| ConnectionError::from(Problem { retry_after, ..Problem::new(code) });
        let asked = |code, seconds| retry().after(0, &problem(code, Some(seconds)));
        assert_eq!(asked(Code::TooManyRequests, 7), Some(Duration::from_millis(7250)));
        assert_eq!(asked(Code::Unavailable, 61), None);
        assert_eq!(retry().after(0, &problem(Code::LimitReached, None)), None);
        assert_eq!(retry().after(0, &problem(Code::Stale, None)), None);
    }
}
