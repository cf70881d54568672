//! The room on the store's disk and the open file descriptors: for the metrics, and for a warning before either runs out.
//!
//! Linux and other Unix systems tell both; elsewhere there are no such figures.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{metrics::Metrics, resource_figures::ResourceFigures};

/// The log has a warning below this many free bytes: the write-ahead log alone has up to 64 MB.
const LOW_DISK_BYTES: u64 = 1024 * 1024 * 1024;

/// The log has a warning above this part of the file descriptors, in hundredths.
const MANY_FILES_PERCENT: u64 = 80;

/// The resources of the process that can run out. Clones are the same.
#[derive(Clone)]
pub(crate) struct Resources(Arc<Inner>);

struct Inner {
    directory: PathBuf,
    warned: Mutex<Scarce>,
}

/// The resources of which little is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Scarce {
    disk: bool,
    files: bool,
}

/// Returns the resources of which little is left.
fn scarce(figures: &ResourceFigures) -> Scarce {
    let files = figures.open_files.zip(figures.max_open_files);
    Scarce {
        disk: figures.disk_free_bytes.is_some_and(|bytes| bytes < LOW_DISK_BYTES),
        files: files.is_some_and(|(open, max)| open.saturating_mul(100) > max.saturating_mul(MANY_FILES_PERCENT)),
    }
}

impl Resources {
    /// The resources of a process that has its store in this file.
    pub(crate) fn of(database: &Path) -> Self {
        let directory = database.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new(".")).to_owned();
        Self(Arc::new(Inner { directory, warned: Mutex::default() }))
    }

    /// Puts the figures into the metrics, and warns once when a resource becomes scarce.
    pub(crate) fn watch(&self, metrics: &Metrics) {
        let figures = self.read();
        metrics.resources(figures);
        let scarce = scarce(&figures);
        let mut warned = self.0.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if scarce.disk && !warned.disk {
            let free_bytes = figures.disk_free_bytes;
            tracing::warn!(free_bytes, "the disk of the store is almost full: make room, or move the store");
        }
        if scarce.files && !warned.files {
            let (open, max) = (figures.open_files, figures.max_open_files);
            tracing::warn!(open, max, "almost all file descriptors are in use: raise the limit (LimitNOFILE)");
        }
        *warned = scarce;
    }

    #[cfg(unix)]
    fn read(&self) -> ResourceFigures {
        use rustix::{
            fs::statvfs,
            process::{Resource, getrlimit},
        };
        let disk = statvfs(&self.0.directory).ok();
        // The directory lists the descriptor with which it is read, too.
        let open = std::fs::read_dir("/proc/self/fd").ok().map(|entries| (entries.count() as u64).saturating_sub(1));
        ResourceFigures {
            disk_free_bytes: disk.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
            open_files: open,
            max_open_files: getrlimit(Resource::Nofile).current,
        }
    }

    #[cfg(not(unix))]
    fn read(&self) -> ResourceFigures {
        ResourceFigures::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_room_and_many_files_are_scarce() {
        let figures = |disk, open| ResourceFigures {
            disk_free_bytes: Some(disk),
            open_files: Some(open),
            max_open_files: Some(1_000),
        };
        assert_eq!(scarce(&figures(LOW_DISK_BYTES, 800)), Scarce { disk: false, files: false });
        assert_eq!(scarce(&figures(LOW_DISK_BYTES - 1, 800)), Scarce { disk: true, files: false });
        assert_eq!(scarce(&figures(LOW_DISK_BYTES, 801)), Scarce { disk: false, files: true });
        assert_eq!(scarce(&ResourceFigures::default()), Scarce::default());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn figures_follow_the_process() {
        let files: Vec<_> = (0..50).map(|_| std::fs::File::open("/dev/null").expect("a file")).collect();
        let figures = Resources::of(Path::new("regrow-ds.db")).read();
        assert!(figures.open_files.expect("a figure") >= files.len() as u64);
        assert!(figures.disk_free_bytes.is_some() && figures.max_open_files.is_some());
    }
}
