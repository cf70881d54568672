//! `regrow report`.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use regrow_simulator::{report::html, sweep::FinishedSweep};

use super::{args::ReportArgs, ending::Ending, output};

/// Writes the page of a finished sweep.
pub(super) fn report(args: &ReportArgs) -> Result<Ending> {
    let sweep = FinishedSweep::load(&args.folder)?;
    let mut page = output::create(&args.html)?;
    html::write_sweep(&mut page, &sweep).and_then(|()| page.flush()).context("cannot write the page")?;
    Ok(Ending::Passed)
}
