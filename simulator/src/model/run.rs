//! Plays the steps of a scenario on the model.
//!
//! The rules are those of the [world](crate::world): after each step everything is delivered to
//! every online member, and a device whose commit came too late tries again.

mod attempt;
mod prepare;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rustc_hash::FxHashMap;

use super::{
    baseline,
    commit_plan::Intent,
    group_model::{Creation, DeviceNumber, GroupModel, GroupSettings, Ledger},
};
use crate::{
    cost::{
        Contention,
        limits::{CostSteps, CostsSoFar, TrafficTotals},
    },
    report::{Failure, Figures, RunOutcome, progress::Progress},
    scenario::{Action, CostExpectation, Expect, MemberName, Place, Proposal, Protocol, Scenario, Step},
    world::{FailedStep, StepFailure, StepLabels, identity_size, unexpected, virtual_timeout},
};

/// Plays a scenario, and returns the costs of each entry of the log.
#[must_use]
pub fn run(scenario: &Scenario, seed: u64) -> RunOutcome {
    run_watched(scenario, seed, &Progress::default())
}

/// Plays a scenario, and keeps the counts of its progress up to date.
pub(crate) fn run_watched(scenario: &Scenario, seed: u64, progress: &Progress) -> RunOutcome {
    let mut player = match Player::new(scenario, seed) {
        Ok(player) => player,
        Err(failure) => return RunOutcome { failures: vec![failure.into_failure(None)], ..RunOutcome::default() },
    };
    let failures = player.play(scenario, progress);
    player.into_outcome(failures)
}

/// The state of a run.
struct Player<'s> {
    settings: GroupSettings,
    seed: u64,
    names: &'s [MemberName],
    numbers: FxHashMap<&'s str, DeviceNumber>,
    identities: Vec<u16>,
    group: Option<Box<dyn GroupModel + 's>>,
    protocol: Protocol,
    /// The open intents of each device that has any.
    intents: BTreeMap<DeviceNumber, Vec<Intent>>,
    /// The devices with fewer key packages at the service than at the beginning.
    key_packages: FxHashMap<DeviceNumber, usize>,
    offline_before_creation: Vec<DeviceNumber>,
    labels: StepLabels,
    label: Arc<str>,
    elapsed: Duration,
    contention: Contention,
    /// The steps, and the traffic before the last one, if an `expect` has limits of costs.
    cost_steps: CostSteps,
    traffic_before: TrafficTotals,
}

impl<'s> Player<'s> {
    fn new(scenario: &'s Scenario, seed: u64) -> Result<Self, StepFailure> {
        let settings = GroupSettings::of(scenario);
        let names = &scenario.members[..];
        let broken = |name: &MemberName| StepFailure::rejected(format!("{name} is no name of a user"));
        let identities =
            names.iter().map(|name| identity_size(name).ok_or_else(|| broken(name))).collect::<Result<_, _>>()?;
        Ok(Self {
            settings,
            seed,
            names,
            numbers: names.iter().zip(0..).map(|(name, number)| (name.as_str(), number)).collect(),
            identities,
            group: None,
            protocol: scenario.protocol,
            intents: BTreeMap::new(),
            key_packages: FxHashMap::default(),
            offline_before_creation: Vec::new(),
            labels: StepLabels::default(),
            label: Arc::default(),
            elapsed: Duration::ZERO,
            contention: Contention::default(),
            cost_steps: CostSteps::default(),
            traffic_before: TrafficTotals::default(),
        })
    }

    fn play(&mut self, scenario: &Scenario, progress: &Progress) -> Vec<Failure> {
        let mut failed: FailedStep = None;
        let expects_costs = scenario.expects_costs();
        for step in scenario.expand_with_seed(self.seed) {
            if progress.is_stopped() {
                return vec![Failure::new(Some(step.place), "the run goes on", "it was stopped")];
            }
            progress.begin_step(&step.place);
            if let Some(failure) = unexpected(failed.take(), &step) {
                return vec![failure];
            }
            if let Some(expect) = step.item.expect() {
                let failures = self.expect(expect, &step.place);
                if !failures.is_empty() {
                    return failures;
                }
                continue;
            }
            if expects_costs {
                self.begin_costs(&step.place);
            }
            let played = self.step(&step.item).and_then(|()| self.settle());
            progress.end_step(self.epoch());
            if let Err(failure) = played {
                failed = Some((step.place.clone(), failure));
                if let Err(failure) = self.settle() {
                    return vec![failure.into_failure(Some(step.place))];
                }
            }
            if let Some(failure) = virtual_timeout(scenario, self.elapsed, &step.place) {
                return vec![failure];
            }
        }
        failed.map(|(place, failure)| failure.into_failure(Some(place))).into_iter().collect()
    }

    fn into_outcome(self, failures: Vec<Failure>) -> RunOutcome {
        let Some(group) = self.group else { return RunOutcome { failures, ..RunOutcome::default() } };
        let (members, epochs) = (group.members(), group.epoch());
        let Ledger { entries, costs, messages, traffic, devices, .. } = group.into_ledger();
        let figures = Figures {
            members,
            devices,
            epochs,
            messages,
            message_traffic: traffic,
            costs,
            contention: Box::new(self.contention.figures()),
            ..Figures::default()
        };
        RunOutcome { failures, figures, costs: entries, ..RunOutcome::default() }
    }

    fn step(&mut self, step: &Step) -> Result<(), StepFailure> {
        match step {
            Step::Do(action) => self.act(action),
            Step::Race(contenders) => {
                self.label = self.labels.next(step);
                self.race(contenders)
            }
        }
    }

    fn act(&mut self, action: &Action) -> Result<(), StepFailure> {
        let action = action.unnamed();
        match action {
            Action::Create { by, with } => self.create(by, with),
            Action::Leave { who } | Action::Join { who } | Action::Rejoin { who } => who.iter().try_for_each(|name| {
                let device = self.device(name)?;
                let submission = match action {
                    Action::Leave { .. } => self.prepare_leaving(device)?,
                    Action::Join { .. } => self.prepare_external(device, false)?,
                    _ => self.prepare_external(device, true)?,
                };
                self.carry_through(device, submission)?;
                self.settle()
            }),
            Action::Propose { by, what: Proposal::Add(who) | Proposal::Remove(who) } if who.len() > 1 => {
                let is_addition = matches!(action, Action::Propose { what: Proposal::Add(_), .. });
                who.iter().try_for_each(|name| {
                    let what = if is_addition { Proposal::Add } else { Proposal::Remove }(vec![name.clone()]);
                    self.submit_action(&Action::Propose { by: by.clone(), what })
                })
            }
            Action::Offline { who } => self.set_online(who, false),
            Action::Online { who } => self.set_online(who, true),
            Action::KeyPackages { who, .. } => who.iter().try_for_each(|name| {
                let device = self.device(name)?;
                self.refuse_if_offline(device)?;
                self.key_packages.remove(&device);
                Ok(())
            }),
            Action::Wait(time) => {
                self.elapsed += *time;
                if let Some(group) = &mut self.group {
                    group.set_time(self.elapsed.as_secs());
                }
                Ok(())
            }
            Action::Add { .. }
            | Action::Remove { .. }
            | Action::Update { .. }
            | Action::Propose { .. }
            | Action::Commit { .. }
            | Action::Send { .. } => self.submit_action(action),
            _ => Err(StepFailure::rejected(format!("the model has no step `{}`", action.name()))),
        }
    }

    fn submit_action(&mut self, action: &Action) -> Result<(), StepFailure> {
        let (device, submission) = self.prepare(action)?;
        self.carry_through(device, submission)
    }

    fn create(&mut self, by: &MemberName, with: &[MemberName]) -> Result<(), StepFailure> {
        let creator = self.device(by)?;
        self.refuse_if_offline(creator)?;
        let time = self.elapsed.as_secs();
        let identities = std::mem::take(&mut self.identities);
        let creation = Creation { settings: self.settings, names: self.names, identities, by: creator, time };
        let mut group = baseline::create(self.protocol, creation);
        for device in std::mem::take(&mut self.offline_before_creation) {
            group.set_online(device, false);
        }
        self.group = Some(group);
        if with.is_empty() {
            return Ok(());
        }
        let who = self.devices(with)?;
        let submission = self.prepare_commit(creator, Intent::Add(who))?;
        self.carry_through(creator, submission)
    }

    fn set_online(&mut self, who: &[MemberName], online: bool) -> Result<(), StepFailure> {
        for name in who {
            let device = self.device(name)?;
            match &mut self.group {
                Some(group) => group.set_online(device, online),
                None if online => self.offline_before_creation.retain(|known| *known != device),
                None => self.offline_before_creation.push(device),
            }
        }
        Ok(())
    }

    fn expect(&self, expect: &Expect, place: &Place) -> Vec<Failure> {
        let mut failures = Vec::new();
        let epoch = self.epoch();
        if let Some(expected) = expect.epoch.filter(|expected| *expected != epoch) {
            let expected = format!("the group is in epoch {expected}");
            failures.push(Failure::new(None, expected, format!("it is in epoch {epoch}")));
        }
        failures.extend(expect.members.iter().filter_map(|members| self.expect_members(members)));
        failures.extend(expect.costs.iter().flat_map(|costs| self.expect_costs(costs)));
        failures.into_iter().map(|failure| Failure { place: Some(place.clone()), ..failure }).collect()
    }

    fn expect_members(&self, members: &[MemberName]) -> Option<Failure> {
        let count = self.group.as_ref().map_or(0, |group| group.members());
        let lacking = members.iter().find(|name| self.device(name).is_ok_and(|device| !self.is_member(device)));
        match lacking {
            Some(name) => Some(Failure::new(None, format!("{name} is a member"), "it is not")),
            None if count != members.len() as u64 => {
                let expected = format!("the group has {} members", members.len());
                Some(Failure::new(None, expected, format!("it has {count}")))
            }
            None => None,
        }
    }

    fn expect_costs(&self, expected: &CostExpectation) -> Vec<Failure> {
        let ledger = self.group.as_ref().map(|group| group.ledger()).unwrap_or_default();
        let (_, of_run) = self.totals();
        let of_step = of_run.since(self.traffic_before);
        let costs = CostsSoFar { entries: &ledger.entries, steps: &self.cost_steps, group: None, of_step, of_run };
        costs.failures(expected)
    }

    /// Begins the costs of a step.
    fn begin_costs(&mut self, place: &Place) {
        let (entries, traffic) = self.totals();
        self.cost_steps.begin(place, entries);
        self.traffic_before = traffic;
    }

    /// The number of entries so far, and the traffic.
    fn totals(&self) -> (usize, TrafficTotals) {
        self.group.as_ref().map(|group| group.totals()).unwrap_or_default()
    }

    fn device(&self, name: &MemberName) -> Result<DeviceNumber, StepFailure> {
        let number = self.numbers.get(name.as_str()).copied();
        number.ok_or_else(|| StepFailure::rejected(format!("{name} is no device")))
    }

    fn devices(&self, names: &[MemberName]) -> Result<Vec<DeviceNumber>, StepFailure> {
        names.iter().map(|name| self.device(name)).collect()
    }

    fn name(&self, device: DeviceNumber) -> &MemberName {
        &self.names[device as usize]
    }

    fn is_member(&self, device: DeviceNumber) -> bool {
        self.group.as_ref().is_some_and(|group| group.is_member(device))
    }

    fn epoch(&self) -> u64 {
        self.group.as_ref().map_or(0, |group| group.epoch())
    }

    fn is_online(&self, device: DeviceNumber) -> bool {
        match &self.group {
            Some(group) => group.is_online(device),
            None => !self.offline_before_creation.contains(&device),
        }
    }
}
