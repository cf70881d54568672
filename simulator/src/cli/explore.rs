//! `regrow explore`.

use std::{
    fs,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use regrow_simulator::{
    explore::{FailedScenario, Plan, SearchControl, Searched, Size, Weights, search},
    report::{Failure, RunOptions, RunOutcome, Transcript, json, terminal},
    scenario::{Scenario, Unusable, write},
    whole_file,
};

use super::{
    args::{ExploreArgs, jobs},
    ending::Ending,
    output,
    runner::Runner,
};

/// The number of scenarios to run if the user sets neither a number nor a time.
const COUNT: u64 = 1000;

/// Searches for a scenario that fails, shrinks it, and writes it to a file.
pub(super) fn explore(args: &ExploreArgs, runner: Runner) -> Result<Ending> {
    let live = !args.json && output::is_live();
    explore_to(&mut output::stdout(), live, args, runner)
}

fn explore_to(out: &mut dyn Write, live: bool, args: &ExploreArgs, runner: Runner) -> Result<Ending> {
    let start = Instant::now();
    let weights = match args.weights.as_deref().map(Weights::load).transpose() {
        Ok(weights) => weights.unwrap_or_default(),
        Err(Unusable { file, problems }) => {
            output::complain_about(&file, &problems);
            return Ok(Ending::Unusable);
        }
    };
    if args.print_weights {
        writeln!(out, "{weights}")?;
        out.flush()?;
        return Ok(Ending::Passed);
    }
    let place = Destination::of(args.out.as_deref())?;
    let count = args.count.unwrap_or(if args.time.is_some() { u64::MAX } else { COUNT });
    let size = Size { members: args.members, steps: args.steps };
    let plan = Plan { seed: args.seed, count, size, weights };
    let run = |scenario: &Scenario| {
        let mut transcript = Transcript::new(&scenario.name, false);
        runner(scenario, &RunOptions::default(), &mut transcript)
    };

    let searched = search(&plan, jobs(args.jobs), &run, |done| {
        if live {
            tell_progress(out, done, count);
        }
        let over = args.time.is_some_and(|time| start.elapsed() >= time);
        if over { SearchControl::Stop } else { SearchControl::GoOn }
    });
    let found = searched.finding.as_ref().map(|finding| {
        if live {
            tell(out, &format!("scenario {} fails; shrinking it", finding.number));
        }
        let shrunk = finding.shrink(&run);
        let failures = RunOutcome::of(|| run(&shrunk.scenario)).failures;
        let text = write(&shrunk.scenario);
        let file = place.write(args.seed, finding.number, &text)?;
        anyhow::Ok(WrittenScenario { finding, scenario: shrunk.scenario, runs: shrunk.runs, failures, file })
    });
    let found = found.transpose()?;
    if live {
        tell(out, "");
    }
    if args.json {
        write_json(out, &plan, &searched, found.as_ref())?;
    } else {
        write_text(out, &searched, found.as_ref(), start)?;
    }
    out.flush()?;
    Ok(if found.is_some() { Ending::Failed } else { Ending::Passed })
}

/// The shrunk scenario, and the file that contains it.
struct WrittenScenario<'s> {
    finding: &'s FailedScenario,
    scenario: Scenario,
    /// The number of runs that shrinking took.
    runs: u32,
    failures: Vec<Failure>,
    file: PathBuf,
}

fn write_text(
    out: &mut dyn Write,
    searched: &Searched,
    found: Option<&WrittenScenario<'_>>,
    start: Instant,
) -> io::Result<()> {
    let seconds = start.elapsed().as_secs_f64();
    let scenarios = searched.scenarios;
    let Some(found) = found else {
        return writeln!(out, "nothing found in {} in {seconds:.1} s", counted(scenarios, "scenario"));
    };
    let (steps, of_steps) = (found.scenario.expanded_len(), found.finding.scenario.expanded_len());
    let (members, of_members) = (found.scenario.members.len(), found.finding.scenario.members.len());
    writeln!(out, "found in scenario {scenarios} in {seconds:.1} s: {}", found.file.display())?;
    writeln!(
        out,
        "    {} of {of_steps} and {} of {of_members} are left after {}",
        counted(steps, "step"),
        counted(members as u64, "member"),
        counted(found.runs.into(), "more run"),
    )?;
    write!(out, "{}", terminal::failures(&found.file, &found.failures))
}

fn write_json(
    out: &mut dyn Write,
    plan: &Plan,
    searched: &Searched,
    found: Option<&WrittenScenario<'_>>,
) -> io::Result<()> {
    let finding = found.map(|found| json::FoundScenario {
        number: found.finding.number,
        file: &found.file,
        scenario: &found.scenario,
        runs: found.runs,
        failures: &found.failures,
    });
    json::write_search(out, plan.seed, searched.scenarios, finding.as_ref())
}

fn counted(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}

fn tell_progress(out: &mut dyn Write, done: u64, count: u64) {
    match count {
        u64::MAX => tell(out, &format!("{} done", counted(done, "scenario"))),
        count => tell(out, &format!("{done} of {} done", counted(count, "scenario"))),
    }
}

/// Replaces the last line of progress. The search continues if the terminal cannot be written to.
fn tell(out: &mut dyn Write, text: &str) {
    let _ = write!(out, "\r\x1b[K{text}").and_then(|()| out.flush());
}

/// The place to which the search writes the scenario that fails.
enum Destination {
    /// This file, which does not exist yet.
    File(PathBuf),
    /// This folder; the name of the file contains the seed and the number of the scenario.
    Folder(PathBuf),
}

impl Destination {
    /// Checks the path before the search starts, so that a wrong path does not waste a search.
    fn of(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::Folder(PathBuf::new())) };
        if path.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        if path.exists() {
            bail!("{} exists already: name another file, or remove it", path.display());
        }
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        if folder.is_some_and(|folder| !folder.is_dir()) {
            bail!("cannot write {}: name a file in a folder that exists", path.display());
        }
        Ok(Self::File(path.to_owned()))
    }

    /// Writes the scenario to a new file, never over an existing one, and returns the file's path.
    fn write(&self, seed: u64, number: u64, text: &str) -> Result<PathBuf> {
        let candidates: Box<dyn Iterator<Item = PathBuf>> = match self {
            Self::File(file) => Box::new(std::iter::once(file.clone())),
            Self::Folder(folder) => Box::new((1_u32..).map(move |turn| {
                let turn = if turn == 1 { String::new() } else { format!("-{turn}") };
                folder.join(format!("explored-{seed}-{number}{turn}.json"))
            })),
        };
        for file in candidates {
            match whole_file::write_new(&file, text.as_bytes()) {
                Ok(()) => return Ok(file),
                // The same search finds the same scenario again.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    if fs::read(&file).is_ok_and(|there| there == text.as_bytes()) {
                        return Ok(file);
                    }
                }
                Err(error) => return Err(error).with_context(|| format!("cannot write {}", file.display())),
            }
        }
        bail!("cannot write the scenario: during the search, a file with its name was created")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use tempfile::TempDir;

    use super::*;
    use crate::cli::args::{Cli, Command};

    /// Fails if the scenario contains an update.
    fn no_updates(scenario: &Scenario, _: &RunOptions, _: &mut Transcript) -> RunOutcome {
        let updates = write(scenario).contains("\"update\": {");
        RunOutcome { failures: updates.then(failure).into_iter().collect(), ..RunOutcome::default() }
    }

    fn failure() -> Failure {
        Failure::new(None, "nobody updates", "somebody did")
    }

    fn explore_in(folder: &TempDir, arguments: &[&str]) -> (Result<Ending>, String) {
        let to = folder.path().join("found.json");
        let mut all = vec!["regrow", "explore"];
        all.extend(arguments);
        if !arguments.contains(&"--out") {
            all.extend(["--out", to.to_str().unwrap()]);
        }
        let Command::Explore(args) = Cli::parse_from(all).command else { panic!("it is explore") };
        let mut out = Vec::new();
        let ending = explore_to(&mut out, false, &args, no_updates);
        (ending, String::from_utf8(out).unwrap())
    }

    #[test]
    fn finding_is_shrunk_written_and_reported() {
        let folder = TempDir::new().unwrap();
        let (ending, out) = explore_in(&folder, &["--seed", "3"]);
        assert_eq!(ending.unwrap(), Ending::Failed);
        let file = folder.path().join("found.json");
        let written = fs::read_to_string(&file).unwrap();
        assert_eq!(written.matches("\n    {").count(), 2, "{written}");
        assert!(out.starts_with("found in scenario "), "{out}");
        assert!(out.contains("2 steps of "), "{out}");
        let told = format!("    {}: at the end\n      expected  nobody updates\n", file.display());
        assert!(out.contains(&told), "{out}");
    }

    #[test]
    fn json_output_is_one_object() {
        let folder = TempDir::new().unwrap();
        let (ending, out) = explore_in(&folder, &["--json", "-j", "2"]);
        assert_eq!(ending.unwrap(), Ending::Failed);
        let line: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(out.lines().count(), 1);
        assert_eq!((&line["seed"], &line["finding"]["steps"]), (&0.into(), &2.into()), "{line}");
        assert_eq!(line["finding"]["failures"][0]["expected"], "nobody updates");
        assert_eq!(line["scenarios"], line["finding"]["number"]);
    }

    #[test]
    fn same_finding_on_any_number_of_threads() {
        let found = |jobs| {
            let folder = TempDir::new().unwrap();
            explore_in(&folder, &["-j", jobs, "--seed", "5"]).0.unwrap();
            fs::read_to_string(folder.path().join("found.json")).unwrap()
        };
        assert_eq!(found("1"), found("4"));
    }

    #[test]
    fn existing_files_in_a_folder_are_not_overwritten() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().to_str().unwrap();
        let (_, first) = explore_in(&folder, &["--out", path]);
        let (_, second) = explore_in(&folder, &["--out", path]);
        let file = |out: &str| out.lines().next().unwrap().rsplit_once(": ").unwrap().1.to_owned();
        assert_eq!(file(&first), file(&second), "the same search writes the same file");
        fs::write(file(&first), "mine").unwrap();
        let (_, third) = explore_in(&folder, &["--out", path]);
        assert!(file(&third).ends_with("-2.json"), "{third}");
        assert_eq!(fs::read_to_string(file(&first)).unwrap(), "mine");
    }

    #[test]
    fn existing_output_file_is_reported_before_the_search() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("found.json"), "mine").unwrap();
        let (ending, out) = explore_in(&folder, &[]);
        assert!(ending.unwrap_err().to_string().contains("exists already"));
        assert_eq!(out, "");
    }
}
