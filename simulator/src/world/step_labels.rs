//! The labels of steps, from which the randomness of a step follows.

use std::{collections::BTreeMap, sync::Arc};

use crate::scenario::Step;

/// Counts each step, so that the same step twice draws different randomness.
#[derive(Default)]
pub(crate) struct StepLabels {
    done: BTreeMap<String, u32>,
}

impl StepLabels {
    /// The label of the next execution of a step.
    ///
    /// The label depends on the step and on the number of its executions, not on other steps. So a
    /// shorter scenario gives the remaining steps the same randomness.
    ///
    /// The label names all members of the step, so it can be long, and the devices share it.
    pub(crate) fn next(&mut self, step: &Step) -> Arc<str> {
        let what = match step {
            Step::Do(action) => format!("{action:?}"),
            Step::Race(contenders) => {
                let contenders: Vec<_> = contenders.iter().map(|contender| format!("{:?}", contender.item)).collect();
                format!("race {}", contenders.join(" "))
            }
        };
        let times = self.done.entry(what.clone()).or_default();
        *times += 1;
        format!("{what} #{times}").into()
    }
}
