//! A plot of figures against a cost: a labelled point for each point of a grid, in a panel for each
//! figure.

use super::{
    canvas::{Anchor, Spot},
    frame::{Frame, Horizontal, LegendEntry, Sample, Vertical},
    lines::{Axes, legend},
    scale::Scale,
    style::{FONT, Style, width},
};
use crate::sweep::statistics::Statistics;

/// One panel: the label of its vertical axis, and its points.
pub(super) struct Panel {
    pub(super) label: String,
    pub(super) points: Vec<FrontierPoint>,
}

/// One point: its series, its label, its cost and its figure.
pub(super) struct FrontierPoint {
    pub(super) series: usize,
    pub(super) label: String,
    pub(super) x: Statistics,
    pub(super) y: Statistics,
}

/// A rectangle around a text or a marker: its left, upper, right and lower end.
type Extent = (f64, f64, f64, f64);

/// Draws the panels one above the other, with the same costs from left to right. Lines through a
/// point are its 95 % confidence intervals.
pub(super) fn draw(axes: &Axes, series: &[String], panels: &[Panel]) -> String {
    let all = panels.iter().flat_map(|panel| &panel.points);
    let horizontal = Horizontal::Numbers(Scale::over(all.flat_map(|point| ends(&point.x)), axes.log_x));
    let vertical = |panel: &Panel| Vertical {
        scale: Scale::over(panel.points.iter().flat_map(|point| ends(&point.y)), axes.log_y),
        label: panel.label.clone(),
    };
    let legend: Vec<LegendEntry> = legend(series.iter(), |number| Sample::Marker(Style::of(number)));
    let mut frame = Frame::with_panels(horizontal, panels.iter().map(vertical).collect(), &axes.x_label, &legend);
    for (number, panel) in panels.iter().enumerate() {
        frame.select(number);
        draw_points(&mut frame, &panel.points);
    }
    frame.finish(&axes.title)
}

/// The mean and the ends of its interval.
fn ends(figure: &Statistics) -> [f64; 3] {
    let (low, high) = figure.interval.unwrap_or((figure.mean, figure.mean));
    [figure.mean, low, high]
}

fn draw_points(frame: &mut Frame, points: &[FrontierPoint]) {
    let mut taken: Vec<Extent> = Vec::new();
    for point in points {
        let style = Style::of(point.series);
        let spot @ (x, y) = frame.spot((point.x.mean, point.y.mean));
        taken.push((x - 4.0, y - 4.0, x + 4.0, y + 4.0));
        if let Some((low, high)) = point.x.interval {
            let (left, right) = (frame.x(low), frame.x(high));
            frame.canvas.rule((left, y), (right, y), style.colour, 0.8);
            taken.push((left, y - 0.5, right, y + 0.5));
        }
        if let Some((low, high)) = point.y.interval {
            let (lower, upper) = (frame.y(low), frame.y(high));
            frame.canvas.rule((x, lower), (x, upper), style.colour, 0.8);
            taken.push((x - 0.5, upper, x + 0.5, lower));
        }
        frame.canvas.marker(spot, style);
    }
    for point in points {
        let spot = frame.spot((point.x.mean, point.y.mean));
        let (start, extent) = place(frame, spot, &point.label, &taken);
        frame.canvas.text(start, Anchor::Start, &point.label);
        taken.push(extent);
    }
}

/// The start of a label: the first position around the point that is inside of the panel and free.
fn place(frame: &Frame, (x, y): Spot, label: &str, taken: &[Extent]) -> (Spot, Extent) {
    let (length, height) = (width(label), FONT * 0.8);
    let ((left, top), (right, bottom)) = (frame.begins(), frame.ends());
    let starts = [
        (x + 5.0, y - 3.0),
        (x + 5.0, y + height + 3.0),
        (x - 5.0 - length, y - 3.0),
        (x - 5.0 - length, y + height + 3.0),
        (x - length / 2.0, y - 9.0),
        (x - length / 2.0, y + height + 9.0),
        (x + 5.0, y - 12.0),
        (x - 5.0 - length, y - 12.0),
    ];
    let extent = |(x, y): Spot| (x, y - height, x + length, y + 1.0);
    let is_free = |extent: &Extent| {
        let inside = extent.0 >= left && extent.1 >= top && extent.2 <= right + 6.0 && extent.3 <= bottom;
        inside && !taken.iter().any(|other| overlap(extent, other))
    };
    let start = starts.into_iter().find(|start| is_free(&extent(*start))).unwrap_or(starts[0]);
    (start, extent(start))
}

fn overlap(one: &Extent, other: &Extent) -> bool {
    one.0 < other.2 && other.0 < one.2 && one.1 < other.3 && other.1 < one.3
}
