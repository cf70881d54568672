//! Runs the files in parallel, and passes their results on in the order of the files.
//!
//! Each file has a thread of its own, and at most a given number of them run at the same time. A run
//! that exceeds its time, or that an interruption ends, is asked to stop. Nobody waits for its thread,
//! because a single step can take long.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use regrow_simulator::report::progress::Progress;

use super::job::{Done, Job};
use crate::cli::{files::LoadedFile, interrupt};

/// The longest time without a look at the clock, the interruptions and the status line.
const TICK: Duration = Duration::from_millis(50);

/// A file whose run has not ended.
pub(super) struct Running {
    pub(super) started: Instant,
    pub(super) progress: Arc<Progress>,
    limit: Option<Duration>,
}

/// A message to the command that reports.
pub(super) enum Event<'e> {
    /// Time has passed. The number of files that have ended, and the others that run.
    Tick(usize, &'e BTreeMap<usize, Running>),
    /// The result of the next file in order.
    Result(Done),
}

/// The reason for the end of all runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Every file has run.
    AllRun,
    /// The command did not want more results.
    Stopped,
    /// The user interrupted the runs.
    Interrupted,
}

/// Runs the files on at most `jobs` threads at the same time.
pub(super) fn run_all(
    files: &[Arc<LoadedFile>],
    job: &Arc<Job>,
    jobs: usize,
    mut hear: impl FnMut(Event<'_>) -> Result<ControlFlow<()>>,
) -> Result<Ended> {
    let (send, receive) = mpsc::channel();
    let mut running = BTreeMap::new();
    let mut waiting: BTreeMap<usize, Done> = BTreeMap::new();
    let (mut next, mut reported) = (0, 0);
    let ended = loop {
        if interrupt::requested() {
            break Ended::Interrupted;
        }
        while let Some(file) = files.get(next).filter(|_| running.len() < jobs) {
            let progress = Arc::new(Progress::default());
            let limit = job.limit(file);
            running.insert(next, Running { started: Instant::now(), progress: Arc::clone(&progress), limit });
            let (send, file, job) = (send.clone(), Arc::clone(file), Arc::clone(job));
            let index = next;
            let thread = thread::Builder::new().name(format!("file {}", index + 1));
            // The receiver is gone if nobody waits for the result.
            let run = move || drop(send.send((index, job.run(&file, &progress))));
            thread.spawn(run).context("cannot start a thread; run fewer files in parallel with -j")?;
            next += 1;
        }
        if running.is_empty() {
            break Ended::AllRun;
        }
        match receive.recv_timeout(TICK) {
            Ok((index, done)) => {
                // A run that exceeded its time has a result already.
                if running.remove(&index).is_some() {
                    waiting.insert(index, done);
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        end_late(files, job, &mut running, &mut waiting);
        let mut stop = false;
        while let Some(done) = waiting.remove(&reported) {
            reported += 1;
            if hear(Event::Result(done))?.is_break() {
                stop = true;
                break;
            }
        }
        if stop {
            break Ended::Stopped;
        }
        if hear(Event::Tick(reported + waiting.len(), &running))?.is_break() {
            break Ended::Stopped;
        }
    };
    running.values().for_each(|run| run.progress.stop());
    if ended == Ended::Interrupted {
        for (index, done) in receive.try_iter() {
            if running.contains_key(&index) {
                waiting.insert(index, done);
            }
        }
        for done in waiting.into_values() {
            if hear(Event::Result(done))?.is_break() {
                break;
            }
        }
    }
    Ok(ended)
}

/// Gives each run that has exceeded its time a result, and stops it.
fn end_late(
    files: &[Arc<LoadedFile>],
    job: &Job,
    running: &mut BTreeMap<usize, Running>,
    waiting: &mut BTreeMap<usize, Done>,
) {
    let is_late = |run: &Running| run.limit.filter(|limit| run.started.elapsed() >= *limit);
    let late: Vec<_> = running.iter().filter_map(|(index, run)| Some((*index, is_late(run)?))).collect();
    for (index, limit) in late {
        if let (Some(run), Some(file)) = (running.remove(&index), files.get(index)) {
            waiting.insert(index, job.timed_out(file, &run.progress, limit));
            run.progress.stop();
        }
    }
}
