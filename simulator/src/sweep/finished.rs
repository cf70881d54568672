//! Reads the results of a finished sweep from its output folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;

use super::plot_format::PREDICTED_SECONDS;

/// The results that a report shows.
#[derive(Clone, Debug)]
pub struct FinishedSweep {
    /// The content of `manifest.json`.
    pub manifest: Value,
    /// The names of the axes.
    pub axes: Vec<String>,
    /// The rows of `summary.csv`.
    pub summary: Vec<SummaryRow>,
    /// The plots: the name and the SVG of each.
    pub plots: Vec<(String, String)>,
}

/// A row of `summary.csv`.
#[derive(Clone, Debug)]
pub struct SummaryRow {
    /// The labels of the point, one for each axis.
    pub labels: Vec<String>,
    /// The name of the figure.
    pub figure: String,
    /// n, mean, median, 95th percentile, and the ends of the confidence interval. An empty cell is
    /// not set.
    pub numbers: [Option<f64>; 6],
}

/// The part of a manifest that lists the plots.
#[derive(Deserialize)]
struct Listed {
    sweep: ListedSweep,
}

#[derive(Deserialize)]
struct ListedSweep {
    #[serde(default)]
    plots: Vec<ListedPlot>,
}

#[derive(Deserialize)]
struct ListedPlot {
    name: String,
    #[serde(default)]
    x: Option<String>,
}

impl ListedPlot {
    /// True if the plot exists only after a sweep with a calibration.
    fn needs_times(&self) -> bool {
        self.x.as_deref() == Some(PREDICTED_SECONDS)
    }
}

/// A file of the folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}; run `regrow sweep` with this folder to its end", path.display())]
pub struct FinishedError {
    path: PathBuf,
    error: io::Error,
}

impl FinishedSweep {
    /// Reads the results of a sweep.
    ///
    /// # Errors
    ///
    /// [`FinishedError`] if the folder has no results of a finished sweep.
    pub fn load(folder: &Path) -> Result<Self, FinishedError> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).map_err(|error| FinishedError { path, error })
        };
        let wrong = |name: &str, error: io::Error| FinishedError { path: folder.join(name), error };
        let text = read(MANIFEST)?;
        let manifest: Value = serde_json::from_str(&text).map_err(|error| wrong(MANIFEST, error.into()))?;
        let listed: Listed = serde_json::from_str(&text).map_err(|error| wrong(MANIFEST, error.into()))?;
        let (axes, summary) = summary(&read(SUMMARY)?).map_err(|error| wrong(SUMMARY, error))?;
        let plots = listed.sweep.plots.into_iter().filter(|plot| is_name(&plot.name));
        let mut pictures = Vec::new();
        for plot in plots {
            let file = format!("{}/{}.svg", if plot.needs_times() { "times" } else { "plots" }, plot.name);
            if !plot.needs_times() || folder.join(&file).exists() {
                pictures.push((plot.name, read(&file)?));
            }
        }
        Ok(Self { manifest, axes, summary, plots: pictures })
    }
}

const MANIFEST: &str = "manifest.json";
const SUMMARY: &str = "summary.csv";

/// A name of a plot leads to no other folder.
fn is_name(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

fn summary(text: &str) -> io::Result<(Vec<String>, Vec<SummaryRow>)> {
    let mut table = csv::Reader::from_reader(text.as_bytes());
    let columns: Vec<String> = table.headers()?.iter().map(str::to_owned).collect();
    let unknown = || io::Error::new(io::ErrorKind::InvalidData, "these are not the columns of a summary");
    let axes = columns.iter().position(|column| column == "figure").ok_or_else(unknown)?;
    if columns.len() != axes + 7 {
        return Err(unknown());
    }
    let mut rows = Vec::new();
    for row in table.records() {
        let row = row?;
        let cell = |index: usize| row.get(index).unwrap_or_default();
        rows.push(SummaryRow {
            labels: (0..axes).map(|axis| cell(axis).to_owned()).collect(),
            figure: cell(axes).to_owned(),
            numbers: std::array::from_fn(|number| cell(axes + 1 + number).parse().ok()),
        });
    }
    Ok((columns[..axes].to_vec(), rows))
}
