//! `regrow run`.
//!
//! | module | content |
//! | --- | --- |
//! | `supervisor` | runs the files in parallel: order, time limits, interruptions |
//! | `job` | runs one file |
//! | `outputs` | the output files |
//! | `reporter` | the results on standard output |
//! | `status` | the text of the status line |
//! | `selection` | the files that the options choose |
//! | `list` | the list of these files |
//! | `watch` | waits for a change of a file |

mod job;
mod list;
mod outputs;
mod reporter;
mod selection;
mod status;
mod supervisor;
mod watch;

use std::{
    io::Write,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use regrow_simulator::{
    report::{RunOptions, result::Status, titles::Titles},
    world,
};

use self::{
    job::Job,
    outputs::Outputs,
    reporter::Reporter,
    supervisor::{Ended, Event},
    watch::Seen,
};
use super::{
    args::{RunArgs, jobs},
    ending::Ending,
    files::LoadedFile,
    interrupt,
    output::{self, StatusLine},
    runner::Runner,
};

/// The time between two texts of the status line. A faster one would flicker.
const STATUS_INTERVAL: Duration = Duration::from_millis(200);

/// Runs every file, and reports the results in the order of the files.
pub(super) fn run(args: &RunArgs, runner: Runner) -> Result<Ending> {
    let mut out = output::stdout();
    if args.list {
        return list::list(&mut out, args);
    }
    if let Some(address) = &args.service {
        world::check_service(address)?;
    }
    interrupt::catch().context("cannot catch interruptions")?;
    loop {
        let outputs = Outputs::begin(args)?;
        let files = selection::load(args)?;
        let traces: Vec<_> = files.iter().filter_map(|file| file.trace()).collect();
        let seen = args.watch.then(|| Seen::now(&args.paths, &traces));
        let ending = run_once(&mut out, args, runner, outputs, &files)?;
        let Some(seen) = seen.filter(|_| ending != Ending::Interrupted) else { return Ok(ending) };
        output::complain("waiting for a change of a file; Ctrl-C ends\n");
        if !seen.wait_for_change(&args.paths, &traces) {
            return Ok(Ending::Interrupted);
        }
    }
}

/// Runs the files once.
fn run_once(
    out: &mut dyn Write,
    args: &RunArgs,
    runner: Runner,
    outputs: Outputs,
    files: &[Arc<LoadedFile>],
) -> Result<Ending> {
    let start = Instant::now();
    let names = files.iter().filter_map(|loaded| Some(loaded.scenario.as_ref().ok()?.name.as_str()));
    let titles = Titles::of(names);
    let mut outputs = outputs.open(args, &titles);
    let mut report = Reporter::begin(args, out, &titles)?;
    let mut status = StatusLine::new();
    let job = Arc::new(Job {
        runner,
        options: RunOptions {
            seed: args.seed,
            service: args.service.clone(),
            costs: args.costs.is_some() || args.html.is_some(),
            record: args.html.is_some(),
            ..RunOptions::default()
        },
        keep_lines: args.transcript.is_some(),
        is_strict: args.strict,
        timeout: args.timeout,
        is_watched: status.is_live(),
    });

    let (mut ending, mut reported) = (Ending::Passed, 0);
    let mut shown: Option<Instant> = None;
    let ended = supervisor::run_all(files, &job, jobs(args.jobs), |event| {
        match event {
            Event::Tick(ended, running) => {
                if shown.is_none_or(|shown| shown.elapsed() >= STATUS_INTERVAL) {
                    status.show(|| status::text(files, ended, running));
                    shown = Some(Instant::now());
                }
            }
            Event::Result(done) => {
                status.clear();
                shown = None;
                let result = done.result.status();
                report.result(&done.result)?;
                outputs.add(done)?;
                ending = ending.max(of_status(result));
                reported += 1;
                if args.fail_fast && result != Status::Passed {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    status.clear();
    if ended == Ended::Interrupted {
        output::complain("interrupted; the output files get the results so far\n");
    }
    report.end(start.elapsed(), files.len() - reported)?;
    outputs.finish()?;
    Ok(if ended == Ended::Interrupted { Ending::Interrupted } else { ending })
}

fn of_status(status: Status) -> Ending {
    match status {
        Status::Passed => Ending::Passed,
        Status::Failed => Ending::Failed,
        Status::Unusable => Ending::Unusable,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser as _;
    use regrow_simulator::{
        report::{RunOutcome, Transcript},
        scenario::Scenario,
    };
    use tempfile::TempDir;

    use super::*;
    use crate::cli::args::{Cli, Command};

    /// Panics after the last step of one scenario.
    fn panics(scenario: &Scenario, options: &RunOptions, transcript: &mut Transcript) -> RunOutcome {
        let outcome = world::run(scenario, options, transcript);
        assert_ne!(scenario.name, "panics", "a test panics");
        outcome
    }

    #[test]
    fn panic_is_a_failure_of_its_scenario_with_its_place() {
        let folder = TempDir::new().unwrap();
        for name in ["a", "panics", "z"] {
            let text = format!(
                r#"{{"regrow": 1, "name": "{name}", "members": ["a", "b"], "steps": [
                {{"create": {{"by": "a", "with": "b"}}}},
                {{"expect": {{"converged": true}}}}]}}"#
            );
            fs::write(folder.path().join(format!("{name}.json")), text).unwrap();
        }
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (junit, transcript) = (path("r.xml"), path("t.jsonl"));
        let arguments = ["regrow", "run", &path(""), "--junit", &junit, "--transcript", &transcript, "-j", "2"];
        let Command::Run(args) = Cli::parse_from(arguments).command else { panic!("it is run") };
        let mut out = Vec::new();
        let files = selection::load(&args).unwrap();
        let ending = run_once(&mut out, &args, panics, Outputs::begin(&args).unwrap(), &files).unwrap();
        assert_eq!(ending, Ending::Failed);
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("panics.json:3: step 2\n      expected  the run comes to an end\n"), "{out}");
        assert!(out.contains("a bug in regrow: ") && out.contains("a test panics"), "{out}");
        assert!(out.contains("\n2 passed, 1 failed, 0 unusable in "), "{out}");
        let junit = fs::read_to_string(junit).unwrap();
        assert!(junit.contains(r#"failures="0" errors="1""#) && junit.contains(r#"<error type="bug""#), "{junit}");
        assert!(fs::read_to_string(transcript).unwrap().contains(r#""scenario":"z""#));
    }
}
