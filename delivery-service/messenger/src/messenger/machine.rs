//! The state machine of a messenger: it decides, and never waits.
//!
//! [`poll_request`](Machine::poll_request) says what to ask of the service, [`handle_response`](Machine::handle_response)
//! takes in the answer, [`poll_event`](Machine::poll_event) says what to tell the application, and
//! [`poll_timeout`](Machine::poll_timeout) when to ask again. The shell in [`messenger`](super) carries requests out. A
//! request that is dropped before its answer has changed nothing: the machine makes it again.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use regrow_engine::{Client, DeviceId, GroupId, Timestamp, UserId};

use super::{
    Event, Options, Rejoin, Text,
    answers::decided,
    claim::{Addition, Claim},
    devices::DeviceLists,
    kept::{self, Changes, GroupRecord},
    key_packages::KeyPackages,
    lane::{self, Lanes, Scope},
    request::{Request, Response},
    time::ServiceClock,
};
use crate::{
    Delivery,
    audit::Finding,
    error::{ConnectionError, Error},
    names::{Cursor, Epoch},
    receipt::{Receipt, ServicePublicKey},
    retry::Retry,
};

/// The state of one device at one service.
pub(super) struct Machine {
    pub(super) client: Client,
    pub(super) service: ServicePublicKey,
    pub(super) options: Options,
    pub(super) retry: Retry,
    pub(super) groups: BTreeMap<GroupId, GroupState>,
    /// The groups in which something may be to do.
    pub(super) busy: BTreeSet<GroupId>,
    /// The position in the stream: everything before it was taken in.
    pub(super) cursor: Cursor,
    /// Entries that were read and not taken in yet.
    pub(super) fetched: VecDeque<Delivery>,
    /// The ratchet tree for the first of those, a welcome.
    pub(super) tree: Option<Tree>,
    /// How often the tree could not be got.
    pub(super) tree_failures: u32,
    /// The events that the application is still to be told.
    pub(super) ready: VecDeque<Event>,
    /// Whether the engine holds something for the application that it was told, as far as the next call shows.
    unsettled: bool,
    /// The position to acknowledge at the service.
    to_acknowledge: Option<Cursor>,
    pub(super) key_packages: KeyPackages,
    pub(super) lists: DeviceLists,
    pub(super) lanes: Lanes,
    pub(super) clock: ServiceClock,
    /// Whether the service has answered since this process began.
    answered: bool,
    /// When to look next for keys that are due, by the monotonic clock.
    pub(super) look_at: Duration,
    /// Whether the connection was lost in this pass over the lanes.
    cut_off: bool,
}

/// A ratchet tree that the service was asked for.
pub(super) struct Tree {
    pub(super) group: GroupId,
    /// [`None`] if the service has none.
    pub(super) bytes: Option<Vec<u8>>,
}

/// The messenger's state of a group; the engine has one of its own.
#[derive(Default)]
pub(super) struct GroupState {
    pub(super) record: GroupRecord,
    /// Whether the record is to be written.
    pub(super) changed: bool,
    /// Nothing more can be done before an entry of the group is read.
    pub(super) waits: bool,
    /// The epoch of the group, as the service says, while this device is in another. If nothing is left to be read, then
    /// the device has missed something.
    pub(super) elsewhere: Option<u64>,
    /// Whether the engine may have intents to carry out again.
    pub(super) resume: bool,
    pub(super) check_roster: bool,
    /// When the first proposal of this epoch came, by the monotonic clock.
    pub(super) proposals_since: Option<Duration>,
    /// The devices that proposals of this epoch remove.
    pub(super) leaving: BTreeSet<DeviceId>,
    /// The application was told that this device cannot rejoin for now.
    pub(super) stranded: bool,
    /// When a commit was met that cannot be followed, by the monotonic clock of this process.
    pub(super) bad_since: Option<Duration>,
    /// The group info of a rejoin whose ratchet tree is still to be got, and the tree's epoch.
    pub(super) info: Option<(Vec<u8>, Epoch)>,
    /// The claims for users and devices that are being added.
    pub(super) claims: BTreeMap<Addition, Claim>,
    /// The devices that have proposed to leave in this epoch.
    pub(super) left: BTreeSet<DeviceId>,
}

impl Machine {
    /// The machine of a registered device, as an earlier process has left it.
    pub(super) fn new(
        client: Client,
        service: ServicePublicKey,
        options: Options,
        retry: Retry,
    ) -> Result<Self, Error> {
        let mut machine = Self {
            groups: BTreeMap::new(),
            busy: BTreeSet::new(),
            cursor: kept::cursor(&client)?,
            fetched: VecDeque::new(),
            tree: None,
            tree_failures: 0,
            ready: VecDeque::new(),
            unsettled: true,
            to_acknowledge: None,
            key_packages: KeyPackages::new(&client)?,
            lists: DeviceLists::new(&client)?,
            lanes: Lanes::default(),
            clock: ServiceClock::default(),
            answered: false,
            look_at: Duration::ZERO,
            cut_off: false,
            client,
            service,
            options,
            retry,
        };
        machine.take_up()?;
        Ok(machine)
    }

    /// Loads the state again, after it was [erased](Self::erase) from memory.
    pub(super) fn reload(&mut self) -> Result<(), Error> {
        self.key_packages = KeyPackages::new(&self.client)?;
        self.lists = DeviceLists::new(&self.client)?;
        self.cursor = kept::cursor(&self.client)?;
        self.unsettled = true;
        self.take_up()
    }

    /// Takes up the work of an earlier process.
    fn take_up(&mut self) -> Result<(), Error> {
        let now = self.monotonic();
        for (id, record) in kept::groups(&self.client)? {
            let damaged = record.is_err();
            let record = record.unwrap_or_default();
            self.groups.insert(id.clone(), GroupState { record, ..GroupState::default() });
            if damaged {
                self.rejoin(&id, Rejoin::Failed);
                self.save(&[&id], Changes::default())?;
            }
        }
        for id in self.client.groups_to_rejoin()? {
            self.group(&id).record.rejoin.get_or_insert(Rejoin::Restored);
        }
        for id in self.client.groups()? {
            let known = self.groups.contains_key(&id);
            if !known && self.is_alone_at_the_beginning(&id)? {
                // The process died between making the group and writing that down.
                let info = self.client.group(&id)?.group_info()?;
                self.group(&id).record.creating = Some(info.into());
            }
            let state = self.group(&id);
            (state.resume, state.check_roster, state.proposals_since) = (true, true, Some(now));
        }
        let known: BTreeSet<GroupId> = self.groups.keys().cloned().collect();
        for received in self.client.unacknowledged()? {
            self.tell(received)?;
        }
        // A group that was dropped since gets no record again.
        self.groups.retain(|id, _| known.contains(id));
        self.busy = self.groups.keys().cloned().collect();
        Ok(())
    }

    fn is_alone_at_the_beginning(&mut self, id: &GroupId) -> Result<bool, Error> {
        let mut group = self.client.group(id)?;
        Ok(group.epoch()?.0 == 0 && group.pending()?.is_none() && group.roster()?.len() == 1)
    }

    /// Begins a pass over the lanes. Each lane fails at most once in a pass.
    pub(super) fn begin_pass(&mut self) {
        self.lanes.begin_pass();
        self.cut_off = false;
    }

    /// The next request of a lane that is ready. [`None`] if nothing is to be done now.
    ///
    /// # Errors
    /// A failure of the device itself: its store, its cryptography, or that it is locked.
    pub(super) fn poll_request(&mut self) -> Result<Option<Request>, Error> {
        let now = self.monotonic();
        if self.is_held() {
            return Ok(None);
        }
        if let Some(cursor) = self.to_acknowledge.filter(|_| self.lanes.is_ready(&Scope::Device, now)) {
            return Ok(Some(Request::Acknowledge(cursor)));
        }
        if self.answered {
            self.look_for_what_is_due()?;
        }
        // Before the key packages: readers of the list know the signature key in them then.
        if self.may_ask_for_list(self.device().user(), now)
            && let Some(request) = self.next_for_own_list()?
        {
            return Ok(Some(request));
        }
        if let Some(request) = self.next_list_to_read(|user| self.may_ask_for_list(user, now))? {
            return Ok(Some(request));
        }
        if self.lanes.is_ready(&Scope::KeyPackages, now)
            && let Some(request) = self.key_packages.next(now)
        {
            return Ok(Some(request));
        }
        for id in self.busy.clone() {
            if let Some(request) = self.poll_group(&id)? {
                return Ok(Some(request));
            }
        }
        Ok(None)
    }

    /// The next request of one group's lane.
    ///
    /// # Errors
    /// As [`poll_request`](Self::poll_request).
    pub(super) fn poll_group(&mut self, id: &GroupId) -> Result<Option<Request>, Error> {
        let scope = Scope::Group(id.clone());
        if self.is_held() || !self.lanes.is_ready(&scope, self.monotonic()) {
            return Ok(None);
        }
        match self.next_step(id) {
            Ok(Some(step)) => Ok(Some(Request::Group(id.clone(), step))),
            Ok(None) => {
                self.lanes.works(&scope);
                if !self.is_timed(id) {
                    self.busy.remove(id);
                }
                Ok(None)
            }
            Err(error) => self.failed(scope, error).map(|()| None),
        }
    }

    /// Whether the lane of a user's list of devices may go on now.
    fn may_ask_for_list(&self, user: &UserId, now: Duration) -> bool {
        self.lanes.is_ready(&Scope::DeviceList(user.clone()), now)
    }

    fn is_held(&self) -> bool {
        self.cut_off || self.lanes.held(self.monotonic()).is_some()
    }

    /// Takes in the answer to a request. A failure delays the request's lane, and the application is told.
    ///
    /// # Errors
    /// As [`poll_request`](Self::poll_request).
    pub(super) fn handle_response(
        &mut self,
        request: Request,
        answer: Result<Response, ConnectionError>,
    ) -> Result<(), Error> {
        let scope = request.scope();
        match (self.take_response(request, answer), scope) {
            (Err(error), Some(scope)) => self.failed(scope, error),
            (result, _) => result,
        }
    }

    /// Takes in the answer to a request, and leaves a failure to the caller.
    pub(super) fn take_response(
        &mut self,
        request: Request,
        answer: Result<Response, ConnectionError>,
    ) -> Result<(), Error> {
        let proved = request.proves();
        self.take_answer(request, answer)?;
        proved.iter().for_each(|scope| self.lanes.works(scope));
        Ok(())
    }

    fn take_answer(&mut self, request: Request, answer: Result<Response, ConnectionError>) -> Result<(), Error> {
        self.answered |= answer.is_ok();
        match request {
            Request::Acknowledge(cursor) => {
                // An acknowledgement that is refused is not made again: a later one says as much.
                let _refused = decided(answer.and_then(Response::done))?;
                self.to_acknowledge = self.to_acknowledge.filter(|latest| *latest != cursor);
                Ok(())
            }
            Request::KeyPackagesLeft => self.key_packages_left(answer.and_then(Response::left)),
            Request::Upload { .. } => self.uploaded(answer.and_then(Response::uploaded)),
            Request::DeviceList(user, _) => self.device_list_read(&user, answer.and_then(Response::device_list)),
            Request::AppendToDeviceList(_, entry) => self.appended(&entry, answer.and_then(Response::head)),
            Request::RemoveDevice(device) => self.removed_at_service(&device, answer.and_then(Response::done)),
            Request::Group(id, step) => self.stepped(&id, step, answer),
            Request::Deliveries { .. } => self.fetch(answer?.page()?),
            Request::WelcomeTree(group, _) => self.welcome_tree(group, answer.and_then(Response::tree)),
        }
    }

    /// A lane has failed: it waits, and the application is told.
    ///
    /// # Errors
    /// The error, if it is the device's and not the lane's.
    pub(super) fn failed(&mut self, scope: Scope, error: Error) -> Result<(), Error> {
        if error.is_of_device() {
            return Err(error);
        }
        let now = self.monotonic();
        match (&scope, error) {
            // A group that the service has refused to create is gone.
            (Scope::Group(group), error) if !self.groups.contains_key(group) => {
                let (group, reason) = (group.clone(), error.to_string());
                self.ready.push_back(Event::Refused { group, intent: None, reason });
            }
            // The service limits claims for each device that they are for. All other limits are for this device.
            (Scope::Intent { .. }, Error::Connection(error)) if lane::is_too_many_claims(&error) => {
                self.delay(scope, error.into(), now);
            }
            (_, Error::Connection(error)) if lane::is_too_many(&error) => self.lanes.hold(error, &self.retry, now),
            (_, error) => self.delay(scope, error, now),
        }
        Ok(())
    }

    fn delay(&mut self, scope: Scope, error: Error, now: Duration) {
        self.cut_off |= matches!(error, Error::Connection(ConnectionError::Unreachable { .. }));
        self.ready.extend(self.lanes.fails(scope, error, &self.retry, now));
    }

    /// The service's time came with an answer.
    pub(super) fn heard(&mut self, service: Timestamp) {
        let (own, monotonic) = ((self.options.clock)(), self.monotonic());
        self.ready.extend(self.clock.observe(service, own, monotonic));
    }

    /// The next event.
    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    /// How long the service may let this device wait for an entry to read, so that no lane waits for that.
    pub(super) fn poll_timeout(&self) -> Duration {
        let now = self.monotonic();
        let mut wait = self.options.wait;
        // The wire has seconds: a shorter wait would be none, and asked for again and again.
        let mut at_most = |limit: Duration| wait = wait.min(limit.max(Duration::from_secs(1)));
        if self.lanes.is_ready(&Scope::KeyPackages, now) {
            at_most(self.key_packages.due_in(now));
        }
        at_most(self.look_at.saturating_sub(now));
        if self.may_ask_for_list(self.device().user(), now) {
            at_most(self.lists.due_in(now));
        }
        self.lanes.next(now).into_iter().for_each(&mut at_most);
        for state in self.groups.values() {
            if state.elsewhere.is_some() {
                return Duration::ZERO;
            }
            if let Some(since) = state.bad_since {
                at_most(since.saturating_add(self.options.rollback_patience).saturating_sub(now));
            }
            if state.proposals_since.is_some() {
                at_most(self.options.commit_turn);
            }
        }
        wait
    }

    /// The application has everything that it was told.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        if self.unsettled {
            // The records first. An entry that the engine has let go of is not told again, and would be in no record.
            self.save_changed()?;
            self.client.acknowledge()?;
            self.unsettled = false;
            self.to_acknowledge = (self.cursor != Cursor::START).then_some(self.cursor);
            for state in self.groups.values_mut() {
                state.changed |= state.record.delivered.settle();
            }
        }
        Ok(())
    }

    /// The engine holds something that the application is told.
    pub(super) fn unsettle(&mut self) {
        self.unsettled = true;
    }

    /// The request that acknowledges, if there is something to acknowledge.
    pub(super) fn acknowledgement(&self) -> Option<Request> {
        self.to_acknowledge.map(Request::Acknowledge)
    }

    /// Erases from memory all that can be loaded again: texts above all.
    pub(super) fn erase(&mut self) {
        self.groups.clear();
        self.busy.clear();
        self.fetched.clear();
        self.ready.clear();
        self.tree = None;
    }

    /// The time for the engine, in seconds since the Unix epoch.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.agreed((self.options.clock)(), self.monotonic())
    }

    /// Whether the own clock and the service's agree.
    pub(super) fn is_time_confirmed(&self) -> bool {
        self.clock.is_confirmed((self.options.clock)(), self.monotonic())
    }

    /// The time for waits.
    pub(super) fn monotonic(&self) -> Duration {
        (self.options.monotonic)()
    }

    pub(super) fn device(&self) -> &DeviceId {
        self.client.device()
    }

    /// The state of the group, for a group that is known from now on.
    pub(super) fn group(&mut self, id: &GroupId) -> &mut GroupState {
        self.groups.entry(id.clone()).or_default()
    }

    pub(super) fn is_suspended(&self, id: &GroupId) -> bool {
        self.groups.get(id).is_some_and(|state| state.record.suspended)
    }

    /// The receipt of the last entry that was read of the group.
    pub(super) fn receipt(&self, id: &GroupId) -> Option<Receipt> {
        self.groups.get(id).and_then(|state| state.record.audit.latest(id))
    }

    /// Writes the records of these groups together with the other changes.
    pub(super) fn save(&mut self, groups: &[&GroupId], mut changes: Changes) -> Result<(), Error> {
        for id in groups {
            if let Some(state) = self.groups.get(*id).filter(|state| state.changed) {
                changes = changes.group(id, Some(&state.record))?;
            }
        }
        changes.keep(&mut self.client)?;
        for id in groups {
            if let Some(state) = self.groups.get_mut(*id) {
                state.changed = false;
            }
        }
        Ok(())
    }

    /// Writes the records of all groups that have changed.
    fn save_changed(&mut self) -> Result<(), Error> {
        let changed = self.groups.iter().filter(|(_, state)| state.changed);
        let ids: Vec<GroupId> = changed.map(|(id, _)| id.clone()).collect();
        if ids.is_empty() { Ok(()) } else { self.save(&ids.iter().collect::<Vec<_>>(), Changes::default()) }
    }

    /// Somebody says that the service has signed this receipt, and it has.
    pub(super) fn hear(&mut self, id: &GroupId, receipt: &Receipt) {
        let finding = self.group(id).record.audit.hear(receipt);
        self.group(id).changed = true;
        self.found(id, finding);
    }

    /// Tells the audit's findings. After a lie, nothing is sent in the group any more.
    pub(super) fn found(&mut self, id: &GroupId, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            let group = id.clone();
            let state = self.groups.entry(group.clone()).or_default();
            let event = match finding {
                Finding::Equivocation(proof) => Event::Equivocation { group, proof: *proof },
                Finding::Broken { sequence } => Event::BrokenChain { group, sequence },
                Finding::Gap { after, before } => {
                    (state.record.has_gap, state.changed) = (true, true);
                    self.ready.push_back(Event::Gap { group, after, before });
                    continue;
                }
            };
            state.record.suspended = true;
            state.changed = true;
            self.ready.push_back(event);
        }
    }

    /// Nothing is left of a group that this device is not in any more.
    pub(super) fn drop_group(&mut self, id: &GroupId) -> Result<(), Error> {
        self.groups.remove(id);
        self.busy.remove(id);
        self.lanes.forget_group(id);
        let mut changes = Changes::default().group(id, None)?;
        let mut unsent = Vec::new();
        for name in kept::waiting(&self.client, id)? {
            unsent.extend(kept::out(&self.client, &name)?.and_then(|out| out.text));
            changes = changes.out(&name, None)?;
        }
        for name in kept::sent(&self.client, id)? {
            changes = changes.out(&name, None)?;
        }
        changes.keep(&mut self.client)?;
        for text in unsent {
            let reason = "this device is not in the group any more".to_owned();
            self.ready.push_back(Event::Undeliverable { group: id.clone(), text: Text(text.bytes), reason });
        }
        Ok(())
    }
}
