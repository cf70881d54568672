//! The data of the state machine, and the operations that all its parts use.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use regrow_engine::{Client, DeviceId, GroupId, Timestamp};

use crate::{
    Delivery,
    api::Problem,
    error::{ConnectionError, Error},
    messenger::{
        app_data::{self, Changes},
        event::{Event, Rejoin, Text},
        group::MessengerGroup,
        key_package_lane::KeyPackageLane,
        lane::Lanes,
        list_lane::ListLane,
        options::Options,
        problem::{is_too_many, is_too_many_claims},
        scope::FailureScope,
        service_clock::ServiceClock,
    },
    names::Cursor,
    receipt::{Receipt, ServicePublicKey},
    retry::Retry,
};

/// The state of one device at one service.
pub(in crate::messenger) struct Machine {
    pub(in crate::messenger) client: Client,
    pub(super) service: ServicePublicKey,
    pub(super) options: Options,
    pub(super) retry: Retry,
    pub(super) groups: BTreeMap<GroupId, MessengerGroup>,
    /// The groups that may have work.
    pub(super) busy: BTreeSet<GroupId>,
    /// The position in the stream: the machine has processed everything before it.
    pub(super) cursor: Cursor,
    /// Entries that were read and not processed yet.
    pub(super) fetched: VecDeque<Delivery>,
    /// The ratchet tree for the first of those, a welcome.
    pub(super) welcome_tree: Option<WelcomeTree>,
    /// The number of failures to fetch that tree.
    pub(super) tree_failures: u32,
    /// The events for the application.
    pub(super) events: VecDeque<Event>,
    /// True if the engine holds results that the application has, as far as the next call shows.
    pub(super) unsettled: bool,
    /// The position to acknowledge at the service.
    pub(super) to_acknowledge: Option<Cursor>,
    pub(super) key_packages: KeyPackageLane,
    pub(super) lists: ListLane,
    pub(super) lanes: Lanes,
    pub(super) clock: ServiceClock,
    /// True if the service has answered since this process began.
    pub(super) service_answered: bool,
    /// The time of the next search for due work, by the monotonic clock.
    pub(super) upkeep_at: Duration,
    /// True if the connection was lost in this pass over the lanes.
    pub(super) cut_off: bool,
}

/// The service's answer to a request for the ratchet tree of a welcome.
pub(super) struct WelcomeTree {
    pub(super) group: GroupId,
    /// [`None`] if the service has none.
    pub(super) bytes: Option<Vec<u8>>,
}

impl Machine {
    /// The time for the engine, in seconds since the Unix epoch.
    pub(in crate::messenger) fn now(&self) -> Timestamp {
        self.clock.agreed((self.options.clock)(), self.monotonic())
    }

    /// True if the own clock and the service's agree.
    pub(super) fn is_time_confirmed(&self) -> bool {
        self.clock.is_confirmed((self.options.clock)(), self.monotonic())
    }

    /// The time for waits.
    pub(super) fn monotonic(&self) -> Duration {
        (self.options.monotonic)()
    }

    pub(in crate::messenger) fn device(&self) -> &DeviceId {
        self.client.device()
    }

    /// The service's key.
    pub(in crate::messenger) fn service(&self) -> ServicePublicKey {
        self.service
    }

    /// The group's state. Creates the state if there is none.
    pub(super) fn group(&mut self, id: &GroupId) -> &mut MessengerGroup {
        self.groups.entry(id.clone()).or_default()
    }

    /// The number of groups.
    pub(in crate::messenger) fn group_count(&self) -> usize {
        self.groups.len()
    }

    pub(in crate::messenger) fn is_suspended(&self, id: &GroupId) -> bool {
        self.groups.get(id).is_some_and(|group| group.facts().suspended)
    }

    /// The receipt of the group's last entry that this device has read.
    pub(in crate::messenger) fn receipt(&self, id: &GroupId) -> Option<Receipt> {
        self.groups.get(id).and_then(|group| group.facts().audit.latest(id))
    }

    /// The epoch that this device is in, if it is in the group.
    pub(super) fn epoch_of(&mut self, id: &GroupId) -> Result<Option<u64>, Error> {
        match self.client.group(id) {
            Ok(mut group) => Ok(Some(group.epoch()?.0)),
            Err(regrow_engine::Error::UnknownGroup { .. } | regrow_engine::Error::Removed { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The number of members before this one, in duties that any member could do. [`None`] if this
    /// device is about to leave.
    pub(super) fn rank(&mut self, id: &GroupId) -> Result<Option<usize>, Error> {
        let own = self.device().clone();
        let roster = self.client.group(id)?.roster()?;
        let leaving = &self.group(id).proposed_removals;
        let mut staying = roster.into_iter().map(|member| member.device).filter(|device| !leaving.contains(device));
        Ok(staying.position(|device| device == own))
    }

    /// Delays a lane that has failed, and reports that to the application.
    ///
    /// # Errors
    /// The error, if it is the device's and not the lane's.
    pub(super) fn lane_failed(&mut self, scope: FailureScope, error: Error) -> Result<(), Error> {
        if error.is_of_device() {
            return Err(error);
        }
        match (&scope, error) {
            // The service has refused to create the group, and the machine has dropped it.
            (FailureScope::Group(group), error) if !self.groups.contains_key(group) => {
                let (group, reason) = (group.clone(), error.to_string());
                self.events.push_back(Event::Refused { group, intent: None, reason });
            }
            // The service limits claims for each claimed device. All other limits are for this
            // device.
            (FailureScope::Intent { .. }, Error::Connection(error)) if is_too_many_claims(&error) => {
                self.delay(scope, error.into());
            }
            (_, Error::Connection(error)) if is_too_many(&error) => {
                self.lanes.hold(error, &self.retry, self.monotonic());
            }
            (_, error) => self.delay(scope, error),
        }
        Ok(())
    }

    /// Delays a lane after a failure.
    pub(super) fn delay(&mut self, scope: FailureScope, error: Error) {
        self.cut_off |= matches!(error, Error::Connection(ConnectionError::Unreachable { .. }));
        let now = self.monotonic();
        self.events.extend(self.lanes.fails(scope, error, &self.retry, now));
    }

    /// Begins to rejoin a group that this device cannot go on in with its present state.
    pub(super) fn rejoin(&mut self, id: &GroupId, why: Rejoin) {
        self.busy.insert(id.clone());
        if self.group(id).begin_rejoin(why) {
            self.events.push_back(Event::Rejoining { group: id.clone(), why });
        }
    }

    /// The service has refused a submission, because it is in another epoch than this device.
    pub(super) fn service_is_in_other_epoch(&mut self, id: &GroupId, problem: &Problem) {
        let group = self.group(id);
        group.service_epoch = problem.current_epoch;
        group.await_entry();
    }

    /// Writes the records of these groups together with the other changes.
    pub(super) fn save(&mut self, groups: &[&GroupId], mut changes: Changes) -> Result<(), Error> {
        for id in groups {
            if let Some(group) = self.groups.get(*id).filter(|group| group.is_unsaved()) {
                changes = changes.group(id, Some(&group.record()))?;
            }
        }
        changes.write(&mut self.client)?;
        for id in groups {
            if let Some(group) = self.groups.get_mut(*id) {
                group.saved();
            }
        }
        Ok(())
    }

    /// Writes the records of all groups that differ from their records.
    pub(super) fn save_unsaved(&mut self) -> Result<(), Error> {
        let unsaved = self.groups.iter().filter(|(_, group)| group.is_unsaved());
        let ids: Vec<GroupId> = unsaved.map(|(id, _)| id.clone()).collect();
        if ids.is_empty() { Ok(()) } else { self.save(&ids.iter().collect::<Vec<_>>(), Changes::default()) }
    }

    /// Deletes everything about a group that this device is no longer in.
    pub(super) fn drop_group(&mut self, id: &GroupId) -> Result<(), Error> {
        self.groups.remove(id);
        self.busy.remove(id);
        self.lanes.forget_group(id);
        let mut changes = Changes::default().group(id, None)?;
        let mut unsent = Vec::new();
        for name in app_data::waiting(&self.client, id)? {
            unsent.extend(app_data::outbox_item(&self.client, &name)?.and_then(|item| item.text));
            changes = changes.outbox_item(&name, None)?;
        }
        for name in app_data::sent(&self.client, id)? {
            changes = changes.outbox_item(&name, None)?;
        }
        changes.write(&mut self.client)?;
        for text in unsent {
            let reason = "this device is not in the group any more".to_owned();
            self.events.push_back(Event::Undeliverable { group: id.clone(), text: Text(text.bytes), reason });
        }
        Ok(())
    }
}
