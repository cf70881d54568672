//! The times that the database takes to answer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Receives the time of each exchange with the database, and its kind: `begin`, `read` or `commit`.
type Observer = dyn Fn(&'static str, Duration) + Send + Sync;

/// The receiver of the times, if there is one.
#[derive(Clone, Default)]
pub(super) struct Latency(Option<Arc<Observer>>);

impl Latency {
    pub(super) fn to(observer: impl Fn(&'static str, Duration) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(observer)))
    }

    /// Makes an exchange, and reports its time.
    pub(super) fn measure<T>(&self, kind: &'static str, exchange: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let answer = exchange();
        if let Some(observer) = &self.0 {
            observer(kind, begun.elapsed());
        }
        answer
    }
}
