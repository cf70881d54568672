//! The files that the options of the command line choose.

use std::sync::Arc;

use anyhow::{Result, bail};

use crate::cli::{
    args::RunArgs,
    files::{self, LoadedFile},
};

/// Loads the files of the paths, and keeps those that the options choose. An unusable file stays,
/// because nobody knows its name and its
/// tags.
pub(super) fn load(args: &RunArgs) -> Result<Vec<Arc<LoadedFile>>> {
    let mut files = files::load_all(&args.paths);
    let all = files.len();
    files.retain(|loaded| is_chosen(loaded, args));
    if files.is_empty() && all > 0 {
        bail!("none of the {all} scenarios is chosen; `regrow run --list` shows their names, files and tags");
    }
    Ok(files.into_iter().map(Arc::new).collect())
}

fn is_chosen(loaded: &LoadedFile, args: &RunArgs) -> bool {
    let Ok(scenario) = &loaded.scenario else { return true };
    let (name, path) = (scenario.name.to_lowercase(), loaded.file.display().to_string().to_lowercase());
    let matches = |text: &String| name.contains(&text.to_lowercase()) || path.contains(&text.to_lowercase());
    let filtered = args.filter.is_empty() || args.filter.iter().any(matches);
    filtered && (args.tag.is_empty() || args.tag.iter().any(|tag| scenario.run.tags.contains(tag)))
}
