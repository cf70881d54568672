//! Carries out the step `service`: begins or ends a fault or a lie of the delivery service.

use std::sync::Arc;

use super::{
    event::TranscriptEvent,
    service_under_test::{FalseRoster, StreamLie},
    state::World,
    step_failure::StepFailure,
};
use crate::scenario::{MemberName, ServiceFault};

impl World<'_> {
    /// Begins or ends a fault or a lie of the service.
    pub(super) fn service_fault(&mut self, fault: &ServiceFault) -> Result<(), StepFailure> {
        let who = fault.names().into_iter().flat_map(|(_, names)| names.iter().cloned()).collect();
        self.recorder.tell(TranscriptEvent::Service { fault: fault.name(), who });
        let after = Arc::new(self.service.positions());
        if !fault.lied_to().is_empty() {
            self.service.lies.begin(self.service.epochs());
        }
        match fault {
            ServiceFault::Restart => self.service.endpoint.restart()?,
            ServiceFault::Kill(at) => self.service.interruptions.kill(*at),
            ServiceFault::LoseReply(who) => {
                for device in self.devices.indexes(who)? {
                    self.service.interruptions.lose_reply(device);
                }
            }
            ServiceFault::DiskFull(full) => {
                self.service.endpoint.set_disk_full(*full)?;
                self.key_packages.check_all(&self.devices);
            }
            ServiceFault::Retention(time) => self.service.set_retention(*time)?,
            ServiceFault::Clock(jump) => {
                self.service.endpoint.jump(*jump)?;
                self.key_packages.check_all(&self.devices);
            }
            ServiceFault::Withhold { from, entries } => {
                self.lie_about_stream(from, &StreamLie::Withhold { after, entries: *entries })?;
            }
            ServiceFault::Reorder { to, entries } => {
                self.lie_about_stream(to, &StreamLie::Reorder { after, entries: *entries })?;
            }
            ServiceFault::Equivocate { to } => {
                let devices = self.devices.indexes(to)?;
                self.service.equivocate(&self.devices, &devices)?;
                self.lie_about_stream(to, &StreamLie::SecondHistory)?;
            }
            ServiceFault::FalseRoster { to, add, hide } => {
                let address = |device: usize| self.devices[device].address.clone();
                let add: Vec<_> = self.devices.indexes(add)?.into_iter().map(address).collect();
                let hide: Vec<_> = self.devices.indexes(hide)?.into_iter().map(address).collect();
                for device in self.devices.indexes(to)? {
                    let lie = FalseRoster { add: add.clone(), hide: hide.clone() };
                    self.service.lies.begin_roster(device, lie);
                    if let Some(checks) = &mut self.devices[device].checks {
                        // The member asks again.
                        checks.compared_rosters.clear();
                    }
                }
            }
            ServiceFault::Release(who) => {
                for device in self.devices.indexes(who)? {
                    self.release(device);
                }
            }
        }
        Ok(())
    }

    fn lie_about_stream(&mut self, to: &[MemberName], lie: &StreamLie) -> Result<(), StepFailure> {
        let messages = self.service.sent.list.len();
        for device in self.devices.indexes(to)? {
            self.service.lies.begin_stream(device, lie.clone());
            for group in self.service.groups.keys() {
                let must_join = matches!(lie, StreamLie::SecondHistory);
                self.devices[device].in_group(group).cut_off.begin(messages, must_join);
            }
        }
        Ok(())
    }

    /// The service is honest to a device again. The kept entries come late, like held ones.
    fn release(&mut self, device: usize) {
        self.service.lies.end(device);
        if let Some(position) = self.service.leave_second_history(device) {
            self.devices[device].cursor = position;
        }
        let now = self.clock.ms();
        let device = &mut self.devices[device];
        for delivery in std::mem::take(&mut device.kept_back) {
            device.check_receipt(&delivery);
            device.inbox.keep(delivery, now);
        }
    }
}
