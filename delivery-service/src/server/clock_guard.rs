//! The guard against jumps of the wall clock.
//!
//! A jump is a change of the wall clock that the monotonic clock does not confirm. Until the new
//! time is confirmed, the upkeep deletes nothing. New records get the last confirmed time plus the
//! time that the monotonic clock has measured since. The worker observes the guard with every
//! upkeep. `docs/decisions/0048` gives the reasons.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{environment::Environment, metrics::Metrics};
use crate::names::Timestamp;

/// The most seconds by which the clocks may drift apart in the time that confirms a jump. A quartz
/// clock drifts by less than a second in an hour. A leap second or a slow correction also fits in.
const TOLERANCE: u64 = 60;

/// The most seconds between the last time in the store and the time at a start that count as a
/// restart. A longer pause looks like a jump, and only delays deletions.
const RESTART: u64 = 15 * 60;

/// The pause between two times that the upkeep stores. So the time in the store lags by less than
/// [`RESTART`].
pub(crate) const STORE_EVERY: Duration = Duration::from_secs(60);

/// The seconds by which the wall clock is ahead of the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offset(i128);

impl Offset {
    fn between(wall: Timestamp, monotonic: Duration) -> Self {
        Self(i128::from(wall.0) - i128::from(monotonic.as_secs()))
    }

    fn is_near(self, other: Self) -> bool {
        self.0.abs_diff(other.0) <= u128::from(TOLERANCE)
    }

    fn at(self, monotonic: Duration) -> Timestamp {
        let seconds = self.0 + i128::from(monotonic.as_secs());
        Timestamp(u64::try_from(seconds.max(0)).unwrap_or(u64::MAX))
    }
}

/// The guard, which decides if the wall clock can be trusted. Clones share one state.
#[derive(Clone)]
pub(crate) struct ClockGuard {
    environment: Environment,
    metrics: Metrics,
    /// The time for which the monotonic clock has to agree with a new wall time.
    confirm: Duration,
    state: Arc<Mutex<ClockState>>,
}

struct ClockState {
    /// The confirmed offset.
    confirmed: Option<Offset>,
    /// The time at which the guard last set `confirmed` to the offset of the clocks.
    anchored: Duration,
    /// An offset that is not confirmed yet, and the time since which it holds.
    suspect: Option<(Offset, Duration)>,
    /// The last time in the store at the start. It counts while no offset is confirmed.
    floor: Offset,
}

impl ClockGuard {
    /// Creates a guard over `environment`. `last` is the last confirmed time in the store.
    pub(crate) fn new(environment: Environment, metrics: Metrics, last: Option<Timestamp>, confirm: Duration) -> Self {
        let (wall, monotonic) = (environment.wall(), environment.monotonic());
        let now = Offset::between(wall, monotonic);
        let is_restart = last
            .is_some_and(|last| wall.0.saturating_add(TOLERANCE) >= last.0 && wall.0 <= last.0.saturating_add(RESTART));
        if let Some(last) = last.filter(|_| !is_restart) {
            tracing::warn!(
                stored = last.0,
                now = wall.0,
                "the wall clock is far from the last stored time; nothing is deleted until it is confirmed"
            );
        }
        let state = ClockState {
            confirmed: is_restart.then_some(now),
            anchored: monotonic,
            suspect: (!is_restart).then_some((now, monotonic)),
            floor: Offset::between(last.unwrap_or(Timestamp(0)), monotonic),
        };
        metrics.clock_confirmed(is_restart);
        Self { environment, metrics, confirm, state: Arc::new(Mutex::new(state)) }
    }

    /// The time for new records: the time of the wall clock, unless that has jumped.
    pub(crate) fn now(&self) -> Timestamp {
        let (wall, monotonic) = (self.environment.wall(), self.environment.monotonic());
        let state = self.state();
        match state.confirmed {
            Some(confirmed) if confirmed.is_near(Offset::between(wall, monotonic)) => wall,
            Some(confirmed) => confirmed.at(monotonic),
            None => wall.max(state.floor.at(monotonic)),
        }
    }

    /// The time of the monotonic clock.
    pub(crate) fn monotonic(&self) -> Duration {
        self.environment.monotonic()
    }

    /// Compares both clocks. Returns the time if it is confirmed. While the time is not confirmed,
    /// the caller may not delete records because of their age.
    pub(crate) fn observe(&self) -> Option<Timestamp> {
        let (wall, monotonic) = (self.environment.wall(), self.environment.monotonic());
        let now = Offset::between(wall, monotonic);
        let mut state = self.state();
        if state.confirmed.is_some_and(|confirmed| confirmed.is_near(now)) {
            if state.suspect.take().is_some() {
                tracing::info!("the wall clock is back at the confirmed time");
            }
            // The drift may continue, but not faster than the tolerance allows in this time.
            if monotonic.saturating_sub(state.anchored) >= self.confirm {
                state.confirm(now, monotonic);
            }
        } else if let Some((suspect, since)) = state.suspect.filter(|(suspect, _)| suspect.is_near(now)) {
            if monotonic.saturating_sub(since) < self.confirm {
                return None;
            }
            tracing::info!(seconds = suspect.0, "the new time of the wall clock is confirmed");
            state.confirm(now, monotonic);
        } else {
            self.metrics.clock_jumped();
            self.metrics.clock_confirmed(false);
            let by = state.confirmed.or(state.suspect.map(|(before, _)| before)).map_or(0, |before| now.0 - before.0);
            tracing::warn!(
                seconds = by,
                "the wall clock has jumped; nothing is deleted until the new time is confirmed"
            );
            state.suspect = Some((now, monotonic));
            return None;
        }
        self.metrics.clock_confirmed(true);
        Some(wall)
    }

    fn state(&self) -> MutexGuard<'_, ClockState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClockState {
    fn confirm(&mut self, offset: Offset, monotonic: Duration) {
        self.confirmed = Some(offset);
        self.anchored = monotonic;
        self.suspect = None;
    }
}
