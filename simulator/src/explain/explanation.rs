//! The parts of an explanation. They serve both a person and a program.

use serde::Serialize;

use crate::{
    report::{Failure, RunOutcome, result::Status},
    scenario::{CompromiseId, GroupName, MemberName, MessageId, Scenario},
};

/// The explanation of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The name of the scenario.
    pub name: String,
    /// The seed of the run.
    pub seed: u64,
    /// The result of the run.
    pub status: Status,
    /// The number of expectations that did not hold.
    pub failed: usize,
    /// The explained failures, the first ones first.
    pub failures: Vec<ExplainedFailure>,
    /// The answers to a question, one for each message.
    pub answers: Vec<Answer>,
    /// The thieves of a scenario that passed.
    pub thieves: Vec<ExplainedThief>,
}

/// An expectation that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedFailure {
    /// The place in words: `step 5 (line 11)`.
    pub place: String,
    /// The line of the step. Not set for the checks at the end of every scenario.
    pub line: Option<u32>,
    /// The step as a file would have it.
    pub step: Option<String>,
    /// The expected fact.
    pub expected: String,
    /// The seen fact.
    pub seen: String,
    /// The meaning of the expectation, and the reason why it does not hold. One paragraph each.
    pub words: Vec<String>,
    /// The states of the members that the failure concerns.
    pub members: Vec<ExplainedMember>,
    /// The number of members that the failure also concerns, and that are not shown.
    pub more_members: usize,
    /// The number of groups that the failure also concerns, and that are not shown.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_groups: usize,
    /// The ways from stolen bytes to secrets.
    pub ways: Vec<Way>,
    /// The last events before the failure.
    pub events: Vec<String>,
    /// The meanings of words in the events.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The state of a member around a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedMember {
    /// The member.
    pub who: MemberName,
    /// The group of the state. Only a run with several groups has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// The moment of the state, in words.
    pub moment: String,
    /// The parts of the state.
    pub lines: Vec<StateLine>,
}

/// A part of a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StateLine {
    /// The name of the part.
    pub label: &'static str,
    /// The value before the step.
    pub before: String,
    /// The value after the step, if it differs.
    pub after: Option<String>,
    /// The meaning of the part, at its first use.
    pub note: Option<String>,
}

/// The way of a thief to a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Way {
    /// The thief.
    pub thief: CompromiseId,
    /// The end of the way, in words.
    pub title: String,
    /// The theft in a sentence.
    pub theft: String,
    /// The steps of the way.
    pub steps: Vec<WayStep>,
    /// The steps in the middle that are left out, if the way is long.
    pub left_out: Option<LeftOut>,
    /// The change that takes a stolen key package away from the thief, if the way needs one.
    pub remedy: Option<String>,
}

/// Steps of a way that are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The number of the step before them.
    pub after: usize,
    /// The number of these steps.
    pub steps: usize,
}

/// A step of a way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WayStep {
    /// The number by which later steps name the step.
    pub number: usize,
    /// The step in a sentence.
    pub text: String,
    /// The section of RFC 9420.
    pub rfc9420: &'static str,
}

/// The answer to a question about one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The message.
    pub message: MessageId,
    /// The message in a sentence.
    pub sent: String,
    /// For each member, if it has read the message, and why not.
    pub members: Vec<String>,
    /// The ways of the thieves that can read it.
    pub ways: Vec<Way>,
    /// For each other thief, the reason why it cannot read the message.
    pub hidden: Vec<String>,
}

/// A thief with all messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedThief {
    /// The thief.
    pub thief: CompromiseId,
    /// The theft in a sentence.
    pub theft: String,
    /// The messages, in the order of the delivery service.
    pub messages: Vec<ExplainedReading>,
    /// The number of messages that are not listed.
    pub more_messages: usize,
    /// The stolen key packages that open welcomes, each with its remedy.
    pub key_packages: Vec<String>,
    /// The healing in a sentence.
    pub healing: String,
}

/// The result for one thief and one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedReading {
    /// The message.
    pub message: MessageId,
    /// True if the thief can read the message.
    pub read: bool,
    /// The message in words: its sender and its epoch.
    pub sent: String,
    /// The reason.
    pub why: String,
}

impl Explanation {
    /// The explanation before the run's details: only its failures.
    pub(super) fn begin(scenario: &Scenario, seed: u64, outcome: &RunOutcome) -> Self {
        let failures = outcome.failures.iter().take(super::MAX_FAILURES).map(ExplainedFailure::begin).collect();
        let status = if outcome.failures.is_empty() { Status::Passed } else { Status::Failed };
        let (name, failed) = (scenario.name.clone(), outcome.failures.len());
        Self { name, seed, status, failed, failures, answers: Vec::new(), thieves: Vec::new() }
    }
}

impl ExplainedFailure {
    /// The failure without its details.
    pub(super) fn begin(failure: &Failure) -> Self {
        Self {
            place: failure.place.as_ref().map_or("at the end of the scenario".to_owned(), ToString::to_string),
            line: failure.place.as_ref().map(|place| place.line),
            step: None,
            expected: failure.expected.clone(),
            seen: failure.seen.clone(),
            words: Vec::new(),
            members: Vec::new(),
            more_members: 0,
            more_groups: 0,
            ways: Vec::new(),
            events: failure.events.clone(),
            notes: Vec::new(),
        }
    }
}

/// True for zero. The output for programs leaves out such a number.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}
