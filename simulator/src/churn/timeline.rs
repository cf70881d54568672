//! The steps of a generated history, with waits between them.

use std::{collections::VecDeque, time::Duration};

use super::instant::Instant;
use crate::scenario::{Action, Place, Placed, Step};

/// The generated steps that nobody has taken yet.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    place: Place,
    steps: VecDeque<Placed<Step>>,
    /// The seconds for which the steps so far wait.
    waited: u64,
    /// The number of steps so far.
    number: u32,
}

impl Timeline {
    /// The steps of the generator at this place of the file. Each of them gets a turn, from 1.
    pub(crate) fn new(place: Place) -> Self {
        Self { place, steps: VecDeque::new(), waited: 0, number: 0 }
    }

    /// Adds an action at this time.
    pub(crate) fn act(&mut self, now: Instant, action: Action) {
        self.wait_until(now);
        self.push(|_| Step::Do(action));
    }

    /// Adds actions that begin in the same epoch. A single one is an ordinary step.
    pub(crate) fn race(&mut self, now: Instant, mut actions: Vec<Action>) {
        if actions.len() > 1 {
            self.wait_until(now);
            let contenders =
                |place: &Place| actions.into_iter().map(|item| Placed { place: place.clone(), item }).collect();
            self.push(|place| Step::Race(contenders(place)));
        } else if let Some(action) = actions.pop() {
            self.act(now, action);
        }
    }

    /// Adds a wait, unless this time has come. A wait has whole seconds; the rest counts for the
    /// next wait.
    pub(crate) fn wait_until(&mut self, now: Instant) {
        let seconds = now.whole_seconds().saturating_sub(self.waited);
        if seconds > 0 {
            self.waited += seconds;
            self.push(|_| Step::Do(Action::Wait(Duration::from_secs(seconds))));
        }
    }

    /// Takes the next step.
    pub(crate) fn take(&mut self) -> Option<Placed<Step>> {
        self.steps.pop_front()
    }

    fn push(&mut self, step: impl FnOnce(&Place) -> Step) {
        self.number = self.number.saturating_add(1);
        let place = Place { turn: Some(self.number), ..self.place.clone() };
        let item = step(&place);
        self.steps.push_back(Placed { place, item });
    }
}
