//! The free disk space of the store and the open file descriptors: for the metrics, and for a
//! warning before either runs out.
//!
//! Unix systems report the disk space and the limit of descriptors. Systems with `/proc/self/fd`,
//! such as Linux, also report the open descriptors. Other systems report no figures.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{metrics::Metrics, resource_figures::ResourceFigures};

/// The free bytes below which the server logs a warning. The write-ahead log alone takes up to 64
/// MB.
const LOW_DISK_BYTES: u64 = 1024 * 1024 * 1024;

/// The part of the file descriptors, in percent, above which the server logs a warning.
const MANY_FILES_PERCENT: u64 = 80;

/// The limited resources of the process. Clones share them.
#[derive(Clone)]
pub(crate) struct Resources(Arc<SharedResources>);

struct SharedResources {
    /// The directory of the store's file. `None` for a store in a database.
    directory: Option<PathBuf>,
    warned: Mutex<Scarce>,
}

/// The resources that are almost used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Scarce {
    disk: bool,
    files: bool,
}

/// Returns the resources that are almost used up.
fn scarce(figures: &ResourceFigures) -> Scarce {
    let files = figures.open_files.zip(figures.max_open_files);
    Scarce {
        disk: figures.disk_free_bytes.is_some_and(|bytes| bytes < LOW_DISK_BYTES),
        files: files.is_some_and(|(open, max)| open.saturating_mul(100) > max.saturating_mul(MANY_FILES_PERCENT)),
    }
}

impl Resources {
    /// Returns the resources of a process that has its store in that file, if it is in a file.
    pub(crate) fn of(file: Option<&Path>) -> Self {
        let directory = file.map(|file| {
            let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
            directory.unwrap_or(Path::new(".")).to_owned()
        });
        Self(Arc::new(SharedResources { directory, warned: Mutex::default() }))
    }

    /// Puts the figures into the metrics, and logs one warning when a resource becomes scarce.
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
        let disk = self.0.directory.as_ref().and_then(|directory| statvfs(directory).ok());
        // The directory also lists the descriptor that reads it.
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
    fn low_disk_space_and_many_open_files_are_scarce() {
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
    fn figures_describe_this_process() {
        let files: Vec<_> = (0..50).map(|_| std::fs::File::open("/dev/null").expect("a file")).collect();
        let figures = Resources::of(Some(Path::new("regrow-ds.db"))).read();
        assert!(figures.open_files.expect("a figure") >= files.len() as u64);
        assert!(figures.disk_free_bytes.is_some() && figures.max_open_files.is_some());
    }
}
