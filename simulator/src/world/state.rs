//! The world of one run: its parts.

use std::sync::Arc;

use regrow_engine::{Policy, Timestamp};

use super::{
    backups::Backups,
    clock::VirtualClock,
    delivery_rules::DeliveryRules,
    device::{Device, DeviceSetup},
    devices::Devices,
    expected_costs::StepCosts,
    fact_recorder::{FactRecorder, RecordedFacts},
    fault_injection::FaultInjection,
    key_packages::KeyPackageStock,
    loaded_groups::LoadedGroups,
    matrix_recorder::MatrixRecorder,
    network::{Network, Outbox},
    randomness::SharedResults,
    recorder::Recorder,
    service_under_test::{Endpoint, ServiceUnderTest},
    settings,
    step_failure::StepFailure,
    step_labels::StepLabels,
    step_recorder::StepRecorder,
    thieves::Thieves,
    timed_expectations::TimedExpectations,
    told_events::ToldEvents,
    warnings::Questions,
};
use crate::{
    report::{RunOptions, Transcript, progress::Progress},
    scenario::{Placed, Scenario, Step},
};

/// The parts of a world. Each part has its own file; the steps join them.
pub(super) struct World<'t> {
    pub(super) seed: u64,
    /// The policy of the members without a policy of their own.
    pub(super) policy: Arc<Policy>,
    pub(super) shared_results: Arc<SharedResults>,
    pub(super) clock: VirtualClock,
    pub(super) delivery_rules: DeliveryRules,
    pub(super) network: Network,
    pub(super) outbox: Outbox,
    pub(super) service: ServiceUnderTest<'t>,
    pub(super) devices: Devices,
    pub(super) loaded_groups: LoadedGroups,
    pub(super) key_packages: KeyPackageStock,
    pub(super) thieves: Thieves,
    pub(super) backups: Backups,
    pub(super) recorder: Recorder<'t>,
    pub(super) step_labels: StepLabels,
    /// The snapshots for an exposure matrix, if the run makes one.
    pub(super) matrix: Option<MatrixRecorder>,
    pub(super) progress: Arc<Progress>,
    /// True if the members check the service in this scenario.
    pub(super) checks_service: bool,
    /// The questions of the `expect` steps, for warnings.
    pub(super) questions: Questions,
    /// The expectations that have time to become true.
    pub(super) timed: TimedExpectations,
    /// The steps, for the expectations on costs.
    pub(super) cost_steps: StepCosts,
    /// The events that devices have told their applications.
    pub(super) told: ToldEvents,
}

impl<'t> World<'t> {
    /// Builds the devices of a scenario, registers them, and publishes their first key packages.
    pub(super) fn new(
        scenario: &Scenario,
        options: &RunOptions,
        transcript: &'t mut Transcript,
        faults: &'t dyn FaultInjection,
        endpoint: Endpoint<'t>,
        matrix: Option<MatrixRecorder>,
    ) -> Result<Self, StepFailure> {
        let policy = Arc::new(settings::policy(scenario)?);
        let checks_service = settings::checks_service(scenario);
        let recorded = match matrix.is_some() || settings::somebody_steals(scenario) {
            true => RecordedFacts::FactsAndBytes,
            false if options.record && !settings::equivocates(scenario) => RecordedFacts::Facts,
            false => RecordedFacts::Nothing,
        };
        let facts = FactRecorder::new(recorded, &policy);
        let mut world = Self {
            seed: options.seed_of(scenario),
            shared_results: Arc::default(),
            clock: VirtualClock::start(),
            delivery_rules: DeliveryRules::default(),
            network: Network::new(options.seed_of(scenario), scenario.members.len(), faults),
            outbox: Outbox::default(),
            service: ServiceUnderTest::new(endpoint),
            devices: Devices::default(),
            loaded_groups: LoadedGroups::default(),
            key_packages: KeyPackageStock::default(),
            thieves: Thieves::default(),
            backups: Backups::default(),
            recorder: Recorder::new(transcript, facts, StepRecorder::new(options.record, &options.focus)),
            step_labels: StepLabels::default(),
            matrix,
            progress: Arc::default(),
            checks_service,
            questions: Questions::default(),
            timed: TimedExpectations::default(),
            cost_steps: StepCosts::default(),
            told: ToldEvents::new(scenario.expects_events()),
            policy,
        };
        if options.costs || scenario.expects_costs() {
            world.recorder.costs.activate();
        }
        world.add_devices(scenario, faults)?;
        world.key_packages.check_all(&world.devices);
        world.key_packages.replenish(&world.service, &mut world.devices, &world.clock, &mut world.recorder)?;
        Ok(world)
    }

    fn add_devices(&mut self, scenario: &Scenario, faults: &dyn FaultInjection) -> Result<(), StepFailure> {
        let setup = DeviceSetup {
            seed: self.seed,
            suffix: self.service.endpoint.suffix(),
            shared_results: self.shared_results.clone(),
            shared_values: Arc::default(),
            faults,
            auditor: self.service.endpoint.public_key().filter(|_| self.checks_service),
            notes_keys: self.told.is_active(),
        };
        let with_file = settings::with_file(scenario);
        let own = settings::own_policies(scenario, &self.policy);
        for (index, name) in scenario.members.iter().enumerate() {
            let log = self.recorder.facts.log(name.as_str());
            let policy = own.get(name);
            if let Some(policy) = policy {
                self.recorder.facts.has_policy(index, policy);
            }
            let policy = policy.unwrap_or(&self.policy).clone();
            let device = Device::new(&setup, index, name.clone(), policy, log, with_file.contains(name))?;
            self.service.endpoint.register(&device.address, self.clock.now())?;
            self.devices.push(device);
        }
        Ok(())
    }

    /// The time by a device's own clock.
    pub(super) fn now_of(&self, device: usize) -> Timestamp {
        self.devices[device].clock.now(&self.clock)
    }

    /// Gives every device and thief its randomness for this step, and begins its costs and events.
    pub(super) fn begin_step(&mut self, step: &Placed<Step>) {
        self.begin_costs(&step.place);
        self.told.begin(&step.place);
        let label = self.step_labels.next(&step.item);
        for device in self.devices.as_mut_slice() {
            device.begin_step(&label);
        }
        self.thieves.begin_step(&label);
    }
}
