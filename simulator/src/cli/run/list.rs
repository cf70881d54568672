//! `regrow run --list`: the scenarios that would run.

use std::io::Write;

use anyhow::Result;
use regrow_simulator::report::json;

use super::selection;
use crate::cli::{args::RunArgs, ending::Ending, output};

/// Lists the chosen files, and runs none of them.
pub(super) fn list(out: &mut dyn Write, args: &RunArgs) -> Result<Ending> {
    let files = selection::load(args)?;
    let mut ending = Ending::Passed;
    let width = files.iter().map(|loaded| loaded.file.display().to_string().chars().count()).max().unwrap_or(0);
    for loaded in &files {
        let (file, scenario) = (loaded.file.display().to_string(), loaded.scenario.as_ref());
        if let Err(problems) = scenario {
            ending = Ending::Unusable;
            output::complain_about(&loaded.file, problems);
        }
        match (args.json, scenario) {
            (true, scenario) => json::write_listed(out, &loaded.file, scenario.ok())?,
            (false, Ok(scenario)) => {
                let tags = match scenario.run.tags.as_slice() {
                    [] => String::new(),
                    tags => format!(" [{}]", tags.join(", ")),
                };
                writeln!(out, "{file:width$}  {}{tags}", scenario.name)?;
            }
            (false, Err(_)) => writeln!(out, "{file:width$}  (unusable)")?,
        }
    }
    out.flush()?;
    Ok(ending)
}
