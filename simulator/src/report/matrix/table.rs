//! The matrix for a person at a terminal: a character for each cell, and a line for each snapshot.
//! Consecutive snapshots with the same values share a line.

use std::{
    io::{self, Write},
    iter,
};

use super::{Matrix, Row, Sight, cut};
use crate::report::terminal::plain;

/// The number of characters of a message's id above its column. They are the id's last characters,
/// because ids differ there.
const LONGEST_ID: usize = 12;

/// The number of characters for a step's words.
const LONGEST_STEP: usize = 20;

const LEGEND: &str = "\
#  exposed, sent before the snapshot      .  not exposed
+  exposed, sent after the snapshot   blank  not exposed; the device was not a member then
";

const FIGURES: &str = "\
FS      exposed messages that were sent before the snapshot (the FS window)
after   exposed messages that were sent after the snapshot
healed  epochs from the snapshot until the group healed, or no
";

/// Writes the matrix, in colours if `colours` is true.
///
/// # Errors
///
/// Errors of the writer.
pub fn write(out: &mut dyn Write, matrix: &Matrix, colours: bool) -> io::Result<()> {
    let lines: Vec<Vec<TableLine>> = matrix.members().map(|rows| folded(matrix, rows)).collect();
    let width = |part: fn(&TableLine) -> &str| lines.iter().flatten().map(|line| part(line).chars().count()).max();
    let widths = Widths {
        number: width(|line| &line.number).unwrap_or(0),
        what: width(|line| &line.what).unwrap_or(0),
        epoch: width(|line| &line.epoch).unwrap_or(0).max(EPOCH.len()),
    };
    writeln!(out, "{}", plain(&matrix.scenario))?;
    writeln!(out, "seed {}, {}; exposed: readable {}\n", matrix.seed, matrix.extent(), matrix.method)?;
    writeln!(out, "{LEGEND}")?;
    head(out, matrix, &widths)?;
    for (rows, lines) in matrix.members().zip(&lines) {
        writeln!(out, "{}", rows.first().map(|row| plain(row.member.as_str())).unwrap_or_default())?;
        for line in lines {
            write_line(out, matrix, &widths, line, colours)?;
        }
    }
    write!(out, "\n{FIGURES}")
}

/// The title above the epochs of the devices.
const EPOCH: &str = "epoch";

/// The widths of the columns before the cells.
struct Widths {
    number: usize,
    what: usize,
    epoch: usize,
}

impl Widths {
    /// The width of everything before the cells.
    fn before_cells(&self) -> usize {
        2 + self.number + 2 + self.what + 2 + self.epoch + 2
    }
}

/// A snapshot, or several consecutive snapshots of a device in one epoch with the same exposure.
struct TableLine {
    number: String,
    what: String,
    epoch: String,
    sights: Vec<Sight>,
    figures: [String; 3],
}

/// The lines of one member.
fn folded(matrix: &Matrix, rows: &[Row]) -> Vec<TableLine> {
    let mut lines: Vec<TableLine> = Vec::new();
    let mut first = String::new();
    for row in rows {
        let Some(step) = matrix.steps.get(row.after_step) else { continue };
        let mut line = TableLine {
            number: step.number(),
            what: cut(&plain(&step.what), LONGEST_STEP),
            epoch: row.epoch.map_or("-".to_owned(), |epoch| epoch.to_string()),
            sights: matrix.sights(row).collect(),
            figures: [
                matrix.fs_window(row).to_string(),
                matrix.exposed_after(row).to_string(),
                row.healed_after.map_or("no".to_owned(), |epochs| epochs.to_string()),
            ],
        };
        match lines.last_mut() {
            Some(last) if last.epoch == line.epoch && last.sights == line.sights && last.figures == line.figures => {
                last.number = format!("{first}-{}", line.number);
                last.what = cut(&format!("{} …", last.what.trim_end_matches(" …")), LONGEST_STEP);
            }
            _ => {
                first.clone_from(&line.number);
                line.what = line.what.trim_end().to_owned();
                lines.push(line);
            }
        }
    }
    lines
}

/// Writes the epochs and the ids above the cells. An id is read from top to bottom.
fn head(out: &mut dyn Write, matrix: &Matrix, widths: &Widths) -> io::Result<()> {
    let indent = widths.before_cells();
    let mut epochs = String::new();
    let mut place = 0;
    for (epoch, columns) in matrix.epochs() {
        // A number without room is left out. The numbers beside it are enough.
        if epochs.len() < place || place == 0 {
            epochs.extend(iter::repeat_n(' ', place - epochs.len()));
            epochs += &epoch.to_string();
        }
        place += columns + 1;
    }
    writeln!(out, "{:>indent$}{epochs}", "sent in epoch  ")?;
    let ids: Vec<Vec<char>> = matrix.columns.iter().map(|column| end_of(column.message.as_str())).collect();
    let height = ids.iter().map(Vec::len).max().unwrap_or(0);
    for below in (1..height).rev() {
        writeln!(out, "{}", format!("{:indent$}{}", "", letters(matrix, &ids, below)).trim_end())?;
    }
    let before = indent - 2;
    writeln!(out, "{EPOCH:>before$}  {}{}", letters(matrix, &ids, 0), figures("FS", "after", "healed"))
}

/// The letters of all ids at this height above the last letter.
fn letters(matrix: &Matrix, ids: &[Vec<char>], below: usize) -> String {
    let letter = |id: &Vec<char>| id.len().checked_sub(below + 1).and_then(|place| id.get(place)).copied();
    spaced(matrix, ids.iter().map(|id| letter(id).unwrap_or(' ').to_string()))
}

/// A text for each column, with a space at the end of each epoch.
fn spaced(matrix: &Matrix, texts: impl Iterator<Item = String>) -> String {
    let mut texts = texts;
    let epochs = matrix.epochs().map(|(_, columns)| texts.by_ref().take(columns).collect::<String>());
    epochs.collect::<Vec<_>>().join(" ")
}

fn end_of(id: &str) -> Vec<char> {
    let id: Vec<char> = plain(id).chars().collect();
    let from = id.len().saturating_sub(LONGEST_ID);
    let end = id.into_iter().skip(from);
    if from == 0 { end.collect() } else { iter::once('…').chain(end.skip(1)).collect() }
}

fn write_line(
    out: &mut dyn Write,
    matrix: &Matrix,
    widths: &Widths,
    line: &TableLine,
    colours: bool,
) -> io::Result<()> {
    let Widths { number, what, epoch } = *widths;
    write!(out, "  {:>number$}  {:what$}  {:>epoch$}  ", line.number, line.what, line.epoch)?;
    write!(out, "{}", spaced(matrix, line.sights.iter().map(|sight| shown(*sight, colours))))?;
    let [fs, after, healed] = &line.figures;
    writeln!(out, "{}", figures(fs, after, healed))
}

fn figures(fs: &str, after: &str, healed: &str) -> String {
    format!("  {fs:>4}  {after:>5}  {healed:>6}")
}

fn shown(sight: Sight, colours: bool) -> String {
    let (character, colour) = match sight {
        Sight::ExposedBefore => ('#', 31),
        Sight::ExposedAfter => ('+', 36),
        Sight::Hidden => ('.', 2),
        Sight::Outside => return " ".to_owned(),
    };
    if colours { format!("\x1b[{colour}m{character}\x1b[0m") } else { character.to_string() }
}
