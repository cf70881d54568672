//! `regrow matrix`.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use regrow_simulator::{
    report::{
        RunOptions,
        matrix::{csv, svg, table},
        terminal,
    },
    world,
};

use super::{args::MatrixArgs, ending::Ending, files, output};

/// Runs one file, and shows which messages a thief can read, for each device and each time of
/// theft.
pub(super) fn matrix(args: &MatrixArgs) -> Result<Ending> {
    let mut csv = args.csv.as_deref().map(output::create).transpose()?;
    let mut svg = args.svg.as_deref().map(output::create).transpose()?;
    let loaded = files::one(&args.file);
    let scenario = match loaded.scenario {
        Ok(scenario) => scenario,
        Err(problems) => {
            problems.iter().for_each(|problem| output::complain(&terminal::problem(&loaded.file, problem)));
            return Ok(Ending::Unusable);
        }
    };
    let matrix = match world::matrix::of(&scenario, &RunOptions { seed: args.seed, ..RunOptions::default() }) {
        Ok(matrix) => matrix,
        Err(outcome) => {
            output::complain(&terminal::failures(&loaded.file, &outcome.failures));
            return Ok(Ending::Failed);
        }
    };
    let mut out = output::stdout();
    table::write(&mut out, &matrix, output::abilities().colours)?;
    out.flush()?;
    if let Some(out) = &mut csv {
        csv::write(out, &matrix).and_then(|()| out.flush()).context("cannot write the CSV file")?;
    }
    if let Some(out) = &mut svg {
        svg::write(out, &matrix).and_then(|()| out.flush()).context("cannot write the picture")?;
    }
    Ok(Ending::Passed)
}
