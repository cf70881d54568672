//! Carries out a `create` step.

use super::{state::World, step_failure::StepFailure};
use crate::{
    cost::{ChangeCounts, Operation},
    scenario::{Action, CrashPoint, GroupName, MemberName},
};

impl World<'_> {
    /// Creates a group, and adds the first members.
    pub(super) fn create_group(
        &mut self,
        name: &GroupName,
        by: &MemberName,
        with: &[MemberName],
    ) -> Result<(), StepFailure> {
        let creator = self.devices.find(by)?;
        self.refuse_if_offline(creator)?;
        let (id, now) = (self.service.id_of(name)?, self.clock.now());
        let info = self.devices[creator].persist(&mut self.recorder, Operation::Create, |client| {
            if !client.groups()?.contains(&id) {
                client.create_group(id.clone(), now)?;
            }
            client.group(&id)?.group_info()
        })?;
        self.recorder.costs.made(&info, self.devices[creator].log.present(), ChangeCounts::default());
        self.recorder.facts.created(&id, creator);
        self.crashes_at(creator, CrashPoint::BeforeSubmit)?;
        self.submit_group(name, creator, &info)?;
        for point in [CrashPoint::AfterSubmit, CrashPoint::BeforeConfirm] {
            if self.crashes_at(creator, point)? {
                // The application has kept the group info. The service repeats its outcome.
                self.submit_group(name, creator, &info)?;
            }
        }
        self.devices[creator].in_group(&id).window.joined(0);
        self.devices[creator].note_tree(&id, 0, &mut self.recorder);
        if with.is_empty() {
            return Ok(());
        }
        let add = Action::Add { by: by.clone(), who: with.to_vec() };
        let (device, submission) = self.prepare(&id, &add)?;
        self.carry_through(device, submission)
    }

    fn submit_group(&mut self, name: &GroupName, creator: usize, info: &[u8]) -> Result<(), StepFailure> {
        let now = self.clock.now();
        self.service.create_group(name, &self.devices, creator, info, now, &mut self.recorder)?;
        if let (Some(receipt), Some(checks)) = (self.service.take_receipt(), &mut self.devices[creator].checks) {
            checks.created(info, &receipt);
        }
        self.note_findings_of(creator);
        Ok(())
    }
}
