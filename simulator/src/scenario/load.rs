//! Loads a scenario from a path. Reads only regular files of a reasonable size.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
    sync::Arc,
};

use super::{
    format::Scenario,
    parse,
    problem::{FileProblem, Unusable},
    syntax::{PlainText, Syntax},
};
use crate::trace::History;

/// The size of the largest scenario file, in bytes. It is a thousand times a usual size, and still
/// fast to read.
pub const MAX_FILE_SIZE: u64 = 4 * 1024 * 1024;

/// Reads and checks a scenario file: YAML if its name ends with `.yaml` or `.yml`, otherwise JSON.
///
/// # Errors
///
/// All problems of the file, each with its position.
pub fn load(path: &Path) -> Result<Scenario, Unusable> {
    let unusable = |problems| Unusable { file: path.to_owned(), problems };
    let text = text(path).map_err(|problem| unusable(vec![problem]))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    parse::read_as(Syntax::of(path), &text, &|file| history(folder, file)).map_err(unusable)
}

/// True for a file that is no scenario, such as a `package.json`: it has neither a field `regrow` nor
/// a field `steps`. A file that cannot be read may be a scenario.
#[must_use]
pub fn is_other(path: &Path) -> bool {
    let Ok(text) = text(path) else { return false };
    let Ok(text) = PlainText::of(&text, Syntax::of(path)) else { return false };
    let Ok((_, json)) = text.open() else { return false };
    let fields = json.entries().unwrap_or_default();
    !fields.iter().any(|field| ["regrow", "steps"].contains(&&*field.name))
}

/// Loads the history of a trace by its path from the folder of a scenario, or tells the mistake.
pub(crate) fn history(folder: &Path, file: &str) -> Result<Arc<History>, String> {
    History::load(&folder.join(file)).map(Arc::new).map_err(|error| format!("the trace is unusable: {error}"))
}

/// Reads the text of a regular file of a reasonable size.
pub(crate) fn text(path: &Path) -> Result<String, FileProblem> {
    let whole = |problem| FileProblem { position: None, field: String::new(), problem };
    let unreadable = |error: io::Error| whole(format!("cannot be read: {error}"));
    // The check comes before the opening, because to open a pipe would wait for its other end.
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
    // The file may have grown since the check, or its size may be unknown.
    file.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_SIZE {
        return Err(too_large(format!("more than {MAX_FILE_SIZE}")));
    }
    String::from_utf8(bytes).map_err(|error| parse::not_utf8(&error))
}
