//! The exposure matrix: each member's device is stolen after each step, and compared with each
//! message.
//!
//! A [`Matrix`] has a part for each group: a row for each snapshot and a column for each message.
//! [`table`] writes it for a person, [`csv`] for a program, and [`svg`] for a paper. This module does
//! not know the method that finds the readable messages. The code that fills the matrix names it in
//! [`method`](Matrix::method), and all three writers print it.

pub mod csv;
mod group;
pub mod svg;
pub mod table;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use self::group::Sight;
pub use self::group::{Cell, Column, GroupMatrix, Row};
use crate::scenario::{GroupName, Place};

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
    /// The groups, in the order of their identifiers. A scenario that creates no group has one without messages.
    pub groups: Vec<GroupMatrix>,
}

/// A step after which snapshots were taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatrixStep {
    /// The place of the step in the scenario.
    pub place: Place,
    /// The step's action, in two words: "update bob".
    pub what: String,
    /// The group that the step names.
    pub group: Option<GroupName>,
}

impl Matrix {
    /// True if there are several groups. The writers then name the groups.
    fn has_several_groups(&self) -> bool {
        self.groups.len() > 1
    }

    /// The numbers of members, steps and messages, in words; also that of groups, if there are
    /// several.
    fn extent(&self) -> String {
        let groups = self.has_several_groups().then(|| format!("{}, ", count(self.groups.len(), "group")));
        let rows = self.groups.iter().flat_map(|group| &group.rows);
        let members: BTreeSet<_> = rows.map(|row| &row.member).collect();
        let messages = self.groups.iter().map(|group| group.columns.len()).sum();
        let (members, steps) = (count(members.len(), "member"), count(self.steps.len(), "step"));
        format!("{}{members}, {steps}, {}", groups.unwrap_or_default(), count(messages, "message"))
    }

    /// The words of a step. With several groups, they end with the group that the step names.
    fn words(&self, step: &MatrixStep) -> String {
        match &step.group {
            Some(group) if self.has_several_groups() => format!("{} ({group})", step.what),
            _ => step.what.clone(),
        }
    }
}

/// A number of things in words.
fn count(count: usize, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
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
