//! The plots of a sweep as SVG, in the width of a column of a paper with two columns.
//!
//! | module | content |
//! | --- | --- |
//! | this one | from the plot of a sweep file to the data that a plot shows |
//! | `lines` | lines of means with confidence intervals, and distributions |
//! | `bytes` | stacked bytes by kind |
//! | `frontier` | figures against a cost, with labelled points |
//! | `frame` | legend, axes, ticks and labels |
//! | `canvas` | the elements of SVG |
//! | `scale` | linear and logarithmic scales, and round ticks |
//! | `style` | sizes, colours, markers and dashes |
//!
//! The same sweep gives the same bytes.

mod bytes;
mod canvas;
mod frame;
mod frontier;
mod lines;
mod scale;
mod style;

use std::collections::BTreeMap;

use self::{
    bytes::Bar,
    frontier::FrontierPoint,
    lines::{Axes, Distribution, Line},
};
use crate::sweep::{
    CostAxis, EntrySample, Plan, PlotKind, PlotSpec, Quantity, figures, statistics::Statistics, tables::Sample,
    times::PredictedSeconds,
};

/// The figures that a bar of bytes needs: commits, their update paths, and the other kinds.
const COMMIT: &str = "commit_bytes";
const UPDATE_PATH: &str = "update_path_bytes";
const OTHERS: [&str; 3] = ["proposal_bytes", "welcome_bytes", "group_info_bytes"];

/// Draws one plot of a sweep. `seconds` are the predicted times of its runs, if there is a
/// calibration.
#[must_use]
pub fn draw(
    spec: &PlotSpec,
    plan: &Plan<'_>,
    sample: &Sample,
    entries: &EntrySample,
    seconds: Option<&PredictedSeconds>,
) -> String {
    Drawing { spec, plan, sample, entries, seconds }.draw()
}

struct Drawing<'d> {
    spec: &'d PlotSpec,
    plan: &'d Plan<'d>,
    sample: &'d Sample,
    entries: &'d EntrySample,
    seconds: Option<&'d PredictedSeconds>,
}

impl Drawing<'_> {
    fn draw(&self) -> String {
        match &self.spec.kind {
            PlotKind::Line { x, y } => {
                let line = |(name, points): (String, Vec<usize>)| Line { name, points: self.means(*x, *y, &points) };
                let lines: Vec<_> = self.series().into_iter().map(line).collect();
                lines::means(&self.axes(self.axis_label(*x), quantity_label(*y)), &lines, true)
            }
            PlotKind::Epochs { y } => {
                let line = |(name, points): (String, Vec<usize>)| Line { name, points: self.epochs(y, &points) };
                let lines: Vec<_> = self.series().into_iter().map(line).collect();
                lines::means(&self.axes("epoch".to_owned(), column_label(y)), &lines, false)
            }
            PlotKind::Distribution { x } => {
                let one = |(name, points): (String, Vec<usize>)| Distribution { name, values: self.values(x, &points) };
                let all: Vec<_> = self.series().into_iter().map(one).collect();
                lines::distributions(&self.axes(column_label(x), "share of the entries".to_owned()), &all)
            }
            PlotKind::Bytes { x } => {
                let bars: Vec<_> = self.points().filter_map(|point| self.bar(*x, point)).collect();
                bytes::draw(&self.axes(self.axis_label(*x), "uploaded (bytes)".to_owned()), &bars)
            }
            PlotKind::Frontier { x, y, label } => {
                let panel = |y: &Quantity| frontier::Panel {
                    label: self.spec.y_label.clone().unwrap_or_else(|| quantity_label(*y)),
                    points: self.frontier(*x, *y, *label),
                };
                let panels: Vec<_> = y.iter().map(panel).collect();
                frontier::draw(&self.axes(cost_label(*x), String::new()), &self.series_names(), &panels)
            }
        }
    }

    fn axes(&self, x_label: String, y_label: String) -> Axes {
        let PlotSpec { log_x, log_y, .. } = *self.spec;
        Axes {
            title: format!("{}: {}", self.plan.sweep.name, self.spec.name),
            x_label: self.spec.x_label.clone().unwrap_or(x_label),
            y_label: self.spec.y_label.clone().unwrap_or(y_label),
            log_x,
            log_y,
        }
    }

    fn axis_label(&self, axis: usize) -> String {
        self.plan.sweep.axes[axis].name.replace(['_', '.'], " ")
    }

    /// The points that the plot shows.
    fn points(&self) -> impl Iterator<Item = usize> + '_ {
        let is_shown = |point: &usize| {
            let values = self.plan.points[*point].values.iter().zip(&self.spec.only);
            values.into_iter().all(|(value, only)| only.is_none_or(|only| only == *value))
        };
        (0..self.plan.points.len()).filter(is_shown)
    }

    /// The points of each series with its name, in the order of the axis.
    fn series(&self) -> Vec<(String, Vec<usize>)> {
        let mut series: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for point in self.points() {
            series.entry(self.series_of(point)).or_default().push(point);
        }
        series.into_iter().map(|(value, points)| (self.series_name(value), points)).collect()
    }

    /// The value of the axis of the series, by its index.
    fn series_of(&self, point: usize) -> usize {
        self.spec.series.map_or(0, |axis| self.plan.points[point].values[axis])
    }

    fn series_name(&self, value: usize) -> String {
        let Some(axis) = self.spec.series.map(|axis| &self.plan.sweep.axes[axis]) else { return String::new() };
        let label = &axis.values[value].label;
        // A number alone would not say what it counts.
        if axis.is_numeric() { format!("{label} {}", axis.name.replace(['_', '.'], " ")) } else { label.clone() }
    }

    fn series_names(&self) -> Vec<String> {
        let count = self.spec.series.map_or(1, |axis| self.plan.sweep.axes[axis].values.len());
        (0..count).map(|value| self.series_name(value)).collect()
    }

    fn means(&self, axis: usize, y: Quantity, points: &[usize]) -> Vec<(f64, Statistics)> {
        let mean = |point: &usize| {
            let value = self.plan.points[*point].values[axis];
            Some((self.plan.sweep.axes[axis].values[value].number()?, self.sample.statistics(*point, y)?))
        };
        let mut means: Vec<_> = points.iter().filter_map(mean).collect();
        means.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        means
    }

    /// The mean of each epoch over the runs. The entries of one epoch are added up.
    fn epochs(&self, column: &str, points: &[usize]) -> Vec<(f64, Statistics)> {
        let mut values: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for run in points.iter().flat_map(|point| self.entries.runs(column, *point)) {
            let mut sums: BTreeMap<u64, f64> = BTreeMap::new();
            run.iter().for_each(|(epoch, value)| *sums.entry(*epoch).or_default() += value);
            sums.into_iter().for_each(|(epoch, sum)| values.entry(epoch).or_default().push(sum));
        }
        values.into_iter().filter_map(|(epoch, values)| Some((epoch as f64, Statistics::of(&values)?))).collect()
    }

    /// The sorted values of a column in all runs.
    fn values(&self, column: &str, points: &[usize]) -> Vec<f64> {
        let runs = points.iter().flat_map(|point| self.entries.runs(column, *point));
        let mut values: Vec<f64> = runs.flatten().map(|(_, value)| *value).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    fn bar(&self, axis: usize, point: usize) -> Option<Bar> {
        let mean = |name: &str| {
            let figure = figures::names().iter().position(|known| known == name)?;
            Some(self.sample.statistics(point, Quantity { figure, per: None })?.mean)
        };
        let path = mean(UPDATE_PATH)?;
        let mut parts = vec![path, mean(COMMIT)? - path];
        for name in OTHERS {
            parts.push(mean(name)?);
        }
        let value = self.plan.points[point].values[axis];
        Some(Bar { label: self.plan.sweep.axes[axis].values[value].label.clone(), parts })
    }

    fn cost(&self, point: usize, cost: CostAxis) -> Option<Statistics> {
        match cost {
            CostAxis::Figure(quantity) => self.sample.statistics(point, quantity),
            CostAxis::PredictedSeconds => self.seconds?.statistics(point),
        }
    }

    fn frontier(&self, x: CostAxis, y: Quantity, label: Option<usize>) -> Vec<FrontierPoint> {
        let one = |point: usize| {
            let label = label.map(|axis| {
                let value = self.plan.points[point].values[axis];
                self.plan.sweep.axes[axis].values[value].label.clone()
            });
            Some(FrontierPoint {
                series: self.series_of(point),
                label: label.unwrap_or_default(),
                x: self.cost(point, x)?,
                y: self.sample.statistics(point, y)?,
            })
        };
        self.points().filter_map(one).collect()
    }
}

/// The label of the horizontal axis of a frontier.
fn cost_label(cost: CostAxis) -> String {
    match cost {
        CostAxis::Figure(quantity) => quantity_label(quantity),
        CostAxis::PredictedSeconds => "predicted time of all devices (CPU seconds)".to_owned(),
    }
}

/// The label of an axis with a figure: `commit (bytes per commit)` for `commit_bytes/commits`.
fn quantity_label(quantity: Quantity) -> String {
    let text = quantity.text();
    let (figure, per) = text.split_once('/').map_or((text.as_str(), None), |(figure, per)| (figure, Some(per)));
    let per = per.map(|per| format!(" per {}", per.strip_suffix('s').unwrap_or(per).replace('_', " ")));
    with_unit(figure, &per.unwrap_or_default())
}

/// The label of an axis with a column of the entries.
fn column_label(column: &str) -> String {
    with_unit(column, "")
}

/// A name with its unit, if the name ends with one.
fn with_unit(name: &str, per: &str) -> String {
    let words = |name: &str| name.replace('_', " ");
    if let Some(of) = name.strip_suffix("_bytes") {
        return format!("{} (bytes{per})", words(of));
    }
    if let Some(of) = name.strip_suffix("_s") {
        return format!("{} (seconds{per})", words(of));
    }
    format!("{}{per}", words(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_words_and_units() {
        let index = |name: &str| figures::names().iter().position(|known| known == name).unwrap();
        let quotient = Quantity { figure: index("commit_bytes"), per: Some(index("commits")) };
        assert_eq!(quantity_label(quotient), "commit (bytes per commit)");
        assert_eq!(quantity_label(Quantity { figure: index("healing_time_s"), per: None }), "healing time (seconds)");
        assert_eq!(column_label("receiver_hpke_opens_mean"), "receiver hpke opens mean");
    }
}
