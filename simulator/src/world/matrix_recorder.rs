//! Takes a snapshot of every device after every step, for an exposure matrix.

use std::collections::BTreeMap;

use regrow_engine::GroupId;

use super::{
    devices::Devices, fact_recorder::FactRecorder, service_under_test::ServiceUnderTest, step_failure::StepFailure,
};
use crate::{
    adversary::{GroupAtTheft, HeldSecrets, StolenBytes},
    report::matrix::MatrixStep,
    scenario::{Action, MemberName, Placed, Proposal, Step},
};

/// The steps of a run, and the snapshots after them.
#[derive(Default)]
pub(super) struct MatrixRecorder {
    pub(super) steps: Vec<MatrixStep>,
    pub(super) snapshots: Vec<DeviceSnapshot>,
    /// For each message, the step that sent it.
    pub(super) sent_in: Vec<usize>,
}

/// A stolen copy of a device.
pub(super) struct DeviceSnapshot {
    pub(super) device: usize,
    pub(super) after_step: usize,
    /// The groups at the snapshot.
    pub(super) groups: BTreeMap<GroupId, GroupAtTheft>,
    pub(super) stolen: Vec<StolenBytes>,
    pub(super) holdings: HeldSecrets,
}

impl MatrixRecorder {
    /// Takes the snapshots after a step.
    pub(super) fn record_step(
        &mut self,
        step: &Placed<Step>,
        service: &ServiceUnderTest<'_>,
        devices: &mut Devices,
        facts: &FactRecorder,
    ) -> Result<(), StepFailure> {
        let after_step = self.steps.len();
        let group = match &step.item {
            Step::Do(action) => action.parts().0.cloned(),
            Step::Race(_) => None,
        };
        self.steps.push(MatrixStep { place: step.place.clone(), what: title(&step.item), group });
        self.sent_in.resize(service.sent.list.len(), after_step);
        for device in devices.as_mut_slice() {
            let groups = service
                .groups
                .iter()
                .map(|(id, group)| (id.clone(), GroupAtTheft { epoch: group.epoch(), device_epoch: device.epoch(id) }));
            let groups = groups.collect();
            // The sealed files of a locked device give a thief nothing.
            let (stolen, holdings) = match device.client.is_locked() {
                true => (Vec::new(), HeldSecrets::default()),
                false => {
                    let snapshot = device.client.snapshot().map_err(StepFailure::broken)?;
                    (StolenBytes::all_of(&snapshot), facts.holdings(device.index))
                }
            };
            let device = device.index;
            self.snapshots.push(DeviceSnapshot { device, after_step, groups, stolen, holdings });
        }
        Ok(())
    }
}

/// A short title of a step.
fn title(step: &Step) -> String {
    let Step::Do(action) = step else { return "race".to_owned() };
    let name = action.name();
    let several = |name: &str, who: &[MemberName]| match who {
        [first, rest @ ..] if !rest.is_empty() => format!("{name} {first} +{}", rest.len()),
        [first, ..] => format!("{name} {first}"),
        [] => name.to_owned(),
    };
    match action.unnamed() {
        Action::Create { by, .. }
        | Action::Update { by, .. }
        | Action::SetData { by, .. }
        | Action::Verify { by, .. }
        | Action::Commit { by } => format!("{name} {by}"),
        Action::Propose { what: Proposal::Add(who), .. } => several("propose add", who),
        Action::Propose { what: Proposal::Remove(who), .. } => several("propose remove", who),
        Action::Propose { by, what: Proposal::Update } => format!("propose update {by}"),
        Action::Send { id, .. } => format!("{name} {id}"),
        Action::Hold(what) | Action::Release(what) | Action::Drop(what) | Action::Duplicate(what) => {
            format!("{name} {}", what.id)
        }
        Action::Crash { who, .. }
        | Action::Compromise { who, .. }
        | Action::Backup { who, .. }
        | Action::Restore { who, .. } => format!("{name} {who}"),
        Action::Add { who, .. } | Action::Remove { who, .. } => several(name, who),
        Action::AddUser { who, .. } | Action::RemoveUser { who, .. } => format!("{name} {who}"),
        Action::LinkDevice { who, .. } | Action::LostDevice { who, .. } => format!("{name} {who}"),
        Action::Leave { who } | Action::Join { who } | Action::Rejoin { who } => several(name, who),
        Action::Offline { who } | Action::Online { who } | Action::KeyPackages { who, .. } => several(name, who),
        Action::Impersonate { compromise, act, .. } => format!("{act} as {compromise}"),
        Action::Service(fault) => format!("{name} {}", fault.name()),
        Action::Clock { who, .. } | Action::Compare { who } | Action::Upkeep { who } => several(name, who),
        Action::Lock { who } | Action::Unlock { who, .. } | Action::Authenticate { who, .. } => several(name, who),
        Action::InGroup { .. } | Action::Named { .. } | Action::Network(_) | Action::Wait(_) | Action::Expect(_) => {
            name.to_owned()
        }
    }
}
