//! The time of one call of a function.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

/// The time for which a function runs before its calls are measured. Caches and clock rates settle
/// in this time.
const WARM_UP: Duration = Duration::from_millis(20);

/// The least time of one batch of calls. The clock's own error is far smaller.
const BATCH: Duration = Duration::from_millis(4);

/// The number of batches. An odd number has a batch in the middle.
const BATCHES: usize = 15;

/// The seconds of one call: the median of several batches, so that a pause of the machine in some of
/// them does not count.
///
/// # Errors
///
/// The first error of the function.
pub(super) fn seconds<T, E>(mut call: impl FnMut() -> Result<T, E>) -> Result<f64, E> {
    let start = Instant::now();
    let mut calls: u32 = 0;
    while start.elapsed() < WARM_UP {
        black_box(call()?);
        calls += 1;
    }
    let per_call = start.elapsed().as_secs_f64() / f64::from(calls.max(1));
    let size = (BATCH.as_secs_f64() / per_call).ceil().clamp(1.0, 1e7) as u32;
    let mut batches = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let start = Instant::now();
        for _ in 0..size {
            black_box(call()?);
        }
        batches.push(start.elapsed().as_secs_f64() / f64::from(size));
    }
    batches.sort_by(f64::total_cmp);
    Ok(batches[BATCHES / 2])
}
