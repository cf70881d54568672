//! The exposure matrix: each member's device is stolen after each step, and compared with each
//! message.
//!
//! A [`Matrix`] has a row for each snapshot and a column for each message. [`table`] writes it for
//! a person, [`csv`] for a program, and [`svg`] for a paper. This module does not know the method
//! that finds the readable messages. The code that fills the matrix names it in
//! [`method`](Matrix::method), and all three writers print it.

pub mod csv;
pub mod svg;
pub mod table;

#[cfg(test)]
mod tests;

use crate::scenario::{MemberName, MessageId, Place};

/// The messages that a thief can read with each snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// The name of the scenario.
    pub scenario: String,
    /// The seed of the run.
    pub seed: u64,
    /// The method that found the readable messages, as the end of a sentence: "readable with keys
    /// …".
    pub method: &'static str,
    /// The steps after which snapshots were taken, in order. Steps that only check expectations are
    /// left out.
    pub steps: Vec<MatrixStep>,
    /// The messages, in the order in which the delivery service accepted them.
    pub columns: Vec<Column>,
    /// The snapshots of one member after the other, each member's in the order of the steps.
    pub rows: Vec<Row>,
}

/// A step after which snapshots were taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatrixStep {
    /// The place of the step in the scenario.
    pub place: Place,
    /// The step's action, in two words: "update bob".
    pub what: String,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The message's id in the scenario.
    pub message: MessageId,
    /// The sender.
    pub sender: MemberName,
    /// The epoch in which the message was sent.
    pub epoch: u64,
    /// The step in which the message was sent, as a position in [`Matrix::steps`].
    pub step: usize,
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The member whose device was stolen.
    pub member: MemberName,
    /// The step before the theft, as a position in [`Matrix::steps`].
    pub after_step: usize,
    /// The device's epoch; none if the device was not in the group.
    pub epoch: Option<u64>,
    /// One cell for each column.
    pub cells: Vec<Cell>,
    /// The number of epochs from the snapshot to the first epoch from which on the thief knows no
    /// epoch secret. Not set if the thief has secrets of the present epoch at the end of the
    /// scenario.
    pub healed_after: Option<u64>,
}

/// The result for one snapshot and one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// True if a thief with the snapshot can read the message.
    pub exposed: bool,
    /// True if the device was a member in the epoch of the message.
    pub member: bool,
}

/// The meaning of a cell for a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    /// Exposed, and sent before the snapshot: the message belongs to the window of forward secrecy.
    ExposedBefore,
    /// Exposed, and sent after the snapshot: the group had not healed.
    ExposedAfter,
    /// Not exposed.
    Hidden,
    /// Not exposed, and the device was not a member in the epoch of the message.
    Outside,
}

impl Matrix {
    /// The rows of each member.
    fn members(&self) -> impl Iterator<Item = &[Row]> {
        self.rows.chunk_by(|one, next| one.member == next.member)
    }

    /// Each epoch that has columns, with the number of its columns, from the left.
    fn epochs(&self) -> impl Iterator<Item = (u64, usize)> {
        let epochs = self.columns.chunk_by(|one, next| one.epoch == next.epoch);
        epochs.filter_map(|columns| Some((columns.first()?.epoch, columns.len())))
    }

    /// The number of messages that were sent before the row's snapshot. Their columns come first.
    fn sent_before(&self, row: &Row) -> usize {
        self.columns.iter().take_while(|column| column.step <= row.after_step).count()
    }

    /// The window of forward secrecy: the number of exposed messages that were sent before the
    /// snapshot.
    #[must_use]
    pub fn fs_window(&self, row: &Row) -> usize {
        self.sights(row).filter(|sight| *sight == Sight::ExposedBefore).count()
    }

    /// The number of exposed messages that were sent after the snapshot.
    #[must_use]
    pub fn exposed_after(&self, row: &Row) -> usize {
        self.sights(row).filter(|sight| *sight == Sight::ExposedAfter).count()
    }

    /// The meaning of each of the row's cells.
    fn sights(&self, row: &Row) -> impl Iterator<Item = Sight> {
        let before = self.sent_before(row);
        row.cells.iter().enumerate().map(move |(column, cell)| match cell {
            Cell { exposed: true, .. } if column < before => Sight::ExposedBefore,
            Cell { exposed: true, .. } => Sight::ExposedAfter,
            Cell { member: true, .. } => Sight::Hidden,
            Cell { .. } => Sight::Outside,
        })
    }

    /// The numbers of members, steps and messages, in words.
    fn extent(&self) -> String {
        let count = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
        let members = count(self.members().count(), "member");
        format!("{members}, {}, {}", count(self.steps.len(), "step"), count(self.columns.len(), "message"))
    }
}

impl MatrixStep {
    /// The step's number, with its turn if the step is repeated: `5.2/3`.
    fn number(&self) -> String {
        match self.place.turn {
            Some(turn) => format!("{}/{turn}", self.place.number),
            None => self.place.number.to_string(),
        }
    }
}

/// A text with at most this number of characters. The end of a longer text is cut off.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}
