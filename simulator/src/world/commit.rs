//! A commit, from the wish to the new epoch: made, kept in a canonical order, confirmed.

use regrow_engine::{Change, Client, Error, GroupId, Outgoing, PendingCommit};

use super::{
    Failed, World,
    act::{Parcel, failed},
    event::Event,
};
use crate::scenario::{CrashPoint, FailCode};

/// How often a commit is made again so that its proposals come in order.
///
/// OpenMLS keeps updates and removals in a hash map whose order is the machine's: a commit of n of them comes in one of
/// n! orders. Up to six of them can be waited for.
const ORDER_ATTEMPTS: u32 = 6000;

impl World<'_> {
    /// Makes a commit. The same scenario and seed make the same one, byte for byte.
    pub(super) fn commit(
        &mut self,
        device: usize,
        make: impl Fn(&mut Client, &GroupId) -> Result<PendingCommit, Error>,
    ) -> Result<PendingCommit, Failed> {
        let checkpoint = self.devices[device].checkpoint().map_err(failed)?;
        for _ in 0..ORDER_ATTEMPTS {
            let pending = self.persist(device, &make)?;
            if is_in_order(&pending) {
                return Ok(pending);
            }
            self.devices[device].go_back(&checkpoint).map_err(failed)?;
        }
        self.tell(Event::Unordered { by: self.devices[device].name.clone() });
        self.reproducible = false;
        self.persist(device, &make)
    }

    /// Makes the external commit by which a device joins the group as it is now.
    pub(super) fn join_external(&mut self, device: usize) -> Result<PendingCommit, Failed> {
        let info = self.service.group_info(&self.service_group()).map_err(|e| Failed::new(FailCode::Rejected, e))?;
        let info = info.ok_or_else(|| Failed::new(FailCode::NoGroupInfo, "the delivery service has no group info"))?;
        self.persist(device, |client, _| client.join_external(&info))
    }

    /// The commit that a device has under way, or makes for what is left of its wishes.
    pub(super) fn next_commit(&mut self, device: usize) -> Result<Option<PendingCommit>, Failed> {
        let pending = self.persist(device, |client, _| client.pending())?;
        if let Some(pending) = pending.into_iter().next() {
            return Ok(Some(pending));
        }
        match self.resume(device)? {
            Some(Parcel::Commit(pending)) => Ok(Some(pending)),
            _ => Ok(None),
        }
    }

    /// What a device still has to do in the group, made ready.
    pub(super) fn resume(&mut self, device: usize) -> Result<Option<Parcel>, Failed> {
        if self.devices[device].epoch(&self.group).is_none() {
            return Ok(None);
        }
        let checkpoint = self.devices[device].checkpoint().map_err(failed)?;
        for _ in 0..ORDER_ATTEMPTS {
            match self.persist(device, |client, id| client.group(id)?.resume())? {
                Some(Outgoing::Commit(pending)) if !is_in_order(&pending) => {
                    self.devices[device].go_back(&checkpoint).map_err(failed)?;
                }
                Some(Outgoing::Commit(pending)) => return Ok(Some(Parcel::Commit(pending))),
                Some(Outgoing::Proposal(proposal)) => {
                    return Ok(Some(Parcel::Proposal(proposal, super::act::Remake::Leave)));
                }
                None => return Ok(None),
            }
        }
        self.reproducible = false;
        Ok(None)
    }

    /// The service has accepted the commit.
    pub(super) fn confirm(&mut self, device: usize, pending: PendingCommit) -> Result<Option<Parcel>, Failed> {
        let external = pending.is_external();
        match self.devices[device].client.confirm(pending.clone()) {
            Ok(change) => {
                if external {
                    self.devices[device].window.joined(change.epoch.0);
                }
                self.devices[device].resume |= change.resume;
                self.tell_epoch(device);
                Ok(None)
            }
            Err(Error::Storage(_)) if self.devices[device].died_writing() => {
                self.restart(device, CrashPoint::DuringWrite)?;
                self.recover(device, Parcel::Commit(pending))
            }
            Err(error) => Err(failed(error)),
        }
    }

    pub(super) fn tell_epoch(&mut self, device: usize) {
        let (group, device) = (self.group.clone(), &mut self.devices[device]);
        let (Some(epoch), Some(authenticator)) = (device.epoch(&group), device.authenticator(&group)) else { return };
        let who = device.name.clone();
        self.tell(Event::Epoch { who, epoch, authenticator: hex::encode(authenticator.as_bytes()) });
    }
}

/// Whether the updates and removals of a commit come in the order of the members' names.
fn is_in_order(pending: &PendingCommit) -> bool {
    let names = pending.changes().iter().filter_map(|change| match change {
        Change::Removed(device) | Change::Updated(device) => Some(device),
        Change::Added(_) => None,
    });
    names.is_sorted()
}
