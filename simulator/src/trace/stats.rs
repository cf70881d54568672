//! The figures of a trace. Memory grows with the members and the stays, not with the messages.

use std::io::BufRead;

use rustc_hash::FxHashSet;
use serde::Serialize;

use super::{
    changes::{Change, Changes, TraceItem},
    error::TraceError,
    reader::TraceReader,
    row::TraceName,
};

/// The number of largest changes that the figures list.
const LARGEST: usize = 3;

/// The figures of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TraceStats {
    /// The members that join at time 0 without an author.
    pub initial_members: u64,
    /// The joins after the initial ones.
    pub joins: u64,
    /// The leaves.
    pub leaves: u64,
    /// The messages.
    pub messages: u64,
    /// The changes after the initial one.
    pub changes: u64,
    /// The largest number of members at one time.
    pub peak_members: u64,
    /// The number of members at the end.
    pub end_members: u64,
    /// The time of the last row, in seconds.
    pub span_seconds: u64,
    /// The largest numbers of joins in one change, the largest first.
    pub largest_joins: Vec<u64>,
    /// The largest numbers of leaves in one change, the largest first.
    pub largest_leaves: Vec<u64>,
    /// The number of changes of each size.
    pub batch_sizes: Vec<BatchSizes>,
    /// The lengths of the stays.
    pub stays: Stays,
    /// The share of the most active members in the messages. Not set without messages.
    pub concentration: Option<Concentration>,
    /// The number of names that author a change.
    pub authors: u64,
    /// The authors that are never members.
    pub authors_never_members: u64,
    /// The changes whose author is not a member before the change.
    pub changes_by_non_members: u64,
    /// The changes, after the initial one, without a known author.
    pub changes_without_author: u64,
}

/// The number of changes whose number of rows is within limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BatchSizes {
    /// The smallest number of rows.
    pub least: u64,
    /// The largest number of rows.
    pub most: u64,
    /// The number of changes.
    pub changes: u64,
}

/// The lengths of the completed stays. The stay of an initial member counts from time 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stays {
    /// The number of stays that ended.
    pub completed: u64,
    /// The number of stays that last beyond the end of the trace.
    pub open: u64,
    /// The median of the completed stays, in seconds. Not set without completed stays.
    pub median_seconds: Option<u64>,
    /// The 95th percentile of the completed stays, in seconds.
    pub p95_seconds: Option<u64>,
}

/// The messages of the most active members. The share counts all names that were ever members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Concentration {
    /// The number of names that were ever members.
    pub members: u64,
    /// The names that sent at least one message.
    pub senders: u64,
    /// The messages of the most active 1 % of the members, at least of one.
    pub top_1_percent: u64,
    /// The messages of the most active 10 % of the members, at least of one.
    pub top_10_percent: u64,
}

/// Reads a trace to its end, and returns its figures.
///
/// # Errors
/// The first mistake of the trace.
pub fn stats<R: BufRead>(reader: TraceReader<R>) -> Result<TraceStats, TraceError> {
    let mut changes = Changes::new(reader);
    let mut counting = Counting::default();
    while let Some(item) = changes.next().transpose()? {
        let names = changes.reader().names().len();
        counting.members.resize(names.max(counting.members.len()), MemberCounts::default());
        match item {
            TraceItem::Change(change) => counting.change(&change),
            TraceItem::Message { time, by } => {
                counting.stats.span_seconds = time;
                counting.stats.messages += 1;
                counting.members[by.index()].messages += 1;
            }
        }
    }
    Ok(counting.finish())
}

/// The counts of one name.
#[derive(Clone, Copy, Default)]
struct MemberCounts {
    /// The time of the last join, while the name is in the group.
    since: Option<u64>,
    was_member: bool,
    messages: u64,
}

#[derive(Default)]
struct Counting {
    stats: TraceStats,
    members: Vec<MemberCounts>,
    in_group: u64,
    stays: Vec<u64>,
    authors: FxHashSet<TraceName>,
}

impl Counting {
    fn change(&mut self, change: &Change) {
        let (joins, leaves) = (change.joins.len() as u64, change.leaves.len() as u64);
        let stats = &mut self.stats;
        stats.span_seconds = change.time;
        if change.is_initial() && stats.changes == 0 && stats.initial_members == 0 {
            stats.initial_members = joins;
        } else {
            stats.changes += 1;
            stats.joins += joins;
            stats.leaves += leaves;
            match change.by {
                None => stats.changes_without_author += 1,
                Some(by) => {
                    self.authors.insert(by);
                    stats.changes_by_non_members += u64::from(self.members[by.index()].since.is_none());
                }
            }
            note_largest(&mut stats.largest_joins, joins);
            note_largest(&mut stats.largest_leaves, leaves);
            note_size(&mut stats.batch_sizes, joins + leaves);
        }
        for member in &change.leaves {
            if let Some(since) = self.members[member.index()].since.take() {
                self.stays.push(change.time - since);
            }
        }
        for member in &change.joins {
            let member = &mut self.members[member.index()];
            (member.since, member.was_member) = (Some(change.time), true);
        }
        self.in_group = self.in_group + joins - leaves;
        stats.peak_members = stats.peak_members.max(self.in_group);
    }

    fn finish(mut self) -> TraceStats {
        let mut stats = self.stats;
        stats.end_members = self.in_group;
        self.stays.sort_unstable();
        stats.stays = Stays {
            completed: self.stays.len() as u64,
            open: self.in_group,
            median_seconds: percentile(&self.stays, 50),
            p95_seconds: percentile(&self.stays, 95),
        };
        stats.batch_sizes.retain(|sizes| sizes.changes > 0);
        stats.authors = self.authors.len() as u64;
        let never = |by: &&TraceName| !self.members[by.index()].was_member;
        stats.authors_never_members = self.authors.iter().filter(never).count() as u64;
        let mut messages: Vec<u64> =
            self.members.iter().filter(|member| member.was_member).map(|member| member.messages).collect();
        messages.sort_unstable_by(|one, other| other.cmp(one));
        let top = |percent: usize| messages.iter().take((messages.len() * percent).div_ceil(100)).sum();
        stats.concentration = (stats.messages > 0).then(|| Concentration {
            members: messages.len() as u64,
            senders: messages.iter().filter(|messages| **messages > 0).count() as u64,
            top_1_percent: top(1),
            top_10_percent: top(10),
        });
        stats
    }
}

fn note_largest(largest: &mut Vec<u64>, number: u64) {
    if number == 0 {
        return;
    }
    let place = largest.partition_point(|known| *known >= number);
    largest.insert(place, number);
    largest.truncate(LARGEST);
}

/// Counts a change in the row of its size: 1, 2 to 3, 4 to 7, and so on.
fn note_size(sizes: &mut Vec<BatchSizes>, size: u64) {
    let row = size.max(1).ilog2() as usize;
    while sizes.len() <= row {
        let least = 1 << sizes.len();
        sizes.push(BatchSizes { least, most: 2 * least - 1, changes: 0 });
    }
    sizes[row].changes += 1;
}

/// The nearest-rank percentile of sorted values.
fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use std::{io::Cursor, path::Path};

    use super::*;
    use crate::trace::HEADER;

    fn of(rows: &str) -> TraceStats {
        stats(TraceReader::new(Path::new("t.csv"), Cursor::new(format!("{HEADER}\n{rows}")))).unwrap()
    }

    #[test]
    fn changes_and_members_are_counted() {
        let stats =
            of("0,join,a,\n0,join,b,\n0,join,c,\n10,leave,c,a\n10,join,d,a\n10,join,e,a\n20,join,f,f\n30,leave,a,\n\
             30,leave,b,\n40,join,a,x\n40,leave,f,x\n");
        assert_eq!((stats.initial_members, stats.joins, stats.leaves, stats.changes), (3, 4, 4, 4));
        assert_eq!((stats.peak_members, stats.end_members, stats.span_seconds), (5, 3, 40));
        assert_eq!((stats.largest_joins, stats.largest_leaves), (vec![2, 1, 1], vec![2, 1, 1]));
        let sizes = |least, most, changes| BatchSizes { least, most, changes };
        assert_eq!(stats.batch_sizes, [sizes(1, 1, 1), sizes(2, 3, 3)]);
        assert_eq!((stats.authors, stats.authors_never_members), (3, 1));
        assert_eq!((stats.changes_by_non_members, stats.changes_without_author), (2, 1));
        assert_eq!(stats.concentration, None);
        let stays = Stays { completed: 4, open: 3, median_seconds: Some(20), p95_seconds: Some(30) };
        assert_eq!(stats.stays, stays, "10, 20, 30 and 30 seconds");
    }

    #[test]
    fn most_active_members_have_a_share() {
        let joins: String = (0..20).map(|number| format!("0,join,m{number},\n")).collect();
        let messages: String =
            (0..20).map(|number| "5,message,m7,\n".repeat(number / 5) + &format!("5,message,m{number},\n")).collect();
        let stats = of(&(joins + &messages));
        let top = Concentration { members: 20, senders: 20, top_1_percent: 31, top_10_percent: 32 };
        assert_eq!((stats.messages, stats.concentration), (50, Some(top)));
    }

    #[test]
    fn empty_trace_has_no_figures() {
        assert_eq!(of(""), TraceStats::default());
    }
}
