//! The longest virtual time of a scenario.

use std::time::Duration;

use crate::{
    report::{Cause, Failure},
    scenario::{Place, Scenario, write_duration},
};

/// The failure of a scenario whose virtual time is over after a step.
pub(crate) fn virtual_timeout(scenario: &Scenario, elapsed: Duration, place: &Place) -> Option<Failure> {
    let limit = scenario.run.timeout.virtual_time.filter(|limit| elapsed > *limit)?;
    let expected = format!("the scenario ends within {} of virtual time", write_duration(limit));
    let failure = Failure::new(Some(place.clone()), expected, format!("{} have passed", write_duration(elapsed)));
    Some(Failure { cause: Cause::Timeout, ..failure })
}
