//! Checks the expectations on costs.

use std::collections::BTreeMap;

use regrow_engine::GroupId;

use super::state::World;
use crate::{
    cost::limits::{CostSteps, CostsSoFar, TrafficTotals},
    report::Failure,
    scenario::{CostExpectation, GroupName, Place},
};

/// The steps so far, and the traffic before the last one.
#[derive(Default)]
pub(super) struct StepCosts {
    steps: CostSteps,
    before: BTreeMap<GroupId, TrafficTotals>,
}

impl World<'_> {
    /// Begins the costs of a step, if the run records costs.
    pub(super) fn begin_costs(&mut self, place: &Place) {
        if self.recorder.costs.is_active() {
            self.cost_steps.steps.begin(place, self.recorder.costs.entries().len());
            self.cost_steps.before = self.traffic_of_groups(None).collect();
        }
    }

    /// The failures of an expectation on the costs in all groups, or only in the one that the step
    /// names.
    pub(super) fn expect_costs(&self, named: Option<&GroupName>, expected: &CostExpectation) -> Vec<Failure> {
        let only = named.and_then(|name| self.service.id_of(name).ok());
        let now: Vec<_> = self.traffic_of_groups(only.as_ref()).collect();
        let before = |group| self.cost_steps.before.get(group).copied().unwrap_or_default();
        let sum = |one: TrafficTotals, other| one.beside(other);
        let costs = CostsSoFar {
            entries: self.recorder.costs.entries(),
            steps: &self.cost_steps.steps,
            group: named,
            of_step: now.iter().map(|(group, totals)| totals.since(before(group))).fold(TrafficTotals::default(), sum),
            of_run: now.iter().map(|(_, totals)| *totals).fold(TrafficTotals::default(), sum),
        };
        let failures = costs.failures(expected).into_iter();
        failures.map(|failure| self.recorder.here(failure)).collect()
    }

    /// The traffic of each group so far, or of one group.
    fn traffic_of_groups(&self, only: Option<&GroupId>) -> impl Iterator<Item = (GroupId, TrafficTotals)> {
        let groups = self.service.groups.keys().filter(move |group| only.is_none_or(|only| *group == only));
        groups.map(|group| {
            let handshakes = self.recorder.costs.delivered_bytes(group);
            (group.clone(), TrafficTotals::new(handshakes, self.service.sent.traffic_of(group)))
        })
    }
}
