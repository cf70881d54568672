//! `regrow trace`.

use std::io::Write as _;

use anyhow::Result;
use regrow_simulator::{report::trace_stats, trace};

use super::{args::TraceStatsArgs, ending::Ending, output};

/// Prints the figures of a trace.
pub(super) fn stats(args: &TraceStatsArgs) -> Result<Ending> {
    let stats = match trace::open(&args.file).and_then(trace::stats) {
        Ok(stats) => stats,
        Err(error) => {
            output::complain(&format!("{error}\n"));
            return Ok(Ending::Unusable);
        }
    };
    let mut out = output::stdout();
    if args.json {
        serde_json::to_writer(&mut out, &stats)?;
        writeln!(out)?;
    } else {
        trace_stats::write(&mut out, &stats)?;
    }
    out.flush()?;
    Ok(Ending::Passed)
}
