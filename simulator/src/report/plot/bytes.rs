//! A plot of bytes by kind, stacked in a bar for each value of an axis.

use super::{
    frame::{Frame, Horizontal, LegendEntry, Sample},
    lines::Axes,
    scale::Scale,
    style::colour,
};

/// One bar: its label, and the bytes of each kind from the bottom up.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) parts: Vec<f64>,
}

/// The kinds of bytes, with the numbers of their colours. Neighbours differ in brightness.
pub(super) const KINDS: [(&str, usize); 5] =
    [("update path", 0), ("rest of commit", 5), ("proposals", 1), ("welcome", 4), ("group info", 2)];

/// The part of a slot that a bar fills.
const FILLED: f64 = 0.68;

/// Draws the bars. A kind without bytes is not in the legend.
pub(super) fn draw(axes: &Axes, bars: &[Bar]) -> String {
    let sums = bars.iter().map(|bar| bar.parts.iter().sum::<f64>());
    let vertical = Scale::over(sums.chain([0.0]), false);
    let is_used = |kind: usize| bars.iter().any(|bar| bar.parts.get(kind).is_some_and(|part| *part > 0.0));
    let legend: Vec<_> = KINDS
        .iter()
        .enumerate()
        .filter(|(kind, _)| is_used(*kind))
        .map(|(_, (name, number))| LegendEntry { text: (*name).to_owned(), sample: Sample::Fill(colour(*number)) })
        .collect();
    let labels = bars.iter().map(|bar| bar.label.clone()).collect();
    let mut frame = Frame::draw(Horizontal::Labels(labels), vertical, (&axes.x_label, &axes.y_label), &legend);
    for (index, bar) in bars.iter().enumerate() {
        let (middle, width) = frame.slot(index);
        let width = (width * FILLED).min(36.0);
        let mut below = 0.0;
        for (part, (_, number)) in bar.parts.iter().zip(KINDS) {
            let (low, high) = (frame.y(below), frame.y(below + part));
            below += part;
            if low > high {
                frame.canvas.bar((middle - width / 2.0, high), width, low - high, colour(number));
            }
        }
    }
    frame.finish(&axes.title)
}
