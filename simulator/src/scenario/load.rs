//! From a path to a scenario. Nothing is read that is not a file of a reasonable size.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use super::{
    format::Scenario,
    parse,
    problem::{Problem, Unusable},
};

/// The largest scenario file, in bytes: a thousand times a usual one, and read in a blink.
pub const MAX_FILE_SIZE: u64 = 4 * 1024 * 1024;

/// Reads and checks a scenario file.
///
/// # Errors
///
/// Everything that is wrong with the file, each with its place.
pub fn load(path: &Path) -> Result<Scenario, Unusable> {
    let unusable = |problems| Unusable { file: path.to_owned(), problems };
    let text = text(path).map_err(|problem| unusable(vec![problem]))?;
    parse::read(&text).map_err(unusable)
}

/// The text of a file, if it is one of a reasonable size.
pub(crate) fn text(path: &Path) -> Result<String, Problem> {
    let whole = |problem| Problem { position: None, field: String::new(), problem };
    let unreadable = |error: io::Error| whole(format!("cannot be read: {error}"));
    // Looked at before it is opened: to open a pipe would wait for its other end.
    let metadata = path.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(whole("is not a file".to_owned()));
    }
    let too_large =
        |size: String| whole(format!("is too large: {size} bytes, and a scenario has at most {MAX_FILE_SIZE}"));
    if metadata.len() > MAX_FILE_SIZE {
        return Err(too_large(metadata.len().to_string()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    // It may have grown since, or never have told its size.
    file.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_SIZE {
        return Err(too_large(format!("more than {MAX_FILE_SIZE}")));
    }
    String::from_utf8(bytes).map_err(|error| parse::not_utf8(&error))
}
