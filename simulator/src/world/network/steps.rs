//! Carries out the steps `network` and `clock`, and ends a scenario over an imperfect network.

use crate::{
    scenario::{ClockChange, FailCode, MemberName, NetworkChange},
    world::{state::World, step_failure::StepFailure},
};

/// The number of rounds after which the network counts as restless, which is a bug.
const ROUNDS: u32 = 10_000;

impl World<'_> {
    /// Changes the members' connections.
    pub(in crate::world) fn change_network(&mut self, change: &NetworkChange) -> Result<(), StepFailure> {
        let who = match &change.who {
            Some(names) => names.iter().map(|name| self.devices.find(name)).collect::<Result<Vec<_>, _>>()?,
            None => (0..self.devices.len()).collect(),
        };
        let now = self.clock.ms();
        for device in &who {
            self.network.change(*device, change);
            if change.heal {
                self.devices[*device].partitioned = false;
                self.devices[*device].inbox.open(now);
                self.devices[*device].inbox.fetch(now);
            }
        }
        if let Some(sides) = &change.partition {
            self.divide(sides)?;
        }
        self.submit_waiting()
    }

    /// Cuts the members off that are not on the service's side, and nobody else.
    fn divide(&mut self, sides: &[Vec<MemberName>]) -> Result<(), StepFailure> {
        let now = self.clock.ms();
        for device in self.devices.as_mut_slice().iter_mut().filter(|device| device.partitioned) {
            device.partitioned = false;
            device.inbox.open(now);
        }
        for name in sides.iter().skip(1).flatten() {
            let device = self.devices.find(name)?;
            self.devices[device].partitioned = true;
        }
        Ok(())
    }

    /// Changes the clocks of devices.
    pub(in crate::world) fn change_clocks(
        &mut self,
        who: &[MemberName],
        change: &ClockChange,
    ) -> Result<(), StepFailure> {
        for name in who {
            let device = self.devices.find(name)?;
            self.devices[device].clock.change(change, &self.clock);
            // A key package may now be expired on the device, or no longer be refused.
            self.key_packages.check(device);
        }
        Ok(())
    }

    /// Lets the virtual clock run until nothing is on its way any more. The devices also notice
    /// what was lost.
    pub(in crate::world) fn await_arrivals(&mut self) -> Result<(), StepFailure> {
        for _ in 0..ROUNDS {
            let now = self.clock.ms();
            let connected = self.devices.iter().filter(|device| device.is_connected());
            let Some(last) = connected.filter_map(|device| device.inbox.on_its_way(now)).max() else { return Ok(()) };
            self.pass_ms(last.saturating_sub(now));
            for device in self.devices.as_mut_slice().iter_mut().filter(|device| device.is_connected()) {
                device.inbox.fetch(last);
            }
            self.settle()?;
        }
        Err(StepFailure::new(FailCode::Stale, "the network does not come to rest"))
    }
}
