//! Expectations that have to become true within a bound: `within` and `eventually` of an `expect`.
//!
//! The expectations of one step are checked together: at the step itself, and after each later step
//! within the bound, when the world has settled. They fail when the bound is over, or at the end.

use std::time::Duration;

use super::state::World;
use crate::{
    report::Failure,
    scenario::{Bound, Expect, GroupName, Place},
};

/// The expectations that have not become true yet, oldest first.
#[derive(Default)]
pub(super) struct TimedExpectations {
    waiting: Vec<TimedExpectation>,
    /// The number of steps so far, without the `expect` steps.
    steps: u64,
}

struct TimedExpectation {
    place: Place,
    group: Option<GroupName>,
    expect: Box<Expect>,
    bound: Bound,
    /// The number of steps and the virtual time before which the bound is not over.
    ends: (u64, Duration),
    /// The failures of the last check, and its place.
    last: (Vec<Failure>, Place),
}

/// The moment of a check.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    AfterStep,
    End,
}

impl World<'_> {
    /// Checks the expectations of an `expect` step. Returns the failures of a step without a bound.
    /// The others have time.
    pub(super) fn check_or_wait(&mut self, place: &Place, group: Option<&GroupName>, expect: &Expect) -> Vec<Failure> {
        let failures = self.expect(group, expect);
        let Some(bound) = expect.bound.filter(|_| !failures.is_empty()) else {
            self.note_questions(place, group, expect);
            if failures.is_empty() {
                self.recorder.steps.expectations_held();
            }
            return failures;
        };
        let elapsed = Duration::from_secs(self.clock.elapsed());
        let ends = match bound {
            Bound::Steps(steps) => (self.timed.steps.saturating_add(steps), Duration::MAX),
            Bound::Time(time) => (u64::MAX, elapsed.saturating_add(time)),
            Bound::End => (u64::MAX, Duration::MAX),
        };
        self.timed.waiting.push(TimedExpectation {
            place: place.clone(),
            group: group.cloned(),
            expect: Box::new(expect.clone()),
            bound,
            ends,
            last: (failures, place.clone()),
        });
        Vec::new()
    }

    /// Checks the waiting expectations after a step. Returns the failures of those whose bound is
    /// over.
    pub(super) fn check_timed(&mut self, step: &Place) -> Vec<Failure> {
        self.timed.steps += 1;
        self.check_waiting(Some(step), Moment::AfterStep)
    }

    /// Checks the waiting expectations at the end of the scenario. Returns the failures of those that
    /// are still not true. `last` is the place of the last step.
    pub(super) fn check_timed_at_end(&mut self, last: Option<&Place>) -> Vec<Failure> {
        self.check_waiting(last, Moment::End)
    }

    fn check_waiting(&mut self, step: Option<&Place>, moment: Moment) -> Vec<Failure> {
        let elapsed = Duration::from_secs(self.clock.elapsed());
        let mut overdue = Vec::new();
        for mut timed in std::mem::take(&mut self.timed.waiting) {
            let (last_step, last_time) = timed.ends;
            if self.timed.steps <= last_step && elapsed <= last_time {
                // A failure belongs to the `expect`.
                self.recorder.set_place(Some(timed.place.clone()));
                let failures = self.expect(timed.group.as_ref(), &timed.expect);
                self.recorder.set_place(step.cloned());
                if failures.is_empty() {
                    self.note_questions(&timed.place, timed.group.as_ref(), &timed.expect);
                    self.recorder.steps.became_true(&timed.place);
                    continue;
                }
                timed.last = (failures, step.unwrap_or(&timed.place).clone());
            }
            let is_over = self.timed.steps >= last_step || elapsed > last_time;
            if is_over || moment == Moment::End {
                overdue.extend(timed.into_failures(!is_over));
            } else {
                self.timed.waiting.push(timed);
            }
        }
        overdue
    }
}

impl TimedExpectation {
    /// The failures of the last check. `ended` is true if the scenario has ended before the bound.
    fn into_failures(self, ended: bool) -> impl Iterator<Item = Failure> {
        let Self { place, bound, last: (failures, checked), .. } = self;
        let at = if checked == place { "at the step itself".to_owned() } else { format!("after {checked}") };
        let ended = if ended && bound != Bound::End { "; the scenario ended before the bound" } else { "" };
        failures.into_iter().map(move |failure| Failure {
            expected: format!("{} {bound}", failure.expected),
            seen: format!("{} (last check: {at}{ended})", failure.seen),
            last_check: Some(checked.clone()),
            ..failure
        })
    }
}
