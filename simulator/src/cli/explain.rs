//! `regrow explain`.

use std::io::Write as _;

use anyhow::Result;
use regrow_simulator::{
    explain::{Explanation, Question, explain as explain_run, text},
    report::{RunOutcome, Transcript, result::Status},
    scenario::{CompromiseId, MessageId},
};
use serde::Serialize;

use super::{args::ExplainArgs, ending::Ending, files, output, runner::Runner};

/// The output for programs.
#[derive(Serialize)]
struct JsonLine<'a> {
    file: String,
    #[serde(flatten)]
    explanation: &'a Explanation,
}

/// Runs one file, and explains its failures, or how a thief reads a message.
pub(super) fn explain(args: &ExplainArgs, runner: Runner) -> Result<Ending> {
    let Some(scenario) = files::usable(&args.file) else { return Ok(Ending::Unusable) };
    let question = Question {
        message: args.message.as_deref().map(MessageId::new),
        thief: args.compromise.as_deref().map(CompromiseId::new),
    };
    let explanation = explain_run(&scenario, &question, args.seed, &|options| {
        let outcome = RunOutcome::of(|| runner(&scenario, options, &mut Transcript::new(&scenario.name, false)));
        if scenario.run.strict { outcome.into_strict() } else { outcome }
    });
    let explanation = match explanation {
        Ok(explanation) => explanation,
        Err(error) => {
            output::complain(&format!("{}: {error}\n", args.file.display()));
            return Ok(Ending::Unusable);
        }
    };
    let mut out = output::stdout();
    if args.json {
        let line = JsonLine { file: args.file.display().to_string(), explanation: &explanation };
        serde_json::to_writer(&mut out, &line)?;
        writeln!(out)?;
    } else {
        text::write(&mut out, &args.file, &explanation)?;
    }
    out.flush()?;
    Ok(match explanation.status {
        Status::Passed => Ending::Passed,
        _ => Ending::Failed,
    })
}
