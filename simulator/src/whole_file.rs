//! Output files that are whole or not there at all.
//!
//! The content goes to an unfinished file in the same folder. [`WholeFile::finish`] flushes it to the
//! disk and gives it its name. Until then, and after an error, an interruption or a crash, the file
//! has its old content. A path that is no regular file, such as `/dev/stdout` or a pipe, gets the
//! content directly.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use tempfile::{NamedTempFile, PersistError};

/// The ending of a file that is not complete.
pub(crate) const UNFINISHED: &str = "tmp";

/// The unfinished files of this process. An end of the process without destructors has to remove
/// them.
static UNFINISHED_FILES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A file that is being written.
#[derive(Debug)]
pub struct WholeFile {
    out: BufWriter<Target>,
}

/// The place to which the content goes.
#[derive(Debug)]
enum Target {
    /// A device or a pipe.
    Direct(File),
    /// An unfinished file beside the file with this path.
    Beside(Unfinished, PathBuf),
}

/// An unfinished file. It is removed when it is dropped.
#[derive(Debug)]
struct Unfinished(NamedTempFile);

impl WholeFile {
    /// Begins a file. The call fails if the file could not be written later.
    ///
    /// # Errors
    ///
    /// Errors of the file system: the folder does not exist, or the file or its folder is read-only.
    pub fn create(path: &Path) -> io::Result<Self> {
        let target = match path.metadata() {
            Ok(metadata) if metadata.is_file() => {
                // A file that cannot be opened for writing must not be replaced either.
                OpenOptions::new().write(true).open(path)?;
                let path = fs::canonicalize(path)?;
                Target::Beside(Unfinished::beside(&path, Some(metadata.permissions()))?, path)
            }
            Ok(_) => Target::Direct(OpenOptions::new().write(true).open(path)?),
            Err(_) => Target::Beside(Unfinished::beside(path, None)?, path.to_owned()),
        };
        Ok(Self { out: BufWriter::new(target) })
    }

    /// Flushes the content to the disk, and gives the file its name.
    ///
    /// # Errors
    ///
    /// Errors of the file system. The file then has its old content.
    pub fn finish(self) -> io::Result<()> {
        match self.out.into_inner().map_err(io::IntoInnerError::into_error)? {
            Target::Direct(mut file) => file.flush(),
            Target::Beside(unfinished, path) => {
                unfinished.flushed(|file| file.persist(&path))?;
                sync_folder(&path)
            }
        }
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Direct(file) => file.write(bytes),
            Self::Beside(unfinished, _) => unfinished.0.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Direct(file) => file.flush(),
            Self::Beside(unfinished, _) => unfinished.0.flush(),
        }
    }
}

impl Unfinished {
    fn beside(path: &Path, permissions: Option<Permissions>) -> io::Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let ending = format!(".{UNFINISHED}");
        let mut builder = tempfile::Builder::new();
        builder.prefix(".regrow-").suffix(&ending);
        // Without a request, only the owner could read the file.
        #[cfg(unix)]
        let for_everyone = <Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666);
        #[cfg(unix)]
        builder.permissions(for_everyone);
        let file = builder.tempfile_in(folder)?;
        if let Some(permissions) = permissions {
            file.as_file().set_permissions(permissions)?;
        }
        unfinished_files(|files| files.push(file.path().to_owned()));
        Ok(Self(file))
    }

    /// Flushes the file to the disk, and gives it its name by a function.
    fn flushed(self, name: impl FnOnce(NamedTempFile) -> Result<File, PersistError>) -> io::Result<()> {
        self.0.as_file().sync_all()?;
        let path = self.0.path().to_owned();
        let Self(file) = self;
        let named = name(file);
        unfinished_files(|files| files.retain(|other| *other != path));
        named.map(drop).map_err(|error| error.error)
    }
}

/// Calls a function with the unfinished files of this process.
fn unfinished_files<T>(call: impl FnOnce(&mut Vec<PathBuf>) -> T) -> T {
    call(&mut UNFINISHED_FILES.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Removes the unfinished files of this process. Only for a process that ends at once.
pub fn remove_unfinished() {
    unfinished_files(|files| files.drain(..).for_each(|file| drop(fs::remove_file(file))));
}

/// Checks that a file could be written, and changes nothing.
///
/// # Errors
///
/// Those of [`WholeFile::create`].
pub fn check(path: &Path) -> io::Result<()> {
    // To open a pipe and close it again would end the reader at its other end.
    match path.metadata() {
        Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => Ok(()),
        _ => WholeFile::create(path).map(drop),
    }
}

/// Writes a file.
///
/// # Errors
///
/// Those of [`WholeFile::create`] and [`WholeFile::finish`].
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = WholeFile::create(path)?;
    file.write_all(content)?;
    file.finish()
}

/// Writes a file that does not exist yet.
///
/// # Errors
///
/// [`AlreadyExists`](io::ErrorKind::AlreadyExists) if there is such a file, and other errors of the
/// file system.
pub fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut unfinished = Unfinished::beside(path, None)?;
    unfinished.0.write_all(content)?;
    unfinished.flushed(|file| file.persist_noclobber(path))?;
    sync_folder(path)
}

/// Flushes the new name of a file to the disk.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Other systems give no access to a folder as a file.
#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn names(folder: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn unfinished_file_changes_nothing() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("old");
        fs::write(&path, "old").unwrap();
        let mut file = WholeFile::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        file.flush().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        drop(file);
        check(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(&folder), ["old"]);
    }

    #[test]
    fn finished_file_has_the_new_content() {
        let folder = TempDir::new().unwrap();
        for name in ["old", "new"] {
            let path = folder.path().join(name);
            if name == "old" {
                fs::write(&path, "a longer content").unwrap();
            }
            write(&path, b"content").unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "content");
        }
        assert_eq!(names(&folder), ["new", "old"]);
    }

    #[test]
    fn new_file_never_replaces_another() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("new");
        write_new(&path, b"one").unwrap();
        assert_eq!(write_new(&path, b"two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        assert_eq!(names(&folder), ["new"]);
    }

    #[test]
    #[cfg(unix)]
    fn link_and_permissions_of_a_file_stay() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};

        let folder = TempDir::new().unwrap();
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        symlink(&path, &link).unwrap();
        write(&link, b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        let fresh = folder.path().join("fresh");
        write(&fresh, b"new").unwrap();
        assert_ne!(fresh.metadata().unwrap().permissions().mode() & 0o044, 0, "others can read it");
    }

    #[test]
    fn missing_folder_is_an_error() {
        let folder = TempDir::new().unwrap();
        assert!(WholeFile::create(&folder.path().join("absent/file")).is_err());
        assert!(WholeFile::create(folder.path()).is_err());
    }
}
