//! Loads the scenarios that the paths of the command line name.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use regrow_simulator::scenario::{FILE_ENDINGS, FileProblem, Scenario, Unusable, is_other, load};

use super::output;

/// Folders that a search skips. `failing` contains scenarios that fail on purpose, and `sweeps`
/// contains scenarios that take long. Their files run only if the command line names the folder.
const PASSED_BY: [&str; 2] = ["failing", "sweeps"];

/// A file, and its scenario or the problems in it.
pub(super) struct LoadedFile {
    pub(super) file: PathBuf,
    pub(super) scenario: Result<Scenario, Vec<FileProblem>>,
}

impl LoadedFile {
    /// The file of the trace that the scenario replays.
    pub(super) fn trace(&self) -> Option<PathBuf> {
        let replay = self.scenario.as_ref().ok()?.trace.as_ref()?;
        Some(self.file.with_file_name(&*replay.file))
    }
}

/// Loads every scenario of these files and folders. The paths keep the order of the command line,
/// the files of a folder are sorted, and each file occurs once.
pub(super) fn load_all(paths: &[PathBuf]) -> Vec<LoadedFile> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for path in paths {
        let mut found = if path.is_dir() { search(path) } else { vec![one(path)] };
        found.retain(|loaded| seen.insert(loaded.file.clone()));
        all.append(&mut found);
    }
    all
}

fn one(file: &Path) -> LoadedFile {
    let scenario = load(file).map_err(|Unusable { problems, .. }| problems);
    LoadedFile { file: file.to_owned(), scenario }
}

/// Loads the scenario of a file. If it is unusable, complains about each of its problems.
pub(super) fn usable(file: &Path) -> Option<Scenario> {
    load(file).map_err(|Unusable { problems, .. }| output::complain_about(file, &problems)).ok()
}

fn search(folder: &Path) -> Vec<LoadedFile> {
    let mut files = BTreeSet::new();
    let mut unusable = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        if let Err(error) = list(&folder, &mut files, &mut folders) {
            unusable.push(unusable_folder(&folder, format!("cannot be searched: {error}")));
        }
    }
    let (others, files): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| is_other(file));
    for file in others {
        let file = file.display();
        output::complain(&format!("{file}: skipped, because it has no field `regrow` and is no scenario\n"));
    }
    if files.is_empty() && unusable.is_empty() {
        let problem = format!(
            "no scenario in this folder: there is no file with a field `regrow` and the ending {} outside of {} (name such \
             a folder to run its files)",
            FILE_ENDINGS.map(|ending| format!("`.{ending}`")).join(", "),
            PASSED_BY.map(|name| format!("`{name}`")).join(" and ")
        );
        unusable.push(unusable_folder(folder, problem));
    }
    let mut found: Vec<_> = files.iter().map(|file| one(file)).chain(unusable).collect();
    found.sort_by(|a, b| a.file.cmp(&b.file));
    found
}

/// The scenario files of these files and folders.
pub(super) fn paths_of(paths: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for path in paths {
        if !path.is_dir() {
            files.insert(path.clone());
            continue;
        }
        let mut folders = vec![path.clone()];
        while let Some(folder) = folders.pop() {
            // A folder that cannot be searched is reported when its files are loaded.
            let _ = list(&folder, &mut files, &mut folders);
        }
    }
    files
}

/// Sorts the entries of a folder into scenario files and folders to search. Ignores links to
/// folders, because they could form a cycle.
fn list(folder: &Path, files: &mut BTreeSet<PathBuf>, folders: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if !PASSED_BY.iter().any(|name| entry.file_name() == OsStr::new(name)) {
                folders.push(path);
            }
        } else if is_scenario(&path) && !is_sweep(&path) && !path.is_dir() {
            files.insert(path);
        }
    }
    Ok(())
}

/// True for a scenario file by the ending of its name.
fn is_scenario(path: &Path) -> bool {
    path.extension().is_some_and(|ending| FILE_ENDINGS.iter().any(|known| ending == OsStr::new(known)))
}

/// True for a sweep file by its name. `regrow sweep` runs it.
fn is_sweep(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".sweep.json"))
}

fn unusable_folder(folder: &Path, problem: String) -> LoadedFile {
    let problem = FileProblem { position: None, field: String::new(), problem };
    LoadedFile { file: folder.to_owned(), scenario: Err(vec![problem]) }
}
