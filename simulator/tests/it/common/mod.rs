//! Runs scenarios through the library: they are written as JSON, read, and run.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

pub mod program;

use std::{
    fs,
    path::{Path, PathBuf},
};

use regrow_simulator::{
    report::{CompromiseFigures, Failure, RunOptions, RunOutcome, Transcript},
    scenario::{Action, FILE_ENDINGS, Scenario, Step, load, read},
    world,
};
use serde_json::{Value, json};

/// The folder of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The result of a run.
#[derive(Debug)]
pub struct Run {
    pub outcome: RunOutcome,
    pub hash: String,
    pub events: Vec<Value>,
}

impl Run {
    pub fn passed(&self) -> bool {
        self.outcome.failures.is_empty()
    }

    #[track_caller]
    pub fn assert_passed(&self, what: &str) {
        assert!(self.passed(), "{what}:\n{}", told(&self.outcome.failures));
    }

    /// The figures of the only compromise.
    #[track_caller]
    pub fn thief(&self) -> &CompromiseFigures {
        let [thief] = self.outcome.figures.compromises.as_slice() else { panic!("not one compromise") };
        thief
    }

    pub fn events(&self, name: &str) -> impl Iterator<Item = &Value> {
        self.events.iter().filter(move |event| event["event"] == name)
    }

    pub fn count(&self, name: &str) -> usize {
        self.events(name).count()
    }
}

/// Failures in the form for a person.
pub fn told(failures: &[Failure]) -> String {
    let one = |failure: &Failure| {
        let place = failure.place.as_ref().map_or("at the end".to_owned(), ToString::to_string);
        let Failure { expected, seen, events, .. } = failure;
        format!("{place}: expected that {expected}; {seen}\n    {}", events.join("\n    "))
    };
    failures.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// A scenario with settings for its group. If somebody may join by external commit, and the
/// settings do not say otherwise, commits come with group infos.
#[track_caller]
pub fn scenario_with(mut group: Value, members: &[&str], steps: &[Value]) -> Scenario {
    let joins = ["\"join\"", "\"rejoin\""].iter().any(|word| steps.iter().any(|step| step.to_string().contains(word)));
    if joins && group["publish_group_info"].is_null() {
        group["publish_group_info"] = json!(true);
    }
    let text = json!({ "regrow": 1, "name": "a test", "group": group, "members": members, "steps": steps }).to_string();
    read(&text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
}

#[track_caller]
pub fn scenario(members: &[&str], steps: &[Value]) -> Scenario {
    scenario_with(json!({}), members, steps)
}

pub fn run(scenario: &Scenario) -> Run {
    run_with(scenario, RunOptions::default())
}

pub fn run_with_seed(scenario: &Scenario, seed: u64) -> Run {
    run_with(scenario, RunOptions { seed: Some(seed), ..RunOptions::default() })
}

fn run_with(scenario: &Scenario, options: RunOptions) -> Run {
    let mut transcript = Transcript::new(&scenario.name, true);
    let outcome = world::run(scenario, &options, &mut transcript);
    let recorded = transcript.finish().unwrap();
    let events = recorded.lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let events = events.map(|line| serde_json::from_slice(line).unwrap()).collect();
    Run { outcome, hash: recorded.hash, events }
}

/// Runs a scenario in a thread pool of its own with this number of threads.
pub fn run_on_threads(threads: usize, scenario: &Scenario) -> Run {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| run(scenario))
}

/// The scenario files in a folder below `scenarios`, with their contents.
pub fn published(folder: &str) -> Vec<(PathBuf, Scenario)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios").join(folder);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        let is_scenario = path.extension().is_some_and(|ending| FILE_ENDINGS.contains(&&*ending.to_string_lossy()));
        is_scenario && !path.to_string_lossy().ends_with(".sweep.json")
    });
    files.sort();
    files.into_iter().map(|path| (path.clone(), load(&path).unwrap())).collect()
}

/// Plays every scenario file in a folder below `scenarios`, of which there are at least `least`.
///
/// Each passes with its own seed and with another one, has the same transcript on several threads,
/// and says in a sentence why a product cares.
#[track_caller]
pub fn assert_published_pass(folder: &str, least: usize) -> Vec<(PathBuf, Run)> {
    let files = published(folder);
    assert!(files.len() >= least, "{} files in {folder}", files.len());
    let mut runs = Vec::new();
    for (path, scenario) in files {
        let first = run(&scenario);
        first.assert_passed(&stem(&path));
        assert_eq!(run_on_threads(4, &scenario).hash, first.hash, "{path:?}");
        run_with_seed(&scenario, 77).assert_passed(&stem(&path));
        let about = scenario.about.as_deref().unwrap_or_default();
        assert!(about.ends_with('.') && about.contains(' '), "{path:?}: {about:?}");
        runs.push((path, first));
    }
    runs
}

/// The actions of a step, without their places.
pub fn actions(step: Step) -> Vec<Action> {
    match step {
        Step::Do(action) => vec![action],
        Step::Race(contenders) => contenders.into_iter().map(|contender| contender.item).collect(),
    }
}

/// The last part of a path, without its extension.
pub fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}
