//! The batch or the upkeep that is running, which tells a stuck store from a busy one.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The time after which a batch counts as stuck. A database that is away keeps a batch waiting if it
/// has not told the outcome of the commit.
const STUCK: Duration = Duration::from_secs(10);

/// The beginning of the running batch or upkeep, if one is running. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct RunningBatch(Arc<Mutex<Option<Instant>>>);

impl RunningBatch {
    pub(super) fn begins(&self, now: Instant) {
        self.set(Some(now));
    }

    pub(super) fn ends(&self) {
        self.set(None);
    }

    /// True if a batch has been running for too long.
    pub(super) fn is_stuck(&self) -> bool {
        let begun = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        begun.is_some_and(|begun| begun.elapsed() >= STUCK)
    }

    fn set(&self, begun: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = begun;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_batch_is_stuck() {
        let running = RunningBatch::default();
        assert!(!running.is_stuck());
        let now = Instant::now();
        running.begins(now);
        assert!(!running.is_stuck());
        running.begins(now.checked_sub(STUCK).expect("a time"));
        assert!(running.is_stuck());
        running.ends();
        assert!(!running.is_stuck());
    }
}
