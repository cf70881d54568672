//! `regrow-ds check`.

use std::io::{self, Write as _};

use super::{
    ending::{Ending, OrStop as _, Stopped},
    settings::{DatabaseArgs, open_store, stopped_by_store},
};

/// The maximum number of printed findings. More findings mean a damaged disk, and the rest does not
/// help.
const PRINTED: usize = 100;

#[derive(clap::Args, Debug)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Checks the store and prints the findings.
pub(super) fn check(args: &CheckArgs) -> Result<Ending, Stopped> {
    let config = args.database.load()?;
    let mut store = open_store(&config)?;
    let findings = store.check().map_err(|error| stopped_by_store(&config, error))?;
    let mut out = io::stdout().lock();
    let mut print = || {
        for finding in findings.iter().take(PRINTED) {
            writeln!(out, "{finding}")?;
        }
        match findings.len() {
            0 => writeln!(out, "nothing found"),
            1 => writeln!(out, "1 finding"),
            many => writeln!(out, "{many} findings"),
        }
    };
    print().or_stop(Ending::Failed)?;
    Ok(if findings.is_empty() { Ending::Well } else { Ending::Found })
}
