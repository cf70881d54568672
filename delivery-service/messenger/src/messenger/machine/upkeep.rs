//! Upkeep: rotations, removals of inactive members, and the erasure of old secrets.

use std::time::Duration;

use regrow_engine::{GroupId, Rotation};

use super::state::Machine;
use crate::{error::Error, messenger::scope::FailureScope};

/// The interval at which the machine looks for due work. Each look loads every group.
const DUE_EVERY: Duration = Duration::from_secs(10 * 60);

impl Machine {
    /// Looks for due work, now and then. A due commit is submitted like any other.
    pub(super) fn look_for_due_work(&mut self) -> Result<(), Error> {
        let now = self.monotonic();
        if now < self.upkeep_at {
            return Ok(());
        }
        self.upkeep_at = now.saturating_add(DUE_EVERY);
        if let Err(error) = self.client.expire(self.now()) {
            self.lane_failed(FailureScope::Device, error.into())?;
        }
        let ids: Vec<GroupId> = self.groups.keys().cloned().collect();
        for id in ids {
            if let Err(error) = self.make_due_commit(&id) {
                self.lane_failed(FailureScope::Group(id), error)?;
            }
        }
        Ok(())
    }

    /// Makes the commit that is due, if the group is ready for it.
    fn make_due_commit(&mut self, id: &GroupId) -> Result<(), Error> {
        let now = self.now();
        if !self.group(id).is_following() || self.epoch_of(id)?.is_none() {
            return Ok(());
        }
        let due = self.client.group(id)?.due(now)?;
        // A member is inactive only if two clocks say so: this device's and the service's.
        let judges = self.options.remove_inactive && self.is_time_confirmed();
        let made = match due.rotation {
            Some(Rotation::Keys) => Some(self.client.group(id)?.update()),
            Some(Rotation::SignatureKey) => Some(self.client.group(id)?.rotate_signature_key()),
            None if due.inactive.is_empty() || !judges => None,
            None => match self.rank(id)? {
                Some(0) => Some(self.client.group(id)?.remove(&due.inactive)),
                _ => None,
            },
        };
        match made {
            None => {}
            Some(Ok(_pending)) => _ = self.busy.insert(id.clone()),
            Some(Err(error)) => self.refuse(id, None, error)?,
        }
        Ok(())
    }
}
