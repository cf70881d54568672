//! The guard against a wall clock that jumps.
//!
//! A jump is a change of the wall clock that the monotonic clock does not confirm. Until the new
//! time is confirmed, records get the time that the old one would be by now, and the upkeep deletes
//! nothing. The worker observes the guard with every upkeep; `docs/decisions/0048` says why.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{environment::Environment, metrics::Metrics};
use crate::names::Timestamp;

/// Seconds by which the clocks may drift apart within the time that confirms a jump. A quartz clock
/// drifts by less than a second in an hour; a leap second and a slow correction fit in as well.
const TOLERANCE: u64 = 60;

/// Seconds between the last time in the store and the time at a start that are taken for a restart.
/// A longer pause looks like a jump, and only delays deletions.
const RESTART: u64 = 15 * 60;

/// How often the upkeep stores the time. The store then lags by less than [`RESTART`].
pub(crate) const STORE_EVERY: Duration = Duration::from_secs(60);

/// The wall clock's lead over the monotonic clock, in seconds.
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

/// Judges the wall clock. Clones share one state.
#[derive(Clone)]
pub(crate) struct ClockGuard {
    environment: Environment,
    metrics: Metrics,
    /// How long the monotonic clock has to agree with a new wall time.
    confirm: Duration,
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    /// The offset that was confirmed.
    confirmed: Option<Offset>,
    /// When `confirmed` was last moved to where the clocks are.
    anchored: Duration,
    /// An offset that is not confirmed yet, and since when it holds.
    suspect: Option<(Offset, Duration)>,
    /// The time of the store at the start, while no offset is confirmed.
    floor: Offset,
}

impl ClockGuard {
    /// A guard over `environment`. `last` is the last confirmed time in the store.
    pub(crate) fn new(environment: Environment, metrics: Metrics, last: Option<Timestamp>, confirm: Duration) -> Self {
        let (wall, monotonic) = (environment.wall(), environment.monotonic());
        let now = Offset::between(wall, monotonic);
        let is_restart = last
            .is_some_and(|last| wall.0.saturating_add(TOLERANCE) >= last.0 && wall.0 <= last.0.saturating_add(RESTART));
        if let Some(last) = last.filter(|_| !is_restart) {
            tracing::warn!(
                stored = last.0,
                now = wall.0,
                "the wall clock is far from the time of the last stop; nothing is deleted until it is confirmed"
            );
        }
        let seen = Seen {
            confirmed: is_restart.then_some(now),
            anchored: monotonic,
            suspect: (!is_restart).then_some((now, monotonic)),
            floor: Offset::between(last.unwrap_or(Timestamp(0)), monotonic),
        };
        metrics.clock_confirmed(is_restart);
        Self { environment, metrics, confirm, seen: Arc::new(Mutex::new(seen)) }
    }

    /// The time that records get: the wall clock's, unless that has jumped.
    pub(crate) fn now(&self) -> Timestamp {
        let (wall, monotonic) = (self.environment.wall(), self.environment.monotonic());
        let seen = self.seen();
        match seen.confirmed {
            Some(confirmed) if confirmed.is_near(Offset::between(wall, monotonic)) => wall,
            Some(confirmed) => confirmed.at(monotonic),
            None => wall.max(seen.floor.at(monotonic)),
        }
    }

    /// The monotonic clock's time.
    pub(crate) fn monotonic(&self) -> Duration {
        self.environment.monotonic()
    }

    /// Looks at both clocks. Returns the time if it is confirmed; while it is not, nothing may be
    /// deleted because of its age.
    pub(crate) fn observe(&self) -> Option<Timestamp> {
        let (wall, monotonic) = (self.environment.wall(), self.environment.monotonic());
        let now = Offset::between(wall, monotonic);
        let mut seen = self.seen();
        if seen.confirmed.is_some_and(|confirmed| confirmed.is_near(now)) {
            if seen.suspect.take().is_some() {
                tracing::info!("the wall clock is back where it was");
            }
            // Drift may go on, but no faster than the tolerance allows in this time.
            if monotonic.saturating_sub(seen.anchored) >= self.confirm {
                seen.confirm(now, monotonic);
            }
        } else if let Some((suspect, since)) = seen.suspect.filter(|(suspect, _)| suspect.is_near(now)) {
            if monotonic.saturating_sub(since) < self.confirm {
                return None;
            }
            tracing::info!(seconds = suspect.0, "the wall clock is confirmed");
            seen.confirm(now, monotonic);
        } else {
            self.metrics.clock_jumped();
            self.metrics.clock_confirmed(false);
            let by = seen.confirmed.or(seen.suspect.map(|(before, _)| before)).map_or(0, |before| now.0 - before.0);
            tracing::warn!(
                seconds = by,
                "the wall clock has jumped; nothing is deleted until the new time is confirmed"
            );
            seen.suspect = Some((now, monotonic));
            return None;
        }
        self.metrics.clock_confirmed(true);
        Some(wall)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn confirm(&mut self, offset: Offset, monotonic: Duration) {
        self.confirmed = Some(offset);
        self.anchored = monotonic;
        self.suspect = None;
    }
}
