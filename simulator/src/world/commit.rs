//! A commit, from the wish to the new epoch: made, kept in a canonical order, confirmed.

use regrow_engine::{Change, Client, DeviceId, Error, GroupId, Outgoing, PendingCommit};

use super::{
    Failed, World,
    act::{Parcel, Remake, failed},
    device::Device,
    event::Event,
};
use crate::{
    cost::Operation,
    scenario::{CrashPoint, FailCode},
};

/// How often a commit is made again so that its proposals come in order.
///
/// OpenMLS keeps updates and removals in a hash map whose order is the machine's: a commit of n of them comes in one of
/// n! orders.
pub(super) const ORDER_ATTEMPTS: u32 = 6000;

/// How many updates and removals in one commit can be waited for to come in order: six come in one of 720 orders.
const ORDER_LIMIT: usize = 6;

impl World<'_> {
    /// Makes a commit. The same scenario and seed make the same one, byte for byte.
    pub(super) fn commit(
        &mut self,
        device: usize,
        make: impl Fn(&mut Client, &GroupId) -> Result<PendingCommit, Error>,
    ) -> Result<PendingCommit, Failed> {
        let pending = self.in_order(device, make, |pending| pending.changes())?;
        self.note_prepared(device, &pending);
        Ok(pending)
    }

    /// A device, or a thief, has made a commit.
    pub(super) fn note_prepared(&mut self, device: usize, pending: &PendingCommit) {
        let by_name = &self.by_name;
        self.chronicle.prepared(device, pending, |id| by_name.get(id.user().as_str()).copied());
    }

    /// Makes something again and again, from the same state and the same randomness, until its changes are in order.
    fn in_order<T>(
        &mut self,
        device: usize,
        make: impl Fn(&mut Client, &GroupId) -> Result<T, Error>,
        changes: impl Fn(&T) -> &[Change],
    ) -> Result<T, Failed> {
        let checkpoint = self.devices[device].checkpoint();
        for _ in 0..ORDER_ATTEMPTS {
            let made = self.persist(device, Operation::Commit, &make)?;
            let names = names_in_order(changes(&made));
            if names.is_sorted() {
                return Ok(made);
            }
            if names.len() > ORDER_LIMIT {
                break;
            }
            self.devices[device].go_back(&checkpoint).map_err(failed)?;
        }
        self.devices[device].go_back(&checkpoint).map_err(failed)?;
        self.unordered_commits += 1;
        self.tell(Event::Unordered { by: self.devices[device].name.clone() });
        self.persist(device, Operation::Commit, &make)
    }

    /// Makes the external commit by which a device joins the group as it is now.
    pub(super) fn join_external(&mut self, device: usize) -> Result<PendingCommit, Failed> {
        let info = self.service.group_info(&self.group).map_err(|e| Failed::new(FailCode::Rejected, e))?;
        let info = info.ok_or_else(|| Failed::new(FailCode::NoGroupInfo, "the delivery service has no group info"))?;
        let pending = self.persist(device, Operation::ExternalCommit, |client, _| client.join_external(&info))?;
        self.note_prepared(device, &pending);
        Ok(pending)
    }

    /// The commit that a device has under way, or what it makes for what is left of its wishes.
    pub(super) fn next(&mut self, device: usize) -> Result<Option<Parcel>, Failed> {
        let pending = self.persist(device, Operation::Housekeeping, |client, _| client.pending())?;
        if let Some(pending) = pending.into_iter().next() {
            return Ok(Some(Parcel::Commit(pending)));
        }
        self.resume(device)
    }

    /// What a device still has to do in the group, made ready.
    pub(super) fn resume(&mut self, device: usize) -> Result<Option<Parcel>, Failed> {
        // What is wanted waits until the device has rejoined.
        let Device { lost, ousted, .. } = self.devices[device];
        if lost || ousted || self.devices[device].epoch(&self.group).is_none() {
            return Ok(None);
        }
        let next = self.in_order(
            device,
            |client, id| client.group(id)?.resume(),
            |next| match next {
                Some(Outgoing::Commit(pending)) => pending.changes(),
                _ => &[],
            },
        )?;
        match &next {
            Some(Outgoing::Commit(pending)) => self.note_prepared(device, pending),
            Some(Outgoing::Proposal(proposal)) => self.chronicle.proposed(device, proposal.as_bytes(), false),
            None => {}
        }
        Ok(next.map(|outgoing| match outgoing {
            Outgoing::Commit(pending) => Parcel::Commit(pending),
            Outgoing::Proposal(proposal) => Parcel::Proposal(proposal, Remake::Leave),
        }))
    }

    /// The service has accepted the commit.
    pub(super) fn confirm(&mut self, device: usize, pending: PendingCommit) -> Result<Option<Parcel>, Failed> {
        let external = pending.is_external();
        self.deliver_before(device, pending.commit())?;
        let now = self.clock;
        self.devices[device].log.begin(Operation::Confirm);
        match self.devices[device].client.confirm(pending.clone(), now) {
            Ok(change) => {
                self.chronicle.confirmed(device, pending.commit());
                if external {
                    self.devices[device].joined(change.epoch.0);
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
        self.chronicle.epoch(epoch, authenticator.as_bytes());
        self.tell(Event::Epoch { who, epoch, authenticator: hex::encode(authenticator.as_bytes()) });
    }
}

/// Whether a commit's changes are in order, or so many that this cannot be waited for.
pub(super) fn is_settled(changes: &[Change]) -> bool {
    let names = names_in_order(changes);
    names.is_sorted() || names.len() > ORDER_LIMIT
}

/// Whom a commit updates and removes, in the order of its proposals. Those it adds come in an order of their own.
fn names_in_order(changes: &[Change]) -> Vec<&DeviceId> {
    let names = changes.iter().filter_map(|change| match change {
        Change::Removed(device) | Change::Updated(device) => Some(device),
        Change::Added(_) | Change::Data(_) => None,
    });
    names.collect()
}
