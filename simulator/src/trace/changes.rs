//! Groups the membership rows of one change.

use std::io::BufRead;

use rustc_hash::FxHashSet;

use super::{
    error::TraceError,
    reader::TraceReader,
    row::{TraceEvent, TraceName, TraceRow},
};

/// One change of the membership: consecutive rows with the same time and author. Each member occurs
/// once: a member that leaves and joins again makes two changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The line of the first row, from 1.
    pub line: u32,
    /// The seconds since the start of the trace.
    pub time: u64,
    /// The author. Not set if the author is unknown.
    pub by: Option<TraceName>,
    /// The members that join, in the order of the file.
    pub joins: Vec<TraceName>,
    /// The members that leave, in the order of the file.
    pub leaves: Vec<TraceName>,
}

impl Change {
    /// True if these are the initial members: they join at time 0 without an author.
    #[must_use]
    pub fn is_initial(&self) -> bool {
        self.time == 0 && self.by.is_none() && self.leaves.is_empty()
    }
}

/// A change or a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceItem {
    /// A change of the membership.
    Change(Box<Change>),
    /// A message.
    Message {
        /// The seconds since the start of the trace.
        time: u64,
        /// The sender.
        by: TraceName,
    },
}

/// The changes and messages of a trace, in order.
#[derive(Debug)]
pub struct Changes<R> {
    reader: TraceReader<R>,
    /// A row that was read, and belongs to the next item.
    ahead: Option<TraceRow>,
}

impl<R: BufRead> Changes<R> {
    /// Groups the rows of a reader.
    pub fn new(reader: TraceReader<R>) -> Self {
        Self { reader, ahead: None }
    }

    /// The reader with the names.
    pub fn reader(&self) -> &TraceReader<R> {
        &self.reader
    }

    fn next_row(&mut self) -> Result<Option<TraceRow>, TraceError> {
        match self.ahead.take() {
            Some(row) => Ok(Some(row)),
            None => self.reader.next().transpose(),
        }
    }

    fn next_item(&mut self) -> Result<Option<TraceItem>, TraceError> {
        let Some(first) = self.next_row()? else { return Ok(None) };
        let TraceRow { line, time, by, .. } = first;
        if first.event == TraceEvent::Message {
            return Ok(Some(TraceItem::Message { time, by: first.member }));
        }
        let mut change = Change { line, time, by, joins: Vec::new(), leaves: Vec::new() };
        let mut changed = FxHashSet::default();
        let mut next = Some(first);
        while let Some(row) = next {
            let belongs = row.event != TraceEvent::Message && (row.time, row.by) == (time, by);
            if !belongs || !changed.insert(row.member) {
                self.ahead = Some(row);
                break;
            }
            match row.event {
                TraceEvent::Join => change.joins.push(row.member),
                TraceEvent::Leave | TraceEvent::Message => change.leaves.push(row.member),
            }
            next = self.next_row()?;
        }
        Ok(Some(TraceItem::Change(Box::new(change))))
    }
}

impl<R: BufRead> Iterator for Changes<R> {
    type Item = Result<TraceItem, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_item().transpose()
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Cursor, path::Path};

    use super::*;
    use crate::trace::HEADER;

    /// The changes as texts: `time by +joins -leaves`, or `time message by`.
    fn items(rows: &str) -> Vec<String> {
        let input = Cursor::new(format!("{HEADER}\n{rows}"));
        let mut changes = Changes::new(TraceReader::new(Path::new("t.csv"), input));
        let mut items = Vec::new();
        while let Some(item) = changes.next() {
            let name = |name: &TraceName| changes.reader().names()[name.index()].to_string();
            let names = |names: &[TraceName]| names.iter().map(name).collect::<Vec<_>>().join(" ");
            items.push(match item.unwrap() {
                TraceItem::Change(change) => {
                    let Change { time, by, joins, leaves, .. } = *change;
                    let by = by.as_ref().map(name).unwrap_or_default();
                    format!("{time} {by} +{} -{}", names(&joins), names(&leaves))
                }
                TraceItem::Message { time, by } => format!("{time} message {}", name(&by)),
            });
        }
        items
    }

    #[test]
    fn rows_of_one_time_and_author_are_one_change() {
        let rows = "0,join,a,\n0,join,b,\n0,join,c,a\n3,leave,b,a\n3,join,d,a\n4,leave,d,a\n";
        assert_eq!(items(rows), ["0  +a b -", "0 a +c -", "3 a +d -b", "4 a + -d"]);
    }

    #[test]
    fn member_that_occurs_twice_begins_another_change() {
        assert_eq!(items("0,join,a,\n5,leave,a,x\n5,join,a,x\n"), ["0  +a -", "5 x + -a", "5 x +a -"]);
    }

    #[test]
    fn message_ends_a_change() {
        let rows = "0,join,a,\n1,join,b,a\n1,message,b,\n1,join,c,a\n";
        assert_eq!(items(rows), ["0  +a -", "1 a +b -", "1 message b", "1 a +c -"]);
    }
}
