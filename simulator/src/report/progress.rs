//! The progress of a run, which another thread reads while the run goes on.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of a run that has not ended. Several runs can share them.
#[derive(Debug, Default)]
pub struct Progress {
    steps: AtomicU64,
    joined: AtomicU64,
}

impl Progress {
    /// The number of steps that have begun.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// The number of devices that have joined by a welcome.
    pub fn joined(&self) -> u64 {
        self.joined.load(Ordering::Relaxed)
    }

    pub(crate) fn begin_step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn join(&self) {
        self.joined.fetch_add(1, Ordering::Relaxed);
    }
}
