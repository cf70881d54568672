//! The plots of a sweep file as types.

use super::figures::Quantity;

/// The cost of a frontier that follows from a calibration. The other costs are figures of the runs.
pub(super) const PREDICTED_SECONDS: &str = "predicted_s";

/// One plot of a sweep. Axes are given by their index.
#[derive(Clone, Debug, PartialEq)]
pub struct PlotSpec {
    /// The name of the file, without its ending.
    pub name: String,
    /// The content.
    pub kind: PlotKind,
    /// The axis whose values are the lines or the colours of the plot.
    pub series: Option<usize>,
    /// True if the horizontal axis is logarithmic.
    pub log_x: bool,
    /// True if the vertical axis is logarithmic.
    pub log_y: bool,
    /// For each axis, the only value that the plot shows.
    pub only: Vec<Option<usize>>,
    /// The text that replaces the usual label of the horizontal axis.
    pub x_label: Option<String>,
    /// The text that replaces the usual label of the vertical axis.
    pub y_label: Option<String>,
}

/// The content of a plot.
#[derive(Clone, Debug, PartialEq)]
pub enum PlotKind {
    /// A figure of the runs against an axis: means, and the 95 % confidence intervals of the means.
    Line {
        /// The axis of the grid.
        x: usize,
        /// The figure.
        y: Quantity,
    },
    /// A column of the entries against their epoch: means over the seeds, with confidence intervals.
    Epochs {
        /// The column of `epochs.csv`.
        y: String,
    },
    /// The empirical distribution function of a column of the entries.
    Distribution {
        /// The column of `epochs.csv`.
        x: String,
    },
    /// The uploaded bytes by kind, stacked, for each value of an axis.
    Bytes {
        /// The axis of the grid.
        x: usize,
    },
    /// One point for each point of the grid: figures against a cost.
    Frontier {
        /// The horizontal axis.
        x: CostAxis,
        /// The vertical figures, from the upper panel to the lowest.
        y: Vec<Quantity>,
        /// The axis whose values label the points.
        label: Option<usize>,
    },
}

/// The horizontal axis of a frontier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CostAxis {
    /// A figure of the runs, which is the same on every machine.
    Figure(Quantity),
    /// The predicted seconds of all committers, receivers and joiners on a calibrated machine.
    PredictedSeconds,
}

impl PlotKind {
    /// True if the plot has times of a calibrated machine.
    #[must_use]
    pub fn needs_times(&self) -> bool {
        matches!(self, Self::Frontier { x: CostAxis::PredictedSeconds, .. })
    }

    /// The axis of the grid on the horizontal axis of the plot.
    #[must_use]
    pub fn grid_axis(&self) -> Option<usize> {
        match self {
            Self::Line { x, .. } | Self::Bytes { x } => Some(*x),
            Self::Epochs { .. } | Self::Distribution { .. } | Self::Frontier { .. } => None,
        }
    }
}
