//! The output files of a run. Each of them is whole, or has its old content.

use std::{
    io::{self, Write},
    path::Path,
    time::SystemTime,
};

use anyhow::{Context as _, Result};
use regrow_simulator::{
    report::{FileOutcome, RunResult, costs::CostTable, html::RunPage, junit, titles::Titles},
    whole_file::WholeFile,
};

use super::job::Done;
use crate::cli::{args::RunArgs, output};

/// The output files that the user wants.
pub(super) struct Outputs {
    transcript: Option<WholeFile>,
    junit: Option<WholeFile>,
    costs: Option<CostTable<WholeFile>>,
    html: Option<WholeFile>,
}

/// The output files while the results arrive.
pub(super) struct OpenOutputs<'a> {
    files: Outputs,
    args: &'a RunArgs,
    page: RunPage,
    started: SystemTime,
    /// The results without their details, because those of a long run are large.
    results: Vec<RunResult>,
}

impl Outputs {
    /// Begins the files, so that an unusable path fails before any run.
    pub(super) fn begin(args: &RunArgs) -> Result<Self> {
        let create = |path: &Option<_>| path.as_deref().map(output::create).transpose();
        let costs = create(&args.costs)?.map(CostTable::begin).transpose();
        Ok(Self {
            transcript: create(&args.transcript)?,
            junit: create(&args.junit)?,
            costs: costs.with_context(|| cannot_write("the costs", args.costs.as_deref()))?,
            html: create(&args.html)?,
        })
    }

    /// Takes results from now on.
    pub(super) fn open<'a>(self, args: &'a RunArgs, titles: &Titles) -> OpenOutputs<'a> {
        let page = RunPage::new(titles.clone());
        OpenOutputs { files: self, args, page, started: SystemTime::now(), results: Vec::new() }
    }
}

impl OpenOutputs<'_> {
    /// Adds a result to each file.
    pub(super) fn add(&mut self, done: Done) -> Result<()> {
        let Done { mut result, lines } = done;
        if let Some(transcript) = &mut self.files.transcript {
            let path = self.args.transcript.as_deref();
            transcript.write_all(&lines).with_context(|| cannot_write("the transcript", path))?;
        }
        if let Some(costs) = &mut self.files.costs {
            let path = self.args.costs.as_deref();
            write_costs(costs, &result).with_context(|| cannot_write("the costs", path))?;
        }
        if self.files.html.is_some() {
            self.page.add(&result);
        }
        if let FileOutcome::Ran { outcome, .. } = &mut result.outcome {
            (outcome.costs, outcome.record) = (Vec::new(), None);
        }
        self.results.push(result);
        Ok(())
    }

    /// Completes the files.
    pub(super) fn finish(self) -> Result<()> {
        let Self { files, args, page, started, results } = self;
        if let Some(transcript) = files.transcript {
            transcript.finish().with_context(|| cannot_write("the transcript", args.transcript.as_deref()))?;
        }
        if let Some(mut file) = files.junit {
            junit::write(&mut file, &results, started)
                .and_then(|()| file.finish())
                .with_context(|| cannot_write("the JUnit file", args.junit.as_deref()))?;
        }
        if let Some(costs) = files.costs {
            costs
                .finish()
                .and_then(WholeFile::finish)
                .with_context(|| cannot_write("the costs", args.costs.as_deref()))?;
        }
        if let Some(mut file) = files.html {
            page.write(&mut file)
                .and_then(|()| file.finish())
                .with_context(|| cannot_write("the page", args.html.as_deref()))?;
        }
        Ok(())
    }
}

fn cannot_write(what: &str, path: Option<&Path>) -> String {
    format!("cannot write {what} to {}", path.unwrap_or(Path::new("a file")).display())
}

fn write_costs(costs: &mut CostTable<impl Write>, result: &RunResult) -> io::Result<()> {
    let FileOutcome::Ran { name, seed, outcome, .. } = &result.outcome else { return Ok(()) };
    costs.write(&result.file, name, *seed, &outcome.costs)
}
