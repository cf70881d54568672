//! What the runner answers for one scenario, and what the reports say about one file.

use std::{path::PathBuf, time::Duration};

use serde::Serialize;

use crate::scenario::{CompromiseId, MemberName, Place, Problem, Scenario, Scope};

/// What a caller may set for a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Replaces the scenario's own seed.
    pub seed: Option<u64>,
}

impl RunOptions {
    /// The seed that a run of this scenario uses.
    #[must_use]
    pub fn seed_of(&self, scenario: &Scenario) -> u64 {
        self.seed.unwrap_or(scenario.seed)
    }
}

/// What the runner answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What did not hold; empty if the scenario passed.
    pub failures: Vec<Failure>,
    /// What was counted until the end, or until the step that failed.
    pub figures: Figures,
}

/// Something that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Where it was asked for. Nowhere if it is one of the invariants that end every scenario.
    pub place: Option<Place>,
    /// What should have been, as part of a sentence: "alice cannot read m2".
    pub expected: String,
    /// What was, likewise.
    pub seen: String,
    /// The last events that matter for it, oldest first, one line each.
    pub events: Vec<String>,
}

/// What was counted. Exact: the same scenario and seed give the same figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Members of the group at the end.
    pub members: u64,
    /// Commits that the delivery service ordered: the group's epoch at the end.
    pub epochs: u64,
    /// Application messages that the delivery service ordered.
    pub messages: u64,
    /// Different messages that any thief read by replay: a lower bound of what is exposed.
    pub exposed: u64,
    /// Commits that held more updates and removals than can be waited for to come in order. If there are any, the same
    /// scenario and seed give another transcript the next time.
    pub unordered_commits: u64,
    /// One for each compromise, in order.
    pub compromises: Vec<CompromiseFigures>,
}

/// What one thief read. By replay, so each count is a lower bound, and each healing may be later than it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CompromiseFigures {
    /// What the snapshot is called.
    pub id: CompromiseId,
    /// Whose device was stolen.
    pub who: MemberName,
    /// What was stolen of it.
    pub scope: Scope,
    /// Messages sent before the compromise that the thief read: the window of forward secrecy.
    pub exposed_before: u64,
    /// Messages sent after the compromise that the thief read.
    pub exposed_after: u64,
    /// How many epochs after the compromise the first epoch came from which on the thief read nothing. Not set if the
    /// thief could still follow the group when the scenario ended.
    pub healed_after: Option<u64>,
}

/// What is said about one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunResult {
    /// The file.
    pub file: PathBuf,
    /// How it ended.
    pub verdict: Verdict,
    /// How long it took on the wall clock. Differs from run to run: never part of what is compared.
    pub duration: Duration,
}

/// How a file ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was run.
    Ran {
        /// What the scenario is called.
        name: String,
        /// The seed that was used.
        seed: u64,
        /// What the runner answered.
        outcome: Outcome,
        /// SHA-256 of the transcript, in hexadecimal.
        transcript: String,
    },
    /// It could not be run.
    Unusable(Vec<Problem>),
}

/// A verdict without its details: what reports count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Everything held.
    Passed,
    /// Something did not hold.
    Failed,
    /// The file could not be run.
    Unusable,
}

impl RunResult {
    /// The verdict without its details.
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.verdict {
            Verdict::Ran { outcome, .. } if outcome.failures.is_empty() => Status::Passed,
            Verdict::Ran { .. } => Status::Failed,
            Verdict::Unusable(_) => Status::Unusable,
        }
    }
}
