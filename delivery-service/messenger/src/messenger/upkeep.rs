//! Work that is due because time has passed: rotations, removals of inactive members, erasure of old secrets.

use std::time::Duration;

use regrow_engine::{GroupId, Rotation};

use super::{lane::Scope, machine::Machine};
use crate::error::Error;

/// How often the machine looks for keys that are due. Each look loads every group.
const DUE_EVERY: Duration = Duration::from_secs(10 * 60);

impl Machine {
    /// Looks for due work, now and then. It has no request of its own: a commit that is due is submitted like any other.
    pub(super) fn look_for_what_is_due(&mut self) -> Result<(), Error> {
        let now = self.monotonic();
        if now < self.look_at {
            return Ok(());
        }
        self.look_at = now.saturating_add(DUE_EVERY);
        if let Err(error) = self.client.expire(self.now()) {
            self.failed(Scope::Device, error.into())?;
        }
        let ids: Vec<GroupId> = self.groups.keys().cloned().collect();
        for id in ids {
            if let Err(error) = self.make_what_is_due(&id) {
                self.failed(Scope::Group(id), error)?;
            }
        }
        Ok(())
    }

    /// Makes the commit that is due, if nothing else is in its way.
    fn make_what_is_due(&mut self, id: &GroupId) -> Result<(), Error> {
        let now = self.now();
        let record = &self.group(id).record;
        let busy = record.creating.is_some() || record.rejoin.is_some() || record.bad.is_some();
        if busy || self.group(id).waits || self.epoch_of(id)?.is_none() {
            return Ok(());
        }
        let due = self.client.group(id)?.due(now)?;
        // A member is inactive only if two clocks say so, this device's and the service's.
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
