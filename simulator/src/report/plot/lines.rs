//! Plots with lines: a figure against an axis, a column against the epoch, and a distribution.

use super::{
    frame::{Frame, Horizontal, LegendEntry, Sample},
    scale::Scale,
    style::Style,
};
use crate::sweep::statistics::Statistics;

/// The largest number of points that each have a marker.
const MARKED: usize = 16;

/// One line of a plot: its name, and a mean at each place.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, Statistics)>,
}

/// One distribution of a plot: its name, and its sorted values.
pub(super) struct Distribution {
    pub(super) name: String,
    pub(super) values: Vec<f64>,
}

/// The text of a plot's axes, and their scales.
pub(super) struct Axes {
    pub(super) title: String,
    pub(super) x_label: String,
    pub(super) y_label: String,
    pub(super) log_x: bool,
    pub(super) log_y: bool,
}

/// Draws lines of means, each with a band for the 95 % confidence interval. With `at_points`, the
/// ticks of the horizontal axis are the places of the points.
pub(super) fn means(axes: &Axes, lines: &[Line], at_points: bool) -> String {
    let mut places: Vec<f64> = lines.iter().flat_map(|line| line.points.iter().map(|(x, _)| *x)).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    let scale = if at_points { Scale::at(&places, axes.log_x) } else { Scale::over(places.into_iter(), axes.log_x) };
    let all = lines.iter().flat_map(|line| &line.points);
    let values = all.flat_map(|(_, point)| {
        let (low, high) = point.interval.unwrap_or((point.mean, point.mean));
        [point.mean, low, high]
    });
    let vertical = Scale::over(values, axes.log_y);
    let style = |number| if lines.len() > 1 { Style::of(number) } else { Style { dashes: "", ..Style::of(number) } };
    let legend = legend(lines.iter().map(|line| &line.name), |number| Sample::Line(style(number)));
    let mut frame = Frame::draw(Horizontal::Numbers(scale), vertical, (&axes.x_label, &axes.y_label), &legend);
    for (number, line) in lines.iter().enumerate() {
        let end = |pick: fn((f64, f64)) -> f64| {
            let value = move |point: &Statistics| pick(point.interval.unwrap_or((point.mean, point.mean)));
            line.points.iter().map(move |(x, point)| (*x, value(point)))
        };
        let band: Vec<_> =
            end(|(low, _)| low).chain(end(|(_, high)| high).rev()).map(|spot| frame.spot(spot)).collect();
        frame.canvas.area(&band, style(number).colour);
    }
    for (number, line) in lines.iter().enumerate() {
        let spots: Vec<_> = line.points.iter().map(|(x, point)| frame.spot((*x, point.mean))).collect();
        frame.canvas.line(&spots, style(number));
        // The markers of two lines alternate, so that they do not cover each other.
        let every = spots.len().div_ceil(MARKED).max(1);
        let first = if every > 1 { number * every / lines.len().max(1) } else { 0 };
        for spot in spots.iter().skip(first).step_by(every) {
            frame.canvas.marker(*spot, style(number));
        }
    }
    frame.finish(&axes.title)
}

/// Draws empirical distribution functions.
pub(super) fn distributions(axes: &Axes, distributions: &[Distribution]) -> String {
    let values = distributions.iter().flat_map(|one| one.values.iter().copied());
    // A distribution need not begin at 0.
    let values: Vec<f64> = values.collect();
    let scale = if axes.log_x { Scale::over(values.into_iter(), true) } else { Scale::close(&values) };
    let vertical = Scale::shares();
    let style =
        |number| if distributions.len() > 1 { Style::of(number) } else { Style { dashes: "", ..Style::of(number) } };
    let legend = legend(distributions.iter().map(|one| &one.name), |number| Sample::Plain(style(number)));
    let mut frame = Frame::draw(Horizontal::Numbers(scale), vertical, (&axes.x_label, &axes.y_label), &legend);
    for (number, one) in distributions.iter().enumerate() {
        let count = one.values.len() as f64;
        let mut spots = Vec::with_capacity(2 * one.values.len() + 1);
        for (index, value) in one.values.iter().enumerate() {
            spots.push(frame.spot((*value, index as f64 / count)));
            spots.push(frame.spot((*value, (index + 1) as f64 / count)));
        }
        if let Some((_, y)) = spots.last().copied() {
            spots.push((frame.ends().0, y));
        }
        frame.canvas.line(&spots, style(number));
    }
    frame.finish(&axes.title)
}

/// A legend, if there is more than one series.
pub(super) fn legend<'n>(
    names: impl ExactSizeIterator<Item = &'n String>,
    sample: impl Fn(usize) -> Sample,
) -> Vec<LegendEntry> {
    if names.len() < 2 {
        return Vec::new();
    }
    names.enumerate().map(|(number, name)| LegendEntry { text: name.clone(), sample: sample(number) }).collect()
}
