//! The progress of a run, which another thread reads while the run goes on.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::scenario::Place;

/// Counts of a run that has not ended, and its present place.
#[derive(Debug, Default)]
pub struct Progress {
    all_steps: AtomicU64,
    steps: AtomicU64,
    epochs: AtomicU64,
    joined: AtomicU64,
    place: Mutex<Option<Place>>,
    stopped: AtomicBool,
}

impl Progress {
    /// Sets the number of steps that the run will have.
    pub fn set_all_steps(&self, count: u64) {
        self.all_steps.store(count, Ordering::Relaxed);
    }

    /// The number of steps that the run will have, if somebody has counted them.
    pub fn all_steps(&self) -> Option<u64> {
        Some(self.all_steps.load(Ordering::Relaxed)).filter(|count| *count > 0)
    }

    /// The number of steps that have begun.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// The number of commits that the service had ordered after the last finished step.
    pub fn epochs(&self) -> u64 {
        self.epochs.load(Ordering::Relaxed)
    }

    /// The number of devices that have joined by a welcome.
    pub fn joined(&self) -> u64 {
        self.joined.load(Ordering::Relaxed)
    }

    /// The place of the step that began last.
    pub fn place(&self) -> Option<Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks the run to end before its next step, because nobody waits for its result.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub(crate) fn begin_step(&self, place: &Place) {
        self.steps.fetch_add(1, Ordering::Relaxed);
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(place.clone());
    }

    pub(crate) fn end_step(&self, epochs: u64) {
        self.epochs.store(epochs, Ordering::Relaxed);
    }

    pub(crate) fn join(&self) {
        self.joined.fetch_add(1, Ordering::Relaxed);
    }
}
