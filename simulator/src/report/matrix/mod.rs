//! Who could read what: every member's device, stolen after every step, against every message.
//!
//! A [`Matrix`] has a row for each snapshot and a column for each message. [`table`] writes it for a person, [`csv`] for a
//! program, [`svg`] for a paper. How it was found out what a thief reads is not known here: whoever fills the matrix says
//! so in its [`method`](Matrix::method), and all three pass it on.

pub mod csv;
pub mod svg;
pub mod table;

#[cfg(test)]
mod tests;

use crate::scenario::{MemberName, MessageId, Place};

/// What the holder of each snapshot reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// What the scenario is called.
    pub scenario: String,
    /// The seed that was used.
    pub seed: u64,
    /// How it was found out what can be read, and how far that can be relied on: part of a sentence, "by replay …".
    pub method: &'static str,
    /// The steps after which snapshots were taken, in order. Those that only expect something are not among them.
    pub steps: Vec<Step>,
    /// The messages, in the order in which the delivery service took them.
    pub columns: Vec<Column>,
    /// The snapshots: those of one member after the other, each member's in the order of the steps.
    pub rows: Vec<Row>,
}

/// A step after which snapshots were taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it stands in the scenario.
    pub place: Place,
    /// What it does, in two words: "update bob".
    pub what: String,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// What the scenario calls it.
    pub message: MessageId,
    /// Who sent it.
    pub sender: MemberName,
    /// The epoch that it was sent in.
    pub epoch: u64,
    /// The step in which it was sent, as a position in [`Matrix::steps`].
    pub step: usize,
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Whose device was stolen.
    pub member: MemberName,
    /// After which step, as a position in [`Matrix::steps`].
    pub after_step: usize,
    /// The epoch that the device was in; none if it was not in the group.
    pub epoch: Option<u64>,
    /// One for each column.
    pub cells: Vec<Cell>,
    /// How many epochs after the snapshot the first epoch came from which on nothing can be read. Not set if the thief
    /// could still follow the group when the scenario ended.
    pub healed_after: Option<u64>,
}

/// What one snapshot says about one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Whether the holder of the snapshot can read it.
    pub exposed: bool,
    /// Whether the device was a member in the epoch that it was sent in.
    pub member: bool,
}

/// What a reader looks for in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    /// It can be read, and was sent before the snapshot was taken: part of the window of forward secrecy.
    ExposedBefore,
    /// It can be read, and was sent after the snapshot was taken: the group had not healed.
    ExposedAfter,
    /// It cannot be read.
    Hidden,
    /// It cannot be read, and the device was not a member in its epoch.
    Outside,
}

impl Matrix {
    /// The rows of each member.
    fn members(&self) -> impl Iterator<Item = &[Row]> {
        self.rows.chunk_by(|one, next| one.member == next.member)
    }

    /// How many columns there are in each epoch that has some, from the left.
    fn epochs(&self) -> impl Iterator<Item = (u64, usize)> {
        let epochs = self.columns.chunk_by(|one, next| one.epoch == next.epoch);
        epochs.filter_map(|columns| Some((columns.first()?.epoch, columns.len())))
    }

    /// How many columns stand for messages that were sent before the row's snapshot was taken: the first so many.
    fn sent_before(&self, row: &Row) -> usize {
        self.columns.iter().take_while(|column| column.step <= row.after_step).count()
    }

    /// The window of forward secrecy: how many messages can be read that were sent before the snapshot was taken.
    #[must_use]
    pub fn fs_window(&self, row: &Row) -> usize {
        self.sights(row).filter(|sight| *sight == Sight::ExposedBefore).count()
    }

    /// How many messages can be read that were sent after the snapshot was taken.
    #[must_use]
    pub fn exposed_after(&self, row: &Row) -> usize {
        self.sights(row).filter(|sight| *sight == Sight::ExposedAfter).count()
    }

    /// The row's cells as a reader sees them.
    fn sights(&self, row: &Row) -> impl Iterator<Item = Sight> {
        let before = self.sent_before(row);
        row.cells.iter().enumerate().map(move |(column, cell)| match cell {
            Cell { exposed: true, .. } if column < before => Sight::ExposedBefore,
            Cell { exposed: true, .. } => Sight::ExposedAfter,
            Cell { member: true, .. } => Sight::Hidden,
            Cell { .. } => Sight::Outside,
        })
    }

    /// How often snapshots were taken, of how many, against how many messages.
    fn extent(&self) -> String {
        let count = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
        let members = count(self.members().count(), "member");
        format!("{members}, {}, {}", count(self.steps.len(), "step"), count(self.columns.len(), "message"))
    }
}

impl Step {
    /// The step's number, and its turn if it is done several times: `5.2/3`.
    fn number(&self) -> String {
        match self.place.turn {
            Some(turn) => format!("{}/{turn}", self.place.number),
            None => self.place.number.to_string(),
        }
    }
}

/// A text in so many characters, the end of it cut off if it has more.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}
