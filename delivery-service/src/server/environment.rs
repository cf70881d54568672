//! The environment of the server: a wall clock, a monotonic clock and randomness.
//!
//! All three come from outside, so that a test can move time and know the random bytes. The wall
//! clock can jump, and only dates records. Rates, timeouts and the ends of sessions are measured
//! with the monotonic clock.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::names::Timestamp;

/// The system has no randomness to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no randomness")]
pub struct NoRandomness;

/// The clocks and the randomness of one server. Clones share them.
#[derive(Clone)]
pub struct Environment {
    wall: Arc<dyn Fn() -> Duration + Send + Sync>,
    monotonic: Arc<dyn Fn() -> Duration + Send + Sync>,
    random: Arc<dyn Fn() -> Result<[u8; 32], NoRandomness> + Send + Sync>,
}

impl Environment {
    /// An environment of a wall clock (the time since the Unix epoch), a monotonic clock (the time
    /// since any fixed moment, never going back) and a source of random bytes.
    pub fn new(
        wall: impl Fn() -> Duration + Send + Sync + 'static,
        monotonic: impl Fn() -> Duration + Send + Sync + 'static,
        random: impl Fn() -> Result<[u8; 32], NoRandomness> + Send + Sync + 'static,
    ) -> Self {
        Self { wall: Arc::new(wall), monotonic: Arc::new(monotonic), random: Arc::new(random) }
    }

    /// The clocks and the randomness of this machine.
    pub fn of_this_machine() -> Self {
        let begun = Instant::now();
        let random = || {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
            Ok(bytes)
        };
        let wall = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::new(wall, move || begun.elapsed(), random)
    }

    /// The wall clock's time in seconds, as the machine has it: it may have jumped.
    pub fn wall(&self) -> Timestamp {
        Timestamp((self.wall)().as_secs())
    }

    /// The monotonic clock's time.
    pub fn monotonic(&self) -> Duration {
        (self.monotonic)()
    }

    /// 32 random bytes.
    ///
    /// # Errors
    /// [`NoRandomness`] if there is none.
    pub fn random(&self) -> Result<[u8; 32], NoRandomness> {
        (self.random)()
    }
}

/// Rates follow the monotonic clock.
impl governor::clock::Clock for Environment {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.monotonic()
    }
}
