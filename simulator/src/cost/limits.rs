//! Compares the costs of a step or of a run with the limits of an `expect`.
//!
//! The world and the cost model have the same entries, so both compare in the same way.

use std::cmp::Reverse;

use super::{EntryBytes, EntryCost};
use crate::{
    report::{ExpectField, Failure, MessageTraffic},
    scenario::{CostExpectation, CostFigure, CostLimit, ExpectScope, GroupName, Place},
};

/// The steps so far, each with the number of entries before it. A step without entries has no
/// place here, except for the last one.
#[derive(Debug, Default)]
pub(crate) struct CostSteps(Vec<(usize, Place)>);

impl CostSteps {
    /// A step begins after this number of entries.
    pub(crate) fn begin(&mut self, place: &Place, entries: usize) {
        if self.0.last().is_some_and(|(before, _)| *before == entries) {
            self.0.pop();
        }
        self.0.push((entries, place.clone()));
    }

    /// The step that made an entry. [`None`] if the entry was made before the first step.
    fn of(&self, entry: usize) -> Option<&Place> {
        let begun = self.0.partition_point(|(before, _)| *before <= entry);
        Some(&self.0.get(begun.checked_sub(1)?)?.1)
    }
}

/// The deliveries of handshakes, and the traffic of messages, that belong to no single entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrafficTotals {
    pub(crate) handshakes_delivered: u64,
    pub(crate) messages_uploaded: u64,
    pub(crate) messages_delivered: u64,
}

impl TrafficTotals {
    pub(crate) fn new(handshakes_delivered: u64, messages: MessageTraffic) -> Self {
        let MessageTraffic { uploaded_bytes, delivered_bytes, .. } = messages;
        Self { handshakes_delivered, messages_uploaded: uploaded_bytes, messages_delivered: delivered_bytes }
    }

    /// The traffic since an earlier moment.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            handshakes_delivered: self.handshakes_delivered - before.handshakes_delivered,
            messages_uploaded: self.messages_uploaded - before.messages_uploaded,
            messages_delivered: self.messages_delivered - before.messages_delivered,
        }
    }

    /// The traffic of two groups.
    pub(crate) fn beside(self, other: Self) -> Self {
        Self {
            handshakes_delivered: self.handshakes_delivered + other.handshakes_delivered,
            messages_uploaded: self.messages_uploaded + other.messages_uploaded,
            messages_delivered: self.messages_delivered + other.messages_delivered,
        }
    }
}

/// The costs of a run so far.
pub(crate) struct CostsSoFar<'c> {
    /// The entries of the whole run.
    pub(crate) entries: &'c [EntryCost],
    pub(crate) steps: &'c CostSteps,
    /// The only group that counts. [`None`] if all groups count.
    pub(crate) group: Option<&'c GroupName>,
    /// The traffic of the last step.
    pub(crate) of_step: TrafficTotals,
    /// The traffic of the run.
    pub(crate) of_run: TrafficTotals,
}

/// The part of a run whose costs count.
struct Part<'c> {
    costs: &'c CostsSoFar<'c>,
    of: ExpectScope,
    /// The number of entries before the part.
    first: usize,
    traffic: TrafficTotals,
    /// The name of the part in a sentence.
    name: String,
}

/// The manner in which a figure counts.
enum Measure {
    /// The size of each message of a kind.
    Each { noun: &'static str, size: fn(&EntryBytes) -> Option<u64> },
    /// The sum of all messages of a kind.
    Sum { verb: &'static str, nouns: &'static str, bytes: fn(&Part<'_>) -> u64 },
}

impl CostFigure {
    fn measure(self) -> Measure {
        let each = |noun, size| Measure::Each { noun, size };
        let sum = |verb, nouns, bytes| Measure::Sum { verb, nouns, bytes };
        match self {
            Self::Commit => each("commit", |bytes| bytes.commit),
            Self::Proposal => each("proposal", |bytes| bytes.proposal),
            Self::Welcome => each("welcome", |bytes| bytes.welcome),
            Self::JoinerWelcome => each("welcome for one joiner", |bytes| bytes.welcome_for_one),
            Self::GroupInfo => each("group info", |bytes| bytes.group_info),
            Self::HandshakesUploaded => {
                sum("uploads", "handshakes", |part| part.entries().map(|(_, entry)| entry.service.uploaded).sum())
            }
            Self::HandshakesDelivered => sum("delivers", "handshakes", |part| part.traffic.handshakes_delivered),
            Self::MessagesUploaded => sum("uploads", "messages", |part| part.traffic.messages_uploaded),
            Self::MessagesDelivered => sum("delivers", "messages", |part| part.traffic.messages_delivered),
        }
    }
}

impl CostsSoFar<'_> {
    /// Returns a failure without a place for each limit that the costs exceed, or that is about
    /// nothing.
    pub(crate) fn failures(&self, expected: &CostExpectation) -> Vec<Failure> {
        let (first, traffic, name) = match (expected.of, self.steps.0.last()) {
            (ExpectScope::Run, _) => (0, self.of_run, "the run until here".to_owned()),
            (ExpectScope::Step, Some((first, place))) => (*first, self.of_step, place.to_string()),
            (ExpectScope::Step, None) => {
                return vec![Failure::new(None, "there is a step before the `costs`", "there is none")];
            }
        };
        let part = Part { costs: self, of: expected.of, first, traffic, name };
        expected.limits.iter().filter_map(|limit| part.failure(limit)).collect()
    }
}

impl Part<'_> {
    fn failure(&self, limit: &CostLimit) -> Option<Failure> {
        let failure = match limit.figure.measure() {
            Measure::Each { noun, size } => self.each(limit, noun, size),
            Measure::Sum { verb, nouns, bytes } => {
                let seen = match bytes(self) {
                    0 if limit.asks_for_none() => return None,
                    0 => format!("it {verb} none"),
                    bytes if limit.permits(bytes) => return None,
                    bytes => format!("it {verb} {bytes} bytes"),
                };
                Some(Failure::new(None, format!("{} {verb} {limit} of {nouns}", self.name), seen))
            }
        };
        failure.map(|failure| failure.of_field(ExpectField::Costs(limit.figure)))
    }

    /// The failure of a limit of each message. It tells the size of the message that is the farthest
    /// outside of the limit.
    fn each(&self, limit: &CostLimit, noun: &str, size: fn(&EntryBytes) -> Option<u64>) -> Option<Failure> {
        let sized = self.entries().filter_map(|(number, entry)| Some((size(&entry.bytes)?, number, &entry.who)));
        let sized: Vec<_> = sized.collect();
        let expected = match limit.asks_for_none() {
            true => format!("{} has no {noun}", self.name),
            false => format!("each {noun} of {} has {limit}", self.name),
        };
        if sized.is_empty() {
            return (!limit.asks_for_none()).then(|| Failure::new(None, expected, "it has none"));
        }
        let outside = || sized.iter().filter(|(bytes, ..)| !limit.permits(*bytes));
        let largest = outside().max_by_key(|(bytes, number, _)| (*bytes, Reverse(*number)));
        let too_large = largest.filter(|(bytes, ..)| limit.at_most.is_some_and(|most| *bytes > most));
        let smallest = || outside().min_by_key(|(bytes, number, _)| (*bytes, *number));
        let (bytes, number, who) = too_large.or_else(smallest)?;
        let place = self.costs.steps.of(*number).filter(|_| self.of == ExpectScope::Run);
        let place = place.map(|place| format!(" in {place}")).unwrap_or_default();
        let others = match outside().count() {
            1 => String::new(),
            count => format!("; {count} of {} are outside of the limits", sized.len()),
        };
        let seen = format!("the {noun} of {who}{place} has {bytes} bytes{others}");
        Some(Failure::new(None, expected, seen).about_member(who))
    }

    /// The entries that count, each with its number in the run.
    fn entries(&self) -> impl Iterator<Item = (usize, &EntryCost)> {
        let entries = self.costs.entries.iter().enumerate().skip(self.first);
        entries.filter(|(_, entry)| self.costs.group.is_none_or(|group| entry.group == *group))
    }
}
