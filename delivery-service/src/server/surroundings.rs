//! The clock and the randomness that the server works with. Both come in from outside, so that a test can move time and
//! know what is drawn.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::names::Timestamp;

/// The system has no randomness to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no randomness")]
pub struct NoRandomness;

/// What time it is, and 32 random bytes.
#[derive(Clone)]
pub struct Surroundings {
    clock: Arc<dyn Fn() -> Duration + Send + Sync>,
    random: Arc<dyn Fn() -> Result<[u8; 32], NoRandomness> + Send + Sync>,
}

impl Surroundings {
    /// A clock that says how long it is since the Unix epoch, and a source of random bytes.
    pub fn new(
        clock: impl Fn() -> Duration + Send + Sync + 'static,
        random: impl Fn() -> Result<[u8; 32], NoRandomness> + Send + Sync + 'static,
    ) -> Self {
        Self { clock: Arc::new(clock), random: Arc::new(random) }
    }

    /// This machine's clock and randomness.
    pub fn of_this_machine() -> Self {
        let random = || {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
            Ok(bytes)
        };
        Self::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), random)
    }

    /// The time, in seconds.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.elapsed().as_secs())
    }

    /// The time since the Unix epoch.
    pub fn elapsed(&self) -> Duration {
        (self.clock)()
    }

    /// 32 random bytes.
    ///
    /// # Errors
    /// [`NoRandomness`] if there is none.
    pub fn random(&self) -> Result<[u8; 32], NoRandomness> {
        (self.random)()
    }
}

impl governor::clock::Clock for Surroundings {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.elapsed()
    }
}
