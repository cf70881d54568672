//! The matrix as an SVG picture, for a paper or a browser.
//!
//! Time runs to the right over the messages, and downwards over the snapshots. The line through
//! each panel marks the theft: the messages to its left were sent before it. The two colours of
//! exposure differ in brightness and in hue, so that everybody can distinguish them on any printer.
//! They are also on different sides of the line.

mod layout;

use std::{
    fmt::Display,
    io::{self, Write},
};

use self::layout::{BAND, CHARACTER, FIGURE, LEGEND_LINE, LONGEST_ID, Layout, MARGIN};
use super::{Column, GroupMatrix, Matrix, Row, Sight, cut};
use crate::report::xml::escaped;

pub(in crate::report) const EXPOSED_BEFORE: &str = "#b13c02";
pub(in crate::report) const EXPOSED_AFTER: &str = "#56b4e9";
pub(super) const HIDDEN: &str = "#e9e9e9";
pub(super) const OUTSIDE: &str = "#ffffff";
/// The colours of the epochs, in turn.
const EPOCHS: [&str; 2] = ["#c9c9c9", "#a5a5a5"];
const INK: &str = "#1a1a1a";
const PALE_INK: &str = "#5a5a5a";

const AXES: &str = "Row: a device that was stolen after a step. Column: a message. Time runs down and to the right.";

/// The attributes of a text that ends at its position, and of a text with its middle at its
/// position.
const END: &str = r#"text-anchor="end""#;
const MIDDLE: &str = r#"text-anchor="middle""#;

/// Writes the picture.
///
/// # Errors
///
/// Errors of the writer.
pub fn write(out: &mut dyn Write, matrix: &Matrix) -> io::Result<()> {
    let layout = Layout::of(matrix);
    let legend = legend(&layout);
    let (width, height) = (layout.width(), layout.height(legend.lines));
    writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="Helvetica, Arial, sans-serif" font-size="9" fill="{INK}">"#
    )?;
    writeln!(out, "<title>{}</title>", escaped(&matrix.scenario))?;
    writeln!(out, r#"<rect width="{width}" height="{height}" fill="white"/>"#)?;
    title(out, matrix, width)?;
    for (number, group) in matrix.groups.iter().enumerate() {
        for (member, rows) in group.members().enumerate() {
            let (x, y) = layout.panel(number, member);
            writeln!(out, r#"<g transform="translate({x} {y})">"#)?;
            Panel { matrix, group, layout: &layout, rows }.write(out)?;
            writeln!(out, "</g>")?;
        }
    }
    write!(out, r#"<g transform="translate({MARGIN} {})">{}</g>"#, layout.legend(), legend.drawn)?;
    writeln!(out, "\n</svg>")
}

fn title(out: &mut dyn Write, matrix: &Matrix, width: u32) -> io::Result<()> {
    let fits = f64::from(width - 2 * MARGIN) / (CHARACTER * 16.0 / 9.0);
    let scenario = cut(&matrix.scenario, fits as usize);
    text(out, MARGIN, 26, r#"font-size="16" font-weight="bold""#, &scenario)?;
    let run = format!("Seed {}, {}.", matrix.seed, matrix.extent());
    let method = format!("Exposed: readable {}.", matrix.method);
    let small = format!(r#"font-size="10" fill="{PALE_INK}""#);
    for (y, told) in [(43, run.as_str()), (57, AXES), (71, &method)] {
        text(out, MARGIN, y, &small, told)?;
    }
    Ok(())
}

/// The snapshots of one member in one group.
struct Panel<'m> {
    matrix: &'m Matrix,
    group: &'m GroupMatrix,
    layout: &'m Layout,
    rows: &'m [Row],
}

impl Panel<'_> {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let (x, y) = self.layout.cells();
        let name = self.rows.first().map(|row| self.name(row)).unwrap_or_default();
        let room = (f64::from(x + self.extent().0) / (CHARACTER * 12.0 / 9.0)) as usize;
        text(out, 0, 11, r#"font-size="12" font-weight="bold""#, &cut(&name, room.max(LONGEST_ID)))?;
        writeln!(out, r#"<g transform="translate({x} {y})">"#)?;
        self.columns(out)?;
        self.steps(out)?;
        for (number, row) in self.rows.iter().enumerate() {
            self.row(out, number, row)?;
        }
        self.gaps(out)?;
        self.epoch_ends(out)?;
        let (width, height) = self.extent();
        let outline = format!(r#"x="-.5" y="-.5" width="{width}" height="{height}" fill="none""#);
        writeln!(out, r#"<rect {outline} stroke="{PALE_INK}" stroke-width=".6"/>"#)?;
        self.theft(out)?;
        writeln!(out, "</g>")
    }

    /// The width and the height of all cells.
    fn extent(&self) -> (u32, u32) {
        self.layout.extent(self.group.columns.len())
    }

    /// The member, with the group if there are several.
    fn name(&self, row: &Row) -> String {
        match self.matrix.has_several_groups() {
            true => format!("{} in {}", row.member, self.group.name),
            false => row.member.to_string(),
        }
    }

    /// Writes the messages, and their epochs.
    fn columns(&self, out: &mut dyn Write) -> io::Result<()> {
        let cell = self.layout.cell;
        let mut from = 0;
        for (turn, (epoch, columns)) in self.group.epochs().enumerate() {
            let (x, width) = (from as u32 * cell, columns as u32 * cell);
            let fill = EPOCHS[turn % 2];
            writeln!(out, r#"<g><title>messages of epoch {epoch}</title>"#)?;
            writeln!(out, r#"<rect x="{x}" y="-{BAND}" width="{width}" height="{BAND}" fill="{fill}"/>"#)?;
            if fits(epoch, width) {
                text(out, x + width / 2, -2, MIDDLE, &epoch.to_string())?;
            }
            writeln!(out, "</g>")?;
            from += columns;
        }
        if self.layout.wordy {
            let x = self.extent().0;
            text(out, x + FIGURE - 8, -2, END, "FS")?;
            text(out, x + 2 * FIGURE - 4, -2, END, "healed")?;
        }
        for (number, column) in self.group.columns.iter().enumerate().step_by(self.layout.every) {
            let (x, y) = (number as u32 * cell + cell / 2 + 3, -(BAND as i32) - 3);
            let id = escaped(&cut(column.message.as_str(), LONGEST_ID));
            writeln!(out, r#"<text transform="translate({x} {y}) rotate(-90)">{id}</text>"#)?;
        }
        Ok(())
    }

    /// Writes the steps, and the device's epochs after them.
    fn steps(&self, out: &mut dyn Write) -> io::Result<()> {
        let Layout { cell, numbers, every, wordy, .. } = *self.layout;
        let left = self.layout.cells().0;
        let mut from = 0;
        let mut turn = 0;
        for rows in self.rows.chunk_by(|one, next| one.epoch == next.epoch) {
            let (y, height) = (from * cell, rows.len() as u32 * cell);
            from += rows.len() as u32;
            let Some(epoch) = rows.first().and_then(|row| row.epoch) else { continue };
            let fill = EPOCHS[turn % 2];
            turn += 1;
            writeln!(out, r#"<g><title>in epoch {epoch}</title>"#)?;
            writeln!(out, r#"<rect x="-{BAND}" y="{y}" width="{BAND}" height="{height}" fill="{fill}"/>"#)?;
            if height >= 9 && fits(epoch, BAND + 4) {
                let (x, y) = (-(BAND as i32) / 2, (y + height / 2) as i32 + 3);
                text(out, x, y, MIDDLE, &epoch.to_string())?;
            }
            writeln!(out, "</g>")?;
        }
        for (number, row) in self.rows.iter().enumerate().step_by(every) {
            let Some(step) = self.matrix.steps.get(row.after_step) else { continue };
            let y = (number as u32 * cell + cell / 2) as i32 + 3;
            let x = numbers as i32 - left as i32;
            text(out, x - 4, y, END, &cut(&step.number(), LONGEST_ID))?;
            if wordy {
                text(out, x, y, "", &cut(&self.matrix.words(step), self.layout.longest_step))?;
            }
        }
        Ok(())
    }

    fn row(&self, out: &mut dyn Write, number: usize, row: &Row) -> io::Result<()> {
        let cell = self.layout.cell;
        let y = number as u32 * cell;
        let snapshot = escaped(&self.about(row));
        if !self.layout.wordy {
            let messages = escaped(&self.exposed_messages(row));
            writeln!(out, "<g><title>{snapshot}{messages}</title>")?;
            self.runs(out, y, row)?;
            return writeln!(out, "</g>");
        }
        writeln!(out, "<g><title>{snapshot}</title>")?;
        self.squares(out, y, row, &snapshot)?;
        let (x, y) = (self.extent().0, (y + cell / 2) as i32 + 3);
        text(out, x + FIGURE - 8, y, END, &self.group.fs_window(row).to_string())?;
        text(out, x + 2 * FIGURE - 4, y, END, &healed(row))?;
        writeln!(out, "</g>")
    }

    /// Draws each cell of a row as a square. An exposed message has its own description.
    fn squares(&self, out: &mut dyn Write, y: u32, row: &Row, snapshot: &str) -> io::Result<()> {
        let side = self.layout.side();
        for ((place, sight), column) in self.group.sights(row).enumerate().zip(&self.group.columns) {
            let x = place as u32 * self.layout.cell;
            let fill = colour(sight);
            write!(out, r#"<rect x="{x}" y="{y}" width="{side}" height="{side}" fill="{fill}""#)?;
            let when = match sight {
                Sight::ExposedBefore => "before",
                Sight::ExposedAfter => "after",
                Sight::Hidden | Sight::Outside => {
                    writeln!(out, "/>")?;
                    continue;
                }
            };
            let Column { message, sender, epoch, .. } = column;
            let about = format!("{message} of {sender}, epoch {epoch}: exposed, sent {when} the snapshot");
            writeln!(out, "><title>{}\n{snapshot}</title></rect>", escaped(&about))?;
        }
        Ok(())
    }

    /// Draws a row of small cells with one path for each colour. A hundred members with a square for
    /// each cell would make a file of many megabytes. Cells outside of the membership have the colour
    /// of the background.
    fn runs(&self, out: &mut dyn Write, y: u32, row: &Row) -> io::Result<()> {
        let (cell, side) = (self.layout.cell, self.layout.side());
        let sights: Vec<_> = self.group.sights(row).collect();
        for drawn in [Sight::ExposedBefore, Sight::ExposedAfter, Sight::Hidden] {
            let mut path = String::new();
            for (from, run) in runs(&sights, drawn) {
                let (x, width) = (from as u32 * cell, run as u32 * cell - (cell - side));
                path += &format!("M{x} {y}h{width}v{side}H{x}z");
            }
            if !path.is_empty() {
                writeln!(out, r#"<path d="{path}" fill="{}"/>"#, colour(drawn))?;
            }
        }
        Ok(())
    }

    /// Draws the gaps between the cells of a run.
    fn gaps(&self, out: &mut dyn Write) -> io::Result<()> {
        let (cell, height) = (self.layout.cell, self.extent().1);
        let gap = cell - self.layout.side();
        if self.layout.wordy || gap == 0 {
            return Ok(());
        }
        let gaps = 1..self.group.columns.len() as u32;
        let lines: String = gaps.map(|column| format!("M{} 0v{height}h{gap}V0z", column * cell - gap)).collect();
        writeln!(out, r#"<path d="{lines}" fill="{OUTSIDE}" pointer-events="none"/>"#)
    }

    /// Lists the exposed messages of a row: "; exposed: m1 to m4, m7".
    fn exposed_messages(&self, row: &Row) -> String {
        let exposed: Vec<_> = row.cells.iter().map(|cell| cell.exposed).collect();
        let name = |place: usize| self.group.columns.get(place).map_or("", |column| column.message.as_str());
        let ranges: Vec<_> = runs(&exposed, true)
            .map(|(from, run)| match run {
                1 => name(from).to_owned(),
                _ => format!("{} to {}", name(from), name(from + run - 1)),
            })
            .collect();
        if ranges.is_empty() { String::new() } else { format!("; exposed: {}", ranges.join(", ")) }
    }

    /// Describes a snapshot in a sentence.
    fn about(&self, row: &Row) -> String {
        let step = self.matrix.steps.get(row.after_step);
        let step = step.map(|step| format!("step {} ({})", step.number(), self.matrix.words(step))).unwrap_or_default();
        let epoch = row.epoch.map_or("not in the group".to_owned(), |epoch| format!("in epoch {epoch}"));
        let healed = match row.healed_after {
            Some(1) => "healed after 1 epoch".to_owned(),
            Some(epochs) => format!("healed after {epochs} epochs"),
            None => "not healed".to_owned(),
        };
        let name = self.name(row);
        let (fs_window, after) = (self.group.fs_window(row), self.group.exposed_after(row));
        format!("{name} after {step}, {epoch}. FS window: {fs_window}, exposed later: {after}, {healed}")
    }

    /// Draws a line at the end of each epoch.
    fn epoch_ends(&self, out: &mut dyn Write) -> io::Result<()> {
        let (cell, (width, height)) = (self.layout.cell, self.extent());
        let mut lines = String::new();
        let mut x = 0;
        for (_, columns) in self.group.epochs() {
            x += columns as u32 * cell;
            if x < width {
                lines += &format!("M{x} -{BAND}V{height}");
            }
        }
        let mut y = 0;
        for rows in self.rows.chunk_by(|one, next| one.epoch == next.epoch) {
            y += rows.len() as u32 * cell;
            if y < height {
                lines += &format!("M-{BAND} {y}H0");
            }
        }
        writeln!(out, r#"<path d="{lines}" transform="translate(-.5 -.5)" stroke="{PALE_INK}" stroke-width=".6"/>"#)
    }

    /// Draws the line that marks the theft in each row. The messages to its left were sent before
    /// it.
    fn theft(&self, out: &mut dyn Write) -> io::Result<()> {
        let cell = self.layout.cell;
        let mut line = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let (x, y) = (self.group.sent_before(row) as u32 * cell, number as u32 * cell);
            line += &if number == 0 { format!("M{x} {y}") } else { format!("H{x}") };
            line += &format!("V{}", y + cell);
        }
        writeln!(
            out,
            r#"<path d="{line}" transform="translate(-.5 -.5)" fill="none" stroke="{INK}" stroke-width="1.3"/>"#
        )
    }
}

fn colour(sight: Sight) -> &'static str {
    match sight {
        Sight::ExposedBefore => EXPOSED_BEFORE,
        Sight::ExposedAfter => EXPOSED_AFTER,
        Sight::Hidden => HIDDEN,
        Sight::Outside => OUTSIDE,
    }
}

/// The runs of this value in a row: the place of each run's first cell, and the number of its cells.
fn runs<T: Copy + PartialEq>(cells: &[T], value: T) -> impl Iterator<Item = (usize, usize)> {
    let mut from = 0;
    let places = cells.chunk_by(|one, next| one == next).map(move |run| {
        from += run.len();
        (from - run.len(), run)
    });
    places.filter(move |(_, run)| run.first() == Some(&value)).map(|(from, run)| (from, run.len()))
}

/// The number of epochs until the snapshot had no more use.
fn healed(row: &Row) -> String {
    row.healed_after.map_or("no".to_owned(), |epochs| epochs.to_string())
}

/// True if the number of an epoch fits into this width.
fn fits(epoch: u64, width: u32) -> bool {
    epoch.to_string().len() as f64 * CHARACTER <= f64::from(width)
}

fn text(out: &mut dyn Write, x: impl Display, y: impl Display, attributes: &str, text: &str) -> io::Result<()> {
    writeln!(out, r#"<text x="{x}" y="{y}" {attributes}>{}</text>"#, escaped(text))
}

/// The drawn legend of colours and lines, and the number of its lines.
struct Legend {
    drawn: String,
    lines: u32,
}

fn legend(layout: &Layout) -> Legend {
    let square = |fill: &str| format!(r#"<rect y="-9" width="10" height="10" fill="{fill}"/>"#);
    let outside = format!(
        r#"<rect x=".5" y="-8.5" width="9" height="9" fill="{OUTSIDE}" stroke="{PALE_INK}" stroke-width=".6"/>"#
    );
    let theft = format!(r#"<path d="M3 -10V-4H8V2" fill="none" stroke="{INK}" stroke-width="1.3"/>"#);
    let [one, other] = EPOCHS;
    let epochs = format!(
        r#"<rect y="-9" width="6" height="10" fill="{one}"/><rect x="6" y="-9" width="6" height="10" fill="{other}"/>"#
    );
    let mut entries = vec![
        (square(EXPOSED_BEFORE), "exposed, sent before the snapshot (FS window)"),
        (square(EXPOSED_AFTER), "exposed, sent after the snapshot (not healed)"),
        (square(HIDDEN), "not exposed"),
        (outside, "not exposed; the device was not a member then"),
        (theft, "snapshot: messages to the left were sent before it"),
        (epochs, "epochs of the messages and of the stolen device"),
    ];
    if layout.wordy {
        entries.push((String::new(), "FS: messages in the FS window; healed: epochs until healed, or no"));
    }
    let (mut x, mut line) = (0, 0);
    let mut drawn = String::new();
    for (sign, words) in entries {
        let width = 16 + (words.len() as f64 * CHARACTER * 10.0 / 9.0).ceil() as u32;
        if x > 0 && x + width > layout.width() - 2 * MARGIN {
            (x, line) = (0, line + 1);
        }
        let y = line * LEGEND_LINE;
        let indent = if sign.is_empty() { 0 } else { 16 };
        drawn += &format!(
            "\n<g transform=\"translate({x} {y})\">{sign}<text x=\"{indent}\" font-size=\"10\">{words}</text></g>"
        );
        x += width + 14;
    }
    Legend { drawn, lines: line + 1 }
}
