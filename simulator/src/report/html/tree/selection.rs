//! The choice of the epochs whose trees the page draws.

use std::collections::BTreeSet;

use super::epoch_of_theft;
use crate::{
    report::{RunRecord, record::EpochRecord},
    scenario::GroupName,
};

/// The largest number of leaves of a drawn tree. The leaves of a larger tree would be narrower than
/// a letter.
pub(super) const MAX_LEAVES: usize = 128;

/// The largest number of drawn epochs of all groups.
const MAX_EPOCHS: usize = 48;

/// The largest number of drawn nodes of all groups: about four megabytes.
const MAX_NODES: usize = 12_000;

/// The number of preferred epochs at the beginning and at the end, and after each theft.
const NEAR: usize = 4;

/// The numbers of a group's epochs to draw, in their order. This number of groups share the limits.
pub(super) fn drawn_epochs(
    record: &RunRecord,
    group: &GroupName,
    epochs: &[EpochRecord],
    groups: usize,
) -> BTreeSet<usize> {
    let total = epochs.len();
    let nodes = epochs.iter().map(|epoch| epoch.tree.leaves().len()).filter(|leaves| *leaves <= MAX_LEAVES);
    let largest = nodes.map(|leaves| 2 * leaves).max().unwrap_or(1);
    let room = (MAX_NODES / groups / largest).clamp(1, MAX_EPOCHS / groups);
    let thefts = record.thieves.iter().flat_map(|thief| {
        let epoch = epoch_of_theft(thief, group);
        epoch.saturating_sub(1)..=epoch.saturating_add(NEAR)
    });
    let preferred = thefts.chain(total.saturating_sub(NEAR)..total).chain(0..NEAR).chain(0..total);
    let mut drawn = BTreeSet::new();
    for epoch in preferred.filter(|epoch| *epoch < total) {
        if drawn.len() == room {
            break;
        }
        drawn.insert(epoch);
    }
    drawn
}

/// Numbers in words, with ranges: `3, 7 to 9`.
pub(super) fn ranges(numbers: impl Iterator<Item = usize>) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let words = ranges.iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        _ => format!("{first} to {last}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_joined() {
        assert_eq!(ranges([3, 7, 8, 9, 11].into_iter()), "3, 7 to 9, 11");
        assert_eq!(ranges(std::iter::empty()), "");
    }
}
