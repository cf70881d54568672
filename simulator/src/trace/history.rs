//! The history of a trace in memory, for its replay.

use std::{io::BufRead, path::Path, sync::Arc};

use super::{
    changes::{Changes, TraceItem},
    error::{TraceError, TraceMistake},
    reader::{TraceReader, open},
    row::TraceName,
};
use crate::scenario::{MemberName, problem_of};

/// A trace whose replay is possible: the group exists from the first row on, and each change leaves
/// a member that can commit it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The names that are members at any time, in order of their first join.
    members: Vec<MemberName>,
    /// For each name of the trace, its index in `members`.
    numbers: Vec<Option<u32>>,
    items: Vec<TraceItem>,
}

impl History {
    /// Reads a trace from a file.
    ///
    /// # Errors
    /// The first mistake of the trace.
    pub fn load(path: &Path) -> Result<Self, TraceError> {
        Self::read(path, open(path)?)
    }

    /// Reads a trace. The path is only for error messages.
    ///
    /// # Errors
    /// The first mistake of the trace.
    pub fn read<R: BufRead>(path: &Path, reader: TraceReader<R>) -> Result<Self, TraceError> {
        let mut changes = Changes::new(reader);
        let mut history = Self { members: Vec::new(), numbers: Vec::new(), items: Vec::new() };
        let mut in_group = 0;
        while let Some(item) = changes.next().transpose()? {
            if let TraceItem::Change(change) = &item {
                let wrong = |mistake| TraceError { file: path.to_owned(), line: Some(change.line), mistake };
                let names = changes.reader().names();
                history.numbers.resize(names.len(), None);
                history.note_members(names, &change.joins).map_err(wrong)?;
                if !history.items.is_empty() && change.leaves.len() == in_group {
                    return Err(wrong(TraceMistake::EmptiesTheGroup));
                }
                in_group = in_group + change.joins.len() - change.leaves.len();
            }
            history.items.push(item);
        }
        if history.items.is_empty() {
            return Err(TraceError { file: path.to_owned(), line: None, mistake: TraceMistake::Empty });
        }
        Ok(history)
    }

    fn note_members(&mut self, names: &[Arc<str>], joins: &[TraceName]) -> Result<(), TraceMistake> {
        for join in joins {
            let (number, name) = (&mut self.numbers[join.index()], &names[join.index()]);
            if number.is_some() {
                continue;
            }
            if let Some(problem) = problem_of(name) {
                return Err(TraceMistake::NotADevice { name: name.to_string(), problem });
            }
            *number = u32::try_from(self.members.len()).ok();
            self.members.push(MemberName::new(name.clone()));
        }
        Ok(())
    }

    /// The names that are members at any time, in order of their first join.
    #[must_use]
    pub fn members(&self) -> &[MemberName] {
        &self.members
    }

    /// The changes and messages, in order.
    pub(super) fn items(&self) -> &[TraceItem] {
        &self.items
    }

    /// The index of a name in [`members`](Self::members). [`None`] if the name is never a member.
    pub(super) fn number(&self, name: TraceName) -> Option<u32> {
        self.numbers.get(name.index()).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::trace::HEADER;

    fn read(rows: &str) -> Result<History, TraceError> {
        let path = Path::new("t.csv");
        History::read(path, TraceReader::new(path, Cursor::new(format!("{HEADER}\n{rows}"))))
    }

    #[test]
    fn only_members_are_in_the_history() {
        let history = read("0,join,b,\n5,join,a,x\n9,leave,b,a\n9,join,b,a\n").unwrap();
        assert_eq!(history.members().iter().map(MemberName::as_str).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(history.items().len(), 4);
    }

    #[test]
    fn history_without_a_committer_is_refused() {
        for (rows, told) in [
            ("", "t.csv: the trace has no rows, so there is no group"),
            (
                "0,join,a,\n5,leave,a,a\n",
                "t.csv:3: the change that begins here removes all members; one member has to stay and commit it",
            ),
            ("0,join,A b,\n", "t.csv:2: `A b` in the column `member` is not a name"),
            ("0,join,\u{ff41}da,\n", "t.csv:2: `\u{ff41}da` is not the name of a user"),
        ] {
            let error = read(rows).unwrap_err().to_string();
            assert!(error.starts_with(told), "{error}");
        }
    }
}
