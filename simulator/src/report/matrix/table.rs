//! The matrix for a person at a terminal: a character for each cell, and a line for each snapshot.
//! Consecutive snapshots with the same values share a line.

use std::{
    io::{self, Write},
    iter,
};

use super::{GroupMatrix, Matrix, Row, Sight, count, cut};
use crate::report::terminal::plain;

/// The number of characters of a message's id above its column. They are the id's last characters,
/// because ids differ there.
const LONGEST_ID: usize = 12;

/// The number of characters for a step's words.
const LONGEST_STEP: usize = 20;

/// The same, if the words end with the group of the step.
const LONGEST_STEP_IN_GROUP: usize = 32;

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
    let tables: Vec<Vec<MemberLines<'_>>> = matrix.groups.iter().map(|group| folded_members(matrix, group)).collect();
    let widths = Widths::of(&tables);
    writeln!(out, "{}", plain(&matrix.scenario))?;
    writeln!(out, "seed {}, {}; exposed: readable {}\n", matrix.seed, matrix.extent(), matrix.method)?;
    writeln!(out, "{LEGEND}")?;
    for (group, members) in matrix.groups.iter().zip(&tables) {
        if matrix.has_several_groups() {
            let (name, messages) = (plain(group.name.as_str()), count(group.columns.len(), "message"));
            writeln!(out, "group {name}: {}, {messages}\n", count(members.len(), "member"))?;
        }
        head(out, group, &widths)?;
        for MemberLines { name, lines } in members {
            writeln!(out, "{}", plain(name))?;
            for line in lines {
                write_line(out, group, &widths, line, colours)?;
            }
        }
        writeln!(out)?;
    }
    write!(out, "{FIGURES}")
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
    fn of(tables: &[Vec<MemberLines<'_>>]) -> Self {
        let width = |part: fn(&TableLine) -> &str| {
            let lines = tables.iter().flatten().flat_map(|member| &member.lines);
            lines.map(|line| part(line).chars().count()).max().unwrap_or(0)
        };
        Self {
            number: width(|line| &line.number),
            what: width(|line| &line.what),
            epoch: width(|line| &line.epoch).max(EPOCH.len()),
        }
    }

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
struct MemberLines<'m> {
    name: &'m str,
    lines: Vec<TableLine>,
}

/// The lines of each member of a group.
fn folded_members<'m>(matrix: &Matrix, group: &'m GroupMatrix) -> Vec<MemberLines<'m>> {
    let lines = |rows: &'m [Row]| {
        let name = rows.first().map(|row| row.member.as_str()).unwrap_or_default();
        MemberLines { name, lines: folded(matrix, group, rows) }
    };
    group.members().map(lines).collect()
}

fn folded(matrix: &Matrix, group: &GroupMatrix, rows: &[Row]) -> Vec<TableLine> {
    let longest = if matrix.has_several_groups() { LONGEST_STEP_IN_GROUP } else { LONGEST_STEP };
    let mut lines: Vec<TableLine> = Vec::new();
    let mut first = String::new();
    for row in rows {
        let Some(step) = matrix.steps.get(row.after_step) else { continue };
        let mut line = TableLine {
            number: step.number(),
            what: cut(&plain(&matrix.words(step)), longest),
            epoch: row.epoch.map_or("-".to_owned(), |epoch| epoch.to_string()),
            sights: group.sights(row).collect(),
            figures: [
                group.fs_window(row).to_string(),
                group.exposed_after(row).to_string(),
                row.healed_after.map_or("no".to_owned(), |epochs| epochs.to_string()),
            ],
        };
        match lines.last_mut() {
            Some(last) if last.epoch == line.epoch && last.sights == line.sights && last.figures == line.figures => {
                last.number = format!("{first}-{}", line.number);
                last.what = cut(&format!("{} …", last.what.trim_end_matches(" …")), longest);
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
fn head(out: &mut dyn Write, group: &GroupMatrix, widths: &Widths) -> io::Result<()> {
    let indent = widths.before_cells();
    let mut epochs = String::new();
    let mut place = 0;
    for (epoch, columns) in group.epochs() {
        // A number without room is left out. The numbers beside it are enough.
        if epochs.len() < place || place == 0 {
            epochs.extend(iter::repeat_n(' ', place - epochs.len()));
            epochs += &epoch.to_string();
        }
        place += columns + 1;
    }
    writeln!(out, "{:>indent$}{epochs}", "sent in epoch  ")?;
    let ids: Vec<Vec<char>> = group.columns.iter().map(|column| end_of(column.message.as_str())).collect();
    let height = ids.iter().map(Vec::len).max().unwrap_or(0);
    for below in (1..height).rev() {
        writeln!(out, "{}", format!("{:indent$}{}", "", letters(group, &ids, below)).trim_end())?;
    }
    let before = indent - 2;
    writeln!(out, "{EPOCH:>before$}  {}{}", letters(group, &ids, 0), figures("FS", "after", "healed"))
}

/// The letters of all ids at this height above the last letter.
fn letters(group: &GroupMatrix, ids: &[Vec<char>], below: usize) -> String {
    let letter = |id: &Vec<char>| id.len().checked_sub(below + 1).and_then(|place| id.get(place)).copied();
    spaced(group, ids.iter().map(|id| letter(id).unwrap_or(' ').to_string()))
}

/// A text for each column, with a space at the end of each epoch.
fn spaced(group: &GroupMatrix, texts: impl Iterator<Item = String>) -> String {
    let mut texts = texts;
    let epochs = group.epochs().map(|(_, columns)| texts.by_ref().take(columns).collect::<String>());
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
    group: &GroupMatrix,
    widths: &Widths,
    line: &TableLine,
    colours: bool,
) -> io::Result<()> {
    let Widths { number, what, epoch } = *widths;
    write!(out, "  {:>number$}  {:what$}  {:>epoch$}  ", line.number, line.what, line.epoch)?;
    write!(out, "{}", spaced(group, line.sights.iter().map(|sight| shown(*sight, colours))))?;
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
