//! `regrow check`.

use std::io::Write as _;

use anyhow::Result;
use regrow_simulator::report::json;

use super::{args::CheckArgs, ending::Ending, files, output};

/// Checks every file and runs none of them.
pub(super) fn check(args: &CheckArgs) -> Result<Ending> {
    let mut out = output::stdout();
    let mut ending = Ending::Passed;
    let (mut usable, mut unusable) = (0, 0);
    for loaded in files::load_all(&args.paths) {
        let (name, problems) = match &loaded.scenario {
            Ok(scenario) => (Some(scenario.name.as_str()), [].as_slice()),
            Err(problems) => (None, problems.as_slice()),
        };
        if name.is_some() {
            usable += 1;
        } else {
            unusable += 1;
            ending = Ending::Unusable;
        }
        if args.json {
            json::write_check(&mut out, &loaded.file, name, problems)?;
        }
        output::complain_about(&loaded.file, problems);
    }
    if !args.json {
        writeln!(out, "{usable} usable, {unusable} unusable")?;
    }
    out.flush()?;
    Ok(ending)
}
