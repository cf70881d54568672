//! The result of a run of one scenario, and the report on one file.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use serde::Serialize;

use super::{focus::Focus, progress::Progress, record::RunRecord, stolen_key_package::StolenKeyPackage};
use crate::cost::{ContentionFigures, Costs, EntryCost};
use crate::scenario::{
    CompromiseId, CostFigure, EventKind, Evidence, FailCode, FileProblem, GroupName, MemberName, MessageId, Place,
    Scenario, TheftScope,
};

/// The options of a run.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// The seed that replaces the scenario's own seed.
    pub seed: Option<u64>,
    /// The address of the delivery service for the run. By default, each run has its own service in
    /// this process.
    pub service: Option<String>,
    /// True if the run records the costs of each entry of the service's log.
    pub costs: bool,
    /// True if the run records its steps, ratchet trees and messages. The oracle then also follows a
    /// scenario without a thief.
    pub record: bool,
    /// The parts of the run that the record has in full detail.
    pub focus: Focus,
    /// The counts that the run keeps up to date while it goes on.
    pub progress: Arc<Progress>,
}

impl RunOptions {
    /// The seed that a run of this scenario uses.
    #[must_use]
    pub fn seed_of(&self, scenario: &Scenario) -> u64 {
        self.seed.unwrap_or(scenario.seed)
    }
}

/// The result of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunOutcome {
    /// The expectations that did not hold; empty if the scenario passed.
    pub failures: Vec<Failure>,
    /// The reasons to doubt that the scenario tests what its author wants.
    pub warnings: Vec<Warning>,
    /// The counts until the end, or until the step that failed.
    pub figures: Figures,
    /// The costs of each entry of the service's log, in its order. Empty if the options do not ask
    /// for them.
    pub costs: Vec<EntryCost>,
    /// The steps, trees and messages. Not set if the options do not ask for them.
    pub record: Option<Box<RunRecord>>,
}

impl RunOutcome {
    /// Runs a scenario, and turns a panic into a failure. A panic is a bug, but other runs
    /// continue.
    pub fn of(run: impl FnOnce() -> Self) -> Self {
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
            Self::of_bug("the run comes to an end", text)
        })
    }

    /// The outcome of a run that has no outcome of its own.
    #[must_use]
    pub fn of_bug(expected: &str, seen: &str) -> Self {
        let seen = format!("a bug in regrow: {seen}");
        let failure = Failure { cause: Cause::Bug, ..Failure::new(None, expected, seen) };
        Self { failures: vec![failure], ..Self::default() }
    }

    /// The outcome of a strict run: each warning is a failure.
    #[must_use]
    pub fn into_strict(mut self) -> Self {
        self.failures.extend(self.warnings.drain(..).map(Warning::into_failure));
        self
    }
}

/// An expectation that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind of the failure.
    pub cause: Cause,
    /// The place of the expectation. Not set if it is one of the invariants that end every
    /// scenario.
    pub place: Option<Place>,
    /// The expected fact, as a part of a sentence: "alice cannot read m2".
    pub expected: String,
    /// The seen fact, also as a part of a sentence.
    pub seen: String,
    /// The error code, if the failure is a step that failed.
    pub code: Option<FailCode>,
    /// The last events that matter for the failure, the oldest first, one line each.
    pub events: Vec<String>,
    /// The subject of the expectation, as far as it is known.
    pub subject: FailureSubject,
    /// The step after which the expectation was checked last, if it had time to become true.
    pub last_check: Option<Place>,
}

/// The member, the message, the thief and the group that a failed expectation is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailureSubject {
    /// The members; empty if the expectation is about the whole group or a thief.
    pub members: Vec<MemberName>,
    /// The message.
    pub message: Option<MessageId>,
    /// The thief.
    pub thief: Option<CompromiseId>,
    /// The field of the `expect`, if it is none of those about messages, thieves, epochs and members.
    pub field: Option<ExpectField>,
    /// The group. Not set if the step tells it, or if the expectation is about no group.
    pub group: Option<GroupName>,
}

/// A field of an `expect` that concerns neither messages nor thieves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectField {
    /// `converged`.
    Converged,
    /// `cut_off`.
    CutOff,
    /// `data`.
    Data,
    /// `verified`.
    Verified,
    /// `due`.
    Due,
    /// The field that asks for this evidence against the delivery service.
    Evidence(Evidence),
    /// `costs`, with the figure.
    Costs(CostFigure),
    /// `events`, with the event.
    Event(EventKind),
}

impl Failure {
    /// A failure without an error code, events and subject.
    pub fn new(place: Option<Place>, expected: impl Into<String>, seen: impl Into<String>) -> Self {
        let (expected, seen) = (expected.into(), seen.into());
        let subject = FailureSubject::default();
        let events = Vec::new();
        Self { cause: Cause::Expectation, place, expected, seen, code: None, events, subject, last_check: None }
    }

    /// The same failure, about this member.
    #[must_use]
    pub fn about_member(mut self, who: &MemberName) -> Self {
        self.subject.members.push(who.clone());
        self
    }

    /// The same failure, about this message.
    #[must_use]
    pub fn about_message(mut self, id: &MessageId) -> Self {
        self.subject.message = Some(id.clone());
        self
    }

    /// The same failure, of this field.
    #[must_use]
    pub fn of_field(mut self, field: ExpectField) -> Self {
        self.subject.field = Some(field);
        self
    }

    /// The same failure, about this group.
    #[must_use]
    pub fn about_group(mut self, group: &GroupName) -> Self {
        self.subject.group = Some(group.clone());
        self
    }

    /// The same failure, about this thief.
    #[must_use]
    pub fn about_thief(mut self, id: &CompromiseId) -> Self {
        self.subject.thief = Some(id.clone());
        self
    }
}

/// The kind of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// An expectation did not hold, or a promise that every scenario makes.
    Expectation,
    /// A step failed, and no expectation asked for it.
    Step,
    /// The scenario did not end in time.
    Timeout,
    /// The scenario has a warning, and the run is strict.
    Warning,
    /// The simulator has a bug.
    Bug,
}

impl Cause {
    /// The word for the cause in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expectation => "expectation",
            Self::Step => "step",
            Self::Timeout => "timeout",
            Self::Warning => "warning",
            Self::Bug => "bug",
        }
    }
}

/// A reason to doubt that a scenario tests what its author wants. The scenario passes with it, unless
/// the run is strict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The kind of the warning.
    pub kind: WarningKind,
    /// The place of the step that causes it. Not set if the whole scenario does.
    pub place: Option<Place>,
    /// The seen fact, as a part of a sentence.
    pub seen: String,
    /// The change to the file that ends the warning.
    pub remedy: String,
}

/// The kind of a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningKind {
    /// The scenario has no expectation.
    NothingExpected,
    /// A thief can read a message that no expectation about this thief mentions.
    UnexpectedExposure,
    /// The group has not healed from a theft, and no expectation says so.
    NotHealed,
    /// An expectation holds in any case.
    CannotFail,
    /// A message is held until the end of the scenario.
    NeverReleased,
    /// The next run may differ.
    NotReproducible,
}

impl WarningKind {
    /// The rule that a scenario without this warning follows, as a part of a sentence.
    fn rule(self) -> &'static str {
        match self {
            Self::NothingExpected => "the scenario expects something",
            Self::UnexpectedExposure => "an `expect` names each message that a thief can read",
            Self::NotHealed => "the group has healed from every theft, or an `expect` says that it has not",
            Self::CannotFail => "every expectation can fail",
            Self::NeverReleased => "every held message is released",
            Self::NotReproducible => "the next run gives the same transcript",
        }
    }
}

impl Warning {
    fn into_failure(self) -> Failure {
        let seen = format!("{}; {}", self.seen, self.remedy);
        Failure { cause: Cause::Warning, ..Failure::new(self.place, self.kind.rule(), seen) }
    }
}

/// The counts of a run. They are exact: the same scenario and seed give the same counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// The number of members at the end.
    pub members: u64,
    /// The number of devices that were ever members.
    pub devices: u64,
    /// The number of commits that the delivery service ordered. With one group, it is the group's
    /// epoch at the end.
    pub epochs: u64,
    /// The number of application messages that the delivery service ordered.
    pub messages: u64,
    /// The bytes of these messages.
    pub message_traffic: MessageTraffic,
    /// The number of different messages whose keys follow from the stolen bytes of any thief.
    pub exposed: u64,
    /// The number of commits with more updates and removals than the run can bring into a fixed
    /// order. If there are any, the same scenario and seed give another transcript in the next run.
    pub unordered_commits: u64,
    /// The cost of the devices' cryptography, for each operation. A commit that is repeated until
    /// its proposals are in order counts once.
    pub costs: Costs,
    /// The contention of the run.
    pub contention: Box<ContentionFigures>,
    /// The virtual seconds from the beginning of the scenario to its end.
    #[serde(skip)]
    pub end: u64,
    /// The figures of each compromise, in order.
    pub compromises: Vec<CompromiseFigures>,
}

/// The application messages of a run, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MessageTraffic {
    /// The bytes that the delivery service received.
    pub uploaded_bytes: u64,
    /// The number of deliveries to devices. The sender's own message comes back to it, too.
    pub deliveries: u64,
    /// The bytes of these deliveries.
    pub delivered_bytes: u64,
}

/// The messages that one thief can read: their keys follow from the stolen bytes and all traffic.
/// RFC 9420 and the policy predict the same messages, or else the scenario fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CompromiseFigures {
    /// The id of the theft, by which expectations name it.
    pub id: CompromiseId,
    /// The member whose device was stolen.
    pub who: MemberName,
    /// The stolen part of the device.
    pub scope: TheftScope,
    /// The group's epoch at the time of the theft. The JSON report does not have it.
    #[serde(skip)]
    pub epoch: u64,
    /// The virtual seconds from the beginning of the scenario to the theft. The JSON report does
    /// not have them.
    #[serde(skip)]
    pub time: u64,
    /// The number of exposed messages that were sent before the theft: the window of forward
    /// secrecy.
    pub exposed_before: u64,
    /// The number of exposed messages that were sent after the theft.
    pub exposed_after: u64,
    /// The number of epochs from the theft to the first epoch from which on the thief knows no
    /// epoch secret. Not set if the thief has secrets of the present epoch at the end of the
    /// scenario. With several groups, the value of the group that healed last.
    pub healed_after: Option<u64>,
    /// The healing of each group. Empty if there are not several groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupHealing>,
    /// The stolen key packages with which the thief opens welcomes.
    pub key_packages: Vec<StolenKeyPackage>,
    /// The thief's attempts to act in the member's name. Not set if there were none.
    pub authentication: Option<AuthenticationFigures>,
}

/// The healing of one group from a theft.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupHealing {
    /// The group.
    pub group: GroupName,
    /// The number of epochs, as in [`CompromiseFigures::healed_after`].
    pub healed_after: Option<u64>,
}

/// The success of a thief in acting as the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AuthenticationFigures {
    /// The number of the thief's attempts.
    pub attempts: u64,
    /// The number of attempts that the delivery service ordered.
    pub accepted: u64,
    /// The number of epochs from the theft to the last attempt that the service ordered. Not set if
    /// it ordered none.
    pub acted_until: Option<u64>,
    /// The number of epochs from the theft to the first refused attempt to rejoin, if the service
    /// ordered no attempt after it. Not set while the thief may still be able to act. A refused
    /// message or commit proves nothing, because a thief that has the signature key can rejoin.
    pub healed_after: Option<u64>,
}

/// The report on one file.
#[derive(Clone, Debug, PartialEq)]
pub struct RunResult {
    /// The file.
    pub file: PathBuf,
    /// The result of the file.
    pub outcome: FileOutcome,
    /// The time of the run on the wall clock. It differs from run to run, and is never compared.
    pub duration: Duration,
}

/// The result of a file.
#[derive(Clone, Debug, PartialEq)]
pub enum FileOutcome {
    /// The scenario was run.
    Ran {
        /// The name of the scenario.
        name: String,
        /// The seed of the run.
        seed: u64,
        /// The outcome of the run.
        outcome: Box<RunOutcome>,
        /// SHA-256 of the transcript, in hexadecimal.
        transcript: String,
    },
    /// The file could not be run.
    Unusable(Vec<FileProblem>),
}

/// The result of a file without its details. Reports count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All expectations held.
    Passed,
    /// An expectation did not hold.
    Failed,
    /// The file could not be run.
    Unusable,
}

impl RunResult {
    /// The result without its details.
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.outcome {
            FileOutcome::Ran { outcome, .. } if outcome.failures.is_empty() => Status::Passed,
            FileOutcome::Ran { .. } => Status::Failed,
            FileOutcome::Unusable(_) => Status::Unusable,
        }
    }
}
