//! `regrow new`.

use std::{
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use regrow_simulator::starters::{self, STARTERS};

use super::{args::NewArgs, ending::Ending, output};

/// Lists the starters, or writes one of them to a new file.
pub(super) fn new(args: &NewArgs) -> Result<Ending> {
    let mut out = output::stdout();
    let Some(name) = &args.name else {
        let width = STARTERS.iter().map(|starter| starter.name.len()).max().unwrap_or(0);
        for starter in STARTERS {
            writeln!(out, "{:width$}  {}", starter.name, starter.question)?;
        }
        writeln!(out, "\nTo write one of them to a file: regrow new {}", STARTERS[0].name)?;
        out.flush()?;
        return Ok(Ending::Passed);
    };
    let starter = starters::find(name)?;
    let own_name = || PathBuf::from(format!("{}.jsonc", starter.name));
    let file = match &args.file {
        Some(folder) if folder.is_dir() => folder.join(own_name()),
        Some(file) => file.clone(),
        None => own_name(),
    };
    if file.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") {
        bail!("a starter is JSON with comments: name a file that ends with .jsonc or .json");
    }
    write_new(&file, starter.text)?;
    writeln!(out, "{} is written. Run it: regrow run {0}", file.display())?;
    out.flush()?;
    Ok(Ending::Passed)
}

/// Writes a file that does not exist yet. Nobody sees a part of it.
fn write_new(file: &Path, text: &str) -> Result<()> {
    let folder = file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let unusable = || format!("cannot write {}: name a file in a folder that exists and is yours", file.display());
    let mut written = builder().tempfile_in(folder).with_context(unusable)?;
    written.write_all(text.as_bytes()).and_then(|()| written.flush()).with_context(unusable)?;
    match written.persist_noclobber(file) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} exists already: name another file, or remove it", file.display())
        }
        Err(error) => Err(error.error).with_context(unusable),
    }
}

/// Makes temporary files that have the permissions of an ordinary new file.
fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};
        // The system takes away the bits that the user does not want.
        builder.permissions(Permissions::from_mode(0o666));
    }
    builder
}
