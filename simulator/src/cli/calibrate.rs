//! `regrow calibrate`.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use regrow_simulator::{
    calibration::{Prediction, measure},
    sweep::Program,
};

use super::{args::CalibrateArgs, ending::Ending, output};

/// Measures the crypto operations of this machine, and writes their times.
pub(super) fn calibrate(args: &CalibrateArgs) -> Result<Ending> {
    output::check(&args.out)?;
    let program = Program::current().context("cannot read the file of this program")?;
    let calibration = measure(program)?;
    output::write(&args.out, "the times", |file| {
        serde_json::to_writer_pretty(&mut *file, &calibration)?;
        writeln!(file)
    })?;
    let mut out = output::stdout();
    let count = calibration.providers.iter().map(|provider| provider.ciphersuites.len()).sum::<usize>();
    writeln!(out, "times of {count} ciphersuites in {}", args.out.display())?;
    for Prediction { members, role, predicted_s, measured_s } in &calibration.predictions {
        let (predicted, measured) = (predicted_s * 1e3, measured_s * 1e3);
        let quotient = measured_s / predicted_s;
        writeln!(
            out,
            "{members:>6} members, {role:<9}  measured {measured:9.3} ms, predicted {predicted:9.3} ms: {quotient:5.2}"
        )?;
    }
    out.flush()?;
    Ok(Ending::Passed)
}
