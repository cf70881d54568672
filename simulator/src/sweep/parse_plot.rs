//! Reads the plots of a sweep file, and checks them against its axes and its figures.

use super::{
    figures::{self, Quantity},
    format::Axis,
    parse::list,
    plot_format::{CostAxis, PREDICTED_SECONDS, PlotKind, PlotSpec},
};
use crate::{
    report::costs,
    scenario::fields::{At, Fields, FileReader, shown, unknown},
};

/// The largest number of plots of a sweep.
const MAX_PLOTS: usize = 100;

/// The length of the longest name of a plot. A file system has room for it.
const MAX_NAME: usize = 100;

const FIELDS: &[&str] = &["name", "kind", "x", "y", "series", "label", "log", "only", "x_label", "y_label"];
const KINDS: &[&str] = &["line", "epochs", "distribution", "bytes", "frontier"];

/// The largest number of panels of a frontier.
const MAX_PANELS: usize = 3;

const LOGS: &[&str] = &["x", "y", "xy"];

/// The columns of `epochs.csv` that are no numbers to plot.
const TEXT_COLUMNS: &[&str] = &["scenario", "seed", "kind", "who"];

/// Reads all plots. A plot that cannot be read is noted and left out.
pub(super) fn plots<'a>(reader: &mut FileReader<'a>, at: &At<'a>, axes: &[Axis], thefts: bool) -> Vec<PlotSpec> {
    let mut plots: Vec<PlotSpec> = Vec::new();
    for element in list(reader, at, "plots", MAX_PLOTS).unwrap_or_default() {
        let Some(fields) = reader.object(element.clone(), FIELDS) else { continue };
        let Some(plot) = (PlotReader { reader, fields: &fields, axes, thefts }).plot() else { continue };
        if plots.iter().any(|other| other.name == plot.name) {
            reader.note(&element, format!("two plots have the name `{}`", plot.name));
        }
        plots.push(plot);
    }
    plots
}

struct PlotReader<'r, 'a> {
    reader: &'r mut FileReader<'a>,
    fields: &'r Fields<'a>,
    axes: &'r [Axis],
    /// True if the sweep has random thefts.
    thefts: bool,
}

impl<'a> PlotReader<'_, 'a> {
    fn plot(&mut self) -> Option<PlotSpec> {
        let name = self.name();
        let kind = self.kind();
        let series = self.optional_axis("series");
        let (log_x, log_y) = self.log()?;
        let only = self.only()?;
        let label = |reader: &mut FileReader<'a>, at: Option<At<'a>>| at.and_then(|at| reader.line(&at));
        let x_label = label(self.reader, self.fields.get("x_label"));
        let y_label = label(self.reader, self.fields.get("y_label"));
        let plot = PlotSpec { name: name?, kind: kind?, series: series?, log_x, log_y, only, x_label, y_label };
        self.check_axes(&plot);
        Some(plot)
    }

    /// The name of the plot, which is also the name of its file.
    fn name(&mut self) -> Option<String> {
        let at = self.fields.required(self.reader, "name")?;
        let name = self.reader.line(&at)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if name.len() > MAX_NAME || !name.chars().all(fits) {
            let told = format!("a plot's name has at most {MAX_NAME} characters: letters, digits, `_` and `-`");
            self.reader.note(&at, told);
            return None;
        }
        Some(name)
    }

    fn kind(&mut self) -> Option<PlotKind> {
        let at = self.fields.required(self.reader, "kind")?;
        let kind = self.reader.text(&at)?;
        let used: &[&str] = match kind.as_str() {
            "line" => &["x", "y", "series"],
            "epochs" => &["y", "series"],
            "distribution" => &["x", "series"],
            "bytes" => &["x"],
            "frontier" => &["x", "y", "series", "label"],
            other => {
                self.reader.note(&at, unknown("kind of plot", other, KINDS));
                return None;
            }
        };
        for field in ["x", "y", "series", "label"].iter().filter(|field| !used.contains(field)) {
            if let Some(at) = self.fields.get(field) {
                self.reader.note(&at, format!("a plot of the kind `{kind}` has no `{field}`"));
            }
        }
        match kind.as_str() {
            "line" => {
                let (x, y) = (self.grid_axis("x", true), self.quantity("y"));
                Some(PlotKind::Line { x: x?, y: y? })
            }
            "epochs" => Some(PlotKind::Epochs { y: self.entry_column("y")? }),
            "distribution" => Some(PlotKind::Distribution { x: self.entry_column("x")? }),
            "bytes" => Some(PlotKind::Bytes { x: self.grid_axis("x", false)? }),
            _ => {
                let (x, y, label) = (self.cost(), self.panels(), self.optional_axis("label"));
                Some(PlotKind::Frontier { x: x?, y: y?, label: label? })
            }
        }
    }

    /// A required axis of the grid by its name.
    fn grid_axis(&mut self, field: &str, numeric: bool) -> Option<usize> {
        let at = self.fields.required(self.reader, field)?;
        let name = self.reader.text(&at)?;
        let index = self.axis(&at, &name)?;
        if numeric && !self.axes[index].is_numeric() {
            self.reader.note(&at, format!("the axis `{name}` has values that are no numbers"));
            return None;
        }
        Some(index)
    }

    /// An axis of the grid by its name, if the field exists. `None` after a problem.
    fn optional_axis(&mut self, field: &str) -> Option<Option<usize>> {
        let Some(at) = self.fields.get(field) else { return Some(None) };
        let name = self.reader.text(&at)?;
        self.axis(&at, &name).map(Some)
    }

    fn axis(&mut self, at: &At<'a>, name: &str) -> Option<usize> {
        let index = self.axes.iter().position(|axis| axis.name == name);
        if index.is_none() {
            let names: Vec<_> = self.axes.iter().map(|axis| axis.name.as_str()).collect();
            self.reader.note(at, unknown("axis", name, &names));
        }
        index
    }

    /// The cost of a frontier: a figure, or predicted seconds.
    fn cost(&mut self) -> Option<CostAxis> {
        let at = self.fields.required(self.reader, "x")?;
        match at.json.text() {
            Some(Ok(text)) if text == PREDICTED_SECONDS => Some(CostAxis::PredictedSeconds),
            _ => self.quantity_at(&at).map(CostAxis::Figure),
        }
    }

    /// The vertical figures of a frontier: one, or a list with one for each panel.
    fn panels(&mut self) -> Option<Vec<Quantity>> {
        let at = self.fields.required(self.reader, "y")?;
        if at.elements().is_none() {
            return Some(vec![self.quantity_at(&at)?]);
        }
        if let Some(label) = self.fields.get("y_label") {
            self.reader.note(&label, "a plot with panels has no `y_label`, because each panel has its own figure");
        }
        let elements = list(self.reader, &at, "y", MAX_PANELS)?;
        elements.iter().map(|element| self.quantity_at(element)).collect()
    }

    /// A figure of the runs, or a quotient such as `commit_bytes/commits`.
    fn quantity(&mut self, field: &str) -> Option<Quantity> {
        let at = self.fields.required(self.reader, field)?;
        self.quantity_at(&at)
    }

    fn quantity_at(&mut self, at: &At<'a>) -> Option<Quantity> {
        let text = self.reader.text(at)?;
        let names = figures::names();
        let mut find = |name: &str| {
            let index = names.iter().position(|known| known == name);
            if index.is_none() {
                let known: Vec<_> = names.iter().map(String::as_str).collect();
                self.reader.note(at, unknown("figure", name, &known));
            }
            index
        };
        let quantity = match text.split_once('/') {
            None => Quantity { figure: find(&text)?, per: None },
            Some((figure, per)) => Quantity { figure: find(figure)?, per: Some(find(per)?) },
        };
        if figures::needs_thefts(quantity.figure) && !self.thefts {
            self.reader.note(at, format!("only a sweep with `thefts` has the figure `{}`", shown(&text)));
            return None;
        }
        Some(quantity)
    }

    /// A column of `epochs.csv` with numbers.
    fn entry_column(&mut self, field: &str) -> Option<String> {
        let at = self.fields.required(self.reader, field)?;
        let name = self.reader.text(&at)?;
        let columns = costs::columns();
        let known: Vec<_> =
            columns.iter().map(String::as_str).filter(|column| !TEXT_COLUMNS.contains(column)).collect();
        if !known.contains(&name.as_str()) {
            self.reader.note(&at, unknown("column", &name, &known));
            return None;
        }
        Some(name)
    }

    fn log(&mut self) -> Option<(bool, bool)> {
        let Some(at) = self.fields.get("log") else { return Some((false, false)) };
        let text = self.reader.text(&at)?;
        if !LOGS.contains(&text.as_str()) {
            self.reader.note(&at, unknown("value", &text, LOGS));
            return None;
        }
        Some((text.contains('x'), text.contains('y')))
    }

    /// The values to which the plot restricts axes.
    fn only(&mut self) -> Option<Vec<Option<usize>>> {
        let mut only = vec![None; self.axes.len()];
        let Some(at) = self.fields.get("only") else { return Some(only) };
        for (name, key, value) in self.reader.any_object(at)?.iter() {
            let Some(axis) = self.axis(&key, name) else { continue };
            let label = match value.json.number() {
                Some(number) => number.to_string(),
                None => match self.reader.text(&value) {
                    Some(label) => label,
                    None => continue,
                },
            };
            only[axis] = self.axes[axis].find(&label);
            if only[axis].is_none() {
                let labels: Vec<_> = self.axes[axis].values.iter().map(|value| value.label.as_str()).collect();
                self.reader.note(&value, unknown("value", &label, &labels));
            }
        }
        Some(only)
    }

    /// A plot must not mix the values of an axis that it does not show.
    fn check_axes(&mut self, plot: &PlotSpec) {
        if matches!(plot.kind, PlotKind::Frontier { .. }) {
            return;
        }
        for (index, axis) in self.axes.iter().enumerate() {
            let is_shown = plot.kind.grid_axis() == Some(index) || plot.series == Some(index);
            if !is_shown && plot.only[index].is_none() && axis.values.len() > 1 {
                let name = &axis.name;
                let told =
                    format!("the plot would mix the values of the axis `{name}`; name it in `series` or in `only`");
                self.reader.note(self.fields.at(), told);
            }
        }
    }
}
