//! The matrix for programs: CSV (RFC 4180) in the long form, with one line for each snapshot and
//! message.
//!
//! The values of the whole snapshot (its forward secrecy window, its healing) are repeated on each
//! of its lines. Therefore a program needs only one file, and reads it once.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use super::{GroupMatrix, Matrix, MatrixStep};

/// The first line of the file of one group.
pub const HEADER: &str = "scenario,seed,member,after_step,line,turn,epoch,message,sender,sent_in_step,sent_in_turn,\
                          sent_in_epoch,sent_before,was_member,exposed,fs_window,exposed_after,healed_after";

/// The last column of the file of several groups.
const GROUP: &str = "group";

/// Writes the matrix. Only the file of several groups has a column for the group.
///
/// # Errors
///
/// Errors of the writer.
pub fn write(out: &mut dyn Write, matrix: &Matrix) -> io::Result<()> {
    let last = |text: &str| if matrix.has_several_groups() { format!(",{}", field(text)) } else { String::new() };
    writeln!(out, "{HEADER}{}", last(GROUP))?;
    for group in &matrix.groups {
        write_group(out, matrix, group, &last(group.name.as_str()))?;
    }
    Ok(())
}

/// Writes the lines of one group. Each ends with `last`.
fn write_group(out: &mut dyn Write, matrix: &Matrix, group: &GroupMatrix, last: &str) -> io::Result<()> {
    let scenario = field(&matrix.scenario);
    for row in &group.rows {
        let Some(MatrixStep { place, .. }) = matrix.steps.get(row.after_step) else { continue };
        let snapshot = format!(
            "{scenario},{},{},{},{},{},{}",
            matrix.seed,
            field(row.member.as_str()),
            field(&place.number),
            place.line,
            optional(place.turn),
            optional(row.epoch),
        );
        let summary = format!("{},{},{}", group.fs_window(row), group.exposed_after(row), optional(row.healed_after));
        for (column, cell) in group.columns.iter().zip(&row.cells) {
            let Some(MatrixStep { place: sent, .. }) = matrix.steps.get(column.step) else { continue };
            writeln!(
                out,
                "{snapshot},{},{},{},{},{},{},{},{},{summary}{last}",
                field(column.message.as_str()),
                field(column.sender.as_str()),
                field(&sent.number),
                optional(sent.turn),
                column.epoch,
                column.step <= row.after_step,
                cell.member,
                cell.exposed,
            )?;
        }
    }
    Ok(())
}

/// A number, or an empty field.
fn optional(number: Option<impl ToString>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

/// A text as one field.
fn field(text: &str) -> Cow<'_, str> {
    if text.contains([',', '"', '\n', '\r']) {
        Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(text)
    }
}
