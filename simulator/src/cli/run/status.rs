//! The text of the status line: ended files, the run that takes longest, and the memory.

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use super::supervisor::Running;
use crate::cli::files::LoadedFile;

/// The time after which the status line shows the steps of a run.
const PATIENCE: Duration = Duration::from_secs(1);

/// The progress of all files.
pub(super) fn text(files: &[Arc<LoadedFile>], ended: usize, running: &BTreeMap<usize, Running>) -> String {
    let mut text = format!("{ended} of {} done", files.len());
    let longest = running.iter().max_by_key(|(_, run)| run.started.elapsed());
    if let Some((index, run)) = longest
        && run.started.elapsed() >= PATIENCE
        && let Some(file) = files.get(*index)
    {
        text += &format!("; {}: {}", file.file.display(), of_a_run(run));
    }
    if let Some(megabytes) = memory() {
        text += &format!("; {megabytes} MB");
    }
    text
}

/// The progress of one run: its step, its epochs, and the time that the other steps may take.
fn of_a_run(run: &Running) -> String {
    let (progress, elapsed) = (&run.progress, run.started.elapsed());
    let (step, epochs) = (progress.steps(), progress.epochs());
    let Some(all) = progress.all_steps() else { return format!("step {step}, {epochs} epochs") };
    let mut text = format!("step {step} of {all}, {epochs} epochs");
    // The present step has not ended.
    if let Some(done) = step.checked_sub(1).filter(|done| *done > 0) {
        let left = elapsed.as_secs_f64() / done as f64 * all.saturating_sub(done) as f64;
        text += &format!(", about {} left", told(Duration::from_secs_f64(left)));
    }
    text
}

fn told(time: Duration) -> String {
    match time.as_secs() {
        0..=1 => "1 s".to_owned(),
        seconds @ 2..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

/// The memory of this process, in megabytes, on systems that tell it in `/proc`.
fn memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes / 1024)
}
