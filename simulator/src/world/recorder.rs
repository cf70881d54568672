//! Records a run: transcript, recent events, breaches, costs, steps, and the facts for the oracle.

use std::collections::VecDeque;

use super::{
    cost_recorder::CostRecorder, event::TranscriptEvent, fact_recorder::FactRecorder, step_recorder::StepRecorder,
};
use crate::{
    report::{Failure, Transcript},
    scenario::{GroupName, MemberName, MessageId, Place},
};

/// The number of events that a failure lists.
const RECENT_EVENTS: usize = 8;

/// The record of a run.
pub(super) struct Recorder<'t> {
    transcript: &'t mut Transcript,
    pub(super) facts: FactRecorder,
    pub(super) costs: CostRecorder,
    pub(super) steps: StepRecorder,
    /// The virtual seconds since the scenario began.
    elapsed: u64,
    /// The place of the current step in the scenario file.
    place: Option<Place>,
    recent: VecDeque<String>,
    /// Violations of the invariants that were found during steps.
    breaches: Vec<Failure>,
    unordered_commits: u64,
}

impl<'t> Recorder<'t> {
    pub(super) fn new(transcript: &'t mut Transcript, facts: FactRecorder, steps: StepRecorder) -> Self {
        Self {
            transcript,
            facts,
            costs: CostRecorder::default(),
            steps,
            elapsed: 0,
            place: None,
            recent: VecDeque::new(),
            breaches: Vec::new(),
            unordered_commits: 0,
        }
    }

    /// Sets the step that later events and failures belong to; [`None`] after the last step.
    pub(super) fn set_place(&mut self, place: Option<Place>) {
        self.place = place;
    }

    /// Sets the virtual time of later events.
    pub(super) fn set_elapsed(&mut self, seconds: u64) {
        self.elapsed = seconds;
    }

    /// The virtual seconds since the scenario began.
    pub(super) fn elapsed(&self) -> u64 {
        self.elapsed
    }

    /// Writes an event to the transcript, and keeps it for later failures.
    pub(super) fn tell(&mut self, event: TranscriptEvent) {
        self.transcript.record(self.elapsed, self.place.as_ref(), &event);
        self.steps.tell(&event);
        if let Some(line) = event.line() {
            if self.recent.len() == RECENT_EVENTS {
                self.recent.pop_front();
            }
            let place = self.place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
            self.recent.push_back(place + &line);
        }
    }

    /// Records a commit whose proposals are in an order that the machine chose, not the seed.
    pub(super) fn tell_unordered(&mut self, by: MemberName) {
        self.unordered_commits += 1;
        self.tell(TranscriptEvent::Unordered { by });
    }

    pub(super) fn unordered_commits(&self) -> u64 {
        self.unordered_commits
    }

    /// A failure at the current step.
    pub(super) fn failure(&self, expected: impl Into<String>, seen: impl Into<String>) -> Failure {
        self.here(Failure::new(None, expected, seen))
    }

    /// The same failure, at the current step.
    pub(super) fn here(&self, failure: Failure) -> Failure {
        self.with_events(Failure { place: self.place.clone(), ..failure })
    }

    pub(super) fn with_events(&self, failure: Failure) -> Failure {
        Failure { events: self.recent.iter().cloned().collect(), ..failure }
    }

    /// Keeps the violation of an invariant for the end of the scenario.
    pub(super) fn breach(&mut self, expected: impl Into<String>, seen: impl Into<String>) {
        self.breaches.push(self.failure(expected, seen));
    }

    /// Keeps the violation of an invariant in a group. A group without a label is the group of the
    /// steps that name no group.
    pub(super) fn breach_in(&mut self, group: Option<&GroupName>, expected: String, seen: String) {
        let failure = self.failure(expected, seen).about_group(&group.cloned().unwrap_or_default());
        self.breaches.push(failure);
    }

    /// Keeps the violation of an invariant by one delivery to this member.
    pub(super) fn breach_at(
        &mut self,
        to: &MemberName,
        group: Option<&GroupName>,
        id: Option<&MessageId>,
        expected: String,
        seen: String,
    ) {
        let failure = self.failure(expected, seen).about_member(to).about_group(&group.cloned().unwrap_or_default());
        self.breaches.push(id.into_iter().fold(failure, Failure::about_message));
    }

    pub(super) fn take_breaches(&mut self) -> Vec<Failure> {
        std::mem::take(&mut self.breaches)
    }
}
