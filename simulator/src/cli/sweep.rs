//! `regrow sweep`.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use regrow_simulator::{
    calibration::{self, Calibration},
    report::plot,
    scenario::Unusable,
    sweep::{
        self, Difference, EntrySample, Execution, Manifest, Plan, Program, Progress, RunStore, tables, times::Times,
    },
};

use super::{
    args::{SweepArgs, jobs},
    ending::Ending,
    output::{self, StatusLine},
    runner::Runner,
};

/// The longest estimated time for which a sweep starts without `--yes`.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Does the missing runs of a sweep, and writes its tables and plots.
pub(super) fn sweep(args: &SweepArgs, runner: Runner) -> Result<Ending> {
    let started = SystemTime::now();
    let sweep = match sweep::load(&args.file) {
        Ok(sweep) => sweep,
        Err(unusable) => return Ok(refuse(&unusable)),
    };
    let plan = match Plan::of(&sweep, &args.file) {
        Ok(plan) => plan,
        Err(unusable) => return Ok(refuse(&unusable)),
    };
    let runner = |scenario: &_, options: &_, transcript: &mut _| runner(scenario, options, transcript);
    if let Some(count) = args.check {
        return compare(&plan, count as usize, &runner);
    }
    let calibration = calibration(args)?;
    let program = Program::current().context("cannot read the file of this program")?;
    let store = RunStore::open(&folder(args))?;
    let jobs = jobs(args.jobs);

    let mut execution = Execution::prepare(&plan, &program, &store, &runner);
    let runs = plan.points.len() * sweep.seeds.len();
    let reused = runs - execution.missing();
    let known = if reused > 0 { format!(", {reused} of them finished before") } else { String::new() };
    let (points, seeds) = (plan.points.len(), sweep.seeds.len());
    say(&format!("{}: {points} points with {seeds} seeds are {runs} runs{known}\n", sweep.name));
    if execution.missing() > 0 {
        let estimate = execution.estimate(jobs)?;
        let left = execution.missing();
        say(&format!("{left} runs left, about {} with -j {jobs}\n", told(estimate)));
        if estimate > LONGEST && !args.yes {
            let path = args.file.display();
            output::complain(&format!(
                "regrow: this sweep takes about {}, which is more than an hour; start it with `regrow sweep {path} --yes`\n",
                told(estimate)
            ));
            return Ok(Ending::Unusable);
        }
        let mut status = StatusLine::new();
        let done = execution.execute_all(jobs, |Progress { done, all, left }| {
            status.show(|| format!("{done} of {all} runs, about {} left", told(left)));
        });
        status.clear();
        done?;
    }
    let manifest = Manifest::of(&sweep, &shown(&args.file), program.clone(), std::env::args().collect(), started);
    let predictions = calibration.as_ref().map(|calibration| calibration.predictions.clone()).unwrap_or_default();
    let results = Results { plan: &plan, program: &program, store: &store, calibration: calibration.as_ref() };
    let failed = results.write(Manifest { runs, reused, predictions, ..manifest })?;
    let mut out = output::stdout();
    writeln!(out, "{runs} runs, {failed} failed; results in {}", store.folder().display())?;
    if let Some((least, most)) = calibration.as_ref().and_then(Calibration::quotients) {
        let what = "times.csv has the time of the cryptography; on the calibrated machine, real operations took";
        writeln!(out, "{what} {least:.2} to {most:.2} times as long")?;
    }
    out.flush()?;
    Ok(if failed > 0 { Ending::Failed } else { Ending::Passed })
}

/// Compares real devices with the cost model in random runs.
fn compare(plan: &Plan<'_>, count: usize, runner: sweep::Runner<'_>) -> Result<Ending> {
    let differences = sweep::check(plan, count, runner)?;
    let mut out = output::stdout();
    for Difference { run, told } in &differences {
        writeln!(out, "{run}: {told}")?;
    }
    let compared = count.min(plan.runs().count());
    writeln!(out, "{compared} runs compared, {} differ", differences.len())?;
    out.flush()?;
    Ok(if differences.is_empty() { Ending::Passed } else { Ending::Failed })
}

/// The calibration that the user named, or the one in the current folder, if there is one.
fn calibration(args: &SweepArgs) -> Result<Option<Calibration>> {
    let found = Path::new(calibration::DEFAULT_FILE);
    let path = args.calibration.as_deref().or_else(|| found.exists().then_some(found));
    Ok(path.map(Calibration::load).transpose()?)
}

/// The finished runs of a sweep, whose results are written.
struct Results<'r> {
    plan: &'r Plan<'r>,
    program: &'r Program,
    store: &'r RunStore,
    calibration: Option<&'r Calibration>,
}

impl Results<'_> {
    /// Writes all output files. Returns the number of runs that failed.
    fn write(&self, manifest: Manifest) -> Result<usize> {
        let Self { plan, program, store, calibration } = *self;
        let mut all = tables::Tables::begin(plan)?;
        let mut sample = tables::Sample::of(plan);
        let mut entries = EntrySample::of(plan);
        let mut times = calibration.map(|calibration| Times::begin(plan, calibration)).transpose()?;
        let mut failed = 0;
        for run in plan.runs() {
            let record = store.get(&plan.key(run, program)).context("a finished run is gone; start the sweep again")?;
            failed += usize::from(record.failure.is_some());
            all.push(run, &record)?;
            sample.push(run, &record);
            entries.push(run, &record);
            if let Some(times) = &mut times {
                times.push(run, &record)?;
            }
        }
        let (runs, epochs) = all.finish()?;
        store.write("runs.csv", &runs)?;
        store.write("epochs.csv", &epochs)?;
        store.write("summary.csv", &tables::summary(plan, &sample)?)?;
        let times = times.map(Times::finish).transpose()?;
        if let Some((table, _)) = &times {
            store.write("times.csv", table)?;
        }
        let seconds = times.as_ref().map(|(_, seconds)| seconds);
        for spec in &plan.sweep.plots {
            let needs_times = spec.kind.needs_times();
            if needs_times && seconds.is_none() {
                let name = &spec.name;
                say(&format!(
                    "the plot `{name}` needs the times of this machine; run `regrow calibrate`, and sweep again\n"
                ));
                continue;
            }
            let picture = plot::draw(spec, plan, &sample, &entries, seconds);
            // The folder `plots` has the same bytes on every machine.
            let folder = if needs_times { "times" } else { "plots" };
            store.write(&format!("{folder}/{}.svg", spec.name), picture.as_bytes())?;
        }
        let manifest = Manifest { failed, finished: sweep::utc(SystemTime::now()), ..manifest };
        store.write("manifest.json", &manifest.text()?)?;
        Ok(failed)
    }
}

/// The output folder: the folder that the user named, or the name of the sweep file without its
/// endings, in the current folder.
fn folder(args: &SweepArgs) -> PathBuf {
    args.out.clone().unwrap_or_else(|| {
        let name = args.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let stem = name.split('.').next().unwrap_or_default();
        PathBuf::from(format!("{stem}-results"))
    })
}

fn refuse(unusable: &Unusable) -> Ending {
    output::complain_about(&unusable.file, &unusable.problems);
    Ending::Unusable
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Writes a note on standard error, which keeps standard output for the result.
fn say(text: &str) {
    output::complain(text);
}

/// A duration for a person.
fn told(time: Duration) -> String {
    match time.as_secs() {
        0..=1 => "a second".to_owned(),
        seconds @ 2..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds => format!("{}.{} h", seconds / 3600, seconds % 3600 / 360),
    }
}
