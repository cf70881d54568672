//! The matrix of one group: its messages, and the snapshots of its devices.

use crate::scenario::{GroupName, MemberName, MessageId};

/// The messages of one group that a thief can read with each snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMatrix {
    /// The name of the group.
    pub name: GroupName,
    /// The messages, in the order in which the delivery service accepted them.
    pub columns: Vec<Column>,
    /// The snapshots of one member after the other, each member's in the order of the steps.
    pub rows: Vec<Row>,
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
    /// The step in which the message was sent, as a position in
    /// [`Matrix::steps`](super::Matrix::steps).
    pub step: usize,
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The member whose device was stolen.
    pub member: MemberName,
    /// The step before the theft, as a position in [`Matrix::steps`](super::Matrix::steps).
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
pub(super) enum Sight {
    /// Exposed, and sent before the snapshot: the message belongs to the window of forward secrecy.
    ExposedBefore,
    /// Exposed, and sent after the snapshot: the group had not healed.
    ExposedAfter,
    /// Not exposed.
    Hidden,
    /// Not exposed, and the device was not a member in the epoch of the message.
    Outside,
}

impl GroupMatrix {
    /// The rows of each member.
    pub(super) fn members(&self) -> impl Iterator<Item = &[Row]> {
        self.rows.chunk_by(|one, next| one.member == next.member)
    }

    /// Each epoch that has columns, with the number of its columns, from the left.
    pub(super) fn epochs(&self) -> impl Iterator<Item = (u64, usize)> {
        let epochs = self.columns.chunk_by(|one, next| one.epoch == next.epoch);
        epochs.filter_map(|columns| Some((columns.first()?.epoch, columns.len())))
    }

    /// The number of messages that were sent before the row's snapshot. Their columns come first.
    pub(super) fn sent_before(&self, row: &Row) -> usize {
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
    pub(super) fn sights(&self, row: &Row) -> impl Iterator<Item = Sight> {
        let before = self.sent_before(row);
        row.cells.iter().enumerate().map(move |(column, cell)| match cell {
            Cell { exposed: true, .. } if column < before => Sight::ExposedBefore,
            Cell { exposed: true, .. } => Sight::ExposedAfter,
            Cell { member: true, .. } => Sight::Hidden,
            Cell { .. } => Sight::Outside,
        })
    }
}
