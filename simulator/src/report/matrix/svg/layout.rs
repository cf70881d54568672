//! The layout of the picture: a panel for each member, in lines like the words of a text.
//!
//! Panels make a matrix of six hundred rows as legible as one of ten. All panels of a group have the
//! same steps downwards and the same messages to the right, so that a reader can compare them. Each
//! group begins a new line.

use super::super::Matrix;

/// The possible sizes of a cell, from the largest. The layout takes the first size that fits the
/// sheet, or the last one.
const CELLS: [u32; 9] = [16, 14, 12, 10, 8, 7, 6, 5, 4];

/// The size of the sheet that the picture should fit, so that a page of a paper shows it.
const SHEET: (u32, u32) = (1500, 1100);

/// The smallest size of a cell that leaves room for words beside each row.
const WORDY: u32 = 10;

/// The smallest width. Title and legend need it even if there are few cells.
const NARROWEST: u32 = 600;

/// The smallest distance between labels.
const PITCH: u32 = 10;

/// The average width of a character in a label: that of Helvetica at 9 pixels, and a little more.
pub(super) const CHARACTER: f64 = 5.2;

/// The largest number of characters of a message's id above its column, and of a step's words
/// beside their row.
pub(super) const LONGEST_ID: usize = 12;
const LONGEST_STEP: usize = 18;
/// The same number for a step, if its words end with the step's group.
const LONGEST_STEP_IN_GROUP: usize = 28;

pub(super) const MARGIN: u32 = 16;
/// The distance between panels.
const GAP: u32 = 24;
/// The width of the band that shows the epoch.
pub(super) const BAND: u32 = 11;
/// The height of a member's name above its panel.
const NAME: u32 = 18;
/// The height of title and subtitle above all panels.
const TITLE: u32 = 90;
/// The width of a figure beside a row.
pub(super) const FIGURE: u32 = 34;
/// The height of one line of the legend.
pub(super) const LEGEND_LINE: u32 = 18;

/// Sizes in pixels.
#[derive(Debug)]
pub(super) struct Layout {
    /// The side of a cell.
    pub(super) cell: u32,
    /// The distance between labels: every `every`-th column and row has one.
    pub(super) every: usize,
    /// True if each row shows the words of its step, and its figures.
    pub(super) wordy: bool,
    /// The number of panels in a line.
    per_line: u32,
    /// The width of the steps' numbers; `words` is the width of the steps' words.
    pub(super) numbers: u32,
    words: u32,
    /// The height of the messages' ids.
    pub(super) ids: u32,
    /// The largest number of characters of a step's words.
    pub(super) longest_step: usize,
    /// The largest number of columns of a panel.
    columns: u32,
    rows: u32,
    /// The number of panels of each group.
    panels: Vec<u32>,
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
        let longest_step = if matrix.has_several_groups() { LONGEST_STEP_IN_GROUP } else { LONGEST_STEP };
        let words = longest(&mut matrix.steps.iter().map(|step| matrix.words(step).chars().count().min(longest_step)));
        let numbers = longest(&mut matrix.steps.iter().map(|step| step.number().chars().count()));
        let columns = matrix.groups.iter().flat_map(|group| &group.columns);
        let ids = longest(&mut columns.map(|column| column.message.as_str().chars().count()));
        let panels: Vec<u32> = matrix.groups.iter().map(|group| (group.members().count() as u32).max(1)).collect();
        let most = panels.iter().copied().max().unwrap_or(1);
        let mut layout = Self {
            cell,
            every: PITCH.div_ceil(cell) as usize,
            wordy,
            per_line: 1,
            numbers: wide(numbers.min(LONGEST_ID)) + 6,
            words: if wordy { wide(words) + 6 } else { 0 },
            ids: wide(ids.min(LONGEST_ID)) + 6,
            longest_step,
            columns: matrix.groups.iter().map(|group| group.columns.len() as u32).max().unwrap_or(0),
            rows: matrix.steps.len() as u32,
            panels,
        };
        let fit = ((SHEET.0 - 2 * MARGIN + GAP) / (layout.panel_width() + GAP)).clamp(1, most);
        // All lines have about the same length, instead of full lines and a short last one.
        layout.per_line = most.div_ceil(most.div_ceil(fit));
        layout
    }

    /// The side of a drawn cell. A thin gap between cells makes them countable, if there is room for
    /// it.
    pub(super) fn side(&self) -> u32 {
        if self.cell > 5 { self.cell - 1 } else { self.cell }
    }

    /// The position of the panel with this number in the group with that number.
    pub(super) fn panel(&self, group: usize, number: usize) -> (u32, u32) {
        let number = number as u32;
        let (column, line) = (number % self.per_line, self.lines(group) + number / self.per_line);
        (MARGIN + column * (self.panel_width() + GAP), TITLE + line * (self.panel_height() + GAP))
    }

    /// The position of the cells in a panel.
    pub(super) fn cells(&self) -> (u32, u32) {
        (self.numbers + self.words + BAND, NAME + self.ids + BAND)
    }

    /// The width and the height of all cells of a panel with this number of columns.
    pub(super) fn extent(&self, columns: usize) -> (u32, u32) {
        (columns as u32 * self.cell, self.rows * self.cell)
    }

    /// The number of lines of the groups before this one.
    fn lines(&self, group: usize) -> u32 {
        self.panels.iter().take(group).map(|panels| panels.div_ceil(self.per_line)).sum()
    }

    fn panel_width(&self) -> u32 {
        let figures = if self.wordy { 2 * FIGURE } else { 0 };
        self.cells().0 + self.columns * self.cell + figures
    }

    fn panel_height(&self) -> u32 {
        self.cells().1 + self.rows * self.cell
    }

    /// The vertical position of the legend.
    pub(super) fn legend(&self) -> u32 {
        TITLE + self.lines(self.panels.len()) * (self.panel_height() + GAP)
    }

    /// The width of the picture.
    pub(super) fn width(&self) -> u32 {
        (2 * MARGIN + self.per_line * (self.panel_width() + GAP) - GAP).max(NARROWEST)
    }

    /// The height of the picture with this number of legend lines.
    pub(super) fn height(&self, legend: u32) -> u32 {
        self.legend() + legend * LEGEND_LINE + MARGIN
    }
}
