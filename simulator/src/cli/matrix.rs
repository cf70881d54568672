//! `regrow matrix`.

use std::io::Write as _;

use anyhow::Result;
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
    [&args.csv, &args.svg].into_iter().flatten().try_for_each(|path| output::check(path))?;
    let Some(scenario) = files::usable(&args.file) else { return Ok(Ending::Unusable) };
    let matrix = match world::matrix::of(&scenario, &RunOptions { seed: args.seed, ..RunOptions::default() }) {
        Ok(matrix) => matrix,
        Err(outcome) => {
            output::complain(&terminal::failures(&args.file, &outcome.failures));
            return Ok(Ending::Failed);
        }
    };
    let mut out = output::stdout();
    table::write(&mut out, &matrix, output::has_colours(args.color))?;
    out.flush()?;
    if let Some(path) = &args.csv {
        output::write(path, "the matrix", |file| csv::write(file, &matrix))?;
    }
    if let Some(path) = &args.svg {
        output::write(path, "the picture", |file| svg::write(file, &matrix))?;
    }
    Ok(Ending::Passed)
}
