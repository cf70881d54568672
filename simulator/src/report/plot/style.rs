//! Sizes, colours, markers and dashes of plots.
//!
//! The colours are those of Okabe and Ito, which everybody can distinguish. A line also differs from
//! the others by its marker and by its dashes, so that a plot is legible without colours.

/// The width of a plot, in points: the column of a paper with two columns, 8.5 cm.
pub(super) const WIDTH: f64 = 241.0;

/// The height of the panel with the data, in points.
pub(super) const PANEL: f64 = 128.0;

/// The size of all texts, in points.
pub(super) const FONT: f64 = 8.0;

/// The mean width of a character of a wide font, as a part of the size of the font. Helvetica is
/// narrower.
const CHARACTER: f64 = 0.58;

/// The distance of an element from the edge of the picture.
pub(super) const MARGIN: f64 = 3.0;

pub(super) const INK: &str = "#1a1a1a";
pub(super) const GRID: &str = "#dddddd";

/// The colours of series, without the yellow, which is not legible on white.
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

const DASHES: [&str; 6] = ["", "4 2", "1.5 1.5", "7 2 1.5 2", "2.5 1", "9 3"];

/// The look of one series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) colour: &'static str,
    pub(super) dashes: &'static str,
    pub(super) marker: Marker,
}

/// The shape of a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    Inverted,
}

const MARKERS: [Marker; 5] = [Marker::Circle, Marker::Square, Marker::Triangle, Marker::Diamond, Marker::Inverted];

impl Style {
    /// The look of the series with this number. 210 series differ.
    pub(super) fn of(number: usize) -> Self {
        Self {
            colour: COLOURS[number % COLOURS.len()],
            dashes: DASHES[number % DASHES.len()],
            marker: MARKERS[number % MARKERS.len()],
        }
    }
}

/// The colour of a part of a stack.
pub(super) fn colour(number: usize) -> &'static str {
    COLOURS[number % COLOURS.len()]
}

/// The estimated width of a text. There is no font to measure it with.
pub(super) fn width(text: &str) -> f64 {
    text.chars().count() as f64 * CHARACTER * FONT
}
