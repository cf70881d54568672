//! Where everything stands in the picture: a panel for each member, side by side in lines like text.
//!
//! Panels make a matrix of six hundred rows as legible as one of ten: all have the same steps downwards and the same
//! messages to the right, so that the eye compares them.

use super::super::Matrix;

/// How large a cell may be, from the largest: the first that fits the sheet is taken, and the last in any case.
const CELLS: [u32; 9] = [16, 14, 12, 10, 8, 7, 6, 5, 4];

/// The sheet that the picture should fit, so that a page of a paper shows it.
const SHEET: (u32, u32) = (1500, 1100);

/// Cells of at least this size leave room for words beside each row.
const WORDY: u32 = 10;

/// Title and legend need some room, however few cells there are.
const NARROWEST: u32 = 600;

/// How far labels are apart, at least.
const PITCH: u32 = 10;

/// The width of one character of a label, on average: that of Helvetica at 9 pixels, and a little more.
pub(super) const CHARACTER: f64 = 5.2;

/// How many characters a message's id has over its column, and a step's words beside their row.
pub(super) const LONGEST_ID: usize = 12;
pub(super) const LONGEST_STEP: usize = 18;

pub(super) const MARGIN: u32 = 16;
/// Between panels.
const GAP: u32 = 24;
/// The band that shows which epoch it is.
pub(super) const BAND: u32 = 11;
/// A member's name, over its panel.
const NAME: u32 = 18;
/// Title and subtitle, over all panels.
const TITLE: u32 = 90;
/// Figures beside a row.
pub(super) const FIGURE: u32 = 34;
/// One line of the legend.
pub(super) const LEGEND_LINE: u32 = 18;

/// Sizes in pixels.
#[derive(Debug)]
pub(super) struct Layout {
    /// The side of a cell.
    pub(super) cell: u32,
    /// Every so many columns and rows have a label.
    pub(super) every: usize,
    /// Whether each row says what its step does, and its figures.
    pub(super) wordy: bool,
    /// How many panels stand side by side.
    per_line: u32,
    /// The width of steps' numbers, and of what they do.
    pub(super) numbers: u32,
    words: u32,
    /// The height of messages' ids.
    pub(super) ids: u32,
    columns: u32,
    rows: u32,
    panels: u32,
}

impl Layout {
    pub(super) fn of(matrix: &Matrix) -> Self {
        let layout = |cell| Self::with_cells(matrix, cell);
        let fits = |layout: &Self| layout.width() <= SHEET.0 && layout.height(0) <= SHEET.1;
        CELLS.into_iter().map(layout).find(fits).unwrap_or_else(|| layout(CELLS[CELLS.len() - 1]))
    }

    fn with_cells(matrix: &Matrix, cell: u32) -> Self {
        let wordy = cell >= WORDY;
        let longest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
        let wide = |characters: usize| (characters as f64 * CHARACTER).ceil() as u32;
        let words = longest(&mut matrix.steps.iter().map(|step| step.what.chars().count().min(LONGEST_STEP)));
        let numbers = longest(&mut matrix.steps.iter().map(|step| step.number().chars().count()));
        let ids = longest(&mut matrix.columns.iter().map(|column| column.message.as_str().chars().count()));
        let mut layout = Self {
            cell,
            every: PITCH.div_ceil(cell) as usize,
            wordy,
            per_line: 1,
            numbers: wide(numbers.min(LONGEST_ID)) + 6,
            words: if wordy { wide(words) + 6 } else { 0 },
            ids: wide(ids.min(LONGEST_ID)) + 6,
            columns: matrix.columns.len() as u32,
            rows: matrix.steps.len() as u32,
            panels: (matrix.members().count() as u32).max(1),
        };
        let fit = ((SHEET.0 - 2 * MARGIN + GAP) / (layout.panel_width() + GAP)).clamp(1, layout.panels);
        // Lines of the same length, rather than a full one and a rest.
        layout.per_line = layout.panels.div_ceil(layout.panels.div_ceil(fit));
        layout
    }

    /// Where the panel of this number begins.
    pub(super) fn panel(&self, number: usize) -> (u32, u32) {
        let number = number as u32;
        let (column, line) = (number % self.per_line, number / self.per_line);
        (MARGIN + column * (self.panel_width() + GAP), TITLE + line * (self.panel_height() + GAP))
    }

    /// Where the cells begin in a panel.
    pub(super) fn cells(&self) -> (u32, u32) {
        (self.numbers + self.words + BAND, NAME + self.ids + BAND)
    }

    /// Width and height of all cells of a panel.
    pub(super) fn extent(&self) -> (u32, u32) {
        (self.columns * self.cell, self.rows * self.cell)
    }

    fn panel_width(&self) -> u32 {
        let figures = if self.wordy { 2 * FIGURE } else { 0 };
        self.cells().0 + self.extent().0 + figures
    }

    fn panel_height(&self) -> u32 {
        self.cells().1 + self.extent().1
    }

    /// Where the legend begins.
    pub(super) fn legend(&self) -> u32 {
        let lines = self.panels.div_ceil(self.per_line);
        TITLE + lines * (self.panel_height() + GAP)
    }

    /// The width of the picture.
    pub(super) fn width(&self) -> u32 {
        (2 * MARGIN + self.per_line * (self.panel_width() + GAP) - GAP).max(NARROWEST)
    }

    /// The height of the picture, with so many lines of legend.
    pub(super) fn height(&self, legend: u32) -> u32 {
        self.legend() + legend * LEGEND_LINE + MARGIN
    }
}
