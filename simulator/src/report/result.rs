//! What the runner answers for one scenario, and what the reports say about one file.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    time::Duration,
};

use serde::Serialize;

use crate::cost::Costs;
use crate::scenario::{CompromiseId, MemberName, Place, Problem, Scenario, Scope};

/// What a caller may set for a run.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Replaces the scenario's own seed.
    pub seed: Option<u64>,
    /// The address of the delivery service to run against. By default each run has one of its own, in this process.
    pub service: Option<String>,
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

impl Outcome {
    /// What a run comes to. A panic is a bug, and a finding like any other: what runs beside it goes on.
    pub fn of(run: impl FnOnce() -> Self) -> Self {
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
            Self::of_bug("the run comes to an end", text)
        })
    }

    /// The outcome of a run that came to none of its own.
    #[must_use]
    pub fn of_bug(expected: &str, seen: &str) -> Self {
        let seen = format!("a bug in regrow: {seen}");
        let failure = Failure { place: None, expected: expected.to_owned(), seen, events: Vec::new() };
        Self { failures: vec![failure], ..Self::default() }
    }
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
    /// Different messages whose keys follow from what any thief has stolen.
    pub exposed: u64,
    /// Commits that held more updates and removals than can be waited for to come in order. If there are any, the same
    /// scenario and seed give another transcript the next time.
    pub unordered_commits: u64,
    /// What the devices' cryptography cost, by what they were doing. Commits that were made again until their proposals
    /// came in order count once.
    pub costs: Costs,
    /// One for each compromise, in order.
    pub compromises: Vec<CompromiseFigures>,
}

/// What one thief can read: the messages whose keys follow from the very bytes that were stolen, with all that was sent.
/// It is what RFC 9420 and the policy say: if it were not, the scenario would have failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CompromiseFigures {
    /// What expectations call what was stolen.
    pub id: CompromiseId,
    /// Whose device was stolen.
    pub who: MemberName,
    /// What was stolen of it.
    pub scope: Scope,
    /// Messages sent before the compromise that are exposed: the window of forward secrecy.
    pub exposed_before: u64,
    /// Messages sent after the compromise that are exposed.
    pub exposed_after: u64,
    /// How many epochs after the compromise the first epoch came from which on nothing is exposed. Not set if the
    /// thief could still follow the group when the scenario ended.
    pub healed_after: Option<u64>,
    /// What the thief did in the member's name. Not set if it did not try.
    pub authentication: Option<AuthenticationFigures>,
}

/// Whether a thief could act as the member, as far as it has tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AuthenticationFigures {
    /// How often the thief tried to do something.
    pub attempts: u64,
    /// How often the delivery service ordered it.
    pub accepted: u64,
    /// How many epochs after the compromise it was when the service last ordered something of the thief's. Not set if it
    /// never did.
    pub acted_until: Option<u64>,
    /// How many epochs after the compromise it was when the thief's rejoining was first refused, if nothing of the thief's
    /// was ordered after that. Not set as long as the thief may still be able to act: that a message or a commit is
    /// refused says nothing, for who has the signature key can rejoin.
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
