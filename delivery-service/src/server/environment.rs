//! The environment of the server: a wall clock, a monotonic clock and randomness.
//!
//! The caller passes all three, so a test can move the time and choose the random bytes. The wall
//! clock can jump, and only dates records. The monotonic clock measures rates, timeouts and the
//! ends of sessions.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::names::Timestamp;

/// The system provides no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system provides no random bytes")]
pub struct NoRandomness;

/// The clocks and the randomness of one server. Clones share them.
#[derive(Clone)]
pub struct Environment {
    wall: Arc<dyn Fn() -> Duration + Send + Sync>,
    monotonic: Arc<dyn Fn() -> Duration + Send + Sync>,
    random: Arc<dyn Fn() -> Result<[u8; 32], NoRandomness> + Send + Sync>,
}

impl Environment {
    /// Creates an environment. `wall` gives the time since the Unix epoch. `monotonic` gives the
    /// time since any fixed moment and never goes back. `random` gives random bytes.
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

    /// The time of the wall clock in seconds. It may have jumped.
    pub fn wall(&self) -> Timestamp {
        Timestamp((self.wall)().as_secs())
    }

    /// The time of the monotonic clock.
    pub fn monotonic(&self) -> Duration {
        (self.monotonic)()
    }

    /// Returns 32 random bytes.
    ///
    /// # Errors
    /// [`NoRandomness`] if the system provides none.
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
