//! Locks and unlocks devices, and locks those that nobody uses.

use regrow_engine::StoreKey;

use super::{
    event::TranscriptEvent, randomness::SeededCrypto, state::World, step_failure::StepFailure, storage_file::key,
};
use crate::scenario::{FailCode, MemberName};

/// A key that opens no device.
const WRONG_KEY: [u8; 32] = [1; 32];

impl World<'_> {
    pub(super) fn lock(&mut self, who: &[MemberName]) -> Result<(), StepFailure> {
        for name in who {
            let device = self.devices.find(name)?;
            if !self.devices[device].client.is_locked() {
                self.devices[device].client.lock()?;
                self.note_lock(device, false);
            }
        }
        Ok(())
    }

    /// Unlocks devices. They catch up when the world settles.
    pub(super) fn unlock(&mut self, who: &[MemberName], wrong_key: bool) -> Result<(), StepFailure> {
        for name in who {
            let device = self.devices.find(name)?;
            if !self.devices[device].client.is_locked() {
                continue;
            }
            let right = || key(&SeededCrypto::new(self.seed, name.as_str())).map_err(StepFailure::broken);
            let given = if wrong_key { StoreKey::from_bytes(WRONG_KEY) } else { right()? };
            let (elapsed, ms) = (self.clock.elapsed(), self.clock.ms());
            let device = &mut self.devices[device];
            device.client.unlock(&given)?;
            device.note_absence(elapsed);
            device.inbox.open(ms);
            self.recorder.tell(TranscriptEvent::Unlocked { who: name.clone() });
        }
        self.submit_waiting()
    }

    /// Locks the devices that nobody has used for the time of their policies, as the timers of their
    /// applications would.
    pub(super) fn lock_idle_devices(&mut self) -> Result<(), StepFailure> {
        for device in 0..self.devices.len() {
            if self.devices[device].policy.lock_after.is_none() || self.devices[device].client.is_locked() {
                continue;
            }
            let now = self.now_of(device);
            if self.devices[device].client.lock_if_idle(now)? {
                self.note_lock(device, true);
            }
        }
        Ok(())
    }

    fn note_lock(&mut self, device: usize, idle: bool) {
        let elapsed = self.clock.elapsed();
        self.devices[device].note_absence(elapsed);
        self.recorder.tell(TranscriptEvent::Locked { who: self.devices[device].name.clone(), idle });
    }

    pub(super) fn refuse_if_locked(&self, device: usize) -> Result<(), StepFailure> {
        let device = &self.devices[device];
        match device.client.is_locked() {
            true => Err(StepFailure::new(FailCode::Locked, format!("the device of {} is locked", device.name))),
            false => Ok(()),
        }
    }
}
