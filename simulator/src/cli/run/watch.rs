//! Waits until a scenario file changes, appears or disappears.
//!
//! It compares the times and sizes of the files again and again. That works on every file system, also
//! in containers and over the network, where events of the file system often do not arrive.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};

use crate::cli::{files, interrupt};

/// The time between two looks at the files.
const INTERVAL: Duration = Duration::from_millis(200);

/// The state of all files at one time.
#[derive(PartialEq, Eq)]
pub(super) struct Seen(BTreeMap<PathBuf, Option<(SystemTime, u64)>>);

impl Seen {
    /// The present state of the scenario files of these paths, and of the traces that they replay.
    pub(super) fn now(paths: &[PathBuf], traces: &[PathBuf]) -> Self {
        let state = |path: &Path| {
            let metadata = path.metadata().ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        let files = files::paths_of(paths).into_iter().chain(traces.iter().cloned());
        Self(files.map(|path| (path.clone(), state(&path))).collect())
    }

    /// Waits for another state. False if an interruption came first.
    pub(super) fn wait_for_change(self, paths: &[PathBuf], traces: &[PathBuf]) -> bool {
        while !interrupt::requested() {
            if Self::now(paths, traces) != self {
                return true;
            }
            thread::sleep(INTERVAL);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn change_and_new_file_are_seen() {
        let folder = TempDir::new().unwrap();
        let (file, trace) = (folder.path().join("a.json"), folder.path().join("trace.csv"));
        fs::write(&file, "{}").unwrap();
        fs::write(&trace, "").unwrap();
        let (paths, traces) = ([folder.path().to_owned()], [trace.clone()]);
        let before = Seen::now(&paths, &traces);
        assert!(before == Seen::now(&paths, &traces));
        fs::write(&file, "{ }").unwrap();
        let after = Seen::now(&paths, &traces);
        assert!(before != after);
        fs::write(&trace, "time").unwrap();
        let with_trace = Seen::now(&paths, &traces);
        assert!(after != with_trace);
        fs::write(folder.path().join("b.json"), "{}").unwrap();
        assert!(with_trace.wait_for_change(&paths, &traces));
    }
}
