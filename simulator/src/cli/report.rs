//! `regrow report`.

use anyhow::Result;
use regrow_simulator::{report::html, sweep::FinishedSweep};

use super::{args::ReportArgs, ending::Ending, output};

/// Writes the page of a finished sweep.
pub(super) fn report(args: &ReportArgs) -> Result<Ending> {
    let sweep = FinishedSweep::load(&args.folder)?;
    output::write(&args.html, "the page", |file| html::write_sweep(file, &sweep))?;
    Ok(Ending::Passed)
}
