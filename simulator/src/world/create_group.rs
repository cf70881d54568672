//! Carries out a `create` step.

use super::{state::World, step_failure::StepFailure};
use crate::{
    cost::{ChangeCounts, Operation},
    scenario::{Action, CrashPoint, MemberName},
};

impl World<'_> {
    /// Creates the group, and adds the first members.
    pub(super) fn create_group(&mut self, by: &MemberName, with: &[MemberName]) -> Result<(), StepFailure> {
        let creator = self.devices.find(by)?;
        self.refuse_if_offline(creator)?;
        let (id, now) = (self.service.group().clone(), self.clock.now());
        let info = self.devices[creator].persist(&mut self.recorder, Operation::Create, |client, _| {
            if client.groups()?.is_empty() {
                client.create_group(id.clone(), now)?;
            }
            client.group(&id)?.group_info()
        })?;
        self.recorder.costs.made(&info, self.devices[creator].log.present(), ChangeCounts::default());
        self.recorder.facts.created(creator);
        self.crashes_at(creator, CrashPoint::BeforeSubmit)?;
        self.submit_group(creator, &info)?;
        for point in [CrashPoint::AfterSubmit, CrashPoint::BeforeConfirm] {
            if self.crashes_at(creator, point)? {
                // The application has kept the group info. The service repeats its outcome.
                self.submit_group(creator, &info)?;
            }
        }
        self.devices[creator].window.joined(0);
        self.devices[creator].note_tree(0, &mut self.recorder);
        if with.is_empty() {
            return Ok(());
        }
        let add = Action::Add { by: by.clone(), who: with.to_vec() };
        let (device, submission) = self.prepare(&add)?;
        self.carry_through(device, submission)
    }

    fn submit_group(&mut self, creator: usize, info: &[u8]) -> Result<(), StepFailure> {
        self.service.create_group(&self.devices, creator, info, self.clock.now(), &mut self.recorder)?;
        if let (Some(receipt), Some(checks)) = (self.service.take_receipt(), &mut self.devices[creator].checks) {
            checks.created(info, &receipt);
        }
        self.note_findings_of(creator);
        Ok(())
    }
}
