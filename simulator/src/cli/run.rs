//! `regrow run`.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use regrow_simulator::{
    report::{
        FileOutcome, Focus, RunOptions, RunOutcome, RunResult, Transcript,
        costs::CostTable,
        html::RunPage,
        json, junit,
        progress::Progress,
        result::Status,
        terminal::{self, Terminal},
    },
    scenario::Scenario,
};

use super::{
    args::{RunArgs, jobs},
    ending::Ending,
    files::{self, LoadedFile},
    output::{self, StatusLine},
    runner::Runner,
};

/// A result and, if the user wants them, the lines of its transcript.
struct Done {
    result: RunResult,
    lines: Vec<u8>,
}

/// Runs every file, and reports the results in the order of the files.
pub(super) fn run(args: &RunArgs, runner: Runner) -> Result<Ending> {
    let start = Instant::now();
    let mut transcript = args.transcript.as_deref().map(output::create).transpose()?;
    let mut junit = args.junit.as_deref().map(output::create).transpose()?;
    let mut costs = args.costs.as_deref().map(begin_costs).transpose()?;
    let mut html = args.html.as_deref().map(output::create).transpose()?.map(|file| (file, RunPage::new()));

    let loaded = files::load_all(&args.paths);
    let mut out = output::stdout();
    let mut report = Reporter::begin(args, &mut out, &loaded)?;
    let progress = Arc::new(Progress::default());
    let job = Job {
        runner,
        options: RunOptions {
            seed: args.seed,
            service: args.service.clone(),
            costs: costs.is_some() || html.is_some(),
            record: html.is_some(),
            focus: Focus::default(),
            progress: progress.clone(),
        },
        keep_lines: transcript.is_some(),
    };
    let mut status = StatusLine::new();

    let mut results = Vec::with_capacity(loaded.len());
    report.progress(0, loaded.len())?;
    side_by_side(jobs(args.jobs), &loaded, &job, |event| {
        match event {
            RunProgress::Wait => status.show(|| status_text(&loaded, &progress, start.elapsed())),
            RunProgress::Count(done) => report.progress(done, loaded.len())?,
            RunProgress::Next(done) => {
                let Done { mut result, lines } = *done;
                status.clear();
                report.result(&result)?;
                if let Some(transcript) = &mut transcript {
                    transcript.write_all(&lines).context("cannot write the transcript")?;
                }
                if let Some(costs) = &mut costs {
                    write_costs(costs, &result).context(COSTS_ERROR)?;
                }
                if let Some((_, page)) = &mut html {
                    page.add(&result);
                }
                drop_details(&mut result);
                results.push(result);
            }
        }
        Ok(())
    })?;
    report.end(start.elapsed())?;

    if let Some(transcript) = &mut transcript {
        transcript.flush().context("cannot write the transcript")?;
    }
    if let Some(junit) = &mut junit {
        junit::write(junit, &results).and_then(|()| junit.flush()).context("cannot write the JUnit file")?;
    }
    if let Some(costs) = &mut costs {
        costs.flush().context(COSTS_ERROR)?;
    }
    if let Some((mut file, page)) = html {
        page.write(&mut file).and_then(|()| file.flush()).context("cannot write the page")?;
    }
    Ok(results.iter().map(|result| ending(result.status())).max().unwrap_or_default())
}

/// The context of an error while the costs are written.
const COSTS_ERROR: &str = "cannot write the costs";

fn begin_costs(path: &Path) -> Result<CostTable<BufWriter<File>>> {
    CostTable::begin(output::create(path)?).context(COSTS_ERROR)
}

fn write_costs(costs: &mut CostTable<impl Write>, result: &RunResult) -> io::Result<()> {
    let FileOutcome::Ran { name, seed, outcome, .. } = &result.outcome else { return Ok(()) };
    costs.write(name, *seed, &outcome.costs)
}

/// Drops the parts of a result that have been written, because those of a long run are large.
fn drop_details(result: &mut RunResult) {
    if let FileOutcome::Ran { outcome, .. } = &mut result.outcome {
        (outcome.costs, outcome.record) = (Vec::new(), None);
    }
}

fn ending(status: Status) -> Ending {
    match status {
        Status::Passed => Ending::Passed,
        Status::Failed => Ending::Failed,
        Status::Unusable => Ending::Unusable,
    }
}

/// Reports results on standard output, and unusable files on standard error.
enum Reporter<'w> {
    Json(&'w mut dyn Write),
    Terminal(Terminal<'w>),
}

impl<'w> Reporter<'w> {
    fn begin(args: &RunArgs, out: &'w mut dyn Write, loaded: &[LoadedFile]) -> io::Result<Self> {
        if args.json {
            return Ok(Self::Json(out));
        }
        let names = loaded.iter().filter_map(|loaded| Some(loaded.scenario.as_ref().ok()?.name.as_str()));
        Terminal::begin(out, output::abilities(), names).map(Self::Terminal)
    }

    fn progress(&mut self, done: usize, all: usize) -> io::Result<()> {
        match self {
            Self::Json(_) => Ok(()),
            Self::Terminal(terminal) => terminal.progress(done, all),
        }
    }

    fn result(&mut self, result: &RunResult) -> io::Result<()> {
        match self {
            Self::Json(out) => json::write_result(*out, result)?,
            Self::Terminal(terminal) => terminal.result(result)?,
        }
        if let FileOutcome::Unusable(problems) = &result.outcome {
            for problem in problems {
                output::complain(&terminal::problem(&result.file, problem));
            }
        }
        Ok(())
    }

    fn end(self, duration: Duration) -> io::Result<()> {
        match self {
            Self::Json(out) => out.flush(),
            Self::Terminal(terminal) => terminal.end(duration),
        }
    }
}

/// The settings with which each file runs.
struct Job {
    runner: Runner,
    options: RunOptions,
    keep_lines: bool,
}

impl Job {
    fn run(&self, loaded: &LoadedFile) -> Done {
        let start = Instant::now();
        let (outcome, lines) = match &loaded.scenario {
            Err(problems) => (FileOutcome::Unusable(problems.clone()), Vec::new()),
            Ok(scenario) => self.run_scenario(scenario),
        };
        Done { result: RunResult { file: loaded.file.clone(), outcome, duration: start.elapsed() }, lines }
    }

    fn run_scenario(&self, scenario: &Scenario) -> (FileOutcome, Vec<u8>) {
        let mut transcript = Transcript::new(&scenario.name, self.keep_lines);
        let mut outcome = RunOutcome::of(|| (self.runner)(scenario, &self.options, &mut transcript));
        let (hash, lines) = match transcript.finish() {
            Ok(recorded) => (recorded.hash, recorded.lines),
            Err(error) => {
                outcome
                    .failures
                    .append(&mut RunOutcome::of_bug("the transcript is written", &error.to_string()).failures);
                (String::new(), Vec::new())
            }
        };
        let seed = self.options.seed_of(scenario);
        let (name, outcome) = (scenario.name.clone(), Box::new(outcome));
        (FileOutcome::Ran { name, seed, outcome, transcript: hash }, lines)
    }
}

/// The progress of all files together.
fn status_text(loaded: &[LoadedFile], progress: &Progress, time: Duration) -> String {
    let scenarios = loaded.iter().filter_map(|loaded| loaded.scenario.as_ref().ok());
    let steps: usize = scenarios.map(|scenario| scenario.expand().count()).sum();
    let (step, joined) = (progress.steps(), progress.joined());
    format!("step {step} of {steps}, {joined} members joined, {} s", time.as_secs())
}

/// The time without a result after which the status line shows the progress.
const PATIENCE: Duration = Duration::from_secs(1);

/// A message from the threads that run files to the thread that reports.
enum RunProgress {
    /// No file has ended for a while.
    Wait,
    /// The number of files that have ended, in any order.
    Count(usize),
    /// The result of the next file in order.
    Next(Box<Done>),
}

/// Runs the files on `jobs` threads, and passes their results to `hear` in order.
fn side_by_side(
    jobs: usize,
    loaded: &[LoadedFile],
    job: &Job,
    mut hear: impl FnMut(RunProgress) -> Result<()>,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (send, receive) = mpsc::channel();
        for _ in 0..jobs.min(loaded.len()) {
            let (send, next) = (send.clone(), &next);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(file) = loaded.get(index) else { break };
                    // The receiver is gone after a write error; start no further file.
                    if send.send((index, job.run(file))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let mut waiting = BTreeMap::new();
        let (mut ended, mut reported) = (0, 0);
        loop {
            let (index, done) = match receive.recv_timeout(PATIENCE) {
                Ok(next) => next,
                Err(RecvTimeoutError::Timeout) => {
                    hear(RunProgress::Wait)?;
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            waiting.insert(index, done);
            ended += 1;
            while let Some(done) = waiting.remove(&reported) {
                hear(RunProgress::Next(Box::new(done)))?;
                reported += 1;
            }
            hear(RunProgress::Count(ended))?;
        }
    })
}
